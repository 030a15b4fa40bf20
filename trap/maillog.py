"""The mail log: one JSON line for every event in a job's life.

It is the ledger that `spamtrap audit` reads. Each event is a method here, so the format stands in
one place. A line is one write() to a file opened for append: it is there once the call returns,
whatever happens to this process next. Keys: t (seconds since the epoch), e (event), id, q (queue).
"""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from trap.envelope import Envelope, printable
from trap.job import id_time

CURRENT = "mail.log"
ENDS = frozenset({"done", "dropped", "shed", "purged", "bad"})
"""Events after which a job is no longer in the queue they name, nor in any that follows."""

_encode = msgspec.json.Encoder(enc_hook=lambda thing: printable(str(thing))).encode
_LOOK_EVERY = 1.0


class MailLog:
    """Writes events. One per process; many processes share the file.

    Args:
        directory: where the log lives; made when it is not there.

    Attributes:
        counts: events written by this process, by (event, queue, reason).
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path = str(directory / CURRENT)
        self._fd = -1
        self._looked = 0.0
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

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, event: str, job_id: str, queue: str, **fields: Any) -> None:
        now = time.time()
        if now - self._looked >= _LOOK_EVERY or self._fd < 0:
            self._follow(now)
        record = {"t": round(now, 6), "e": event, "id": job_id, "q": queue, **fields}
        try:
            line = _encode(record) + b"\n"
        except UnicodeEncodeError:  # a stage's note holds a client's bytes
            line = _encode(_clean(record)) + b"\n"
        if self._torn:
            line = b"\n" + line
        self._torn = True
        if os.write(self._fd, line) != len(line):
            # The disk is full. The half line stays; readers skip it, and the next one starts afresh.
            raise OSError(28, "mail log: no space left", self._path)
        self._torn = False
        self.counts[event, queue, str(fields.get("reason", ""))] += 1

    def _follow(self, now: float) -> None:
        """Open the log, and open it again when it was rotated under us."""
        self._looked = now
        if self._fd >= 0:
            try:
                if os.stat(self._path).st_ino == os.fstat(self._fd).st_ino:
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _clean(thing: Any) -> Any:
    """`thing` with every string made printable."""
    if isinstance(thing, str):
        return printable(thing)
    if isinstance(thing, dict):
        return {printable(str(key)): _clean(value) for key, value in thing.items()}
    return [_clean(item) for item in thing] if isinstance(thing, list | tuple) else thing


def _age(job_id: str) -> float:
    return round(time.time() - id_time(job_id), 6)
