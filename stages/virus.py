"""virus - have clamd scan every message; drop what is infected, or keep it in a queue of its own.

It is called `clamav` as well. What it decides:

* clean: passes, notes {"clean": true, "engine": …}.
* infected: dropped as "virus <signature>", or passed to the queue `to`; notes {"virus": signature}.
* not scanned: passes, notes {"unscanned": why}. That is mail larger than `max_size`, mail that
  clamd itself refuses, and mail on which clamd broke three conversations.
* clamd away: `Unavailable`; jobs pass unjudged unless `when_unavailable: wait` is set. One that greets
  and then falls silent, dies, or lacks memory or room is away too; after the third time on the same
  message that message is to blame, else one that crashes clamd would hold up the queue for good.
"""

from typing import Any

from stages.clients.clamd import Answer, Session
from trap.address import Address
from trap.backend import Backends, Dialect, Unscannable
from trap.config import Duration, Size
from trap.envelope import printable
from trap.job import Job
from trap.stage import Drop, Pass, Verdict

MAX_NAME = 80
"""Longest signature name that is kept, in characters."""


class Virus:
    """Ask clamd.

    Args:
        clamd: its UNIX socket ("/run/clamav/clamd.ctl") or its TCP address ("host:port"), or several in the
            order of preference.
        timeout: for one message, whatever happens: connecting, spares and all.
        to: queue that infected mail goes to instead of being dropped.
        max_size: larger messages pass unscanned. (clamd's own limits: MaxFileSize, MaxScanSize, and
            for TCP StreamMaxLength, 25M in Debian.)
    """

    when_unavailable = "pass"

    def __init__(
        self,
        clamd: str | list[str] = "/run/clamav/clamd.ctl",
        timeout: Duration = Duration("30s"),
        to: str | None = None,
        max_size: Size = Size("30MB"),
    ) -> None:
        self.to = to
        self.max_size = max_size
        hint = "(re)start it: systemctl restart clamav-daemon; without signatures (freshclam) it won't"
        dialect = Dialect("clamd", Session.open, Session.probe, hint)
        self.backends: Backends[Session] = Backends(dialect, clamd, timeout)
        for text in [clamd] if isinstance(clamd, str) else clamd:
            if Address.parse(text).tls:
                raise ValueError(f"clamd: {text!r}: clamd speaks no TLS")

    async def process(self, job: Job) -> Verdict:
        """Judge one message.

        Raises:
            Unavailable: clamd is away, or has not managed this message yet.
        """
        if job.size > self.max_size:
            return Pass({"unscanned": f"larger than max_size, {self.max_size} bytes"})

        async def question(session: Session) -> tuple[Answer, str]:
            return await session.scan(job.message), session.engine

        try:
            answer, engine = await self.backends.ask(question, job.id)
        except Unscannable as error:
            return Pass({"unscanned": str(error)})
        return self._verdict(answer, engine)

    def _verdict(self, answer: Answer, engine: str) -> Verdict:
        if answer.error:
            return Pass({"unscanned": printable(answer.error)[:MAX_NAME]})
        if not answer.signature:
            return Pass({"clean": True, "engine": printable(engine)[:MAX_NAME]})
        name = printable(answer.signature)[:MAX_NAME]
        notes: dict[str, Any] = {"virus": name, "engine": printable(engine)[:MAX_NAME]}
        return Pass(notes, to=self.to) if self.to else Drop(f"virus {name}", notes)
