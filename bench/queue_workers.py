"""Several processes at one queue, and a worker that waits: a part of bench/queues.py."""

import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from kit import MEMORY, OURS, Report, percentile
from queue_peers import ENVELOPE

from trap.config import Config, paths_below
from trap.job import id_time
from trap.queue import Spool
from trap.wake import Wake

MESSAGE = b"x" * (10 << 10)
JOBS = 4000
"""Jobs that several processes put, or work off, in a sample."""
LONE = 200
"""Arrivals, with PAUSE seconds between them, that each find the worker asleep."""
PAUSE = 0.004
RATE = 5000
"""Arrivals a second that a worker is just faster than."""


@contextmanager
def below() -> Iterator[Config]:
    base = tempfile.mkdtemp(prefix="bench-queue-", dir=MEMORY)
    try:
        yield Config(pipeline=["first"], paths=paths_below(Path(base)))
    finally:
        shutil.rmtree(base)


class Child:
    """A forked process that does one thing when it is told to, and says what came of it."""

    def __init__(self, act: Callable[[], list[float]]) -> None:
        self._pipe, far = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(act, far))
        self._process.start()
        self._pipe.recv()

    @staticmethod
    def _run(act: Callable[[], list[float]], pipe: Connection) -> None:
        pipe.send(None)
        pipe.recv()
        pipe.send(act())

    def go(self) -> None:
        """Begin."""
        self._pipe.send(None)

    def result(self) -> list[float]:
        """What it said in the end."""
        said: list[float] = self._pipe.recv()
        self._process.join(60)
        return said


def together(acts: list[Callable[[], list[float]]]) -> float:
    """Seconds until all have done it, each in a process of its own."""
    children = [Child(act) for act in acts]
    start = time.perf_counter()
    for child in children:
        child.go()
    for child in children:
        child.result()
    return time.perf_counter() - start


def several(report: Report, rounds: int) -> None:
    """Jobs a second that one, two and four processes put into one queue, and work off."""
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for count in (1, 2, 4):
            with below() as config:

                def put(config: Config = config, share: int = JOBS // count) -> list[float]:
                    spool = Spool.open(config)
                    for _ in range(share):
                        spool.put("first", ENVELOPE, MESSAGE)
                    spool.close()
                    return []

                def work_off(config: Config = config) -> list[float]:
                    done = 0
                    with Spool.open(config)["first"].consumer() as worker:
                        while claim := worker.claim():
                            claim.job()
                            claim.drop("duplicate", 0.001)
                            done += 1
                    return [done]

                rates.setdefault(("put", count), []).append(JOBS / together([put] * count))
                rates.setdefault(("claim + drop", count), []).append(JOBS / together([work_off] * count))
    for (deed, count), samples in rates.items():
        alone = rates[deed, 1] if count > 1 else ()
        report.add(f"{deed} by {count} processes, jobs/s", OURS, samples, peer=alone, to="1 process")


def wait_for(config: Config, jobs: int) -> list[float]:
    """Claim so many jobs as a worker does that waits for each.

    Returns:
        The worker's CPU seconds, all seconds, and for each job those from its arrival to its claim.
    """
    spool = Spool.open(config)
    wake, spans = Wake(spool["first"].new), list[float]()
    with spool["first"].consumer() as worker:
        start = cpu = 0.0
        while len(spans) < jobs:
            claim = worker.claim()
            if not claim:
                wake.arm()
                if not (claim := worker.claim()):
                    wake.wait(1)
                    continue
            spans.append(time.time() - id_time(claim.id))
            if not start:
                start, cpu = time.monotonic(), time.process_time()
            claim.drop("seen")
        return [time.process_time() - cpu, time.monotonic() - start, *spans]


def arrivals(config: Config, jobs: int, rate: float) -> list[float]:
    """Put so many jobs at a steady rate, for a worker that waits; what it tells."""
    child = Child(lambda: wait_for(config, jobs))
    child.go()
    time.sleep(0.1)
    spool = Spool.open(config)
    start = time.perf_counter()
    for number in range(jobs):
        while (early := start + number / rate - time.perf_counter()) > 0:
            if early > 2e-4:
                time.sleep(early - 1e-4)
        spool.put("first", ENVELOPE, MESSAGE)
    spool.close()
    return child.result()


def waiting(report: Report, rounds: int) -> None:
    """How soon an idle worker has a job, and what its waiting costs when many come."""
    middle, late, used, share, rates = [], [], [], [], []
    for _ in range(rounds):
        with below() as config:
            _, _, *spans = arrivals(config, LONE, 1 / PAUSE)
        middle.append(statistics.median(spans) * 1e3)
        late.append(percentile(spans, 0.99) * 1e3)
        with below() as config:
            cpu, seconds, *_ = arrivals(config, RATE, RATE)
        with below() as config:
            spool = Spool.open(config)
            for _ in range(RATE):
                spool.put("first", ENVELOPE, MESSAGE)
            spool.close()
            child = Child(lambda config=config: wait_for(config, RATE))  # type: ignore[misc]
            child.go()
            busy, *_ = child.result()
        rates.append(RATE / seconds)
        used.append(cpu / seconds * 100)
        share.append((cpu - busy) / seconds * 100)
    report.add("idle worker has a job, p50, ms", OURS, middle)
    report.add("idle worker has a job, p99, ms", OURS, late, aim="< 10")
    report.add("arrivals a second while it was watched", OURS, rates)
    report.add("a worker at these, % of a core", OURS, used)
    report.add("of which waiting and waking, % of a core", OURS, share, aim="< 5")


def measure(report: Report, rounds: int) -> None:
    """All of it."""
    several(report, rounds)
    waiting(report, rounds)
