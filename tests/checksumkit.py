"""A reporter with a book of its own, and what becomes of what it reports: for those who tell check sums."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stages.reporting.terms import Terms
from trap.config import Duration
from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.place import Place
from trap.reports import Report

ENVELOPE = Envelope(
    client_ip="192.0.2.7", mail_from="joe@spammer.example", rcpts=[Rcpt(address="one@trap.example")]
)
TEXT = b"Congratulations, you are the winner of a lottery.\r\nAsk the barrister for your consignment now.\r\n"
HEAD = b"From: joe@spammer.example\r\nTo: one@trap.example\r\nMessage-ID: <1@spammer.example>\r\n"


def job(text: bytes = TEXT, head: bytes = HEAD) -> Job:
    """A message that came to a trap."""
    return Job.from_message(head + b"Subject: you won\r\n\r\n" + text, ENVELOPE)


class Trial:
    """A reporter under test.

    Attributes:
        reporter: itself.
    """

    def __init__(self, reporter: Any) -> None:
        self.reporter = reporter

    async def tell(self, message: Job) -> list[Report]:
        """Give it a message, and wait until it has reported; all of its reports, the newest first."""
        await self.reporter.process(message)
        return await self._landed()

    async def again(self) -> list[Report]:
        """Have it try at once what it put off."""
        self.reporter._book._db.execute("UPDATE report SET due = 0 WHERE state = 'gathering'")
        self.reporter.tick()
        return await self._landed()

    async def take_back(self) -> list[Report]:
        """Have it retract all that it told."""
        for report in self.reporter._book.reports(["sent"]):
            assert self.reporter._book.retract(report.id)
        self.reporter.tick()
        return await self._landed()

    async def found(self) -> tuple[bool, str]:
        """What `spamtrap doctor` would say."""
        (finding,) = await self.reporter.backends.check()
        return finding.good, finding.text

    async def _landed(self) -> list[Report]:
        while flying := list(self.reporter._flying.values()):
            await asyncio.wait(flying)
        reports: list[Report] = self.reporter._book.reports()
        return reports


@asynccontextmanager
async def trial(kind: Any, directory: Path, **settings: Any) -> AsyncIterator[Trial]:
    """A reporter of that class.

    Args:
        kind: the class.
        directory: its book is below that.
        settings: its own.
    """
    config = parse(
        "pipeline: [reporter]\naccept: {domains: [trap.example]}\n"
        f"paths: {{spool: {directory}/spool, archive: {directory}/archive, state: {directory}/state}}\n"
    )
    alone = {"terms": Terms(gather=Duration(0), min_traps=1)}  # each message is told
    reporter = kind(place=Place(config, "reporter"), **{**alone, **settings})
    try:
        yield Trial(reporter)
    finally:
        await reporter.finish()
        reporter.backends.close()
        reporter.close()
