"""The mail log: one JSON line for every event in a job's life.

It is the ledger that `spamtrap audit` reads (trap/ledger.py). Each event is a method here, so the
format stands in one place. A line is one write() to a file opened for append: it is there once the
call returns, whatever happens to this process next. Keys: t (seconds since the epoch), e (event),
id, q (queue), and what the event adds.

The file is rotated by whoever calls `rotate`; writers hold a shared lock for the microseconds of a
write, so no line ever goes to a file after its successor was begun, and the order of lines is the
order of events.
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
from trap.job import id_time

CURRENT = "mail.log"

_encode = msgspec.json.Encoder(enc_hook=lambda thing: printable(str(thing))).encode


class MailLog:
    """Writes events. One per process; many processes share the file.

    Args:
        directory: where the log lives; made when it is not there.

    Attributes:
        counts: events written by this process, by (event, queue, reason); the reason of failures,
            which can be anything, is left empty.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path = str(directory / CURRENT)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._fd = -1
        self._torn = False
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def accepted(self, job_id: str, queue: str, envelope: Envelope, size: int) -> None:
        """A message was taken in: it has a name in `queue`."""
        self._write(
            "accepted",
            job_id,
            queue,
            ip=envelope.client_ip,
            helo=printable(envelope.helo or ""),
            mail_from=printable(envelope.mail_from),
            rcpts=len(envelope.rcpts),
            tags=envelope.tags,
            size=size,
        )

    def passed(self, job_id: str, queue: str, to: list[str], took: float, event: str = "passed") -> None:
        """A stage let it pass to the queues `to` after `took` seconds; `event` is the stage's word for it."""
        self._write(event, job_id, queue, to=to, age=_age(job_id), took=round(took, 6))

    def done(self, job_id: str, queue: str, took: float, event: str = "done") -> None:
        """The last stage let it pass: this branch of its way ends well."""
        self._write("done", job_id, queue, did=event, age=_age(job_id), took=round(took, 6))

    def dropped(self, job_id: str, queue: str, reason: str, took: float, notes: dict[str, Any]) -> None:
        """A stage ended it."""
        self._write(
            "dropped",
            job_id,
            queue,
            reason=printable(reason)[:200],
            age=_age(job_id),
            took=round(took, 6),
            notes=notes,
        )

    def requeued(self, job_id: str, queue: str, reason: str, attempt: int) -> None:
        """It is waiting in `queue` (again): a failed attempt, an orphan, or a person's wish."""
        self._write("requeued", job_id, queue, reason=printable(reason)[:500], attempt=attempt)

    def bad(self, job_id: str, queue: str, reason: str, attempt: int) -> None:
        """It failed too often and was put aside, in bad/."""
        self._write("bad", job_id, queue, reason=printable(reason)[:500], attempt=attempt)

    def shed(self, job_id: str, queue: str, reason: str) -> None:
        """The reaper threw it away: too old, too many, no room."""
        self._write("shed", job_id, queue, reason=reason, age=_age(job_id))

    def purged(self, job_id: str, queue: str, reason: str) -> None:
        """It was purged, by command or by the nightly purge."""
        self._write("purged", job_id, queue, reason=reason, age=_age(job_id))

    def rotate(self, limit: int, above: int = 0) -> bool:
        """Begin a new file when the current one is larger than `limit` bytes; whether that was done.

        The finished one gets a number higher than `above` and than every one there is.
        """
        if not self._alone():
            return False
        try:
            if not os.path.exists(self._path) or os.path.getsize(self._path) <= limit:
                return False
            directory = Path(self._path).parent
            number = max([above, *map(sequence, rotated(directory))]) + 1
            os.rename(self._path, f"{self._path}.{number:08d}")
            return True
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _alone(self) -> bool:
        """Take the lock for ourselves, in a moment when nobody writes; False when there was none."""
        for _ in range(100):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(0.001)
        return False

    def close(self) -> None:
        """Close the files."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def _write(self, event: str, job_id: str, queue: str, **fields: Any) -> None:
        record = {"t": round(time.time(), 6), "e": event, "id": job_id, "q": queue, **fields}
        try:
            line = _encode(record) + b"\n"
        except UnicodeEncodeError:  # a stage's note holds a client's bytes
            line = _encode(printable_all(record)) + b"\n"
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        try:
            self._follow()
            if self._torn:
                line = b"\n" + line
            self._torn = True
            if os.write(self._fd, line) != len(line):
                # The disk is full. The half line stays; readers skip it, and the next begins afresh.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
            self._torn = False
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        reason = "" if event in {"requeued", "bad"} else str(fields.get("reason", ""))
        self.counts[event, queue, reason] += 1

    def _follow(self) -> None:
        """Open the log, and open it again when it was rotated under us."""
        if self._fd >= 0:
            try:
                if os.stat(self._path).st_ino == os.fstat(self._fd).st_ino:
                    return
            except FileNotFoundError:
                pass
            os.close(self._fd)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def rotated(directory: Path) -> list[Path]:
    """The files of a log that are no longer written to, oldest first."""
    return sorted(directory.glob(CURRENT + ".[0-9]*"), key=sequence)


def sequence(path: Path) -> int:
    """The number of a rotated file."""
    return int(path.name.rpartition(".")[2])


def _age(job_id: str) -> float:
    return round(time.time() - id_time(job_id), 6)
