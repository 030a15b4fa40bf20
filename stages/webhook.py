"""webhook - report campaigns to a web server of somebody's, as signed JSON.

Each report is one POST: {"type": "spamtrap.report", "timestamp": …, "data": {…}}. Of what the data consists
stands in docs/report.schema.json. A report that is taken back is a "spamtrap.revoked". Requests are signed as
Standard Webhooks has it, so receivers can use a library of theirs, or ten lines (see README):

* webhook-id: the report's, the same whenever it is sent again; Idempotency-Key says it once more,
* webhook-timestamp: when it was sent, in seconds since the epoch,
* webhook-signature: "v1," and the HMAC-SHA256 of id, timestamp and body with points between them, in base64;
  several, where the file has several secrets, for the days in which they are changed.

2xx says that it is taken. What other answers mean stands in stages/reporting/site.py. When the answer got
lost the report is sent again under its id, by which the receiver knows it; with `repeat: false` it is not,
and stays unsure.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from stages.clients.http import Session
from stages.reporting.case import Case, Letter
from stages.reporting.record import VERSION, Record, Revoked, encode, moment, record
from stages.reporting.reporter import Reporter
from stages.reporting.site import Site, Web, accepted, secrets, there
from stages.reporting.tell import Tell
from stages.reporting.terms import Terms
from trap.backend import Broken
from trap.job import Job
from trap.place import Place
from trap.reports import Sending

PREFIX = "whsec_"
"""Of a secret, as the standard writes it."""
MIN_SECRET, MAX_SECRET = 24, 64
"""Bytes of one."""
DOUBTFUL = frozenset((500, 502, 504))
"""Answers of one who may have taken it before something failed."""


class Webhook(Reporter):
    """Report to a web server.

    Args:
        place: given by the worker.
        url: where reports are posted.
        secret: file of the secret that they are signed with, "whsec_" and base64, readable by its owner only.
        web: how the server is reached: {ca, allow_http, timeout}.
        probe: what it is asked while it seems away: "options" or "head", where any answer will do, or "ping",
            a signed POST of {"type": "spamtrap.ping"} that wants a 2xx.
        repeat: whether what may have arrived or not is sent again; the receiver must know ids for that.
        tell: how much is told: {sample, grain}.
        terms: as of all reporters.

    Raises:
        ValueError: a setting makes no sense.
        OSError: the book or the secret can't be read.
    """

    log_as = "reported"

    def __init__(
        self,
        place: Place,
        url: str,
        secret: Path,
        web: Web = Web(),
        probe: Literal["options", "head", "ping"] = "options",
        repeat: bool = True,
        tell: Tell = Tell(),
        terms: Terms = Terms(),
    ) -> None:
        self._keys = [key(line) for line in secrets(secret)]
        hint = "see whether it runs, and whether its certificate is one that we trust (web: ca)"
        self._site = Site("receiver", url, web, self._probe, hint)
        super().__init__(place, terms)
        self.backends = self._site.backends
        self.repeatable = repeat
        self._how = probe
        self._tell = tell

    async def recipients(self, job: Job) -> list[str]:
        """Whoever the operator has named."""
        return [self._site.host]

    def compose(self, case: Case, to: str) -> bytes:
        """The body of the request."""
        return event(record(case, self._tell.sample, self._tell.grain))

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Post it."""
        return await self._post(letter.id, letter.text, sending)

    async def retract(self, letter: Letter, sending: Sending) -> str:
        """Post that it is taken back."""
        return await self._post(f"{letter.id}-revoked", event(revoked(letter.id)), sending)

    async def _post(self, name: str, body: bytes, sending: Sending) -> str:
        fields = signed(self._keys, name, int(time.time()), body)
        answer = await self._site.post(name, self._site.endpoint.target, fields, body, sending.commit)
        if answer.status in DOUBTFUL and not self.repeatable:
            raise Broken(f"answers {answer.said}, which does not say whether it was taken")
        return accepted(answer)

    async def _probe(self, session: Session) -> str:
        target = self._site.endpoint.target
        if self._how != "ping":
            return there(await session.ask(self._how.upper(), target))
        body, now = event(None), int(time.time())
        fields = [("Content-Type", "application/json"), *signed(self._keys, f"ping-{now}", now, body)]
        answer = await session.ask("POST", target, fields, body)
        if answer.status >= 300:
            raise Broken(f"answers {answer.said} to a ping")
        return there(answer)


def key(secret: str) -> bytes:
    """The key in a secret.

    Raises:
        ValueError: it is none; the secret is not told.
    """
    try:
        if secret.startswith(PREFIX):
            found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
            if MIN_SECRET <= len(found) <= MAX_SECRET:
                return found
    except binascii.Error:
        pass
    raise ValueError(
        f"secret: a line is no secret: write {PREFIX} and {MIN_SECRET} to {MAX_SECRET} bytes in base64, "
        f'as of: echo "{PREFIX}$(openssl rand -base64 32)"'
    )


def signed(keys: Sequence[bytes], name: str, at: int, body: bytes) -> list[tuple[str, str]]:
    """The fields of the header that say who sends a body.

    Args:
        keys: each makes a signature.
        name: id of what is sent.
        at: when, in seconds since the epoch.
        body: to the byte.
    """
    content = b"%s.%d.%s" % (name.encode("ascii"), at, body)
    macs = (base64.b64encode(hmac.digest(each, content, "sha256")).decode("ascii") for each in keys)
    return [
        ("webhook-id", name),
        ("webhook-timestamp", str(at)),
        ("webhook-signature", " ".join(f"v1,{mac}" for mac in macs)),
        ("Idempotency-Key", f'"{name}"'),
    ]


def revoked(report: str) -> Revoked:
    """What says that a report is taken back now."""
    return Revoked(version=VERSION, id=report, time=moment(time.time()))


def event(data: Record | Revoked | None) -> bytes:
    """What is posted: a report, that one is taken back, or a ping."""
    match data:
        case Record():
            kind, at = "report", data.last
        case Revoked():
            kind, at = "revoked", data.time
        case _:
            return b'{"type":"spamtrap.ping"}'
    head = msgspec.json.encode({"type": f"spamtrap.{kind}", "timestamp": at})
    return head[:-1] + b',"data":' + encode(data) + b"}"
