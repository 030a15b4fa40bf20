"""What tests share: programs they need, free ports, waiting for something to be true, what things cost."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
EVERY = int(os.environ.get("SPAMTRAP_EVERY", "0"))
"""Of the messages of the corpus a test takes every so many; with 0, as many as it has time for."""
Script = Callable[[str], str]
"""Writes a shell script, and returns its path: the fixture `script`."""
SOON = 10.0
"""Seconds within which anything is answered, however much else the machine has to do."""


def need(*programs: str) -> str:
    """Skip the test when none of the programs is installed; in CI that is a failure.

    Returns the path of the first one found.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    for program in programs:
        if found := shutil.which(program, path=path):
            return found
    return lack(f"{' or '.join(programs)} is not installed")


def lack(reason: str) -> NoReturn:
    """Skip because something is missing that CI must have."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(check: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait until `check()` is true; fail the test when it is not within `seconds`."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what or check}")
        time.sleep(0.02)


def every(paths: Iterable[Path], usual: int) -> list[Path]:
    """Every `usual`-th of the files, or as many as SPAMTRAP_EVERY says."""
    return sorted(paths)[:: EVERY or usual]


def mails(corpus: Path, usual: int) -> list[Path]:
    """The same, of the messages of the corpus."""
    return every(corpus.rglob("*.eml"), usual)


@contextmanager
def at_most(seconds: float, what: object = "", pid: int = 0) -> Iterator[None]:
    """Fail the test when what is done meanwhile costs more than that, or is not done SOON.

    Seconds of a processor are counted and not those of a clock: they are the same whoever else is at work.

    Args:
        seconds: of all processors together, that a process and all below it may use.
        what: is said when it was more.
        pid: the process; this one if 0.
    """
    begun, before = time.monotonic(), used(pid)
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    yield
    took = time.monotonic() - begun
    # A child that was not listed before, though it was there, does not count: the kernel may miss some.
    cost = sum(
        now - before.get(child, 0.0 if child[1] >= boot - 0.1 else now) for child, now in used(pid).items()
    )
    assert cost < seconds, f"{cost:.2f} s of a processor: {what}"
    assert took < SOON, f"{took:.1f} s: {what}"


def used(pid: int = 0) -> dict[tuple[str, float], float]:
    """Seconds of a processor that a process and all that run below it have used; proc(5).

    What children used that ended is not counted for the process itself: those of other tests end any time.

    Returns:
        By process id and when it began, in seconds since the machine did.
    """
    found = {}
    hertz = os.sysconf("SC_CLK_TCK")
    *below, root = _below(Path(f"/proc/{pid or os.getpid()}"))
    for process in {root, *below}:
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended
            said = (process / "stat").read_text().rpartition(")")[2].split()
            ticks = sum(map(int, said[11 : 13 if process == root else 15]))
            found[process.name, int(said[19]) / hertz] = ticks / hertz
    return found


def _below(process: Path) -> list[Path]:
    """A process, after its children: what ends meanwhile is rather counted twice than not at all."""
    try:
        listed = [task.read_text() for task in process.glob("task/*/children")]
    except (FileNotFoundError, ProcessLookupError):
        listed = []
    return [each for pid in " ".join(listed).split() for each in _below(Path("/proc", pid))] + [process]
