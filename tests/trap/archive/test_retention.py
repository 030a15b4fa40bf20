"""retention: whole segments go, the oldest first, and never one that is written to."""

from collections.abc import Callable
from pathlib import Path

from archived import DAY, NOVEMBER, job

from trap.archive import indexer
from trap.archive.index import Index
from trap.archive.retention import due, enforce, index_shares
from trap.archive.store import Store, segments


def filled(directory: Path) -> list[Path]:
    """Three sealed segments, a day each, and an open one; filled in another order than that of time."""
    store = Store(directory)
    for day in (1, 0, 2):
        store.put([job(at=NOVEMBER + day * DAY + hour * 3600) for hour in range(24)])
        store.seal()
    store.put([job(at=NOVEMBER)])
    store.close()
    second, first, third, last = segments(directory)
    return [first, second, third, last]


def test_nothing_is_dropped_when_nobody_asks(directory: Path) -> None:
    filled(directory)
    assert due(directory, NOVEMBER + 1000 * DAY, None, None) == []
    assert due(directory / "none", NOVEMBER, 0.0, 0) == []


def test_by_age(directory: Path) -> None:
    first, second, third, _ = filled(directory)
    assert due(directory, NOVEMBER + 3 * DAY, 3 * DAY, None) == []
    assert due(directory, NOVEMBER + 3 * DAY, 2 * DAY, None) == [first]
    assert due(directory, NOVEMBER + 3 * DAY, DAY, None) == [first, second]
    assert due(directory, NOVEMBER + 9 * DAY, DAY, None) == [first, second, third], "the open one stays"


def test_by_bytes(directory: Path) -> None:
    every = filled(directory)
    sizes = [path.stat().st_size for path in every]
    assert due(directory, NOVEMBER, None, sum(sizes)) == []
    assert due(directory, NOVEMBER, None, sum(sizes) - 1) == every[:1]
    assert due(directory, NOVEMBER, None, sum(sizes[2:])) == every[:2]
    assert due(directory, NOVEMBER, None, 0) == every[:3]


def test_by_bytes_with_the_index(directory: Path, indexed: Callable[[], Index]) -> None:
    """An index takes more than the segments when mail is small, and shrinks only inside."""
    every = filled(directory)
    index = indexed()
    index.db.execute("PRAGMA wal_checkpoint(truncate)")
    shares = index_shares(directory)
    names = [path.name.removesuffix(path.suffix) for path in every]
    assert sorted(shares) == sorted(names)
    assert 0.9 < sum(shares.values()) / index.path.stat().st_size <= 1.01
    sizes = [path.stat().st_size + shares[name] for path, name in zip(every, names, strict=True)]
    assert due(directory, NOVEMBER, None, sum(sizes)) == []
    assert due(directory, NOVEMBER, None, sum(sizes) - 1) == every[:1]
    assert enforce(directory, NOVEMBER, None, sum(sizes[1:])) == every[:1]
    assert due(directory, NOVEMBER, None, sum(sizes[1:])) == [], "the index has not heard of it yet"
    indexer.catch_up(directory, index)
    assert sorted(index_shares(directory)) == sorted(names[1:])
    assert sum(index_shares(directory).values()) < sum(shares.values())
    index.close()


def test_an_index_that_cannot_be_read_does_not_count(directory: Path) -> None:
    every = filled(directory)
    (directory / "index-1.db").write_bytes(b"no database at all" * 1000)
    assert due(directory, NOVEMBER, None, sum(path.stat().st_size for path in every)) == []


def test_two_at_once(directory: Path) -> None:
    """RACE: both find the same segments to drop; that one is gone already is no error."""
    first, *_ = filled(directory)
    seen_by_both = due(directory, NOVEMBER + 3 * DAY, 2 * DAY, None)
    assert enforce(directory, NOVEMBER + 3 * DAY, 2 * DAY, None) == seen_by_both == [first]
    assert enforce(directory, NOVEMBER + 3 * DAY, 2 * DAY, None) == []
    assert len(segments(directory)) == 3


def test_damaged_segments_are_left_for_people_to_see(directory: Path) -> None:
    first, *_ = filled(directory)
    first.chmod(0o640)
    first.write_bytes(b"rubbish")
    assert first not in due(directory, NOVEMBER + 9 * DAY, DAY, None)
