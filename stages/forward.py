"""forward - pass mail on to a peer over SMTP: as it came, or redacted; all of it, or a share.

What it decides: nothing. Every message passes; the note says which reports in its book are to be sent
({"reports": {recipient: id}}), or why it was {"left_out"}.

One stage has one peer; several peers are several stages, side by side at the end of the pipeline:

    pipeline: [dedup, archive, [forward-a, forward-b]]
    stages:
      forward-a: {use: forward, smtp: "tls://mx.a.example:465", recipients: [feed@a.example]}

Nobody but who stands in `recipients` is ever sent anything. What waits for the peer is in the stage's book,
on the disk, and nothing is sent twice: where the peer died between the last byte and its answer, a person has
to decide (`spamtrap reports ls`).

Loops: what leaves has a field X-Loop of a random look on top. What comes back with one of ours, from
whomever, is passed on by no stage of this trap again; nor is mail that has more than HOPS hosts behind it.
"""

import hmac
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from stages.clients.mailer import Mailer
from stages.clients.manner import Manner
from stages.reporting.case import Case, Letter
from stages.reporting.reporter import Reporter
from stages.reporting.siblings import Siblings
from stages.reporting.terms import Terms
from trap.config import Duration, Share, Size
from trap.envelope import Envelope, printable
from trap.job import Job
from trap.place import Place
from trap.reports import Report, Sending
from trap.reports.held import Evidence
from trap.stage import Preview, Verdict

HOPS = 50
"""Received fields of a message that is going round in circles."""
MAX_FIELD = 300
"""Characters of a trace field."""

_MARK = re.compile(rb"^X-Loop:[ \t]*([0-9a-f]{20})\.([0-9a-f]{32})", re.IGNORECASE | re.MULTILINE)
_MAX_MARKS = 100
_ADDRESS = re.compile(r"[^@\s<>]+@([^@\s<>]+)")


class Forward(Reporter):
    """Pass mail on to a peer.

    Args:
        place: given by the worker.
        recipients: who gets it, in a transaction each.
        smtp: the peer's server, or several in the order of preference: "host:port", "tls://host:port" or the
            path of a UNIX socket.
        what: redacted, so that nothing in it tells who got it; or the original.
        trusted: has to be set where originals go: the peer learns your traps from them.
        each: whether every message is passed on, or of each campaign one a period (terms: period).
        share: of all campaigns, or of the messages that belong to none. It is the same share each time,
            and nobody else can tell which.
        max_size: larger messages are not passed on.
        trace: whether fields X-Spamtrap-… on top tell how the message came.
        sender: MAIL FROM; empty is the null sender, to whom no server complains.
        session: how the server is spoken to; see stages/clients/manner.py.
        timeout: for one message, whatever happens.
        terms: as of all reporters; without any, there is no rate. Redacted mail waits for copies of its
            campaign (terms: gather), for what differs between them tells who got them; originals don't.
    """

    def __init__(  # noqa: PLR0913 - all of them settings
        self,
        place: Place,
        *,
        recipients: list[str],
        smtp: str | list[str] = "127.0.0.1:25",
        what: Literal["original", "redacted"] = "redacted",
        trusted: bool = False,
        each: Literal["message", "campaign"] = "message",
        share: Share = Share("100%"),
        max_size: Size = Size("10MB"),
        trace: bool = False,
        sender: str = "",
        session: Manner = Manner(),
        timeout: Duration = Duration("50s"),
        terms: Terms = Terms(rate=0),
    ) -> None:
        if what == "original" and not trusted:
            raise ValueError(
                "trusted: has to be true for `what: original`: the peer learns your traps from it"
            )
        ours = place.identities
        for address in [*recipients, *[sender] * bool(sender)]:
            found = _ADDRESS.fullmatch(address)
            if not found:
                raise ValueError(f"{address!r} is no mail address")
            if any(f".{found[1].lower()}".endswith(f".{domain}") for domain in ours.domains):
                raise ValueError(f"{address!r} is an address of this trap")
        if not recipients:
            raise ValueError("recipients: nobody is named")
        super().__init__(place, terms)
        self.original = what == "original"
        self._to = list(dict.fromkeys(recipients))
        self.each = each
        self.share = share
        self.max_size = max_size
        self.trace = trace
        self.sender = sender
        shun = () if self.original else ours.domains | ours.hosts
        self._mailer = Mailer("peer", smtp, session, timeout, shun)
        self.backends = self._mailer.backends
        self._siblings = Siblings()
        self._loop_key = Place(place.config, "loops").consumer_key("")
        self._share_key = place.consumer_key("share")

    async def process(self, job: Job) -> Verdict:
        """Enter a job into the book, and remember it for the sake of its copies.

        Raises:
            Unavailable: as the base says.
        """
        if not self.original:
            self._siblings.add(super().campaign(job), job)
        return await super().process(job)

    async def preview(self, job: Job) -> list[Preview]:
        """What would be sent of a message, to whom; nothing is."""
        found = await super().preview(job)
        if not self.original:
            return found
        text = self._fields("0" * 20, job.envelope, 1) + job.message
        return [replace(each, text=text) for each in found]

    async def recipients(self, job: Job) -> list[str]:
        """Who was configured."""
        return self._to

    def campaign(self, job: Job) -> str:
        """A message of its own, or the campaign."""
        return job.id if self.each == "message" else super().campaign(job)

    def compose(self, case: Case, to: str) -> bytes:
        """The redacted message, with our mark on top."""
        return self._fields(case.id, case.envelope, case.weight) + case.message

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Hand it to the peer's server; what it answered."""
        text = letter.text
        if self.original and letter.job:
            text = self._fields(letter.id, letter.job.envelope, letter.weight) + letter.job.message
        return await self._mailer.send(self.sender, [letter.to], text, sending.commit)

    def unfit(self, job: Job) -> str:
        """Why a message is not passed on; "" when it is."""
        if job.size > self.max_size:
            return f"larger than max_size, {self.max_size} bytes"
        if self._came_back(job):
            return "came back: we passed it on before"
        if len(job.headers.get_all("received")) > HOPS:
            return f"more than {HOPS} hosts have passed it on"
        drawn = hmac.digest(self._share_key, super().campaign(job).encode(), "sha256")
        if int.from_bytes(drawn[:8], "big") >= self.share * 2**64:
            return "not in the share"
        return super().unfit(job)

    def _letter(self, report: Report, copies: Sequence[Job]) -> tuple[Letter, list[Evidence]]:
        others = self._siblings.of(super().campaign(copies[0]), copies[0]) if self.each == "message" else []
        return super()._letter(report, [*copies, *others])

    # -- marks -------------------------------------------------------------------------------------

    def _came_back(self, job: Job) -> bool:
        """Whether a mark of ours stands in it, on top or in what somebody forwarded as a part."""
        for number, mark in enumerate(_MARK.finditer(job.message)):
            if number >= _MAX_MARKS:
                return True  # nobody's mail has as many
            if hmac.compare_digest(self._seal(mark[1].lower()), mark[2].lower()):
                return True
        return False

    def _seal(self, name: bytes) -> bytes:
        return hmac.digest(self._loop_key, name, "sha256").hex()[:32].encode()

    def _fields(self, name: str, envelope: Envelope, weight: int) -> bytes:
        """What is put on top of a message: our mark, and if it is wished for, how it came."""
        mark = name.encode()
        fields = [b"X-Loop: " + mark + b"." + self._seal(mark)]
        if self.trace:
            told = {
                "Client": envelope.client_ip,
                "Helo": envelope.helo or "",
                "Mail-From": f"<{envelope.mail_from}>",
                "Received": _moment(envelope.received_at),
                "Weight": str(weight) if self.each == "campaign" else "",
            }
            fields += [_field(f"X-Spamtrap-{key}", value) for key, value in told.items() if value]
        return b"".join(field + b"\r\n" for field in fields)


def _field(name: str, value: str) -> bytes:
    return f"{name}: {printable(value)[:MAX_FIELD]}".encode("ascii", "backslashreplace")


def _moment(at: float) -> str:
    """A time, to the minute: the second would tell the sender which of his messages it was."""
    with suppress(OverflowError, OSError, ValueError):
        return format_datetime(datetime.fromtimestamp(at // 60 * 60, UTC))
    return ""
