"""The mail log: one JSON line for every event in a job's life.

It is the ledger that `spamtrap audit` reads (trap/ledger.py). Each event is a method here, so the
format stands in one place. A line is one write() to a file opened for append: it is there once the
call returns, whatever happens to this process next. Keys: t (seconds since the epoch), e (event),
id, q (queue), and what the event adds.

The file is rotated by whoever calls `rotate`. Writers take no lock. They share eight bytes of a
file with all other processes, the turn, which changes before each rotation; who finds after a write
that it changed writes the line again, to the new file. So a line is always in a file that nobody has
finished, the order of the lines of one job is the order of its events, and a line may come twice,
as it may when a process dies between an event's line and its deed. The turn is read, not mapped into
memory: a mapping kills its process when somebody truncates the file, and other hosts' file systems
keep none that is up to date.
"""

import errno
import fcntl
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from trap.envelope import Envelope, printable, printable_all
from trap.job import ID_DIGITS

CURRENT = "mail.log"

_LOOK_EVERY = 0.1
"""Seconds between two looks whether a person took the log away."""
_TURN = 8
"""Bytes of the turn, in the lock file."""
_NEVER = -2
_COMPLAIN_EVERY = 10
"""Rotations in a row that came to nothing until the operator is told, and told again."""
_TORN = b"#\n"
"""Ends a half line: what was refused must not be read as an event because only its newline is missing."""

_encode = msgspec.json.Encoder(enc_hook=lambda thing: printable(str(thing))).encode


class _Line(msgspec.Struct, gc=False):
    t: float
    e: str
    id: str
    q: str


class _Accepted(_Line, gc=False):
    ip: str
    helo: str
    mail_from: str
    rcpts: int
    tags: list[str]
    size: int


class _Passed(_Line, gc=False):
    to: list[str]
    age: float
    took: float


class _Done(_Line, gc=False):
    did: str
    age: float
    took: float


class _Dropped(_Line, gc=False):
    reason: str
    age: float
    took: float
    notes: dict[str, Any]


class _Failed(_Line, gc=False):
    reason: str
    attempt: int


class _Removed(_Line, gc=False):
    reason: str
    age: float


class MailLog:
    """Writes events. One per process; many processes share the file.

    Args:
        directory: where the log lives; made when it is not there.

    Attributes:
        path: the file that is written to.
        counts: events written by this process, by (event, queue, reason); the reason of failures,
            which can be anything, is left empty.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.path = str(directory / CURRENT)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._seen: bytes | None = None
        self._looked = 0.0
        self._fd = -1
        self._torn = False
        self._in_vain = 0
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def accepted(self, job_id: str, queue: str, envelope: Envelope, size: int) -> None:
        """A message was taken in: it has a name in `queue`."""
        ip, helo, mail_from = (
            envelope.client_ip,
            printable(envelope.helo or ""),
            printable(envelope.mail_from),
        )
        rcpts, tags = len(envelope.rcpts), envelope.tags
        line = _Accepted(_now(), "accepted", job_id, queue, ip, helo, mail_from, rcpts, tags, size)
        self._write(line)

    def passed(self, job_id: str, queue: str, to: list[str], took: float, event: str = "passed") -> None:
        """A stage let it pass to the queues `to` after `took` seconds; `event` is the stage's word for it."""
        now = _now()
        self._write(_Passed(now, event, job_id, queue, to, _age(job_id, now), round(took, 6)))

    def done(self, job_id: str, queue: str, took: float, event: str = "done") -> None:
        """The last stage let it pass: this branch of its way ends well."""
        now = _now()
        self._write(_Done(now, "done", job_id, queue, event, _age(job_id, now), round(took, 6)))

    def dropped(self, job_id: str, queue: str, reason: str, took: float, notes: dict[str, Any]) -> None:
        """A stage ended it."""
        now, reason = _now(), printable(reason)[:200]
        age = _age(job_id, now)
        self._write(_Dropped(now, "dropped", job_id, queue, reason, age, round(took, 6), notes), reason)

    def requeued(self, job_id: str, queue: str, reason: str, attempt: int) -> None:
        """It is waiting in `queue` (again): a failed attempt, an orphan, or a person's wish."""
        self._write(_Failed(_now(), "requeued", job_id, queue, printable(reason)[:500], attempt))

    def bad(self, job_id: str, queue: str, reason: str, attempt: int) -> None:
        """It failed too often and was put aside, in bad/."""
        self._write(_Failed(_now(), "bad", job_id, queue, printable(reason)[:500], attempt))

    def shed(self, job_id: str, queue: str, reason: str) -> None:
        """The reaper threw it away: too old, too many, no room."""
        now = _now()
        self._write(_Removed(now, "shed", job_id, queue, reason, _age(job_id, now)), reason)

    def purged(self, job_id: str, queue: str, reason: str) -> None:
        """It was purged, by command or by the nightly purge."""
        now = _now()
        self._write(_Removed(now, "purged", job_id, queue, reason, _age(job_id, now)), reason)

    def rotate(self, limit: int, above: int = 0) -> bool:
        """Begin a new file when the current one is larger than `limit` bytes; whether that was done.

        The finished one gets a number higher than `above` and than every one there is.
        """
        if not self._is_over(limit) or not self._alone():
            return False
        try:
            if not self._is_over(limit):
                return False  # somebody else was faster
            directory = Path(self.path).parent
            number = max([above, *map(sequence, rotated(directory))]) + 1
            # Not one that was before, though somebody emptied the lock file.
            turn = max(self._count() + 1, number)
            # Before the rename: who still sees the old turn after its write has written in time.
            os.pwrite(self._lock, turn.to_bytes(_TURN, "big"), 0)
            os.rename(self.path, f"{self.path}.{number:08d}")
            return True
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _is_over(self, limit: int) -> bool:
        try:
            return os.path.getsize(self.path) > limit
        except FileNotFoundError:
            return False

    def _alone(self) -> bool:
        """Take the lock for ourselves, in a moment when nobody opens the log; False when there was none."""
        for _ in range(100):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._in_vain = 0
                return True
            except BlockingIOError:
                time.sleep(0.001)
        self._in_vain += 1
        if self._in_vain % _COMPLAIN_EVERY == 0:  # a process was stopped as it opened the log, and holds it
            import logging  # noqa: PLC0415 - seldom needed, and `inject` starts for each message

            lock = f"{os.path.dirname(self.path)}/lock"
            logging.getLogger("spamtrap.maillog").warning(
                "not rotated for the %d. time: somebody holds %s (see lslocks)", self._in_vain, lock
            )
        return False

    def close(self) -> None:
        """Close the files."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def _write(self, line: _Line, reason: str = "") -> None:
        try:
            data = _encode(line) + b"\n"
        except UnicodeEncodeError:  # a stage's note holds a client's bytes
            data = _encode(printable_all(msgspec.structs.asdict(line))) + b"\n"
        if not 0 <= line.t - self._looked < _LOOK_EVERY:
            self._follow(line.t)
        said = _NEVER
        while True:
            try:
                if self._seen != self._turn():
                    self._follow(line.t)
                self._append(data)
            except OSError:
                # The newest finished file is read once more before it is settled, so what is in it is said.
                if said + 1 != self._count():
                    raise
                break
            # RACE: the log was rotated between our look and our write, and perhaps the file was read
            # for the last time. Say it again. (test_a_line_that_met_a_rotation_is_in_the_new_file)
            if (seen := self._seen) == self._turn():
                break
            said = int.from_bytes(seen or b"", "big")
        self.counts[line.e, line.q, reason] += 1

    def _turn(self) -> bytes:
        """The turn; fewer bytes than it has, or none, when the lock file was emptied or can't be read."""
        try:
            return os.pread(self._lock, _TURN, 0)
        except OSError:
            return b""  # not raised: behind a write, the line that is there would pass for one that is not

    def _count(self) -> int:
        """The turn as a number."""
        return int.from_bytes(self._turn(), "big")

    def _append(self, data: bytes) -> None:
        if self._torn:
            data = _TORN + data
        self._torn = True
        if os.write(self._fd, data) != len(data):
            # The disk is full. The half line stays; readers skip it, even if only its end is missing, and
            # the next begins afresh.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        self._torn = False

    def _follow(self, now: float) -> None:
        """Open the log, and open it again when it was rotated or removed under us."""
        self._seen = None  # whatever fails here is tried again
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        try:
            if not self._is_open():
                if self._fd >= 0:
                    os.close(self._fd)
                    self._fd = -1
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._fd = os.open(self.path, flags, 0o640)
            self._seen, self._looked = self._turn(), now
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _is_open(self) -> bool:
        try:
            return self._fd >= 0 and os.stat(self.path).st_ino == os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False


def rotated(directory: Path) -> list[Path]:
    """The files of a log that are no longer written to, oldest first."""
    return sorted(directory.glob(CURRENT + ".[0-9]*"), key=sequence)


def sequence(path: Path) -> int:
    """The number of a rotated file."""
    return int(path.name.rpartition(".")[2])


def _now() -> float:
    """Seconds since the epoch, to the microsecond, so that it takes few digits."""
    return int(time.time() * 1e6) / 1e6


def _age(job_id: str, now: float) -> float:
    return (round(now * 1e6) - int(job_id[:ID_DIGITS])) / 1e6
