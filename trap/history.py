"""What was accepted, archived, dropped, shed, how much and when: counts by minute for the last hour, by five
minutes for the last day, by the hour for the last week.

They are counted from the mail log, reading forward only. What was counted, and the place in the log up to
which it was, are one value, so whoever has it may go on from there, again and again, and comes to the
same: the reaper does at each of its rounds, and keeps the result in a file; the web page begins with that
file, and goes on in its own memory. Nobody has to lock anybody out, and a crash loses nothing.

These are events, not jobs: what a worker's death makes happen twice is counted twice. The account of the
jobs is the ledger's (trap/ledger.py).
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from trap.config import Config
from trap.fsio import replace_file
from trap.ledger import Event, lines
from trap.maillog import CURRENT, rotated

FILE = "history.json"
SPANS = {"hour": (60, 60), "day": (300, 288), "week": (3600, 168)}
"""What is remembered, by name: seconds in a step, and steps."""
OTHER = "other reasons"
MOST_KEYS = 60
"""Things counted apart in one step; further reasons share one."""
LEFT = "left "
"""Begins the count of what left a queue."""
_STEP_BYTES = 4 << 20
_HEAD = 80
"""Bytes by which a file of the log is known again: time, event and job of its first line."""
_ECHOES = 1 << 20
"""Bytes at the end of a finished file whose lines may stand at the beginning of the next once more."""
_COUNTED = frozenset({"accepted", "archived", "reported", "bad", "purged"})
_BY_REASON = frozenset({"dropped", "shed"})

_log = logging.getLogger("spamtrap.history")

Counts = Counter[str]


class Point(NamedTuple):
    """One step of a span."""

    start: int
    """Seconds since the epoch."""
    counts: Mapping[str, int]
    """accepted, archived, reported, bad, purged; "left QUEUE", "dropped QUEUE REASON", "shed …"."""


class _Known(msgspec.Struct):
    """What was counted, and up to where."""

    head: str = ""
    """Begin of the file of the log that was read last."""
    offset: int = 0
    """Bytes of it that were read."""
    before: int = 0
    """Bytes that were read of the file before it."""
    latest: float = 0.0
    """Time of the last event."""
    steps: dict[int, dict[int, dict[str, int]]] = {}
    """Seconds in a step -> its start -> counts."""


class History:
    """The counts, as far as they were read.

    Args:
        config: its mail log is read.

    Begins with what the reaper kept, if that can be read: else all of the log is read anew.
    """

    def __init__(self, config: Config) -> None:
        self._log = config.paths.maillog
        self._path = config.paths.state / FILE
        self._known = _kept(self._path)
        self._echoes: frozenset[bytes] | None = None
        self._saved = self._place

    @property
    def _place(self) -> tuple[str, int]:
        return self._known.head, self._known.offset

    def update(self) -> int:
        """Count what was written to the log since the last time.

        Returns:
            How many events that were.

        Raises:
            OSError: the log can't be read.
        """
        total = 0
        files, current = _files(self._log)
        try:
            first, after = self._unread(files, current)
            for at in range(first, len(files)):
                with suppress(FileNotFoundError), files[at].open("rb") as file:  # removed as we read
                    total += self._read(file, files[at - 1] if at else None, after)
            if current:
                total += self._read(current, files[-1] if files else None, after)
        finally:
            if current:
                current.close()
        now = time.time()
        for width, most in SPANS.values():
            steps = self._known.steps.get(width, {})
            for start in [each for each in steps if not now - width * (most + 2) < each < now + width]:
                del steps[start]
        return total

    def save(self) -> None:
        """Keep the counts for whoever begins after us, when there are new ones.

        Raises:
            OSError: they can't be written.
        """
        if self._place != self._saved:
            replace_file(self._path, msgspec.json.encode(self._known))
            self._saved = self._place

    def points(self, span: str, now: float | None = None) -> list[Point]:
        """The steps of one of SPANS, oldest first, the last one still under way.

        Raises:
            KeyError: there is no such span.
        """
        width, most = SPANS[span]
        last = int((time.time() if now is None else now) // width) * width
        steps = self._known.steps.get(width, {})
        return [
            Point(start, dict(steps.get(start, ())))
            for start in range(last - width * (most - 1), last + 1, width)
        ]

    def rates(self, now: float | None = None) -> dict[str, float]:
        """Events of each kind per second over the last minute, its older part taken to have been even."""
        now = time.time() if now is None else now
        *_, before, current = self.points("hour", now)
        share = 1 - now % 60 / 60
        return {
            key: (current.counts.get(key, 0) + share * before.counts.get(key, 0)) / 60
            for key in before.counts.keys() | current.counts.keys()
        }

    def _unread(self, files: list[Path], current: BinaryIO | None) -> tuple[int, float]:
        """Which of the finished files is the first that has something unread; and the time of the last event
        that was read, in case nothing but the time tells what that is."""
        if head := self._known.head:
            if current and _head(current) == head:
                return len(files), -math.inf
            for at in reversed(range(len(files))):
                with files[at].open("rb") as file:
                    if _head(file) == head:
                        return at, -math.inf
        # The first time; or the file was removed, by a person or because nobody read for very long.
        return 0, self._known.latest

    def _read(self, file: BinaryIO, before: Path | None, after: float) -> int:
        """Count what is unread of a file, and later than `after`; `before` is the file that it followed."""
        known = self._known
        head = _head(file)
        if len(head) < _HEAD:
            return 0  # begun, and nothing said yet
        if head != known.head:
            known.head, known.before, known.offset = head, known.offset, 0
            self._echoes = None
        if self._echoes is None:
            self._echoes = _tail(before, known.before)
        echoes = self._echoes
        file.seek(known.offset)
        total = 0
        while data := file.read(_STEP_BYTES):
            whole = data.rfind(b"\n") + 1
            if not whole and len(data) == _STEP_BYTES:
                whole = len(data)  # nothing that we write has such lines
            if not whole:
                break  # its writer is about to learn that the disk is full, or to write its end
            # RACE: lines that met a rotation stand in both files.
            # (test_a_line_that_was_said_again_after_a_rotation_is_counted_once)
            said = (line for line in data[:whole].splitlines(True) if line not in echoes)
            total += self._count(lines(said), after)
            known.offset += whole
            file.seek(known.offset)
        return total

    def _count(self, events: Iterable[Event], after: float) -> int:
        """Count events by minute first: there are few minutes in what is read at once."""
        minutes: dict[int, Counts] = {}
        number, latest = 0, self._known.latest
        for event in events:
            if event.t <= after:
                continue
            number += 1
            latest = max(latest, event.t)
            minute = int(event.t // 60) * 60
            counts = minutes.get(minute) or minutes.setdefault(minute, Counter())
            what = event.did or event.e
            if what in _BY_REASON:
                counts[f"{what} {event.q} {event.reason}"] += 1
            elif what in _COUNTED:
                counts[what] += 1
            if event.e not in {"accepted", "requeued"}:
                counts[LEFT + event.q] += 1
        self._known.latest = latest
        for minute, counts in minutes.items():
            for width, _ in SPANS.values():
                steps = self._known.steps.setdefault(width, {})
                _add(steps.setdefault(minute - minute % width, {}), counts)
        return number


def _add(step: dict[str, int], counts: Counts) -> None:
    for each, number in counts.items():
        key = each
        what, *names = key.split(" ", 2)
        if what in _BY_REASON and key not in step and len(step) >= MOST_KEYS:
            key = f"{what} {names[0]} {OTHER}"  # a stage makes them up by the thousand
        step[key] = step.get(key, 0) + number


def _kept(path: Path) -> _Known:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Known)
    except FileNotFoundError:
        return _Known()
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("%s: %s; the mail log is counted anew", path, error)
        return _Known()


def _files(directory: Path) -> tuple[list[Path], BinaryIO | None]:
    """The finished files of the log, oldest first, and the one that follows them, if there is one, open."""
    while True:
        files = rotated(directory)
        try:
            current = (directory / CURRENT).open("rb")
        except FileNotFoundError:
            current = None
        # RACE: the log was rotated between the two, and what we opened does not follow what we listed.
        # (test_a_rotation_while_the_files_are_listed)
        if rotated(directory) == files:
            return files, current
        if current:
            current.close()


def _head(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(_HEAD).decode("latin-1")


def _tail(path: Path | None, end: int) -> frozenset[bytes]:
    """The last lines that were read of a file: bytes before `end`."""
    if path is None:
        return frozenset()
    with path.open("rb") as file:
        start = max(0, end - _ECHOES)
        file.seek(start)
        return frozenset(file.read(end - start).splitlines(True))
