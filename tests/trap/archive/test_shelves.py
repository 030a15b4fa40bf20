"""shelves: words by the thousand, merged and dropped a little at a time; no number is given twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from archived import job

from trap.archive import shelves
from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.query import parse
from trap.archive.search import find
from trap.archive.store import Store, segments

Indexed = Callable[[], Index]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "BITS", 4)


def tables(index: Index) -> list[str]:
    found = index.db.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'words_%_data' ORDER BY name")
    return [name.removesuffix("_data") for (name,) in found]


def states(index: Index) -> list[tuple[int, int, int]]:
    return index.db.execute("SELECT number, records, state FROM shelf ORDER BY number").fetchall()


def segment(directory: Path, first: int, count: int) -> None:
    """A sealed segment with so many messages, in handfuls that are each a commit of their own."""
    store = Store(directory)
    store.put([job(number) for number in range(first, first + count)])
    store.seal()


def test_a_handful_may_lie_on_two_shelves(directory: Path, indexed: Indexed) -> None:
    segment(directory, 0, 40)
    index = indexed()
    assert [records for _, records, _ in states(index)] == [16, 16, 8]
    assert shelves.following(index.db) == 40
    assert [row.n for row in find(index, parse("offer"))] == [*reversed(range(40))]


def test_full_shelves_are_merged(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 'optimize' does it, but in steps that no writer has to wait long for."""
    monkeypatch.setattr("trap.archive.turns._BATCH_RECORDS", 3)
    monkeypatch.setattr(shelves, "_MERGE_PAGES", 1)
    segment(directory, 0, 20)
    index = Index.open(directory)
    catch_up(directory, index)
    before = [row.id for row in find(index, parse("offer"))]
    while index.tidy():
        pass
    assert [state for *_, state in states(index)] == [1, 0], "the last one is still filled"
    segids = index.db.execute("SELECT count(DISTINCT segid) FROM words_0_idx").fetchone()
    assert segids == (1,)
    assert [row.id for row in find(index, parse("offer"))] == before
    index.db.execute("INSERT INTO words_0 (words_0) VALUES ('integrity-check')")


def test_an_empty_shelf_is_dropped(
    directory: Path, indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "_DROP_PAGES", 1)
    segment(directory, 0, 20)
    segment(directory, 20, 20)
    index = indexed()
    segments(directory)[0].unlink()
    catch_up(directory, index)
    while index.tidy():
        pass
    assert tables(index) == ["words_1", "words_2"], "there are messages from 20 on"
    assert [row.n for row in find(index, parse("offer"))] == [*reversed(range(20, 40))]


def test_no_number_is_given_twice(directory: Path, indexed: Indexed) -> None:
    """The words of the messages that had them are still there."""
    segment(directory, 0, 10)
    index = indexed()
    segments(directory)[0].unlink()
    segment(directory, 10, 3)
    catch_up(directory, index)
    assert [row.n for row in find(index, parse("offer"))] == [12, 11, 10]
    assert index.numbered() == 13


def test_a_shelf_that_is_being_dropped_is_not_searched(directory: Path, indexed: Indexed) -> None:
    segment(directory, 0, 20)
    index = indexed()
    index.db.execute("UPDATE shelf SET state = 2 WHERE number = 0")
    assert [row.n for row in find(index, parse("offer"))] == [19, 18, 17, 16]
