"""What all reporters share: when something is reported, to whom, once, and that it names no trap.

A job is entered into the reporter's book and passes. When the report is due, one of the workers composes
it of what the case tells, redacted for its recipient, shows it to the gate, and delivers it. So a campaign's
copies become one report, a counterpart that is away costs time alone, and what was told is on record.

A reporter is a stage that derives from `Reporter` and says who is told (`recipients`), what (`compose`) and
how (`deliver`); it may know how to take it back (`retract`).
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from stages.reporting.case import Case, Letter, name
from stages.reporting.sentinel import Sentinel
from stages.reporting.terms import Terms
from trap.backend import Broken, Unscannable
from trap.envelope import printable
from trap.job import Job
from trap.reports import Book, Later, Refused, Report, Sending
from trap.reports.held import Evidence
from trap.reports.place import Place
from trap.stage import Pass, Preview, Unavailable, Verdict

MAX_WAITING = 20_000
"""Reports that wait in a book; when there are more, jobs wait in their queue, which is kept short."""
AT_ONCE = 8
"""Reports under way at a time."""
HOUR = 3600.0
SOON = 5.0
"""Seconds until another try, when nobody was there."""
FIRST_RETRY, LONGEST_RETRY = 60.0, 4 * HOUR
"""Seconds between two tries when the counterpart said no for now; they double."""
TRIES = 3
"""Times a report may make its reporter raise."""
CLEANING = 600.0
"""Seconds between two looks for what may be forgotten."""

log = logging.getLogger("spamtrap.reporter")


class Reporter:
    """The base of reporters.

    Args:
        place: given by the worker.
        terms: what the operator set.

    Raises:
        ValueError: the terms make no sense.
        OSError: the book can't be opened.
    """

    when_unavailable = "wait"
    original = False
    """Whether check sums of the original are told: then nothing is composed, and nothing waits for copies."""
    repeatable = False
    """Whether the counterpart knows reports by their ids and takes each once: then what may have arrived or
    not is told again, and never unsure."""
    timeout = 60.0
    """Seconds for one delivery, where the reporter has no backends, which have their own limit."""

    def __init__(self, place: Place, terms: Terms) -> None:
        terms.check()
        self.place = place
        self.terms = terms
        self._book = Book(place.directory, place.queue)
        self._sentinel = Sentinel()
        self._lock: int | None = None
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._composer = ThreadPoolExecutor(1, "composer")
        self._sent: list[float] = []
        self._cleaned = 0.0
        self._stopping = False

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

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Hand the report over; what they answered.

        `sending.commit()` is to be called right before the first byte that can't be taken back.

        Raises:
            Later: they said no for now, and have not taken it.
            Refused: they said no for good.
            Unavailable, OSError, Broken: nobody there, or the conversation broke.
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
        if self._book.waiting() >= MAX_WAITING:
            raise Unavailable(f"{MAX_WAITING} reports wait already")
        try:
            reports = self._book.enter(
                job,
                self.campaign(job),
                to,
                count=int(dedup.get("count") or 0),
                period=self.terms.period,
                gather=0.0 if self.original else self.terms.gather,
                held=held,
            )
        except OSError as error:
            raise Unavailable(str(error)) from error
        self._pump()
        return Pass({"reports": reports} | ({"held": held} if held else {}))

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
            letter, evidence = await self._composed(report, [job])
            why = self.unfit(job) or self._sentinel.holds(job)
            why = why or "; ".join(f"{each.kind} in {each.where}" for each in evidence)
            found.append(Preview(to, letter.text, why))
        return found

    # -- what goes out ---------------------------------------------------------------------------

    def tick(self) -> None:
        """Send what is due."""
        self._pump()
        if self._lock is not None and time.monotonic() > self._cleaned:
            self._cleaned = time.monotonic() + CLEANING
            self._book.forget(time.time() - self.terms.keep)

    async def finish(self) -> None:
        """Begin nothing more, and bring what is under way to its end."""
        self._stopping = True
        if self._flying:
            await asyncio.wait(self._flying.values())

    def close(self) -> None:
        """Leave the book to others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._composer.shutdown(wait=False, cancel_futures=True)
        self._book.close()

    def _pump(self) -> None:
        """Begin to send what is due, as far as there is room and the rate allows."""
        if self._stopping or not self._is_the_sender():
            return
        backends = getattr(self, "backends", None)
        if backends and backends.away:
            return
        room = min(AT_ONCE, backends.room if backends else AT_ONCE) - len(self._flying)
        room = min(room, self._allowance())
        if room <= 0:
            return
        for report in self._book.due(room, list(self._flying)):
            task = asyncio.create_task(self._send(report))
            self._flying[report.id] = task
            task.add_done_callback(partial(self._landed, report.id))

    def _landed(self, report: str, task: asyncio.Task[None]) -> None:
        del self._flying[report]
        if task.cancelled():
            return
        if error := task.exception():  # the book can't be written: the row is as it was
            log.error("report %s: %s", report, printable(str(error)))
        else:
            self._pump()

    def _is_the_sender(self) -> bool:
        """Whether this process is the one that sends; it becomes it when nobody is."""
        if self._lock is None:
            fd = os.open(self._book.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            self._lock = fd
            if left := self._book.doubt(again=self.repeatable):
                log.warning(
                    "%d reports were under way when their sender ended: see `spamtrap reports ls`", left
                )
            self._sent = self._book.sent_since(time.time() - HOUR)
        return True

    def _allowance(self) -> int:
        """How many more may be sent now."""
        if not self.terms.rate:
            return AT_ONCE
        hour_ago = time.time() - HOUR
        self._sent = [moment for moment in self._sent if moment > hour_ago]
        return self.terms.rate - len(self._sent) - len(self._flying)

    async def _send(self, report: Report) -> None:
        """Bring one report a step further, and write down which."""
        sending = Sending(self._book, report.id)
        try:
            if report.state == "retracting":
                self._book.settle(report.id, "retracted", await self._retract(report, sending))
            elif answer := await self._deliver(report, sending):
                self._sent.append(time.time())
                can_take_back = self.original and hasattr(self, "retract")
                self._book.settle(report.id, "sent", answer, keep_copy=can_take_back)
        except Later as error:
            wait = max(error.after, min(FIRST_RETRY * 2**report.attempts, LONGEST_RETRY))
            self._book.postpone(report.id, time.time() + wait, str(error))
        except (Refused, Unscannable) as error:
            self._fail(report, str(error))
        except Exception as error:  # nobody there; or a reporter is anybody's code, and mail is hostile
            self._broke_off(report, sending, error)

    def _broke_off(self, report: Report, sending: Sending, error: Exception) -> None:
        """Try again, if it has certainly not arrived."""
        expected = isinstance(error, Unavailable | OSError | Broken)
        why = str(error) if expected else f"{type(error).__name__}: {error}"
        if not expected:
            log.error("report %s", report.id, exc_info=error)
        harmless = self.repeatable or report.state == "retracting"  # to take back twice is, too
        if sending.committed and not harmless:
            log.warning("report %s may have arrived or not: %s", report.id, printable(why))
            self._book.settle(report.id, "unsure", why)
        elif expected:
            self._book.postpone(report.id, time.time() + SOON, why, charged=False)
        elif report.attempts + 1 >= TRIES:
            self._fail(report, why)
        else:
            self._book.postpone(report.id, time.time() + FIRST_RETRY, why)

    async def _deliver(self, report: Report, sending: Sending) -> str:
        """Compose, ask the gate, hand over; "" when it is held, or waits."""
        if time.time() - report.created > self.terms.max_age and not report.released:
            raise Refused(f"too old: {report.word}" if report.word else "too old")
        if report.weight < self.terms.copies and not report.released:
            wait = max(FIRST_RETRY, self.terms.gather)
            self._book.postpone(report.id, time.time() + wait, "waits for more copies", charged=False)
            return ""
        copies = self._book.copies(report.id)
        if not copies:
            raise Refused("no copy of it is left")
        letter, evidence = await self._composed(report, copies)
        if evidence:
            why = f"the gate found {', '.join(sorted({each.kind for each in evidence}))}"
            log.warning("report %s is held: %s", report.id, printable(why))
            self._book.hold(report.id, why, evidence, letter.text)
            return ""
        sending.text = letter.text
        return await self._within(lambda: self.deliver(letter, sending)) or "accepted"

    async def _retract(self, report: Report, sending: Sending) -> str:
        retract: Callable[[Letter, Sending], Awaitable[str]] | None = getattr(self, "retract", None)
        if retract is None:
            raise Refused("this can't be taken back")
        copies = self._book.copies(report.id)
        key = self.place.consumer_key(report.recipient)
        letter = Letter(name(key, report.id), report.recipient, self._book.text(report.id), report.weight,
                        copies[0] if copies else None, None)  # fmt: skip
        return await self._within(lambda: retract(letter, sending))

    async def _within(self, act: Callable[[], Awaitable[str]]) -> str:
        """Within the time limit, where nobody else keeps one."""
        if getattr(self, "backends", None):
            return await act()
        async with asyncio.timeout(self.timeout):
            return await act()

    def _fail(self, report: Report, why: str) -> None:
        if report.state == "retracting":
            self._book.settle(report.id, "sent", f"not taken back: {why}")
        else:
            self._book.settle(report.id, "failed", why)

    async def _composed(self, report: Report, copies: Sequence[Job]) -> tuple[Letter, list[Evidence]]:
        """The same beside the event loop, for large mail takes seconds; one at a time, and memory."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._composer, self._letter, report, copies)

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
