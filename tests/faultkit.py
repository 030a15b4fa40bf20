"""What fault tests share: processes that die, or calls that fail, at the nth system call.

The modules that touch the spool and the mail log speak to the kernel through the name `os`. Here
that name is lent to a stand-in, which counts the calls that change something.
"""

import ctypes
import errno
import os
import re
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

CHANGES = frozenset(
    {"open", "write", "writev", "pwrite", "sendfile", "close"}
    | {"rename", "link", "unlink", "mkdir", "rmdir", "fsync"}
)
CAN_FAIL = CHANGES - {"close", "rmdir"}

OS_ERROR, UNHARMED = 74, 75

What = Callable[[Callable[..., Any], str, tuple[Any, ...]], Any]
"""What happens at the chosen call, given the call, its name and its arguments."""


class FaultyOs:
    """Stands in for `os`: does something else at the nth call that changes the file system."""

    def __init__(self, at: int, what: What, names: frozenset[str] = CHANGES) -> None:
        self.count = 0
        self._at, self._what, self._names = at, what, names

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in self._names:
            return call

        def counted(*args: Any, **keywords: Any) -> Any:
            self.count += 1
            if self.count == self._at:
                return self._what(call, name, args)
            return call(*args, **keywords)

        return counted


@contextmanager
def faulty(at: int, what: What, names: frozenset[str] = CHANGES) -> Iterator[FaultyOs]:
    """Lend the name `os` of the spool's and the log's module to a FaultyOs."""
    stand_in = FaultyOs(at, what, names)
    with (
        patch("trap.fsio.os", stand_in),
        patch("trap.draft.os", stand_in),
        patch("trap.maillog.os", stand_in),
    ):
        yield stand_in


def die() -> NoReturn:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def die_before(call: Callable[..., Any], name: str, args: tuple[Any, ...]) -> Any:
    """The process dies, the call is not made."""
    die()


def die_after(call: Callable[..., Any], name: str, args: tuple[Any, ...]) -> Any:
    """The call is made, the process dies. What is written is written by half."""
    if name in {"write", "pwrite"}:
        args = (args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
    elif name == "writev":
        args = (args[0], [b"".join(args[1])[: sum(map(len, args[1])) // 2]])
    call(*args)
    die()


def fail_with(number: int) -> What:
    """The call is refused with this errno."""

    def fail(call: Callable[..., Any], name: str, args: tuple[Any, ...]) -> Any:
        raise OSError(number, os.strerror(number), *args[:1])

    return fail


def short_write(call: Callable[..., Any], name: str, args: tuple[Any, ...]) -> Any:
    """The disk fills up in the middle of a write; other calls are refused."""
    if name not in {"write", "pwrite"}:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return call(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])


def at_once(*acts: Callable[[], object]) -> list[int]:
    """Run each of `acts` in a process of its own, all at once; returns what waitpid says of each."""
    pids = []
    for act in acts:
        pid = os.fork()
        if pid == 0:
            os._exit(_status(act))
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def in_child(act: Callable[[], object]) -> int:
    """Run `act` in a process of its own; returns what waitpid says: 0, or minus the signal."""
    (status,) = at_once(act)
    return status


_COLLAPSE = 25
"""MADV_COLLAPSE of <linux/mman.h>."""
_LARGE = 2 << 20
_OURS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *(?:\[heap\])?")
"""A line of /proc/self/maps, proc(5), about memory that is no file's."""


def make_forks_cheap() -> None:
    """Ask the kernel for large pages in the place of small ones, wherever this process has memory.

    A fork copies a line for each page, which takes longer than all else that is done in most children here.
    A kernel that knows nothing of it leaves all as it is (madvise(2); Linux 6.1 was the first that did).
    """
    advise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        if found := _OURS.fullmatch(line):
            begin, end = (int(number, 16) for number in found.groups())
            begin, end = -(-begin // _LARGE) * _LARGE, end // _LARGE * _LARGE
            if begin < end:
                advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _COLLAPSE)


class Child:
    """A process of its own that runs `act` while the block lasts; what is left of it then is killed."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self.pid = 0

    def __enter__(self) -> "Child":
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(_status(self._act))
        return self

    def wait(self) -> int:
        """Its exit status, or minus the signal that ended it."""
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def _status(act: Callable[[], object]) -> int:
    try:
        act()
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def every_call(
    act: Callable[[], object], what: What, names: frozenset[str] = CHANGES
) -> Iterator[tuple[int, bool]]:
    """Run `act` in a child whose first call goes wrong, then its second, until none does any more.

    Yields the number of the call, and whether the child lived and raised nothing; what it left is
    there to be looked at.
    """
    for at in range(1, 1000):

        def faulted(at: int = at) -> None:
            with faulty(at, what, names) as system:
                try:
                    act()
                except OSError:
                    os._exit(OS_ERROR)
            os._exit(0 if system.count >= at else UNHARMED)

        status = in_child(faulted)
        assert status in {0, OS_ERROR, UNHARMED, -signal.SIGKILL}, f"the child failed at call {at}"
        yield at, status in {0, UNHARMED}
        if status == UNHARMED:
            return
