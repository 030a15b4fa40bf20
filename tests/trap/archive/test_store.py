"""store: which segment a job goes to, and what is left behind."""

import errno
import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from archived import job, mail

from trap.archive import store as store_module
from trap.archive.segment import Reader
from trap.archive.store import Store, segment_path, segments
from trap.job import Job


def ids(directory: Path) -> list[str]:
    found = []
    for path in segments(directory):
        with Reader(path) as reader:
            found += [frame.id for frame in reader.frames()]
    return found


def sealed(directory: Path) -> list[bool]:
    states = []
    for path in segments(directory):
        with Reader(path) as reader:
            states.append(reader.seal is not None)
    return states


def letters(start: int, count: int) -> Iterator[Job]:
    """Jobs that are alike, as the mail of a campaign is, and large enough to train from."""
    words = [
        f"{a}{b}{c}" for a in ("mon", "lot", "pri") for b in ("ey", "tery", "ze") for c in ("s", "ing", "")
    ]
    for number in range(start, start + count):
        pick = random.Random(number)
        body = " ".join(pick.choice(words) for _ in range(200))
        yield job(number, message=mail(number, body=body))


def test_a_place_is_where_the_job_is(store: Store, directory: Path) -> None:
    jobs = [job(n) for n in range(5)]
    places = store.put(jobs)
    with Reader(segment_path(directory, places[0].segment)) as reader:
        assert [reader.read(place.offset).message for place in places] == [each.message for each in jobs]


def test_a_job_that_comes_twice_is_written_once(store: Store, directory: Path) -> None:
    """In one batch, in two, after a restart, and across the end of a segment: the answer is the same."""
    twice = job(1)
    (place,) = store.put([twice])
    assert store.put([twice, twice]) == [place, place]
    store.close()
    store = Store(directory)
    assert store.put([twice]) == [place]
    store.seal()
    assert store.put([twice, job(2)])[0] == place
    store.close()
    assert len(ids(directory)) == 2


def test_restarts_make_no_new_segments(directory: Path) -> None:
    for number in range(5):
        store = Store(directory)
        store.put([job(number)])
        store.close()
    assert sealed(directory) == [False]
    assert len(ids(directory)) == 5


def test_the_first_segment_ends_early_to_train_a_dictionary(directory: Path) -> None:
    store = Store(directory, enough=200)
    store.put(list(letters(0, 200)))
    store.put(list(letters(200, 200)))
    store.close()
    first, second = segments(directory)
    with Reader(first) as before, Reader(second) as after:
        assert before.seal and not after.seal
        assert not before.dictionary and after.dictionary
        assert [len(after.record(frame).message) for frame in after.frames()]
        small, large = (sum(len(f.data) for f in reader.frames()) for reader in (after, before))
        assert small < large * 0.8
    # Another worker, and the next start, take the dictionary over instead of beginning without.
    store = Store(directory, enough=200)
    store.recover()
    other = Store(directory, enough=200)
    other.put([job(1)])
    with Reader(segments(directory)[-1]) as third:
        assert third.dictionary
    store.close()
    other.close()


def test_a_full_segment_is_sealed(directory: Path) -> None:
    store = Store(directory, segment_size=20_000)
    for number in range(30):
        store.put([job(number, message=os.urandom(3000))])
    store.close()
    *full, last = sealed(directory)
    assert len(full) >= 3 and all(full) and not last
    assert len(ids(directory)) == 30


def test_an_old_segment_is_sealed(directory: Path) -> None:
    store = Store(directory, seal_after=0.0)
    store.put([job(1)])
    store.tick()
    assert sealed(directory) == [True]


def test_what_the_dead_left_open_is_gone_on_with_or_sealed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that start again go on, each with one; what is left over after a while is sealed."""
    stores = [Store(directory) for _ in range(3)]
    for number, store in enumerate(stores):
        store.put([job(number)])
    for store in stores:
        store.close()
    one, other = Store(directory), Store(directory)
    one.put([job(8)])
    other.put([job(9)])
    assert sealed(directory) == [False] * 3
    monkeypatch.setattr(store_module, "_TIDY_EVERY", -1.0)
    one.tick()
    assert sealed(directory) == [False, False, True]
    assert len(ids(directory)) == 5
    one.close()
    other.close()


def test_a_full_disk_is_survived(store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put([job(1)])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", full)
    for number in range(3):
        with pytest.raises(OSError, match="No space"):
            store.put([job(2 + number)])
    monkeypatch.setattr(os, "fdatasync", real)
    after = job(9)
    store.put([after])
    store.close()
    assert len(segments(directory)) == 1
    assert ids(directory)[1:] == [after.id]


def test_no_room_for_a_footer_is_no_failure_of_what_was_archived(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.segment_size = 100
    store.put([job(1)])
    assert sealed(directory) == [True]
    store.segment_size = 10_000
    store.put([job(2)])
    store.segment_size = 100
    monkeypatch.setattr(os, "fsync", full)
    assert len(store.put([job(3)])) == 1
    monkeypatch.undo()
    store.segment_size = 100
    store.put([job(4)])
    assert sealed(directory) == [True, True, True]
    assert len(ids(directory)) == 4


def _put_many(directory: Path, start: int) -> None:
    store = Store(directory, segment_size=30_000, enough=20)
    for number in range(start, start + 100, 5):
        store.put([job(number + n) for n in range(5)])
    store.close()


def test_many_processes_at_once(directory: Path) -> None:
    """Each has its own segment; nothing is lost, nothing is there twice."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_put_many, args=(directory, n * 100)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = ids(directory)
    assert len(found) == len(set(found)) == 300
