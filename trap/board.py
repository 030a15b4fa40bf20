"""Small files in which processes tell of themselves, for `spamtrap status` and its like.

One file a process, below the state directory: the spool is what may be full when somebody wants to
know. Each lies in a directory that its process holds a lease on, so that whoever reads can tell the
living from the dead, and what the dead have left is swept when the next one starts.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from trap import fsio

TOLD = "told.json"
_NEW = "new.json"

T = TypeVar("T")


class Board:
    """Where this process tells of itself.

    Args:
        parent: directory of all boards of this kind.

    Raises:
        OSError: the directory can't be made.
    """

    def __init__(self, parent: str) -> None:
        self._parent = parent
        fsio.make_directory(parent)
        for left in fsio.Lease.orphaned(parent):
            _remove(left)
        self._lease = fsio.Lease.take(parent)

    def publish(self, told: msgspec.Struct) -> bool:
        """Replace what was told before. Readers see the one or the other, never a half.

        Returns:
            Whether it could be written.

        That the disk is full is no reason to stop: the last that was told grows old, and its age is
        shown. A directory that somebody removed is made again.
        """
        with suppress(OSError):
            try:
                self._replace(told)
            except FileNotFoundError:
                fsio.make_directory(self._parent)
                gone, self._lease = self._lease, fsio.Lease.take(self._parent)
                gone.release()
                self._replace(told)
            return True
        return False

    def _replace(self, told: msgspec.Struct) -> None:
        new = f"{self._lease.path}/{_NEW}"
        fsio.unlink(new)  # left by a rename that failed
        fsio.write(new, [msgspec.json.encode(told)])
        fsio.rename(new, f"{self._lease.path}/{TOLD}")

    def close(self) -> None:
        """Take it away: this process is not there any more."""
        _remove(self._lease)


def _remove(lease: fsio.Lease) -> None:
    for name in (_NEW, TOLD):
        fsio.unlink(f"{lease.path}/{name}")
    lease.release()


def read(parent: str, kind: type[T]) -> Iterator[T]:
    """What the processes that are alive told last.

    What one of another version tells, as during an upgrade, is passed over if it makes no sense here.

    Args:
        parent: directory of the boards.
        kind: the structure that is told.

    Raises:
        OSError: it can't be read, other than because a process has just gone.
    """
    with suppress(FileNotFoundError):
        for name in fsio.names(parent):
            # RACE: the process may end between the two; then there is nothing to read. (test_gone_while_read)
            if fsio.Lease.owned(f"{parent}/{name}"):
                with suppress(FileNotFoundError, msgspec.DecodeError):
                    yield msgspec.json.decode(fsio.read(f"{parent}/{name}/{TOLD}"), type=kind)
