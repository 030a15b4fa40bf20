"""timeline: how much was found when, as far as there was time to count."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from archived import DAY, NOVEMBER, job, mail

from trap.archive import shelves, timeline
from trap.archive.index import TooSlow
from trap.archive.indexer import catch_up
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.store import Store

COUNT = 1500


@pytest.fixture
def library(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """A message a minute, every third with a word, on three shelves and three blocks."""
    monkeypatch.setattr(shelves, "BITS", 9)
    store = Store(directory)
    store.put(
        [
            job(at=NOVEMBER + 60 * number, message=mail(body="prize" if number % 3 == 0 else "other"))
            for number in range(COUNT)
        ]
    )
    store.close()
    with Library(directory) as opened:
        catch_up(directory, opened.index)
        yield opened


def test_one_by_one(library: Library) -> None:
    found = library.histogram(parse(""), buckets=10, budget=60)
    assert (found.found, found.complete, found.counts) == (COUNT, True, [COUNT // 10] * 10)
    assert (found.since, found.counted_since) == (NOVEMBER, NOVEMBER)
    assert found.until == pytest.approx(NOVEMBER + 60 * (COUNT - 1), abs=0.01)
    assert found.width == pytest.approx((found.until - found.since) / 10)
    found = library.histogram(parse("prize date:2026-11-01T10:00..2026-11-01T12:59"), buckets=3, budget=60)
    assert found.counts == [20, 20, 20]
    assert (found.since, found.until) == (NOVEMBER + 10 * 3600, NOVEMBER + 13 * 3600)


@pytest.mark.parametrize("query", ["", "prize", "offer", "-prize", "size:<1M"])
def test_by_blocks(library: Library, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """Many are counted nearly: none is lost, and few are in the bucket beside theirs."""
    exact = library.histogram(parse(query), buckets=5, budget=60)
    monkeypatch.setattr(timeline, "_ROWS", 0)
    monkeypatch.setattr(timeline, "_BARE_ROWS", 0)
    monkeypatch.setattr(timeline, "_FIRST_STEP", 100)
    near = library.histogram(parse(query), buckets=5, budget=60)
    assert near.complete
    assert near.found == exact.found == sum(near.counts) == sum(1 for _ in library.find(parse(query)))
    if query:
        assert near.counts == pytest.approx(exact.counts, abs=64)


def test_no_more_time_than_is_given(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are counted first, and it says how far back."""
    found = library.histogram(parse("prize"), budget=0.0)
    assert (found.found, found.complete, found.counted_since) == (0, False, found.until)
    monkeypatch.setattr(timeline, "_ROWS", 0)
    monkeypatch.setattr(timeline, "_FIRST_STEP", 100)
    moments = iter([0.0, 0.0, 9.0, 9.0])
    monkeypatch.setattr(timeline.time, "monotonic", lambda: next(moments, 9.0))
    found = library.histogram(parse("offer"), buckets=15, budget=0.5)
    assert (found.found, found.complete) == (100, False)
    assert found.counts[:12] == [0] * 12 and found.counts[-1] == pytest.approx(100, abs=64)
    assert found.since < found.counted_since < found.until


@pytest.mark.parametrize(
    ("query", "buckets", "width"),
    [("", 60, 1800), ("", 30, 3600), ("", 2, 86400), ("date:2026-11-01T10:07..2026-11-01T10:16", 60, 10)],
)
def test_even_times(library: Library, query: str, buckets: int, width: int) -> None:
    found = library.histogram(parse(query), buckets, budget=60, even=True)
    assert found.width == width
    assert found.since % width == found.until % width == 0
    assert found.until == found.since + width * len(found.counts)
    assert buckets / 2.6 < len(found.counts) <= buckets
    assert sum(found.counts) == found.found == sum(1 for _ in library.find(parse(query)))


def test_nothing_found(library: Library, directory: Path) -> None:
    nothing = library.histogram(parse("nothing"), buckets=4)
    assert (nothing.counts, nothing.found, nothing.complete) == ([0] * 4, 0, True)
    later = library.histogram(parse("date:2026-12-01.."), buckets=4)
    assert later.found == 0 and later.until > later.since >= NOVEMBER + 30 * DAY


def test_an_empty_archive(directory: Path) -> None:
    Store(directory).recover()
    with Library(directory) as library:
        empty = library.histogram(parse(""), buckets=4)
        assert (empty.counts, empty.complete, empty.width > 0) == ([0] * 4, True, True)
        assert library.facets(parse("")).counted == 0
        assert library.campaigns() == []


def test_what_was_begun_and_not_counted_is_not_called_counted(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def interrupted(seconds: float | None = None) -> Iterator[None]:
        raise TooSlow("interrupted")
        yield

    expected = library.histogram(parse("prize"), buckets=5, budget=60)
    assert expected.complete
    reading = library.index.question
    calls = iter([reading, interrupted])
    monkeypatch.setattr(library.index, "question", lambda seconds=None: next(calls, interrupted)(seconds))
    cut_short = timeline.histogram(library.index, parse("prize"), 5, 60)
    assert not cut_short.complete
