"""What all reporters share: when something is reported, to whom, once, and that it names no trap.

A job is entered into the reporter's book and passes. When the report is due, one of the workers composes
it of what the case tells, redacted for its recipient, shows it to the gate, and delivers it. So a campaign's
copies become one report, a counterpart that is away costs time alone, and what was told is on record.

A reporter is a stage that derives from `Reporter` and says who is told (`recipients`), what (`compose`) and
how (`deliver`); it may know how to take it back (`retract`).
"""

import time
from collections.abc import Sequence
from random import SystemRandom
from typing import Any

from stages.reporting.case import Case, Letter, name
from stages.reporting.outbox import HOUR, MAX_BYTES, Outbox
from stages.reporting.sentinel import Sentinel
from stages.reporting.terms import LONGER, Terms
from trap.job import Job
from trap.place import Place
from trap.reports import Report
from trap.reports.held import Evidence
from trap.stage import Pass, Preview, Unavailable, Verdict

MAX_WAITING = 20_000
"""Reports that wait in a book; when there are more, jobs wait in their queue, which is kept short."""


class Crowded(Exception):
    """More waits than can be told before it is too old."""


_DICE = SystemRandom()


class Reporter(Outbox):
    """The base of reporters.

    Args:
        place: given by the worker.
        terms: what the operator set.

    Raises:
        ValueError: the terms make no sense.
        OSError: the book can't be opened.
    """

    when_unavailable = "wait"
    keeps = True
    """Jobs are taken in while its counterpart is away: see trap.stage."""

    def __init__(self, place: Place, terms: Terms) -> None:
        terms.check()
        super().__init__(place, terms)
        self._sentinel = Sentinel()
        self._waiting = (0, 0.0)

    # -- what a reporter says --------------------------------------------------------------------

    async def recipients(self, job: Job) -> list[str]:
        """Who is to be told of a message: as configured, or as contacts say; never as the message does.

        Raises:
            Unavailable: it can't be found out now.
        """
        raise NotImplementedError

    def campaign(self, job: Job) -> str:
        """What a message is a copy of: of those that are alike one is told in a period."""
        return str(_dedup(job).get("campaign") or job.id)

    def compose(self, case: Case, to: str) -> bytes:
        """The report, to the byte.

        Raises:
            Refused: there is nothing to say to them; as text, why.
        """
        raise NotImplementedError

    # -- what comes in ---------------------------------------------------------------------------

    async def process(self, job: Job) -> Verdict:
        """Enter a job into the reports it belongs to.

        Raises:
            Unavailable: the book can't be written, or too much waits in it.
        """
        if why := self.unfit(job):
            return Pass({"left_out": why})
        to = await self.recipients(job)
        if not to:
            return Pass({"left_out": "nobody to tell"})
        dedup = _dedup(job)
        held = self._sentinel.holds(job)
        try:
            reports = self._book.enter(
                job,
                self.campaign(job),
                to,
                count=int(dedup.get("count") or 0),
                period=self.terms.period,
                gather=0.0 if self.original else self.terms.gather * _DICE.uniform(1, LONGER),
                held=held,
                full=self._full(),
            )
        except Crowded as crowd:
            return Pass({"left_out": str(crowd)})
        except OSError as error:
            raise Unavailable(str(error)) from error
        self._pump()
        return Pass({"reports": reports} | ({"held": held} if held else {}))

    def _full(self) -> Exception | None:
        """What keeps new reports from being begun; those that wait already may have more copies."""
        number, until = self._waiting
        if time.monotonic() >= until:
            number = self._book.waiting() if self._book.size() < MAX_BYTES else MAX_WAITING
            self._waiting = number, time.monotonic() + 1.0
        can_be = self.terms.rate * self.terms.max_age / HOUR
        if self.terms.rate and number > can_be:
            return Crowded(f"{number} reports wait already, {self.terms.rate} an hour may be sent")
        return Unavailable(f"{number} reports wait already") if number >= MAX_WAITING else None

    def unfit(self, job: Job) -> str:
        """Why a message is none of this reporter's business; "" when it is."""
        if time.time() - job.received_at > self.terms.max_age:
            return "too old"
        return self.terms.unfit([rcpt.tag for rcpt in job.envelope.rcpts])

    async def preview(self, job: Job) -> list[Preview]:
        """What would be sent of a message, to whom; nothing is."""
        now, found = time.time(), []
        for to in await self.recipients(job):
            report = Report(
                "preview", to, self.campaign(job), "gathering", 1, job.received_at,
                job.received_at, now, now, now, 0, released=False, word="", sent=0.0,
            )  # fmt: skip
            letter, evidence = await self._beside(report, [job])
            why = self.unfit(job) or self._sentinel.holds(job)
            why = why or "; ".join(f"{each.kind} in {each.where}" for each in evidence)
            found.append(Preview(to, letter.text, why))
        return found

    def _letter(self, report: Report, copies: Sequence[Job]) -> tuple[Letter, list[Evidence]]:
        """The report, and what the gate has against it."""
        if self.original:
            key = self.place.consumer_key(report.recipient)
            return Letter(name(key, report.id), report.recipient, b"", report.weight, copies[0], None), []
        case = Case(self.place, report, copies)
        text = self.compose(case, report.recipient)
        found = case.leaks(text)
        evidence = [Evidence(leak.where, leak.kind, leak.name, leak.excerpt) for leak in found]
        return Letter(case.id, report.recipient, text, report.weight, copies[0], case), evidence


def _dedup(job: Job) -> dict[str, Any]:
    """What dedup noted, whatever its queue is called."""
    for note in job.notes.values():
        if isinstance(note, dict) and "campaign" in note and "window_count" in note:
            return note
    return {}
