"""turns: several workers' segments are indexed side by side, so that the order stays near that of time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from archived import job

from trap.archive import turns
from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.query import parse
from trap.archive.search import find
from trap.archive.store import Store, segments

WORKERS, EACH, BATCH = 3, 40, 4

Indexed = Callable[[], Index]


@pytest.fixture
def archived(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Segments of three workers that took turns."""
    monkeypatch.setattr(turns, "_BATCH_RECORDS", BATCH)
    stores = [Store(directory) for _ in range(WORKERS)]
    for number in range(WORKERS * EACH):
        stores[number % WORKERS].put([job(number)])
    for store in stores:
        store.close()
    return directory


def seconds(index: Index) -> list[int]:
    return [round(row.received_at) for row in find(index, parse(""))][::-1]


def test_numbers_are_given_nearly_in_order_of_time(archived: Path, indexed: Indexed) -> None:
    found = seconds(indexed())
    assert sorted(found) == list(range(min(found), min(found) + WORKERS * EACH))
    late = max(abs(second - min(found) - place) for place, second in enumerate(found))
    assert late < 2 * WORKERS * BATCH


def test_more_segments_than_are_open_at_once(
    directory: Path, indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_SIDE_BY_SIDE", 2)
    store = Store(directory)
    for number in range(7):
        store.put([job(number)])
        store.seal()
    found = seconds(indexed())
    assert found == sorted(found) and len(found) == 7


def test_a_segment_of_another_name_has_its_turn_too(archived: Path, indexed: Indexed) -> None:
    path = segments(archived)[1]
    path.rename(path.with_name("from elsewhere.seg"))
    assert len(seconds(indexed())) == WORKERS * EACH


def test_what_is_damaged_or_gone_keeps_nobody_waiting(archived: Path) -> None:
    first, second, _ = segments(archived)
    first.chmod(0o640)
    first.write_bytes(b"rubbish")
    index = Index.open(archived)
    gone: list[int] = []

    def stop() -> bool:
        if not gone:
            second.unlink()
        gone.append(1)
        return False

    catch_up(archived, index, stop)
    catch_up(archived, index)
    assert EACH <= len(seconds(index)) <= EACH + BATCH
