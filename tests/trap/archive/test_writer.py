"""writer: nothing half-written is ever taken for mail, and nothing synced is lost."""

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from archived import job, mail

from trap.archive import writer as writer_module
from trap.archive.segment import Reader
from trap.archive.store import Store, segments, sweep
from trap.archive.writer import NEW, Writer


def ids(path: Path) -> list[str]:
    with Reader(path) as reader:
        return [frame.id for frame in reader.frames()]


def test_a_segment_has_one_owner(tmp_path: Path) -> None:
    owner = Writer.create(tmp_path, b"", 3)
    assert Writer.adopt(owner.path, 3) is None
    owner.close()
    heir = Writer.adopt(owner.path, 3)
    assert heir
    heir.seal()
    assert Writer.adopt(owner.path, 3) is None, "sealed"


def test_a_sealed_segment_whose_owner_died_before_taking_the_right_to_write(tmp_path: Path) -> None:
    owner = Writer.create(tmp_path, b"", 3)
    owner.append([job(1)])
    owner.seal()
    owner.path.chmod(0o640)
    assert Writer.adopt(owner.path, 3) is None
    assert not owner.path.stat().st_mode & 0o222


@pytest.mark.parametrize("call", ["writev", "fdatasync"])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """What could not be synced is cut off and does not count; the next owner goes on."""
    owner = Writer.create(tmp_path, b"", 3)
    before = job(1)
    owner.append([before])
    real = getattr(os, call)

    def fail(fd: int, *rest: object) -> int:
        if call == "writev":
            os.write(fd, b"half a fra")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        owner.append([job(2), job(3)])
    assert owner.spent
    monkeypatch.setattr(os, call, real)
    owner.close()
    assert ids(owner.path) == [before.id]
    heir = Writer.adopt(owner.path, 3)
    assert heir
    after = job(4)
    heir.append([after])
    heir.close()
    assert ids(owner.path) == [before.id, after.id]


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    """The kernel itself refuses in the middle of a write."""
    owner = Writer.create(tmp_path, b"", 3)
    owner.append([job(1)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (owner.size + 5000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            owner.append([job(n, message=os.urandom(1000)) for n in range(20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert owner.path.stat().st_size == owner.size
    owner.close()
    assert len(ids(owner.path)) == 1


def test_interrupted_after_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's deadline may strike at any line: then the segment is spent, whatever it holds."""
    owner = Writer.create(tmp_path, b"", 3)

    def interrupted(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(owner, "_count", interrupted)
    with pytest.raises(TimeoutError):
        owner.append([job(1)])
    assert owner.spent
    owner.close()
    heir = Writer.adopt(owner.path, 3)
    assert heir and len(heir.places) == 1
    assert heir.size == owner.path.stat().st_size
    heir.close()


def test_damage_is_kept_and_not_built_upon(tmp_path: Path) -> None:
    owner = Writer.create(tmp_path, b"", 3)
    places = owner.append([job(1), job(2)])
    owner.close()
    data = bytearray(owner.path.read_bytes())
    data[places[0].offset + 40] ^= 1
    owner.path.write_bytes(data)
    heir = Writer.adopt(owner.path, 3)
    assert heir and heir.damaged
    heir.close()
    assert owner.path.read_bytes() == data


def test_a_sweeper_may_come_too_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RACE: between making the file and locking it, it looks like one whose maker died."""
    root = tmp_path / "archive"
    folder = root / "segments"
    folder.mkdir(parents=True)
    real = writer_module.fcntl.flock
    swept: list[str] = []

    def flock(fd: int, operation: int) -> None:
        if not swept:
            swept.append("now")
            swept.extend(path.name for path in folder.glob("*" + NEW))
            sweep(root)
        real(fd, operation)

    monkeypatch.setattr(writer_module.fcntl, "flock", flock)
    owner = Writer.create(folder, b"", 3)
    assert len(swept) == 2
    assert list(folder.iterdir()) == [owner.path]
    owner.append([job(1)])
    owner.close()
    assert len(ids(owner.path)) == 1


def test_no_room_for_a_new_segment_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Writer.create(tmp_path, b"", 3)
    assert not list(tmp_path.iterdir())


_VICTIM = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from archived import job
from trap.archive.store import Store
store = Store(Path(sys.argv[1]), enough=50)
for number in range(100_000):
    batch = [job(number * 10 + n) for n in range(10)]
    store.put(batch)
    print(*(each.id for each in batch), flush=True)
"""


@pytest.mark.parametrize("number", range(3))
def test_killed_in_the_middle(tmp_path: Path, number: int) -> None:
    """kill -9 while appending: everything that was said to be archived is, and the archive goes on."""
    here = Path(__file__).parents[2]
    source = textwrap.dedent(_VICTIM).format(root=str(here.parent), tests=str(here))
    with subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout
        said = [victim.stdout.readline() for _ in range(7 + 9 * number)]
        victim.kill()
        said += victim.stdout.readlines()
    promised = {each for line in said if line.endswith("\n") for each in line.split()}
    store = Store(tmp_path)
    store.put([job(1, message=mail(1))])
    store.close()
    found = [each for path in segments(tmp_path) for each in ids(path)]
    assert promised <= set(found)
    assert len(found) == len(set(found))
