"""Files that others fetch: each whole when it has its name, and everything in exactly one of them."""

import errno
import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from reportkit import Clock

from stages.reporting import rotation
from stages.reporting.rotation import Files, Rotation
from trap.config import Duration, Size
from trap.stage import Unavailable


def lines(texts: Sequence[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in texts)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "feed.db"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "files"


def made(state: Path, directory: Path, files: Files = Files()) -> Rotation:
    return Rotation(state, directory, ".jsonl", lines, files)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def published(directory: Path) -> list[bytes]:
    """All that is in the files, by their names."""
    return [
        line
        for name in names(directory)
        if name.startswith("feed-")
        for line in content(directory / name).splitlines()
    ]


def test_what_is_added_is_published_together(state: Path, directory: Path, clock: Clock):
    files = made(state, directory)
    assert files.add("a", b"one") and files.add("b", b"two")
    files.turn()
    assert names(directory) == []  # more may come
    clock.now += 15 * 60
    files.turn()
    name = f"feed-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(clock.now - 900))}-1.jsonl"
    assert names(directory) == [name, "latest.jsonl"]
    assert (directory / "latest.jsonl").read_bytes() == b"one\ntwo\n"
    assert os.readlink(directory / "latest.jsonl") == name
    assert (directory / name).stat().st_mode & 0o777 == 0o640


def test_an_id_is_taken_once_before_and_after_it_is_published(state: Path, directory: Path):
    files = made(state, directory)
    assert files.add("a", b"one")
    assert not files.add("a", b"one")
    files.publish()
    files.close()
    again = made(state, directory)
    assert not again.add("a", b"one")
    again.publish()
    assert published(directory) == [b"one"]


def test_a_file_is_full_when_it_is_large_enough(state: Path, directory: Path):
    files = made(state, directory, Files(size=Size(100)))
    for number in range(10):
        files.add(str(number), b"%d" % number * 30)
    files.turn()
    sizes = [len(content(directory / name)) for name in names(directory) if name.startswith("feed-")]
    assert sizes == [93, 93, 93]  # the tenth waits
    files.publish()
    assert len(published(directory)) == 10


def test_what_is_larger_than_a_file_has_one_for_itself(state: Path, directory: Path):
    files = made(state, directory, Files(size=Size(10)))
    files.add("a", b"x" * 1000)
    files.turn()
    assert published(directory) == [b"x" * 1000]


def test_older_files_are_compressed_and_the_oldest_removed(state: Path, directory: Path, clock: Clock):
    files = made(state, directory)
    for number in range(4):
        clock.now += 3600
        files.add(str(number), b"%d" % number)
        files.publish()
    for _ in range(5):
        files.turn()
    kinds = [name.rpartition(".")[2] for name in names(directory) if name.startswith("feed-")]
    assert kinds == ["gz", "gz", "gz", "jsonl"]
    assert published(directory) == [b"0", b"1", b"2", b"3"]
    clock.now += 30 * 86_400 - 3600
    files._cleaned = 0.0
    files.turn()
    assert published(directory) == [b"2", b"3"]
    clock.now += 90 * 86_400
    files._cleaned = 0.0
    files.turn()
    assert published(directory) == [b"3"]  # who comes seldom finds the newest still
    assert files.add("0", b"0")  # so late it is another


def test_a_quiet_time_makes_no_files(state: Path, directory: Path, clock: Clock):
    files = made(state, directory)
    for _ in range(3):
        clock.now += 3600
        files.turn()
    assert names(directory) == []


def test_a_clock_that_was_set_back_holds_up_nothing(state: Path, directory: Path, clock: Clock):
    files = made(state, directory)
    files.add("a", b"one")
    clock.now -= 365 * 86_400
    files.turn()
    assert published(directory) == [b"one"]


@pytest.mark.parametrize(("call", "at"), [("write", 1), ("rename", 1), ("rename", 2), ("unlink", 2)])
def test_a_file_that_was_begun_is_written_again_the_same(
    state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int
):
    """Whoever has fetched it under this name already misses nothing."""
    files = made(state, directory)
    files.add("a", b"one")
    real, count = getattr(rotation, call), 0

    def fails(*args: object, **keywords: object) -> object:
        nonlocal count
        count += 1
        if count == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, call, fails)
        with pytest.raises(OSError, match="No space"):
            files.publish()
    assert set(published(directory)) <= {b"one"}
    files.close()
    again = made(state, directory)
    again.add("b", b"two")
    again.publish()
    again.publish()
    assert published(directory) == [b"one", b"two"]
    assert [name for name in names(directory) if name.startswith(".")] == []
    first = content(directory / names(directory)[0])
    assert first == b"one\n"


def test_a_full_disk_is_told_and_nothing_more_is_taken_until_there_is_room(
    state: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    files = made(state, directory, Files(every=Duration(0.001)))
    files.add("a", b"one")
    time.sleep(0.002)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "write", full)
        files.turn()
    with pytest.raises(Unavailable, match="No space left"):
        files.add("b", b"two")
    files._due = 0.0
    files.turn()
    assert files.add("b", b"two")
    assert published(directory) == [b"one"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_a_database_that_can_t_grow_takes_nothing(state: Path, directory: Path):
    files = made(state, directory)
    pages = files._db.execute("PRAGMA page_count").fetchone()[0]
    files._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(Unavailable, match="full"):
        files.add("a", b"x" * 100_000)
    files.add("b", b"two")
    files.publish()
    assert published(directory) == [b"two"]


def test_a_database_that_is_none_is_told(state: Path, directory: Path):
    state.write_bytes(b"no database" * 1000)
    with pytest.raises(OSError, match=r"feed\.db"):
        made(state, directory)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (Files(every=Duration(0)), "more than nothing"),
        (Files(size=Size(0)), "more than nothing"),
        (Files(keep=Duration("1m")), "not be shorter"),
    ],
)
def test_settings_that_make_no_sense(files: Files, why: str):
    with pytest.raises(ValueError, match=why):
        files.check()


CHILD = """
import sys
from pathlib import Path
from stages.reporting.rotation import Files, Rotation
from trap.config import Size
files = Rotation(Path(sys.argv[1]), Path(sys.argv[2]), ".jsonl", lambda t: b"".join(x + b"\\n" for x in t),
                 Files(size=Size(2000)))
print("ready", flush=True)
number = int(sys.argv[3])
while True:
    files.add(str(number), b"%d " % number * 20)
    print(number, flush=True)
    files.turn()
    number += 1
"""


def test_killed_at_any_moment_nothing_is_lost_or_told_twice(state: Path, directory: Path):
    """Readers look all the time meanwhile, and never see half a file."""
    told = 0
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, state, directory, str(told)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout and child.stdout.readline() == "ready\n"
        end = time.monotonic() + random.uniform(0.05, 0.25)
        while time.monotonic() < end:
            for name in names(directory):
                if name.endswith(".jsonl"):
                    try:
                        seen = (directory / name).read_bytes()
                    except FileNotFoundError:  # it is compressed by now
                        continue
                    assert seen.endswith(b"\n") and all(len(set(x.split())) == 1 for x in seen.splitlines())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
        child.stdout.close()
        child.wait()
        told = max([told, *map(int, rest)])  # and once more: its reporter does not know that it was taken
    files = made(state, directory, Files(size=Size(2000)))
    files.add(str(told), b"%d " % told * 20)
    files.publish()
    files.close()
    counted = Counter(int(line.split()[0]) for line in published(directory))
    assert set(range(told + 1)) <= set(counted) and set(counted.values()) == {1}
    assert len(counted) <= told + 2
