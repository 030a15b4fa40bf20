"""What a message says of whom: its client, domains it leads to, files it brings; or why nothing counts.

Evidence is what a spammer can't choose at will: the address that a connection came from. What stands in the
message anybody can write there, so links and files take more of it, and nothing counts of mail that somebody
may have asked for.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from stages.listing.allowed import Allowed
from stages.listing.names import Named, named, written
from stages.listing.store import NETWORK, SYSTEM, TRAP, Hit
from stages.names.blocklists import Address
from stages.names.relays import Trusted, address_of, relays
from stages.reporting.sentinel import Sentinel
from stages.reporting.terms import TYPO
from stages.reports.guard import network
from trap.envelope import Rcpt, printable
from trap.job import Job
from trap.traces import shares

MAX_RECIPIENTS = 16
MAX_DOMAINS = 20
MAX_FILES = 20
"""Of one message that count."""
MIN_FILE = 512
"""Bytes; smaller files are empty, or the same in everybody's mail."""
_HASH = 8
_LONGEST_PREFIX = 320

_SHOWN = frozenset(("image", "style"))
"""Where URLs stand that nobody clicks on: what they show may be anybody's."""
_HARMLESS = ("image/", "text/plain", "text/calendar", "text/vcard", "application/pgp-", "application/pkcs7-",
             "application/x-pkcs7-", "application/ms-tnef", "message/")  # fmt: skip
"""Files that are the same in much mail of honest people: logos, signatures, appointments."""


class Evidence(NamedTuple):
    """What counts of a message."""

    hits: list[Hit]
    witnesses: list[tuple[int, bytes]]
    left_out: dict[str, str]
    """What would have counted, and why it does not."""
    why: str = ""
    """Why nothing counts."""


class Gatherer:
    """Reads messages for evidence.

    Args:
        lists: names of the lists that there are.
        allowed: says what is never listed.
        trusted: hosts of our own, whose Received fields tell the client.
        traps: tags of recipients that count, "" for those without one; all but typo when None.
        key: of the hashes of recipients and networks.

    Raises:
        ValueError: a tag can't be one of those.
    """

    def __init__(
        self,
        lists: Collection[str],
        allowed: Allowed,
        trusted: Trusted,
        traps: Collection[str] | None,
        key: bytes,
    ) -> None:
        for tag in traps or ():
            if _is_typo(tag):
                raise ValueError(
                    f"traps: {tag!r}: mail to typo traps is often meant for somebody else: "
                    "its senders are never listed"
                )
        self._lists = frozenset(lists)
        self._allowed = allowed
        self._trusted = trusted
        self._traps = traps
        self._key = key
        self._sentinel = Sentinel()

    def gather(self, job: Job) -> Evidence:
        """What counts of one message."""
        if why := self._barred(job):
            return Evidence([], [], {}, why)
        client = self._client(job)
        noted = _noted(job, "dns")
        found = list(self._found(job, client))
        recipients = job.envelope.rcpt_tos[:MAX_RECIPIENTS]
        hits, left_out = [], {}
        for hit, thing in found:
            why = self._allowed.why(thing, hit.also)
            if not why and thing.kind == "address" and noted.get("ptr_confirmed"):
                why = self._allowed.why_client(str(client), str(noted.get("ptr") or ""))
            if not why and thing.kind == "domain" and shares(thing.key, recipients):
                why = "our own"
            if why:
                left_out[thing.key] = why
            else:
                hits.append(hit)
        return Evidence(hits, list(self._witnesses(job, client, noted)) if hits else [], left_out)

    def _barred(self, job: Job) -> str:
        """Why nothing of a message counts; "" when it does."""
        for rcpt in job.envelope.rcpts or [Rcpt(address="")]:
            if _is_typo(rcpt.tag) or (self._traps is not None and rcpt.tag not in self._traps):
                return (
                    f"came to a trap tagged {printable(rcpt.tag)}"
                    if rcpt.tag
                    else "came to a trap without a tag"
                )
        return self._sentinel.holds(job)

    def _client(self, job: Job) -> Address | None:
        """Who sent it: the client, or who a host of our own says it has it from."""
        said = address_of(job.envelope.client_ip)
        if direct := self._trusted.strangers([said] if said else []):
            return direct[0]
        if not self._trusted.vouches(said, job.envelope.protocol):
            return None  # from a file, say: who wrote its Received fields nobody knows
        noted = address_of(str(_noted(job, "dns").get("client") or ""))
        others = self._trusted.strangers([noted] if noted else relays(job.headers.get_all("received")))
        return others[0] if others else None

    def _found(self, job: Job, client: Address | None) -> Iterator[tuple[Hit, Named]]:
        backscatter = _noted(job, "backscatter").get("kind") not in (None, "suspected")
        if client and (name := "backscatter" if backscatter else "addresses") in self._lists:
            key = written(client)
            yield Hit(name, key), Named("address", key)
        if backscatter:
            return  # what it returns is somebody else's
        if "domains" in self._lists:
            for domain in _domains(job):
                yield Hit("domains", domain), Named("domain", domain)
        if "files" in self._lists:
            for sha256, md5 in _files(job):
                yield Hit("files", sha256, md5), Named("file", sha256)

    def _witnesses(
        self, job: Job, client: Address | None, noted: dict[str, Any]
    ) -> Iterator[tuple[int, bytes]]:
        mailboxes = {_mailbox(address) for address in job.envelope.rcpt_tos[:MAX_RECIPIENTS]}
        yield from ((TRAP, self._hash(TRAP, mailbox)) for mailbox in sorted(mailboxes))
        if client:
            yield NETWORK, self._hash(NETWORK, network(str(client)))
            if system := noted.get("asn"):
                yield SYSTEM, self._hash(SYSTEM, str(system))

    def _hash(self, kind: int, text: str) -> bytes:
        said = f"{kind}\0{text}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(said, key=self._key, digest_size=_HASH).digest()


def _is_typo(tag: str) -> bool:
    """Whether a tag says that people reach these traps by mistake, however it is spelt."""
    return tag.strip().casefold().startswith(TYPO)


def _noted(job: Job, stage: str) -> dict[str, Any]:
    notes = job.notes.get(stage)
    return notes if isinstance(notes, dict) else {}


def _mailbox(address: str) -> str:
    """A recipient without what anybody may add behind a plus: joe+1 and joe+2 are one trap."""
    local, _, domain = address.lower()[:_LONGEST_PREFIX].rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _domains(job: Job) -> Iterable[str]:
    """Domains that the message leads to, as the stage extract found them."""
    found: dict[str, None] = {}
    for link in _dicts(_noted(job, "extract").get("links")):
        if link.get("from") not in _SHOWN and (thing := named(str(link.get("host") or ""))):
            found |= {thing.key: None} if thing.kind == "domain" else {}
    return islice(found, MAX_DOMAINS)


def _files(job: Job) -> Iterable[tuple[str, str]]:
    """Check sums, sha256 and md5, of files that came with it."""
    found: dict[str, str] = {}
    for file in _dicts(_noted(job, "extract").get("attachments")):
        kind = str(file.get("is") or file.get("type") or "")
        size, sha256, md5 = file.get("size"), file.get("sha256"), file.get("md5")
        if not (isinstance(size, int) and size >= MIN_FILE and sha256 and md5):
            continue
        if not kind.startswith(_HARMLESS):
            found[str(sha256)] = str(md5)
    return islice(found.items(), MAX_FILES)


def _dicts(thing: Any) -> list[dict[str, Any]]:
    return [each for each in thing if isinstance(each, dict)] if isinstance(thing, list) else []
