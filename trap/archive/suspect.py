"""Notes which message is being parsed, so that one that kills its parser is not parsed for ever.

A hostile message may take the whole process along: out of memory, or a fault in a C library. Whoever
comes next finds the note that the dead one left, and after DEATHS of them indexes the message by its
envelope and subject alone.
"""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

from trap.archive.fields import Fields, indexed, unparsed
from trap.archive.record import Record

DEATHS = 2
SUFFIX = "-parsing"
_MAX_NOTES = 1000
_WIDTH = 80
_NOTE = re.compile(r"^ *(\S+ \d+)(?: (\d+))?$", re.MULTILINE)
"""Segment, offset, and how many died; without the last it was being parsed when its parser died."""


class Suspect:
    """The notes beside one index, for who holds the index's lock.

    Args:
        index: path of the index.
        segment: name of the one whose messages are parsed.
    """

    def __init__(self, index: Path, segment: str) -> None:
        self._segment = segment
        self._fd = os.open(f"{index}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._deaths: dict[str, int] = {}
        found = os.pread(self._fd, 1 << 20, 0).decode("ascii", "replace")
        for place, deaths in _NOTE.findall(found):
            self._deaths[place] = int(deaths) if deaths else self._deaths.get(place, 0) + 1
        notes = [f"{place} {deaths}\n" for place, deaths in self._deaths.items()][-_MAX_NOTES:]
        self._end = self._write("".join(notes), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.none()
        os.close(self._fd)

    def extract(self, record: Record, offset: int) -> Fields:
        """Parse a message unless too many died of it."""
        place = f"{self._segment} {offset}"
        if (deaths := self._deaths.get(place, 0)) >= DEATHS:
            return unparsed(record, f"parser: died of it {deaths} times")
        # As long as all others, so that it covers the one before: one call a message instead of three.
        os.pwrite(self._fd, f"{place}\n".rjust(_WIDTH).encode("ascii"), self._end)
        return indexed(record)

    def none(self) -> None:
        """Nothing is being parsed."""
        os.ftruncate(self._fd, self._end)

    def _write(self, text: str, at: int) -> int:
        """Let the file end with `text`; returns where that is."""
        end = at + os.pwrite(self._fd, text.encode("ascii"), at)
        os.ftruncate(self._fd, end)
        return end
