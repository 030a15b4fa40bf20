"""Whether mail is archived as fast while people search and the index is made anew.

    python bench/search_live.py [--messages 100000] [--rate 200] [--dir DIR] [--quick] [--json FILE]

An archive of so many messages takes in more of them at a steady rate, as the archive stage does: by the
store, with the indexer as a process of its own. First alone, then while four processes search without a pause
and another one rebuilds the index (spamtrap archive reindex). On two cores that is more than there is
to do it with. What is asked: does a put wait, how soon is mail found, and how long do searches take.
"""

import math
import multiprocessing
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import kit
from corpus import CORPUS, needed
from mailfactory import Factory, Mail
from search_ours import Ours
from search_pages import CAMPAIGNS, DEEP, DOMAIN, FACETS, FIRST, FREQUENT, NETWORK, RARE, Ask, asks

from trap.archive.background import Indexer
from trap.archive.indexer import rebuild
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.store import Store
from trap.job import Job, new_id

EVERY = 0.05
"""Seconds between two puts."""
LOOK = 0.02
UNTIL_FOUND = 60.0
SEARCHERS = 4
PATIENCE = 900.0
MIX = (FIRST, DEEP, RARE, FREQUENT, NETWORK, DOMAIN, FACETS, CAMPAIGNS)

_spawn = multiprocessing.get_context("spawn")


class Taken(NamedTuple):
    """What taking mail in was like."""

    puts: list[float]
    """Seconds of each."""
    late: float
    """Seconds that the latest of them was behind time, at its end."""
    stored: dict[str, float]
    """When each job was archived, in seconds since the epoch."""
    seconds: float


def main() -> None:
    options = kit.options(
        __doc__,
        messages=(int, 100_000, "in the archive at the beginning"),
        rate=(float, 200.0, "messages a second that come in"),
        alone=(float, 20.0, "seconds of the first part"),
        dir=(Path, None, "where bench/search.py has left archives"),
    )
    needed()
    count, alone = (5_000, 3.0) if options.quick else (options.messages, options.alone)
    report = kit.Report("search_live")
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-live-", dir=options.dir)))
        ready = options.dir / str(count) / "archive" if options.dir else base / "none"
        if ready.exists():
            shutil.copytree(ready, base / "archive")
        else:
            Ours(base).fill(Factory(CORPUS, count).mails)
        run(report, base, count, options.rate, alone)
    report.write(options.json)


def run(report: kit.Report, base: Path, count: int, rate: float, alone: float) -> None:
    """Both parts, one after the other."""
    more = Factory(CORPUS, 1_000_000, seed=2, pool=300).mails()
    archive = Intake(base / "archive", more, rate)
    try:
        first, seen = watched(base, archive, _spawn.Event(), seconds=alone)
        tell(report, "alone", first, seen)
        stop, told = _spawn.Event(), _spawn.Queue()
        searchers = [
            _spawn.Process(target=search, args=(base, count, seed, stop, told)) for seed in range(SEARCHERS)
        ]
        again = _spawn.Process(target=rebuild, args=(base / "archive",))
        for process in (*searchers, again):
            process.start()
        second, seen = watched(base, archive, stop, process=again)
        taken = [one for _ in searchers for one in told.get()]
        for process in searchers:
            process.join()
        tell(report, "beside searches and reindex", second, seen, first)
        report.add("seconds of the reindex", kit.OURS, [second.seconds])
        told_of_searches(report, taken)
        if again.exitcode:
            report.note(f"the reindex ended with status {again.exitcode}")
    finally:
        archive.close()


class Intake:
    """Archives mail at a steady rate."""

    def __init__(self, directory: Path, mails: Iterator[Mail], rate: float) -> None:
        self._store = Store(directory)
        self._store.recover()  # goes on with the archive's last segment, which it reads first
        self._indexer = Indexer(directory)
        self._mails = mails
        self._many = max(1, round(rate * EVERY))

    def run(self, seconds: float, process: "multiprocessing.process.BaseProcess | None" = None) -> Taken:
        """Take mail in for so long, or until a process has ended."""
        puts: list[float] = []
        stored: dict[str, float] = {}
        late = 0.0
        began = time.monotonic()
        due = began
        while time.monotonic() - began < seconds and (process is None or process.is_alive()):
            jobs = [
                Job(new_id(), mail.job.envelope, mail.job.notes, mail.job.message)
                for mail in islice(self._mails, self._many)
            ]
            before = time.perf_counter()
            self._store.put(jobs)
            self._indexer.poke()
            puts.append(time.perf_counter() - before)
            now = time.time()
            stored.update((job.id, now) for job in jobs)
            due += EVERY
            late = max(late, time.monotonic() - due)
            time.sleep(max(0.0, due - time.monotonic()))
        return Taken(puts, late, stored, time.monotonic() - began)

    def close(self) -> None:
        """End the indexer too."""
        self._store.close()
        self._indexer.close()


def watched(
    base: Path,
    archive: Intake,
    stop: Event,
    seconds: float = PATIENCE,
    process: "multiprocessing.process.BaseProcess | None" = None,
) -> tuple[Taken, list[float]]:
    """Take mail in, then say stop; and the seconds after which each message was found."""
    mine, theirs = _spawn.Pipe()
    watcher = _spawn.Process(target=watch, args=(base, theirs))
    watcher.start()
    mine.recv()  # it looks
    taken = archive.run(seconds, process)
    stop.set()
    mine.send(max(taken.stored))
    looks = mine.recv()
    watcher.join()
    delays, at = [], 0
    for job_id, stored in sorted(taken.stored.items()):
        while at < len(looks) and looks[at][1] < job_id:
            at += 1
        delays.append(max(0.0, looks[at][0] - stored) if at < len(looks) else math.inf)
    return taken, delays


def watch(base: Path, told: "Connection[object, object]") -> None:
    """Note when which message is the newest that is found, until one is that we are told."""
    looks: list[tuple[float, str]] = [(0.0, "")]
    told.send(looks)
    everything, library = parse(""), Library(base / "archive")
    last, end = "", math.inf
    while (not last or looks[-1][1] < last) and time.monotonic() < end:
        if library.index.replaced:
            library.close()
            library = Library(base / "archive")
        row = next(library.find(everything, limit=1), None)
        if row and looks[-1][1] < row.id:
            looks.append((time.time(), row.id))
        time.sleep(LOOK)
        if not last and told.poll():
            last, end = str(told.recv()), time.monotonic() + UNTIL_FOUND
    told.send(looks)


def search(base: Path, count: int, seed: int, stop: Event, told: "Queue[list[tuple[str, float]]]") -> None:
    """Search without a pause, and tell what was asked for and the milliseconds it took."""
    dice = random.Random(seed)
    ours = Ours(base)
    pages = asks(count, ours.some(100, dice), dice)
    mixed: list[tuple[str, Ask]] = [(page, ask) for page in MIX for ask in pages[page]]
    dice.shuffle(mixed)
    taken = []
    for page, ask in cycle(mixed):
        if stop.is_set():
            break
        if ours.library.index.replaced:
            ours.reopen()
        began = time.perf_counter()
        ours.ask(page, ask)
        taken.append((page, (time.perf_counter() - began) * 1000))
    told.put(taken)


def tell(
    report: kit.Report, when: str, taken: Taken, delays: list[float], alone: Taken | None = None
) -> None:
    """The figures of a part."""
    rate = [len(taken.stored) / taken.seconds]
    if alone:
        peer = [len(alone.stored) / alone.seconds]
        report.add(f"messages/s, {when}", kit.OURS, rate, peer=peer, to="alone", aim=">= 0.98")
    else:
        report.add(f"messages/s, {when}", kit.OURS, rate)
    milliseconds = [put * 1000 for put in taken.puts]
    report.add(f"put, p50 ms, {when}", kit.OURS, [kit.percentile(milliseconds, 0.5)])
    report.add(f"put, p99 ms, {when}", kit.OURS, [kit.percentile(milliseconds, 0.99)])
    report.add(f"put, longest ms, {when}", kit.OURS, [max(milliseconds)], aim="<= 1000")
    report.add(f"behind time at most, ms, {when}", kit.OURS, [taken.late * 1000])
    report.add(f"found after s, p50, {when}", kit.OURS, [kit.percentile(delays, 0.5)])
    report.add(f"found after s, p99, {when}", kit.OURS, [kit.percentile(delays, 0.99)])


def told_of_searches(report: kit.Report, taken: list[tuple[str, float]]) -> None:
    """How long searches took meanwhile."""
    rows: list[list[object]] = []
    for page in MIX:
        mine = [milliseconds for asked, milliseconds in taken if asked == page]
        if mine:
            rows.append([page, *(kit.percentile(mine, share) for share in (0.5, 0.95, 0.99, 1)), len(mine)])
    title = f"{SEARCHERS} who search beside ingest and reindex, ms"
    report.table(title, ["page", "p50", "p95", "p99", "longest", "queries"], rows)
    every = [milliseconds for _, milliseconds in taken]
    report.add("search meanwhile, p99 ms", kit.OURS, [kit.percentile(every, 0.99)])


if __name__ == "__main__":
    main()
