"""The archive stage: what passes is on disk, and what is not on disk does not pass."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from archived import DAY, NOVEMBER, job
from support import eventually

from stages import archive as archive_module
from stages.archive import Archive
from trap.archive.background import Packer
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.segment import Reader
from trap.archive.store import Store, segment_path, segments
from trap.config import Duration, Size
from trap.stage import Pass, Unavailable


def test_a_job_that_passes_is_archived(tmp_path: Path) -> None:
    stage = Archive(tmp_path)
    archived = job(1)
    verdict = stage.process(archived)
    assert isinstance(verdict, Pass)
    assert verdict.notes["sha256"] == hashlib.sha256(archived.message).hexdigest()
    with Reader(segment_path(tmp_path, verdict.notes["segment"])) as reader:
        assert reader.read(verdict.notes["offset"]).message == archived.message
    assert stage.process(archived) == verdict, "asked twice, it answers the same"
    stage.close()
    assert Archive.log_as == "archived"


def test_a_batch_is_synced_once_before_it_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Archive(tmp_path)
    stage.process(job(0))
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    verdicts = stage.process_batch([job(n) for n in range(1, 30)])
    assert len(verdicts) == 29 and all(isinstance(verdict, Pass) for verdict in verdicts)
    assert synced == [segments(tmp_path)[0].stat().st_size]
    stage.close()


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_trouble_with_the_disk_makes_jobs_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    stage = Archive(tmp_path)
    before, waiting = job(1), job(2)
    stage.process(before)

    def fail(fd: int) -> None:
        raise OSError(trouble, os.strerror(trouble))

    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(Unavailable, match=f"archive: {os.strerror(trouble).lower()} at "):
        stage.process(waiting)
    monkeypatch.setattr(os, "fdatasync", real)
    stage.process(waiting)
    stage.close()
    (path,) = segments(tmp_path)
    with Reader(path) as reader:
        assert [frame.id for frame in reader.frames()] == [before.id, waiting.id]


def test_what_passed_is_found_soon(tmp_path: Path) -> None:
    stage = Archive(tmp_path)
    archived = job(1)
    stage.process(archived)
    with Library(tmp_path) as library:
        eventually(lambda: [row.id for row in library.find(parse("offer"))] == [archived.id])
        row = library.get(archived.id)
        assert row and library.record(row).message == archived.message
    stage.close()


def test_an_indexer_that_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trap.archive.background._AGAIN", 0.0)
    stage = Archive(tmp_path)
    stage.process(job(1))
    child = stage._indexer._child
    assert child
    child.kill()
    child.wait()
    stage.process(job(2))
    stage.tick()
    with Library(tmp_path) as library:
        eventually(lambda: len(list(library.find(parse("")))) == 2)
    stage.close()


def test_retention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Archive(tmp_path, segment_size=Size(1), retain=Duration("2d"))
    for day in range(4):
        stage.process(job(at=NOVEMBER + day * DAY))
    assert len(segments(tmp_path)) == 4
    monkeypatch.setattr(archive_module.time, "time", lambda: NOVEMBER + 3.5 * DAY)
    stage.tick()
    assert len(segments(tmp_path)) == 2
    stage.close()
    stage = Archive(tmp_path, retain_bytes=Size(1))
    stage.tick()
    assert segments(tmp_path) == []
    stage.close()


def test_nothing_is_made_before_the_first_job(tmp_path: Path) -> None:
    stage = Archive(tmp_path / "archive", retain=Duration("1d"))
    stage.tick()
    stage.close()
    assert not (tmp_path / "archive").exists()
    with pytest.raises(ValueError, match="level: 20"):
        Archive(tmp_path, level=20)


def test_what_is_sealed_is_packed_in_the_background(tmp_path: Path) -> None:
    """By a process of its own; places stay what they were."""
    stage = Archive(tmp_path, segment_size=Size(1), pack_level=3)
    verdict = stage.process(job(1))
    assert isinstance(verdict, Pass)
    stage.tick()
    path = segment_path(tmp_path, verdict.notes["segment"])

    def packed() -> bool:
        with Reader(path) as reader:
            return reader.packed

    eventually(packed)
    with Reader(path) as reader:
        assert reader.read(verdict.notes["offset"]).message == job(1).message
    stage.close()


def test_packing_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trap.archive.background.Packer.look", lambda self: pytest.fail("it packs"))
    stage = Archive(tmp_path, segment_size=Size(1), pack=False)
    stage.process(job(1))
    stage.tick()
    stage.close()


def test_a_segment_that_can_not_be_packed_is_not_tried_all_day(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (place,) = store.put([job(1)])
    store.seal()
    path = segment_path(tmp_path, place.segment)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-200] + bytes(100) + path.read_bytes()[-100:])
    path.chmod(0o440)
    packer = Packer(tmp_path, 3)
    packer.look()
    first = packer._child
    assert first and first.wait(60) == 0
    packer.look()
    assert packer._child is first
    with Reader(path) as reader:
        assert not reader.packed
    packer.close()


@pytest.mark.parametrize("level", [0, 23])
def test_levels_that_zstd_has_not(tmp_path: Path, level: int) -> None:
    with pytest.raises(ValueError, match="pack_level"):
        Archive(tmp_path, pack_level=level)
