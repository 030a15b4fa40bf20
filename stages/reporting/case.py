"""What a report is about, redacted for one recipient: there is nothing in it that must not be told.

A reporter composes its text of this alone. What its words are made of can therefore name the trap only by a
gap in the redaction, and for those there is the gate.
"""

import hmac
import ipaddress
from collections.abc import Sequence
from typing import Any

import msgspec

from trap.envelope import Envelope
from trap.job import Job
from trap.place import Place
from trap.redact import Redactor
from trap.redaction.alignment import MAX_COPIES
from trap.redaction.gate import Leak, found_by
from trap.redaction.sheet import only_here
from trap.redaction.tokens import tokens
from trap.reports import Report

TOLD = ("extract", "auth", "dns", "spamd", "rspamd", "virus", "policy", "backscatter")
"""Stages whose notes reports are made of."""
UNTOLD = frozenset({"donor", "hits", "never_report", "unjudged"})
"""Keys of notes that speak of the trap's own ways."""
_MAX_DEPTH = 12


class Case:
    """One campaign, as one recipient may see it.

    Args:
        place: whose identities and keys.
        report: its row in the book.
        copies: those of the campaign that are kept, the oldest first; the first is the sample.

    Attributes:
        message: the sample, redacted; as long as the original.
        envelope: how it came, redacted: without recipients and without our side of the connection.
        notes: what stages found in it, redacted.
        weight: copies of the campaign this report stands for (RFC 5965: Incidents).
        first, last: when the first and the newest copy were received, in seconds since the epoch.
        campaign, id: names of the campaign and this report that no other recipient has.
        signatures: those of the sample that no longer verify, for it was changed.
        blanked: parts that were overwritten whole.
    """

    def __init__(self, place: Place, report: Report, copies: Sequence[Job]) -> None:
        job = copies[0]
        key = place.consumer_key(report.recipient)
        ours = place.identities
        for copy in copies:
            ours = ours.with_message(copy.envelope, copy.notes, copy.message)
        self.identities = ours
        self.tokens = _tokens(job, copies[1:])
        self._redactor = Redactor(ours, key, place.searcher)
        others = [copy.message for copy in copies[1:] if not _alike(copy, job)]
        files = only_here(job.message, others[:MAX_COPIES])
        redacted = self._redactor.redact(job.message, self.tokens, files)
        self.message = redacted.message
        self.blanked = redacted.blanked
        self.signatures = redacted.signatures
        self.envelope = self._envelope(job.envelope)
        self.notes: dict[str, Any] = {
            stage: self._told(job.notes[stage]) for stage in TOLD if isinstance(job.notes.get(stage), dict)
        }
        if dns := self.notes.get("dns"):
            self.notes["dns"] = _of_network(dns, job.envelope.client_ip)
        self.weight = report.weight
        self.first, self.last = report.first, report.last
        self.campaign = name(key, report.campaign)
        self.id = name(key, report.id)

    def hide(self, text: str) -> str:
        """Any other text that came with the message, redacted."""
        return self._redactor.text(text, self.tokens)

    def leaks(self, report: bytes) -> list[Leak]:
        """What a report that was made of this tells about the trap, as the gate sees it."""
        return found_by(self._redactor.searcher(self.tokens), report)

    def _envelope(self, envelope: Envelope) -> Envelope:
        return Envelope(
            protocol=envelope.protocol,
            client_ip=self.hide(_network(envelope.client_ip)),
            client_port=envelope.client_port,
            helo=None if envelope.helo is None else self.hide(envelope.helo),
            helo_verb=envelope.helo_verb,
            mail_from=self.hide(envelope.mail_from),
            tls_version=envelope.tls_version,
            tls_cipher=envelope.tls_cipher,
            received_at=envelope.received_at,
        )

    def _told(self, thing: Any, depth: int = 0) -> Any:
        """Notes without what names the trap, in values as in keys."""
        if isinstance(thing, str):
            return self.hide(thing)
        if isinstance(thing, dict) and depth < _MAX_DEPTH:
            return {
                self.hide(str(key)): self._told(value, depth + 1)
                for key, value in thing.items()
                if key not in UNTOLD
            }
        if isinstance(thing, list | tuple) and depth < _MAX_DEPTH:
            return [self._told(item, depth + 1) for item in thing]
        return thing if isinstance(thing, int | float | None) else None


def _tokens(job: Job, copies: Sequence[Job]) -> frozenset[str]:
    """What names the recipient of a job without his name; copies he got, too, show what is drawn for each."""
    same = [_alike(copy, job) for copy in copies]
    return tokens(
        job.message,
        [copy.message for copy, is_his in zip(copies, same, strict=True) if not is_his],
        twins=[copy.message for copy, is_his in zip(copies, same, strict=True) if is_his],
        mail_from=job.envelope.mail_from,
        helo=_given_name(job),
    )


def _network(address: str) -> str:
    """An address as it is told: of IPv6 its network of 64 bits, for whoever has one can draw the rest.

    >>> _network("2001:db8:1:2:3:4:5:6"), _network("192.0.2.7"), _network("::ffff:192.0.2.7")
    ('2001:db8:1:2::', '192.0.2.7', '::ffff:192.0.2.7')
    """
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return address if found.ipv4_mapped else str(ipaddress.IPv6Address(int(found) >> 64 << 64))


def _of_network(dns: dict[str, Any], client_ip: str) -> dict[str, Any]:
    """What DNS says of a client, without its name where that can be another for each of 2^64 addresses."""
    client = str(dns.get("client") or client_ip)
    if _network(client) == client:
        return dns
    return {key: value for key, value in dns.items() if key != "ptr"} | {"client": _network(client)}


def _alike(copy: Job, job: Job) -> bool:
    """Whether two copies went to the same recipients."""
    return set(copy.envelope.rcpt_tos) == set(job.envelope.rcpt_tos)


def _given_name(job: Job) -> str:
    """What the client called itself, unless DNS says so too: its own name is evidence."""
    noted = job.notes.get("dns")
    known = noted.get("ptr") if isinstance(noted, dict) and noted.get("ptr_confirmed") else None
    helo = (job.envelope.helo or "").rstrip(".").lower()
    return "" if isinstance(known, str) and known.rstrip(".").lower() == helo else helo


class Letter(msgspec.Struct, frozen=True):
    """A report that is ready to be delivered."""

    id: str
    """The same whenever it is tried again, and of this report only: what keeps it from being taken twice."""
    to: str
    text: bytes
    """What `compose` made; empty for those who tell check sums of the original."""
    weight: int
    job: Job | None
    """The original, for check sums; nothing of it may be told as it is. None when it is gone."""
    case: Case | None
    """What was composed of; none for the original."""


def name(key: bytes, ours: str) -> str:
    """What one recipient knows as a campaign or report of ours: 20 hexadecimal digits (HMAC-SHA256)."""
    return hmac.digest(key, ours.encode("utf-8", "surrogateescape"), "sha256").hex()[:20]
