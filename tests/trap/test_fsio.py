"""The file system's primitives: whole or not at all, and leases that end with their process."""

import errno
import fcntl
import os
import signal
import stat
import time

import pytest
from faultkit import Child, at_once, die, fail_with, faulty
from support import eventually

from trap import fsio
from trap.fsio import Lease


@pytest.fixture
def parent(tmp_path):
    """A queue's work/ directory."""
    path = tmp_path / "work"
    path.mkdir()
    return str(path)


# Files


def test_write_writes_the_pieces_one_after_the_other(tmp_path):
    fsio.write(f"{tmp_path}/file", [b"a" * 3, b"", b"b" * 70_000])
    assert fsio.read(f"{tmp_path}/file") == b"aaa" + b"b" * 70_000
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_write_goes_on_after_a_short_write(tmp_path, monkeypatch):
    """The kernel may take less than it is given; here it takes five bytes at a time."""
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, views: real(fd, [b"".join(views)[:5]]))
    fsio.write(f"{tmp_path}/file", [b"abcdefg", b"hijklmn", b"o"])
    assert fsio.read(f"{tmp_path}/file") == b"abcdefghijklmno"


@pytest.mark.parametrize("call", ["writev", "fsync"])
def test_write_leaves_nothing_when_it_fails(tmp_path, call):
    with faulty(1, fail_with(errno.ENOSPC), frozenset({call})), pytest.raises(OSError, match="No space"):
        fsio.write(f"{tmp_path}/file", [b"x"], sync=True)
    assert list(tmp_path.iterdir()) == []


def test_write_never_writes_over_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        fsio.write(f"{tmp_path}/file", [b"x"])
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_unlink_and_link_ask_for_a_state_and_take_it_as_found(tmp_path):
    """That the name is gone, or is there, already is what was asked for; other errors come out."""
    (tmp_path / "file").write_bytes(b"x")
    for _ in range(2):
        fsio.link(f"{tmp_path}/file", f"{tmp_path}/other")
    for _ in range(2):
        fsio.unlink(f"{tmp_path}/file")
    assert fsio.read(f"{tmp_path}/other") == b"x"
    with pytest.raises(FileNotFoundError):
        fsio.link(f"{tmp_path}/file", f"{tmp_path}/third")
    with pytest.raises(NotADirectoryError):
        fsio.unlink(f"{tmp_path}/other/file")


def test_errors_are_not_emptiness(tmp_path):
    """A directory that can't be listed is not an empty one."""
    with pytest.raises(FileNotFoundError):
        fsio.names(f"{tmp_path}/nowhere")
    with pytest.raises(FileNotFoundError):
        fsio.read(f"{tmp_path}/nowhere")
    with pytest.raises(FileNotFoundError):
        list(Lease.orphaned(f"{tmp_path}/nowhere"))


@pytest.mark.parametrize("sync", [False, True])
def test_names_are_synced_when_asked(tmp_path, monkeypatch, sync):
    """With sync, rename and link end with an fsync of the directory that holds the new name."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    (tmp_path / "new").mkdir()
    fsio.write(f"{tmp_path}/file", [b"x"], sync=sync)
    fsio.link(f"{tmp_path}/file", f"{tmp_path}/new/other", sync=sync)
    fsio.rename(f"{tmp_path}/file", f"{tmp_path}/new/file", sync=sync)
    assert synced == ([f"{tmp_path}/file", f"{tmp_path}/new", f"{tmp_path}/new"] if sync else [])


def test_replace_file_is_the_old_or_the_new_one(tmp_path):
    path = tmp_path / "state.json"
    fsio.replace_file(path, b"old")
    fsio.replace_file(path, b"new")
    for name in ("writev", "fsync", "rename"):
        with faulty(1, fail_with(errno.ENOSPC), frozenset({name})), pytest.raises(OSError, match="No space"):
            fsio.replace_file(path, b"never")
        assert path.read_bytes() == b"new"


def test_a_directory_of_somebody_else_is_refused(tmp_path):
    fsio.make_directory(tmp_path / "spool")
    fsio.check_private(tmp_path / "spool")
    (tmp_path / "spool").chmod(0o777)
    with pytest.raises(PermissionError):
        fsio.check_private(tmp_path / "spool")
    (tmp_path / "link").symlink_to(tmp_path / "spool")
    with pytest.raises(NotADirectoryError):
        fsio.check_private(tmp_path / "link")


def test_space_and_memory():
    room = fsio.space("/")
    assert 0 <= room.bytes_used <= 1
    assert 0 <= room.inodes_used <= 1
    assert fsio.Space(0, 0, 0, 0).bytes_used == fsio.Space(0, 0, 0, 0).inodes_used == 0
    assert not fsio.is_tmpfs("/proc/self")
    assert fsio.is_mount("/proc")


# Leases


def test_a_lease_lives_as_long_as_its_process(parent):
    """While the owner lives, nobody can take its directory over; the kernel ends it with the owner."""
    read, write = os.pipe()

    def own() -> None:
        lease = Lease.take(parent)
        (open(f"{lease.path}/job", "w")).close()
        os.read(read, 1)  # until told
        die()

    with Child(own) as owner:
        eventually(lambda: Lease.alive(parent) == 1 and os.listdir(f"{parent}/{os.listdir(parent)[0]}"))
        assert list(Lease.orphaned(parent)) == []
        os.write(write, b"x")
        assert owner.wait() == -signal.SIGKILL
    assert Lease.alive(parent) == 0
    (orphan,) = Lease.orphaned(parent)
    assert orphan.names() == ["job"]
    assert list(Lease.orphaned(parent)) == [], "one recoverer at a time"
    orphan.release()
    os.close(read)
    os.close(write)


def test_release_removes_the_directory_unless_it_holds_jobs(parent):
    empty, full = Lease.take(parent), Lease.take(parent)
    (open(f"{full.path}/job", "w")).close()
    for lease in (empty, full, full):
        lease.release()
    assert os.listdir(parent) == [os.path.basename(full.path)]
    assert [orphan.path for orphan in Lease.orphaned(parent)] == [full.path]


def test_a_lease_is_not_inherited_by_programs_a_stage_runs(parent):
    """A scanner that outlives its worker must not keep the worker's jobs."""
    lease = Lease.take(parent)
    assert not os.get_inheritable(lease._fd)
    lease.release()


def test_what_is_no_directory_is_no_lease(parent):
    (open(f"{parent}/stray", "w")).close()
    assert list(Lease.orphaned(parent)) == []
    assert Lease.alive(parent) == 0


def test_lease_lost_before_lock(parent, monkeypatch):
    """A recoverer finds the directory free between mkdir and flock, and removes it."""
    real, raced = os.mkdir, []

    def mkdir_and_recover(path, mode):
        real(path, mode)
        if not raced:
            raced.append(path)
            for orphan in Lease.orphaned(parent):
                orphan.release()

    monkeypatch.setattr(os, "mkdir", mkdir_and_recover)
    lease = Lease.take(parent)
    assert [lease.path] != raced
    assert os.listdir(parent) == [os.path.basename(lease.path)]
    assert Lease.alive(parent) == 1
    lease.release()


def test_lease_held_by_a_recoverer_before_lock(parent, monkeypatch):
    """The same, but the recoverer has only just locked it: the owner makes another, both go on."""
    real, recoverer = os.mkdir, []

    def mkdir_and_lock(path, mode):
        real(path, mode)
        if not recoverer:
            recoverer.extend(Lease.orphaned(parent))

    monkeypatch.setattr(os, "mkdir", mkdir_and_lock)
    lease = Lease.take(parent)
    recoverer[0].release()
    assert os.listdir(parent) == [os.path.basename(lease.path)]
    lease.release()


@pytest.mark.parametrize("again", [False, True])
def test_lock_on_removed_directory(parent, monkeypatch, again):
    """The directory is removed between open and flock, and perhaps made anew by that name."""
    Lease.take(parent).release()
    path = f"{parent}/1-abc"
    os.mkdir(path)
    real = fcntl.flock

    def remove_and_lock(fd, how):
        os.rmdir(path)
        if again:
            os.mkdir(path)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    assert list(Lease.orphaned(parent)) == [], "a lock that nobody can see is no lease"
    monkeypatch.undo()
    assert len(list(Lease.orphaned(parent))) == (1 if again else 0)


def test_alive_is_harmless(parent, monkeypatch):
    """While the living are counted, a recoverer may miss an orphan, and an owner make another directory."""
    orphan = Lease.take(parent)
    (open(f"{orphan.path}/job", "w")).close()
    orphan.release()
    real = fcntl.flock
    seen = []

    def look_and_more(fd, how):
        real(fd, how)
        monkeypatch.undo()
        seen.append(list(Lease.orphaned(parent)))  # passes it by: there is a lock on it
        starting = Lease.take(parent)
        seen.append(starting)

    monkeypatch.setattr(fcntl, "flock", look_and_more)
    assert Lease.alive(parent) in {0, 1}
    assert seen[0] == []
    assert [lease.path for lease in Lease.orphaned(parent)] == [orphan.path], "it comes again"
    assert Lease.alive(parent) == 2
    seen[1].release()


def test_owners_and_recoverers_at_once_lose_no_directory(parent):
    """Two processes take leases while two others recover: an owner's directory is never taken away."""

    def own() -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            lease = Lease.take(parent)
            os.close(os.open(f"{lease.path}/job", os.O_CREAT | os.O_WRONLY))
            assert lease.names() == ["job"]
            os.unlink(f"{lease.path}/job")
            lease.release()

    def recover() -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            for orphan in Lease.orphaned(parent):
                assert orphan.names() == []
                orphan.release()

    assert at_once(own, recover, own, recover) == [0] * 4


def test_a_lock_is_one_holders_until_he_lets_go(tmp_path):
    with fsio.locked(tmp_path / "lock") as ours:
        assert ours
        with fsio.locked(tmp_path / "lock") as theirs:
            assert not theirs
        assert fsio.try_lock(tmp_path / "lock") is None
    with fsio.locked(tmp_path / "lock") as ours:
        assert ours
