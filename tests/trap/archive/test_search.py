"""search: every page is right wherever it begins, and pages fit together."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archived import DAY, NOVEMBER, job, mail
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trap.archive import search, shelves
from trap.archive.index import Index, TooSlow
from trap.archive.indexer import catch_up
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.store import Store, segments
from trap.job import new_id

COUNT = 90
Indexed = Callable[[], Index]


@pytest.fixture
def library(directory: Path, indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Ninety messages, one an hour, on shelves of 32: every third has a word, the tenth ones are large."""
    monkeypatch.setattr(shelves, "BITS", 5)
    store = Store(directory)
    for number in range(COUNT):
        body = f"{'prize' if number % 3 == 0 else 'other'} {'long ' * 4000 if number % 10 == 0 else ''}"
        store.put([job(number, at=NOVEMBER + number * 3600, message=mail(number, body=body))])
    store.close()
    indexed().close()
    with Library(directory) as opened:
        yield opened


def found(library: Library, text: str, before: str | None = None, limit: int = -1) -> list[int]:
    """Numbers of the messages that a query finds, which the hours say."""
    rows = library.find(parse(text), before, limit)
    return [round((row.received_at - NOVEMBER) / 3600) for row in rows]


def test_words_are_looked_for_on_every_shelf(library: Library) -> None:
    assert len(shelves.numbers(library.index.db)) == 3
    assert found(library, "prize") == [number for number in reversed(range(COUNT)) if number % 3 == 0]
    assert found(library, '"offer number 40"') == [40]
    assert found(library, "-prize", limit=3) == [89, 88, 86]


def test_dates(library: Library) -> None:
    assert found(library, "date:2026-11-02") == [*reversed(range(24, 48))]
    assert found(library, "date:2026-11-02T05:00..2026-11-02T06:00 prize") == [30]
    assert found(library, "date:..2026-11-01T02:00") == [2, 1, 0]
    assert found(library, "date:2026-12..") == []


def test_sizes(library: Library) -> None:
    """Also without a word: large messages are not looked for among all."""
    assert found(library, "size:>10k") == [80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert found(library, "size:>10k prize") == [60, 30, 0]
    assert len(found(library, "size:<10k")) == 81
    row = next(library.find(parse("")))
    assert found(library, f"size:{row.size}..{row.size} offer", limit=1) == [89]
    assert found(library, f"size:>{row.size}", limit=1) == [80]


def test_late_messages_are_found_by_their_own_date(directory: Path, indexed: Indexed) -> None:
    """A job may wait for days while others pass it: the order is that of the archive, the date its own."""
    store = Store(directory)
    store.put([job(at=NOVEMBER + 5 * DAY), job(at=NOVEMBER), job(at=NOVEMBER + 6 * DAY)])
    store.close()
    index = indexed()
    days = [round((row.received_at - NOVEMBER) / DAY) for row in search.find(index, parse(""))]
    assert days == [6, 0, 5]
    (row,) = search.find(index, parse("date:2026-11-01 offer"))
    assert row.received_at == NOVEMBER


PAGES = st.tuples(
    st.sampled_from(["", "prize", "-prize", "date:2026-11-02..2026-11-03", "prize size:<10k"]),
    st.integers(1, 40),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PAGES)
def test_pages_fit_together_both_ways(library: Library, asked: tuple[str, int]) -> None:
    query, limit = parse(asked[0]), asked[1]
    whole = list(library.find(query))
    down = list(library.find(query, limit=limit))
    while page := list(library.find(query, down[-1].id, limit)):
        down += page
    assert down == whole
    up = whole[-1:]
    while page := library.newer(query, up[0].id, limit):
        up = page + up
    assert up == whole


def test_from_a_message_that_is_gone(library: Library) -> None:
    """Its time says where it was."""
    gone = new_id(NOVEMBER + 50.5 * 3600)
    assert found(library, "", gone, 2) == [50, 49]
    assert [round((row.received_at - NOVEMBER) / 3600) for row in library.newer(parse(""), gone, 2)] == [
        52,
        51,
    ]
    older = new_id(NOVEMBER - DAY)
    assert found(library, "", older) == []
    assert len(library.newer(parse("prize"), older, 100)) == COUNT // 3
    assert library.newer(parse(""), "no id", 10) == []
    assert found(library, "", "no id", 1) == [89]


def test_oldest_and_newest(library: Library) -> None:
    oldest, newest = library.oldest(), library.newest()
    assert oldest and oldest.received_at == NOVEMBER
    assert newest and newest.received_at == NOVEMBER + (COUNT - 1) * 3600
    assert library.get(oldest.id) == oldest


def test_a_deadline_is_kept(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.deadline = 0.0
    monkeypatch.setattr("trap.archive.questions._STEPS", 1)
    for question in (
        lambda: list(library.find(parse("prize"))),
        lambda: library.newer(parse(""), "9" * 24, 5),
        lambda: library.campaigns("size", None, 10),
    ):
        with pytest.raises(TooSlow, match="takes too long"):
            question()
    library.deadline = 60.0
    assert found(library, "prize", limit=1) == [87]


def test_what_is_wrong_with_the_index_is_no_matter_of_time(library: Library) -> None:
    library.deadline = 60.0
    library.index.db.execute("DROP TABLE message")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        list(library.find(parse("")))


def test_messages_of_dropped_segments_are_not_found(library: Library, directory: Path) -> None:
    """Their words are still on a shelf, but lead nowhere."""
    segments(directory)[0].unlink()
    catch_up(directory, library.index)
    assert found(library, "prize") == found(library, "") == found(library, "-prize") == []
    assert library.oldest() is None
