"""The half of a reporter that sends: what is due goes out, by one process, at a rate, and is written down.

One of a reporter's workers is the sender, for as long as it holds a lock; when it ends, another one takes
over, and what was under way is in doubt. How each attempt ended is written down before anything else happens
to that report: while the book can't be written, its reports stay under way.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from stages.reporting.case import Letter, name
from stages.reporting.terms import Terms
from trap.backend import Broken, Unscannable
from trap.envelope import printable
from trap.fsio import try_lock
from trap.job import Job
from trap.place import Place
from trap.reports import Book, Later, Refused, Report, Sending
from trap.reports.held import Evidence
from trap.stage import Unavailable

AT_ONCE = 8
"""Reports under way at a time."""
HOUR = 3600.0
SOON = 5.0
"""Seconds until another try, when nobody was there."""
FIRST_RETRY, LONGEST_RETRY = 60.0, 4 * HOUR
"""Seconds between two tries when the counterpart said no for now; they double."""
TRIES = 3
"""Times a report may make its reporter raise, or its sender die."""
LONGEST_COMPOSED = 120.0
"""Seconds for composing one report."""
CLEANING = 600.0
"""Seconds between two looks for what may be forgotten."""
MAX_BYTES = 2 << 30
"""Bytes of a book, from which on copies and texts of what is done are forgotten early."""
PATIENCE = 0.3
"""Seconds to wait for others that write the book: conversations stand still meanwhile."""
AGAIN = 0.5
"""Seconds between tries to write down how an attempt ended."""
LAST_TRIES = 15.0
"""Seconds for that after the worker was asked to stop."""
MARGIN = 3600.0
"""Seconds that a job is known longer than it is young enough to be reported."""

log = logging.getLogger("spamtrap.reporter")

Outcome = Callable[[], object]
"""Writes down how an attempt ended."""


class Outbox:
    """What goes out. See stages/reporting/reporter.py.

    Args:
        place: given by the worker.
        terms: what the operator set.
    """

    original = False
    """Whether check sums of the original are told: then nothing is composed, and nothing waits for copies."""
    repeatable = False
    """Whether the counterpart knows reports by their ids and takes each once: then what may have arrived or
    not is told again, and never unsure."""
    min_traps = 1
    """Addresses of the trap that have to get a message before it is reported, where `terms` say nothing."""
    timeout = 60.0
    """Seconds for one delivery, where the reporter has no backends, which have their own limit."""

    def __init__(self, place: Place, terms: Terms) -> None:
        self.place = place
        self.terms = terms
        self._book = Book(place.directory, place.queue, PATIENCE)
        self._lock: int | None = None
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._composer = ThreadPoolExecutor(1, "composer")
        self._composing = asyncio.Lock()
        self._sent: list[float] = []
        self._cleaned = 0.0
        self._trouble = ""
        self._stopping = False
        self._last = 0.0

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Hand the report over; what they answered.

        `sending.commit()` is to be called right before the first byte that can't be taken back.

        Raises:
            Later: they said no for now, and have not taken it.
            Refused: they said no for good.
            Unavailable, OSError, Broken: nobody there, or the conversation broke.
        """
        raise NotImplementedError

    def _letter(self, report: Report, copies: Sequence[Job]) -> tuple[Letter, list[Evidence]]:
        """The report, and what the gate has against it."""
        raise NotImplementedError

    def tick(self) -> None:
        """Send what is due, and forget what is old."""
        self._pump()
        if self._lock is not None and time.monotonic() > self._cleaned:
            self._cleaned = time.monotonic() + CLEANING
            self._guarded(self._clean)

    async def finish(self) -> None:
        """Begin nothing more, and bring what is under way to its end."""
        self._stopping = True
        self._last = time.monotonic() + LAST_TRIES
        if self._flying:
            await asyncio.wait(self._flying.values())

    def close(self) -> None:
        """Leave the book to others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._composer.shutdown(wait=False, cancel_futures=True)
        self._book.close()

    # -- what is due -------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin to send what is due, as far as there is room and the rate allows."""
        if not self._stopping:
            self._guarded(self._launch)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do what needs the book; that it can't be read or written is nobody's fault who asks now."""
        try:
            act()
        except OSError as error:
            if not self._trouble:
                log.warning("nothing is sent: %s", printable(str(error)))
            self._trouble = str(error)
        else:
            self._trouble = ""

    def _launch(self) -> None:
        if not self._is_the_sender():
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
        if error := task.exception():
            log.error("report %s", report, exc_info=error)
        else:
            self._pump()

    def _is_the_sender(self) -> bool:
        """Whether this process is the one that sends; it becomes it when nobody is."""
        if self._lock is not None:
            return True
        if (fd := try_lock(self._book.path.with_suffix(".lock"))) is None:
            return False
        try:
            left = self._book.doubt(again=self.repeatable)
            self._sent = self._book.sent_since(time.time() - HOUR)
        except BaseException:  # it is not, before it knows what the last one left
            os.close(fd)
            raise
        self._lock = fd
        if left:
            log.warning("%d reports were under way when their sender ended: see `spamtrap reports ls`", left)
        return True

    def _allowance(self) -> int:
        """How many more may be sent now."""
        if not self.terms.rate:
            return AT_ONCE
        hour_ago = time.time() - HOUR
        self._sent = [moment for moment in self._sent if moment > hour_ago]
        return self.terms.rate - len(self._sent) - len(self._flying)

    def _clean(self) -> None:
        now, terms = time.time(), self.terms
        if lost := self._book.expire(now - terms.max_age):
            log.warning("%d reports could not be sent for %g s and are given up", lost, terms.max_age)
        # Jobs that are older than max_age are not entered any more, however often they come.
        self._book.forget(now - terms.keep, now - min(terms.keep, terms.max_age + MARGIN))
        self._book.trim(MAX_BYTES)

    # -- one report ----------------------------------------------------------------------------------

    async def _send(self, report: Report) -> None:
        """Bring one report a step further, and write down which."""
        sending = Sending(self._book, report.id)
        not_taken = report.state == "retracting"
        try:
            outcome = await self._step(report, sending)
        except Later as error:
            not_taken = True
            wait = max(error.after, min(FIRST_RETRY * 2**report.attempts, LONGEST_RETRY))
            outcome = partial(self._book.postpone, report.id, time.time() + wait, str(error))
        except (Refused, Unscannable) as error:
            outcome = self._failed(report, str(error))
        except Exception as error:  # nobody there; or a reporter is anybody's code, and mail is hostile
            outcome = self._broken_off(report, sending, error)
        if sending.committed and not not_taken:
            self._sent.append(time.time())
        await self._write_down(report, outcome)

    async def _write_down(self, report: Report, outcome: Outcome) -> None:
        """Until it is written, or the worker has to end."""
        told = False
        while True:
            try:
                outcome()
                return
            except OSError as error:
                if not told:
                    log.warning("report %s: to be written down: %s", report.id, printable(str(error)))
                told = True
            if self._stopping and time.monotonic() > self._last:
                log.error("report %s: its end could not be written", report.id)
                return
            await asyncio.sleep(AGAIN)

    def _broken_off(self, report: Report, sending: Sending, error: Exception) -> Outcome:
        """Try again, if it has certainly not arrived."""
        expected = isinstance(error, Unavailable | OSError | Broken)
        why = str(error) if expected else f"{type(error).__name__}: {error}"
        if not expected:
            log.error("report %s", report.id, exc_info=error)
        harmless = self.repeatable or report.state == "retracting"  # to take back twice is, too
        if sending.committed and not harmless:
            log.warning("report %s may have arrived or not: %s", report.id, printable(why))
            return partial(self._book.settle, report.id, "unsure", why)
        again = partial(self._book.postpone, report.id, doubtful=sending.committed, why=why)
        if expected:
            return partial(again, until=time.time() + SOON, charged=False)
        if report.attempts + 1 >= TRIES:
            return self._failed(report, why)
        return partial(again, until=time.time() + FIRST_RETRY)

    async def _step(self, report: Report, sending: Sending) -> Outcome:
        """One attempt; how it ended."""
        if report.state == "retracting":
            return partial(self._book.settle, report.id, "retracted", await self._retract(report, sending))
        if time.time() - report.created > self.terms.max_age and not report.released:
            raise Refused(f"too old: {report.word}" if report.word else "too old")
        least = self.terms.min_traps or self.min_traps
        if max(report.traps, 1) < least and not report.released:
            until = time.time() + max(FIRST_RETRY, self.terms.gather)
            why = f"came to {report.traps} of at least {least} traps"
            return partial(self._book.postpone, report.id, until, why, charged=False)
        if report.begun >= TRIES:
            raise Refused(f"{report.begun} times its worker ended while it was composed")
        letter, evidence = await self._composed(report)
        if evidence:
            why = f"the gate found {', '.join(sorted({each.kind for each in evidence}))}"
            log.warning("report %s is held: %s", report.id, printable(why))
            return partial(self._book.hold, report.id, why, evidence, letter.text)
        if self._stopping:
            return partial(self._book.postpone, report.id, time.time(), report.word, charged=False)
        sending.text = letter.text
        answer = await self._within(lambda: self.deliver(letter, sending)) or "accepted"
        can_take_back = self.original and hasattr(self, "retract")
        return partial(self._book.settle, report.id, "sent", answer, keep_copy=can_take_back)

    async def _composed(self, report: Report) -> tuple[Letter, list[Evidence]]:
        """The report, and what the gate has against it; one at a time, for the memory it takes."""
        async with self._composing:
            self._book.begin(report.id)
            letter = await self._beside(report, self._copies(report))
            self._book.begin(report.id, end=True)
            return letter

    async def _beside(self, report: Report, copies: Sequence[Job]) -> tuple[Letter, list[Evidence]]:
        """The same beside the event loop, for large mail takes seconds."""
        made = asyncio.get_running_loop().run_in_executor(self._composer, self._letter, report, copies)
        done, _ = await asyncio.wait({made}, timeout=LONGEST_COMPOSED)
        if not done:
            self._composer = ThreadPoolExecutor(1, "composer")  # who does not end keeps nobody else waiting
            raise RuntimeError(f"not composed within {LONGEST_COMPOSED:g} s")
        return made.result()

    def _copies(self, report: Report) -> list[Job]:
        if copies := self._book.copies(report.id):
            return copies
        raise Refused("no copy of it is left")

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

    def _failed(self, report: Report, why: str) -> Outcome:
        if report.state == "retracting":
            there: Any = "unsure" if report.doubtful else "sent"
            return partial(self._book.settle, report.id, there, f"not taken back: {why}")
        return partial(self._book.settle, report.id, "failed", why)
