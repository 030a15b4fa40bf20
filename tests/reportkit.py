"""What the reporter's tests share: a clock to set, a mail log to fill, and a stage with both."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from stages.report import GRACE, Report
from stages.reports.summary import Summary
from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id
from trap.maillog import MailLog

HOUR = 3600
NOON = 1_763_640_000.0
"""20 November 2025, 12:00 UTC: long ago, as every file that tests write is newer."""


class Clock:
    """Stands in for time.time."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Trap:
    """A trap's directories, its mail log, and as many workers of the reporter as one likes."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self.clock = clock
        self.state = home / "state"
        self.reports = self.state / "reports"
        self.maillog = home / "maillog"
        self.state.mkdir(parents=True)
        self.log = MailLog(self.maillog)

    def worker(self, **settings: Any) -> Report:
        """A worker of the stage; the first one begins the trap's life at the clock's time."""
        first = not (self.state / "key").exists()
        stage = Report(state_dir=self.state, maillog_dir=self.maillog, **settings)
        if first:
            os.utime(self.state / "key", (self.clock.now, self.clock.now))
        return stage

    def accept(self, message: bytes = b"Subject: hi\r\n\r\nbody\r\n", **envelope: Any) -> Job:
        """Take in a message now."""
        rcpts = [Rcpt(address=address) for address in envelope.pop("rcpts", ["joe@trap.example"])]
        said = Envelope(**{"client_ip": "203.0.113.7", "rcpts": rcpts, **envelope})
        job = Job(new_id(self.clock.now), said, {}, message)
        self.log.accepted(job.id, "dedup", said, job.size)
        return job

    def report(self, stage: Report, job: Job, **notes: dict[str, Any]) -> None:
        """Bring a message through archive and reporter, after `notes` of other stages."""
        self.log.passed(job.id, "archive", ["report"], 0.001, "archived")
        stage.process(Job(job.id, job.envelope, notes, job.message))
        self.log.done(job.id, "report", 0.0001, "reported")

    def sum_up(self, stage: Report, seconds: float = HOUR) -> Summary:
        """Let the period pass, and tick until its report is there."""
        self.clock.now = self.clock.now // seconds * seconds + seconds + GRACE
        for _ in ticks(stage):
            pass
        return self.latest()

    def latest(self) -> Summary:
        """The newest JSON report."""
        return msgspec.json.decode((self.reports / "latest.json").read_bytes(), type=Summary)


def ticks(stage: Report) -> Iterator[None]:
    """Tick until nothing is under way."""
    stage.tick()
    while stage.busy:
        yield
        stage.tick()
