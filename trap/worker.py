"""The worker: the skeleton around every stage.

It claims jobs, asks the stage, obeys its verdict, and keeps the books; the stage only judges.

* A job whose stage raises is charged with an attempt, and bad after the third.
* A job in hand when its worker died is charged too, and judged alone from then on, so that what
  kills workers is found out and takes nobody along.
* While a stage's backend is away, jobs wait, or pass unjudged with a note, as configured; one job
  at a time is used to find out whether it is back.
* SIGTERM: finish what is in hand, return the rest, exit 0.
"""

import asyncio
import faulthandler
import gc
import inspect
import logging
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from trap.backend import Backends
from trap.backendstate import Teller
from trap.breaker import Breaker
from trap.claim import Claim, Consumer
from trap.config import Config
from trap.configfile import Source
from trap.envelope import printable
from trap.job import CorruptJob, Job
from trap.plugin import build, targets
from trap.queue import Queue, Spool
from trap.stage import Drop, Pass, Unavailable, Verdict
from trap.wake import Wake

log = logging.getLogger("spamtrap.worker")

TICK = 1.0
"""Seconds between two calls of a stage's tick(), and longest time an idle worker sleeps."""
NAP = 0.005
"""Seconds a worker that runs out of work leaves its queue alone before it asks to be woken: to be woken for
each message costs more than most stages do, and whoever was busy just now will be again."""
YOUNG = 20_000
"""Objects made before Python looks for cycles among them; its own choice is 700, many times a message."""
GLANCE = 0.1
"""Seconds between looks whether a stage's backends are back; they find out themselves."""
HARD_LIMIT = 2.0
"""A stage that overstays its deadline by this factor and can't even be interrupted is killed."""


class DeadlineExceeded(Exception):
    """The stage took longer for one job than its deadline."""


class Worker:
    """Empties one queue through one stage.

    Args:
        config: the whole configuration.
        name: the stage's name.
        spool: where its queue is.
        stage: the stage itself; built from the configuration when not given.
    """

    def __init__(self, config: Config, name: str, spool: Spool, stage: Any = None) -> None:
        self.name = name
        self.spool = spool
        self.queue: Queue = spool[name]
        self.settings = config.stage(name)
        self.next = config.after(name)
        self._targets = targets(config, name)
        self.stage = build(config, name) if stage is None else stage
        self.event: str = getattr(self.stage, "log_as", "passed")
        choice = self.settings.when_unavailable or getattr(self.stage, "when_unavailable", "wait")
        self._pass_while_away = choice == "pass"
        self._backends: Backends[Any] | None = getattr(self.stage, "backends", None)
        self._needed: Backends[Any] | None = None if getattr(self.stage, "keeps", False) else self._backends
        self._teller = Teller(config, name) if self._backends else None
        self._was_away = ""
        self._unjudged = 0
        self.breaker = Breaker()
        self.trouble = Breaker()
        self.wake = Wake(self.queue.new)
        self.stopping = False
        self._ticked = 0.0
        self._busy = False
        self._broken: BaseException | None = None
        self._batches = hasattr(self.stage, "process_batch")
        self._async = inspect.iscoroutinefunction(getattr(self.stage, "process", None)) and not self._batches

    def run(self) -> None:
        """Work until stopped."""
        self.queue.recover()
        try:
            with self.queue.consumer() as consumer:
                if self._async:
                    asyncio.run(self._run_async(consumer))
                else:
                    self._run(consumer)
        finally:
            faulthandler.cancel_dump_traceback_later()
        if close := getattr(self.stage, "close", None):
            close()
        if self._teller:
            self._teller.close()

    def stop(self, *_: object) -> None:
        """Ask the worker to stop; may be called from a signal handler."""
        self.stopping = True
        self.wake.poke()

    # -- one job or one batch after the other -------------------------------------------------

    def _run(self, consumer: Consumer) -> None:
        signal.signal(signal.SIGALRM, _expired)
        while not self.stopping:
            self._tick()
            if pause := self._pause():
                time.sleep(pause)
            elif claims := self._claim_batch(consumer):
                self._judge(claims)
            elif self._may_nap():
                time.sleep(NAP)
            elif claims := self._look_again(consumer):
                self._judge(claims)
            else:
                self.wake.wait(TICK)

    def _may_nap(self) -> bool:
        """Whether there was work since this was asked last."""
        was_busy, self._busy = self._busy, False
        return was_busy

    def _look_again(self, consumer: Consumer) -> list[Claim]:
        """Ask to be woken by the next arrival, then look for what came before we asked."""
        self.wake.arm()
        return self._claim_batch(consumer)

    def _claim_batch(self, consumer: Consumer) -> list[Claim]:
        # While the backend is in doubt one job probes it; the others stay where they are.
        limit = self.settings.batch if self._batches and not self.breaker.failures else 1
        claims: list[Claim] = []
        while len(claims) < limit and (claim := consumer.claim()):
            if claim.attempt and claims:
                claim.give_back(first=True)  # it failed before: alone, next time round
                break
            claims.append(claim)
            if claim.attempt:
                break
        self._busy = self._busy or bool(claims)
        return claims

    def _judge(self, claims: list[Claim]) -> None:
        """Ask the stage about the claims and do as it says."""
        held = [(claim, job) for claim in claims if (job := self._read(claim))]
        if not held:
            return
        if self._passes_unasked():
            for claim, _ in held:
                self._pass_unjudged(claim, self._away)
            return
        start = time.monotonic()
        try:
            with _deadline(self.settings.deadline):
                verdicts = self._ask([job for _, job in held])
        except Unavailable as error:
            self._unavailable([claim for claim, _ in held], error, start)
        except (Exception, SystemExit) as error:  # a stage may raise anything: its job's fault, not ours
            if len(held) == 1:
                self._failed(held[0][0], error)
            else:
                for claim, _ in held:  # one of them did it: ask about each alone
                    self._tick()  # each has its own deadline
                    if self._pause() or self.stopping:
                        claim.give_back()
                    else:
                        self._judge([claim])
        else:
            self._available()
            took = (time.monotonic() - start) / len(held)
            for (claim, _), verdict in zip(held, verdicts, strict=True):
                self._obey(claim, verdict, took)

    def _ask(self, jobs: list[Job]) -> list[Verdict]:
        if self._batches:
            verdicts: list[Verdict] = self.stage.process_batch(jobs)
            if len(verdicts) != len(jobs):
                raise ValueError(f"process_batch gave {len(verdicts)} verdicts for {len(jobs)} jobs")
            return verdicts
        return [self.stage.process(jobs[0])]

    # -- many jobs in flight --------------------------------------------------------------------

    async def _run_async(self, consumer: Consumer) -> None:
        flying: set[asyncio.Task[None]] = set()
        try:
            await self._fly(consumer, flying)
        finally:
            if flying:  # were they cancelled, their jobs would be charged
                await asyncio.wait(flying)
            if finish := getattr(self.stage, "finish", None):
                await finish()
            if self._backends:
                self._backends.close()
        if self._broken:
            raise self._broken

    async def _fly(self, consumer: Consumer, flying: set[asyncio.Task[None]]) -> None:
        loop = asyncio.get_running_loop()
        while not self.stopping and not self._broken:
            self._tick()
            limit = 1 if self.breaker.failures else self.settings.concurrency
            if self._needed:
                limit = min(limit, self._needed.room)
            if len(flying) >= limit:
                await asyncio.wait(flying, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
            elif pause := self._pause():
                await asyncio.sleep(pause)
            elif claims := self._claim_batch(consumer):
                await self._launch(claims[0], flying)
            elif self._may_nap():
                await asyncio.sleep(NAP)
            elif claims := self._look_again(consumer):
                await self._launch(claims[0], flying)
            else:
                await loop.run_in_executor(None, self.wake.wait, TICK)

    async def _launch(self, claim: Claim, flying: set[asyncio.Task[None]]) -> None:
        """Judge a job beside those that are in flight; one that failed before, alone."""
        suspect = claim.attempt > 0
        if suspect and flying:
            claim.give_back(first=True)
            await asyncio.wait(flying)
        elif self._passes_unasked():  # nobody is asked, so there is nothing to wait for
            if self._read(claim):
                self._pass_unjudged(claim, self._away)
            await asyncio.sleep(0)
        else:
            task = asyncio.create_task(self._judge_async(claim))
            flying.add(task)
            task.add_done_callback(flying.discard)
            task.add_done_callback(self._landed)
            await asyncio.wait({task}, timeout=None if suspect else 0)

    def _landed(self, task: asyncio.Task[None]) -> None:
        """Keep the first error that is no stage's: the worker ends by it, as it does without tasks."""
        if not task.cancelled() and (error := task.exception()):
            self._broken = self._broken or error
            self.wake.poke()

    async def _judge_async(self, claim: Claim) -> None:
        job = self._read(claim)
        if job is None:
            return
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.deadline) as limit:
                verdict = await self.stage.process(job)
        except Unavailable as error:
            self._unavailable([claim], error, start)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # as above; we cancel nothing
            self._failed(claim, DeadlineExceeded("took too long") if limit.expired() else error)
        else:
            self._available()
            self._obey(claim, verdict, time.monotonic() - start)

    # -- what becomes of a job --------------------------------------------------------------------

    def _read(self, claim: Claim) -> Job | None:
        try:
            return claim.job()
        except (CorruptJob, OSError) as error:
            with self._own_trouble(claim):
                if isinstance(error, OSError):
                    raise
                log.error("job %s is unreadable, put into bad/: %s", claim.id, printable(str(error)))
                claim.condemn(f"unreadable: {error}")
            return None

    def _obey(self, claim: Claim, verdict: Verdict, took: float) -> None:
        try:
            with self._own_trouble(claim):
                match verdict:
                    case Pass(to=to):
                        self._pass_on(claim, verdict, [to] if to else self.next, took, self.event)
                    case Drop(reason=reason, notes=notes):
                        claim.drop(reason, took, notes)
                    case _:
                        raise TypeError(f"process returned {verdict!r}, not Pass or Drop")
        except Exception as error:  # a verdict may hold anything, and what can't be written down too
            self._failed(claim, error)

    def _pass_on(self, claim: Claim, verdict: Pass, to: list[str], took: float, event: str) -> None:
        for name in to:
            if name not in self._targets:
                raise ValueError(f"can't pass to {name!r}: no such queue, or not behind this one")
        notes = {**claim.job().notes, self.name: verdict.notes} if verdict.notes else None
        claim.forward(to, notes, took, event, verdict.sample)

    def _failed(self, claim: Claim, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        detail = "".join(traceback.format_exception(error))
        with self._own_trouble(claim):
            bad = claim.fail(reason, detail)
            log.warning("job %s %s: %s", claim.id, "is bad" if bad else "failed", printable(reason))

    def _unavailable(self, claims: list[Claim], error: Unavailable, asked: float) -> None:
        if self._needed:  # they have breakers of their own, one a server
            log.debug("not answered: %s", printable(str(error)))
        elif pause := self.breaker.trip(asked):
            if self.breaker.failures == 1:
                self._tell_away(printable(str(error)))
            log.debug("left alone for %g s", pause)
        for claim in claims:
            if self._pass_while_away:
                self._pass_unjudged(claim, str(error))
            else:
                claim.give_back()

    def _available(self) -> None:
        if self.breaker.reset():
            self._tell_away("")

    def _tell_away(self, why: str) -> None:
        if why and not self._was_away:
            log.warning("unavailable, jobs %s: %s", "pass" if self._pass_while_away else "wait", why)
        elif self._was_away and not why:
            log.warning("available again")
        self._was_away = why

    def _pass_unjudged(self, claim: Claim, why: str) -> None:
        self._unjudged += 1
        with self._own_trouble(claim):
            self._pass_on(claim, Pass({"unjudged": printable(why)}), self.next, 0.0, "passed")

    def _passes_unasked(self) -> bool:
        return self._pass_while_away and bool(self._away)

    @property
    def _away(self) -> str:
        """Why the stage is not asked now; "" when it is."""
        if self._needed:
            return self._needed.away
        return "backend away" if self.breaker.remaining else ""

    @contextmanager
    def _own_trouble(self, claim: Claim) -> Iterator[None]:
        """The spool or the log has no room: not the job's fault. It goes back, and all wait a while."""
        try:
            yield
        except OSError as error:
            log.error("%s; waiting %g s", error, self.trouble.trip(time.monotonic()))
            with suppress(FileNotFoundError):
                claim.give_back()
        else:
            self.trouble.reset()

    def _pause(self) -> float:
        """Seconds to leave the queue alone, at most a tick: the backend is away, or we have no room."""
        waits = self.breaker.remaining
        if self._needed and self._needed.away:
            waits = GLANCE
        if self._pass_while_away:
            waits = 0.0
        return min(max(waits, self.trouble.remaining), TICK)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked < TICK:
            return
        self._ticked = now
        # Code that is stuck inside a C extension sees neither signals nor cancellation. If no tick
        # comes for far too long, a thread of faulthandler's ends the process, traceback printed;
        # the job becomes an orphan, charged with an attempt.
        faulthandler.dump_traceback_later(self.settings.deadline * HARD_LIMIT + 10 * TICK, exit=True)
        if self._backends and self._teller:
            self._teller.tell(self._backends.states(), self._unjudged)
        if self._needed:
            self._tell_away(self._needed.away)
        if tick := getattr(self.stage, "tick", None):
            try:
                tick()
            except Exception:  # housekeeping that fails must not stop the queue
                log.exception("tick failed")


def _expired(signum: int, frame: FrameType | None) -> None:
    raise DeadlineExceeded("took too long")


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExceeded in the block after `seconds`: a timer signal, so system calls end too."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(config: Config, name: str, source: Source | None = None) -> int:
    """Run one worker in this process until SIGTERM or SIGINT.

    Args:
        config: the whole configuration.
        name: the stage's.
        source: where the configuration was read.

    Returns:
        The exit code.

    Raises:
        ConfigError: the stage can't be built.
    """
    spool = Spool.open(config)
    worker = Worker(config, name, spool, build(config, name, source))
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    gc.freeze()  # what is loaded by now stays
    gc.set_threshold(YOUNG)
    worker.run()
    spool.close()
    return 0
