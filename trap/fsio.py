"""The only module that creates, renames, links, locks or unlinks in the spool.

Everything the queues promise rests on four facts of POSIX file systems: rename and link are
atomic, unlink takes one name and not the file, a file without a name is gone once it is closed,
and a flock ends with the process that holds it. Errors are never read as emptiness: whatever the
kernel says is raised as OSError, except where a docstring says otherwise.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

Pieces = Sequence[bytes | bytearray]
"""What is written one after the other."""
_IOV_MAX = 1024


class Space(NamedTuple):
    """What a file system has and has left. Inode figures are 0 where it does not count them."""

    bytes_total: int
    bytes_free: int
    inodes_total: int
    inodes_free: int

    @property
    def bytes_used(self) -> float:
        """Share of the bytes in use, 0 to 1."""
        return 1 - self.bytes_free / self.bytes_total if self.bytes_total else 0.0

    @property
    def inodes_used(self) -> float:
        """Share of the inodes in use, 0 to 1."""
        return 1 - self.inodes_free / self.inodes_total if self.inodes_total else 0.0


def space(path: str | Path) -> Space:
    """Ask the file system that holds `path` for its room."""
    s = os.statvfs(path)
    return Space(s.f_blocks * s.f_frsize, s.f_bavail * s.f_frsize, s.f_files, s.f_favail)


def create(path: str) -> int:
    """Make a new file, for reading and writing; returns its descriptor. `path` must not exist."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def write(path: str, pieces: Pieces, *, sync: bool = False) -> None:
    """Write a new file whole or not at all: on any error what was written is removed.

    Args:
        path: must not exist.
        pieces: written one after the other.
        sync: fsync the file before returning.
    """
    fd = create(path)
    try:
        try:
            write_all(fd, pieces)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        os.unlink(path)
        raise


def write_all(fd: int, pieces: Pieces) -> None:
    """Write all pieces to an open file; the kernel takes at most 1,024 at once (IOV_MAX)."""
    if len(pieces) > _IOV_MAX:
        for at in range(0, len(pieces), _IOV_MAX):
            write_all(fd, pieces[at : at + _IOV_MAX])
        return
    done = os.writev(fd, pieces)
    if done < sum(map(len, pieces)):  # seldom: the disk fills up, or more than 2 GiB
        rest = memoryview(b"".join(pieces))[done:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def rename(source: str, target: str, *, sync: bool = False) -> None:
    """Give the file its new name and take the old one, in one step."""
    os.rename(source, target)
    if sync:
        sync_directory(os.path.dirname(target))


def link(source: str, target: str, *, sync: bool = False) -> None:
    """Give the file a second name. That it has this name already is what was asked for."""
    with suppress(FileExistsError):
        os.link(source, target)
    if sync:
        sync_directory(os.path.dirname(target))


def unlink(path: str) -> None:
    """Take a name away. That it is gone already is what was asked for."""
    try:  # noqa: SIM105 - suppress would cost a tenth of the call
        os.unlink(path)
    except FileNotFoundError:
        pass


def read(path: str) -> bytes:
    """The whole file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, size)
        while len(data) < size and (more := os.read(fd, size - len(data))):  # reads over 2 GiB are cut
            data += more
        return data
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """fsync a directory, so that the names in it survive the host."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: str | Path) -> None:
    """Make a directory and its parents, for this user and group only, unless it is there."""
    Path(path).mkdir(mode=0o750, parents=True, exist_ok=True)


def names(directory: str) -> list[str]:
    """Names in a directory, unsorted."""
    return os.listdir(directory)


def entries(directory: str) -> int:
    """How many names are in a directory of a tmpfs, without listing it.

    There a directory's size is 20 bytes a name, with two for itself and its parent (BOGO_DIRENT_SIZE
    in Linux's mm/shmem.c).
    """
    return os.stat(directory).st_size // 20 - 2


def is_tmpfs(path: str | Path) -> bool:
    """Whether `path` lives in memory, told by the longest mount point above it."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, fstype, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if (real == mount or real.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, fstype
    return kind in {"tmpfs", "ramfs"}


def is_shared(directory: str | Path) -> bool:
    """Whether everybody may write to a directory, as to /dev/shm and /tmp."""
    return bool(os.stat(directory).st_mode & stat.S_IWOTH)


def check_private(path: str | Path) -> None:
    """Refuse a directory that somebody else could have prepared for us.

    Raises:
        PermissionError: it belongs to another user, or others may write to it.
    """
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(path))
    if info.st_uid not in {0, os.geteuid()} or info.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "belongs to another user or is writable by all", str(path))


_UNPREFIXED = re.compile(r"\d").match
_leases: "set[Lease]" = set()
"""Every lease of this process, for the children that a stage may fork."""


def _forget_leases() -> None:
    for lease in list(_leases):
        lease.forget()


os.register_at_fork(after_in_child=_forget_leases)


class Lease:
    """A directory that is ours for as long as this process lives: we hold its flock.

    The kernel ends the lease, whatever ends the process. There is no time-out, no pid to probe
    and no heartbeat: whoever can take the lock knows that the owner is gone.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        _leases.add(self)

    @classmethod
    def take(cls, parent: str, prefix: str = "") -> Self:
        """Make a directory of our own in `parent` and lock it."""
        while True:
            path = f"{parent}/{prefix}{os.getpid()}-{os.urandom(4).hex()}"
            os.mkdir(path, 0o700)
            if lease := cls._lock(path):
                return lease
            # RACE: a recoverer took the directory between our mkdir and our flock, found it
            # free and empty, and removed it. Make another. (test_lease_lost_before_lock)

    @classmethod
    def orphaned(cls, parent: str) -> Iterator[Self]:
        """Take over, one by one, the directories in `parent` whose owner is gone."""
        for name in names(parent):
            if lease := cls._lock(f"{parent}/{name}"):
                yield lease

    @classmethod
    def alive(cls, parent: str) -> int:
        """How many directories in `parent` have a living owner; those taken with a prefix don't count."""
        return sum(cls.owned(f"{parent}/{name}") for name in filter(_UNPREFIXED, names(parent)))

    @staticmethod
    def owned(path: str) -> bool:
        """Whether a directory is there and has a living owner."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            # RACE: for these microseconds our shared lock makes a recoverer pass this
            # directory by (it comes again) or a starting owner make another one.
            # (test_alive_is_harmless)
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    @classmethod
    def _lock(cls, path: str) -> Self | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # RACE: the directory may have been removed between open and flock; then the lock is
            # on something that nobody else can find any more. (test_lock_on_removed_directory)
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                return cls(path, fd)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        return None

    def forget(self) -> None:
        """Close the lock. In a forked child: else the parent's lock would outlive the parent."""
        _leases.discard(self)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def names(self) -> list[str]:
        """What lies in the directory."""
        return names(self.path)

    def release(self) -> None:
        """End the lease and remove the directory; one that still holds jobs stays, as an orphan."""
        if self._fd >= 0:
            try:
                os.rmdir(self.path)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.ENOENT}:
                    raise
            finally:
                self.forget()


def try_lock(path: str | Path) -> int | None:
    """Lock a file, made if there is none, until its descriptor is closed or this process ends.

    Returns:
        The descriptor; None when somebody else holds the lock.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextmanager
def locked(path: str | Path) -> Iterator[bool]:
    """Hold the lock of a file, if nobody else does; whether it was free."""
    fd = try_lock(path)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file outside the spool (state, certificates) whole or not at all, and synced."""
    tmp = f"{path}.{os.getpid()}.tmp"
    with suppress(FileNotFoundError):
        os.unlink(tmp)
    write(tmp, [data], sync=True)
    rename(tmp, str(path), sync=True)


def size(path: str) -> int:
    """Bytes a file takes on its file system."""
    return os.stat(path).st_blocks * 512


def is_mount(path: str | Path) -> bool:
    """Whether a file system of its own is mounted at `path`."""
    return os.path.ismount(path)


def usage(directory: str) -> tuple[int, int]:
    """Bytes and inodes that everything below `directory` takes. Costs a stat a file."""
    total, files = 0, 0
    for parent, _, entries in os.walk(directory):
        for entry in entries:
            with suppress(FileNotFoundError):
                total += size(f"{parent}/{entry}")
        files += len(entries) + 1
    return total, files
