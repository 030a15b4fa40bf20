"""Archiving, searching and making the index anew at the same time: nothing waits long, nothing is lost."""

import multiprocessing
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archived import job

from trap.archive import shelves
from trap.archive.index import Index
from trap.archive.indexer import catch_up, lock, rebuild
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.search import find
from trap.archive.store import Store, segments

JOBS = 600
BATCH = 20
LONGEST = 2.0
"""Seconds any question or handful may take, on the slowest machine."""


@pytest.fixture
def busy(directory: Path, monkeypatch: pytest.MonkeyPatch) -> "Busy":
    """An archive on small shelves, so that they are merged all the time."""
    monkeypatch.setattr(shelves, "BITS", 5)
    monkeypatch.setattr("trap.archive.turns._BATCH_RECORDS", 8)
    return Busy(directory)


class Busy:
    """Everybody who works on an archive. Those who read end when all is written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.jobs = [job(number) for number in range(JOBS)]
        self.done = threading.Event()
        self.waits: list[float] = []
        self.rebuilt = 0

    def timed(self, work: Callable[[], object]) -> None:
        begun = time.monotonic()
        work()
        self.waits.append(time.monotonic() - begun)

    def write(self) -> None:
        store = Store(self.directory, segment_size=20_000)
        for first in range(0, JOBS, BATCH):
            some = self.jobs[first : first + BATCH]
            self.timed(lambda some=some: store.put(some))  # type: ignore[misc]
            time.sleep(0.01)
        store.close()
        self.done.set()

    def index(self) -> None:
        while not self.done.is_set():
            index = Index.open(self.directory)
            while not (index.replaced or self.done.is_set()):
                with lock(self.directory) as ours:
                    assert ours
                    catch_up(self.directory, index)
                time.sleep(0.01)
            index.close()

    def search(self) -> None:
        seen = 0
        while not self.done.is_set():
            with Library(self.directory) as library:
                for text in ("offer", "", "-offer", "subject:offer date:2026-11", "number 7"):
                    self.timed(lambda text=text: list(library.find(parse(text), limit=50)))  # type: ignore[misc]
                self.timed(lambda: library.facets(parse("offer")))
                self.timed(lambda: library.histogram(parse("offer")))
                rows = list(library.find(parse("offer")))
                assert len({row.id for row in rows}) == len(rows)
                for row in rows[:3]:
                    assert library.record(row).id == row.id
                seen = max(seen, len(rows))
        assert seen

    def remake(self) -> None:
        while not self.done.is_set():
            rebuild(self.directory)
            self.rebuilt += 1


def test_all_at_once(busy: Busy, directory: Path) -> None:
    Store(directory).recover()
    with ThreadPoolExecutor() as pool:
        workers = (busy.write, busy.index, busy.search, busy.search, busy.remake)
        for work in [pool.submit(each) for each in workers]:
            work.result(60)
    assert busy.rebuilt
    assert max(busy.waits) < LONGEST
    assert len(segments(directory)) > 1
    with Library(directory) as library:
        catch_up(directory, library.index)
        wanted = sorted(each.id for each in busy.jobs)
        for text in ("", "offer"):
            assert sorted(row.id for row in library.find(parse(text))) == wanted


def test_a_list_goes_on_while_the_index_changes_under_it(directory: Path) -> None:
    """Each page is of one state of the index, and no page keeps the next state from coming."""
    store = Store(directory)
    jobs = [job(number) for number in range(1200)]
    store.put(jobs[:1100])
    with Library(directory) as library, Library(directory) as other:
        catch_up(directory, library.index)
        found = library.find(parse("offer"))
        rows = [next(found)]
        store.put(jobs[1100:])
        catch_up(directory, other.index)
        busy, *_ = other.index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
        rows += found
    assert [row.id for row in rows] == [each.id for each in reversed(jobs[:1100])]
    store.close()


def _index(directory: Path) -> None:
    index = Index.open(directory)
    catch_up(directory, index)
    while index.tidy():
        pass


def test_killed_at_any_moment(busy: Busy, directory: Path) -> None:
    """Who comes next goes on: no message twice, none left out, no word lost."""
    for first in range(0, JOBS, 100):
        store = Store(directory)
        store.put(busy.jobs[first : first + 100])
        store.seal()
    chance = random.Random(7)
    for _ in range(15):
        process = multiprocessing.get_context("fork").Process(target=_index, args=[directory])
        process.start()
        process.join(chance.uniform(0.0, 0.25))
        process.kill()
        process.join()
    _index(directory)
    index = Index.open(directory)
    wanted = [each.id for each in reversed(busy.jobs)]
    for text in ("", "offer", "-nothing"):
        assert [row.id for row in find(index, parse(text))] == wanted
    assert [known.complete for known in index.segments().values()] == [1] * 6
    for shelf in shelves.numbers(index.db):
        words = shelves.table(shelf)
        index.db.execute(f"INSERT INTO {words} ({words}) VALUES ('integrity-check')")
    assert index.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
