"""retention: whole segments go, the oldest first, and never one that is written to."""

from pathlib import Path

from archived import DAY, NOVEMBER, job

from trap.archive.retention import due, enforce
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
