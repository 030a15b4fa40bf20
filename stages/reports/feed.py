"""The feed: one JSON line for each reported message, a file for each day (UTC).

Lines are only appended, each by one write(), so any number of processes share a file and none
needs to know of the others. What a full disk or a kill leaves behind is half a line: the next
one begins afresh, readers skip the half and rescue what was written behind it.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stages.reports.facts import Fact
from stages.reports.period import Period, iso

_START = b'{"id":'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fact).decode


class Feed:
    """The files in one directory.

    Args:
        directory: must exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._torn = False

    def append(self, fact: Fact) -> None:
        """Write a line. It is there once the call returns.

        Raises:
            OSError: it can't be written, or not all of it.
        """
        line = (b"\n" if self._torn else b"") + _encode(fact) + b"\n"
        self._torn = True
        append(self._path(fact.time[:10]), line, 0o640)
        self._torn = False

    def read(self, period: Period) -> Iterator[Fact]:
        """The facts reported in a period. After a crash one may come twice, with the same id."""
        start, end = iso(period.start), iso(period.end)
        for day in period.days():
            path = self._path(day)
            if not path.exists():
                continue
            with path.open("rb") as file:
                for line in file:
                    fact = _read(line)
                    if fact and start <= fact.time < end:
                        yield fact

    def _path(self, day: str) -> Path:
        return self._directory / f"feed-{day}.jsonl"


def append(path: Path, line: bytes, mode: int) -> None:
    """Append to a file by one write, so that any number of processes may do so.

    Args:
        path: made when it is not there.
        line: what is written.
        mode: of a new file.

    Raises:
        OSError: it can't be written, or not all of it.
    """
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if os.write(fd, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(fd)


def _read(line: bytes) -> Fact | None:
    for at in (0, line.rfind(_START)):
        try:
            return _decode(line[at:] if at > 0 else line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return None
