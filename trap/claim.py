"""Claims: jobs in the hand of one worker, and all that it may do with them."""

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from trap import fsio
from trap.job import ID_LENGTH, CorruptJob, Job, split_name

if TYPE_CHECKING:
    from trap.queue import Queue
    from trap.stage import Sample

MAX_ATTEMPTS = 3
"""Failed attempts after which a job is bad."""
BAD = "bad"


class Consumer:
    """Claims jobs of one queue for one worker: lists the directory once and eats through the list."""

    def __init__(self, queue: "Queue", lease: fsio.Lease) -> None:
        self.queue = queue
        self.lease = lease
        self.held: set[str] = set()
        self._list: list[str] = []

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether nobody has removed our directory."""
        return os.path.isdir(self.lease.path)

    def claim(self) -> "Claim | None":
        """Claim the oldest waiting job; None when the queue is empty.

        Raises:
            FileNotFoundError: the queue, or this worker's directory in it, was removed.
        """
        if not self._list:
            # Amortised: one listing for as many claims as there were names. Newer arrivals are
            # younger than everything in the list, so the order holds.
            self._list = self.queue.waiting()
            self._list.reverse()
        missed = False
        while self._list:
            name = self._list.pop()
            if claim := self._take(name, name[:ID_LENGTH], int(name[ID_LENGTH + 1 :])):
                return claim
            missed = True
        if missed and not self.alive:
            # Not others were faster: somebody removed our directory, so we can't claim anything.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.lease.path)
        return None

    def take(self, name: str) -> "Claim | None":
        """Claim the waiting job of this file name; None when somebody else was faster."""
        split = split_name(name)
        return self._take(name, *split) if split else None

    def _take(self, name: str, job_id: str, attempt: int) -> "Claim | None":
        if job_id in self.held:
            return None
        try:
            fsio.rename(f"{self.queue.new}/{name}", f"{self.lease.path}/{name}")
        except FileNotFoundError:
            # RACE: another worker claimed it, or the reaper shed it, since we listed.
            # (test_two_workers_never_claim_the_same_job)
            return None
        self.held.add(job_id)
        return Claim(self, job_id, attempt)

    def take_bad(self, job_id: str, attempt: int) -> "Claim":
        """Claim a job that was put aside, as if it had never failed.

        Raises:
            FileNotFoundError: there is none, or somebody else was faster.
        """
        fsio.rename(f"{self.queue.bad}/{job_id}.{attempt}", f"{self.lease.path}/{job_id}.0")
        self.held.add(job_id)
        return Claim(self, job_id, 0)

    def first(self, name: str) -> None:
        """Claim the waiting job of this file name before all others."""
        self._list.append(name)

    def close(self) -> None:
        """End the lease. Claims that are still held become orphans, and are recovered."""
        self.lease.release()

    def crash(self) -> None:
        """End the lease as a kill would, for tests and for the manual above."""
        self.close()


class Claim:
    """A job in a worker's hand. Every method but `job` ends the claim."""

    __slots__ = ("_job", "attempt", "consumer", "id")

    def __init__(self, consumer: Consumer, job_id: str, attempt: int) -> None:
        self.consumer = consumer
        self.id = job_id
        self.attempt = attempt
        self._job: Job | None = None

    @property
    def path(self) -> str:
        """The file, in the worker's directory."""
        return f"{self.consumer.lease.path}/{self.id}.{self.attempt}"

    def job(self) -> Job:
        """Read the job.

        Raises:
            CorruptJob: the file is not a job.
        """
        if self._job is None:
            self._job = Job.decode(self.id, fsio.read(self.path))
        return self._job

    def forward(
        self,
        to: list[str],
        notes: Mapping[str, Any] | None = None,
        took: float = 0.0,
        event: str = "passed",
        sample: "Sample | None" = None,
    ) -> None:
        """Pass the job on, to several queues at once when it branches; to none: its way ends well.

        Args:
            to: names of queues.
            notes: all of the job's notes when they changed; None leaves the file as it is, if `sample` does.
            took: seconds the stage needed, for the log.
            event: the stage's word for letting it pass.
            sample: takes the place of the job's envelope and message.

        Raises:
            OSError: no room for the new file, or the log can't be written; the claim is still held.
        """
        queue, spool = self.consumer.queue, self.consumer.queue.spool
        if not to:
            spool.log.done(self.id, queue.name, took, event)
            self._end()
            return
        changed = notes is not None or sample is not None
        if changed:
            job = self.job()
            if sample is not None:
                job = Job(job.id, sample.envelope, job.notes, sample.message)
            spool.replace(self.path, job.encode(notes))
        *branches, last = [f"{spool[name].new}/{self.id}.0" for name in to]
        spool.log.passed(self.id, queue.name, to, took, event)
        for target in branches:
            fsio.link(self.path, target, sync=spool.sync)
        # The new file has no name but ours: nobody can have put it where it goes.
        self._move(last, alone=changed and not branches)

    def drop(self, reason: str, took: float = 0.0, notes: Mapping[str, Any] | None = None) -> None:
        """End the job by a stage's verdict: log, then unlink."""
        queue = self.consumer.queue
        queue.spool.log.dropped(self.id, queue.name, reason, took, dict(notes or {}))
        self._end()

    def shed(self, reason: str) -> None:
        """Throw the job away: too old, too many, no room."""
        self.consumer.queue.spool.log.shed(self.id, self.consumer.queue.name, reason)
        self._end()

    def purge(self, reason: str) -> None:
        """Throw the job away because somebody asked for it."""
        self.consumer.queue.spool.log.purged(self.id, self.consumer.queue.name, reason)
        self._end()

    def give_back(self, *, first: bool = False) -> None:
        """Return the job to its queue, uncharged.

        Args:
            first: this worker's next claim is this job again, unless another worker is faster.
        """
        name = f"{self.id}.{self.attempt}"
        self._move(f"{self.consumer.queue.new}/{name}")
        if first:
            self.consumer.first(name)

    def fail(self, reason: str, detail: str = "") -> bool:
        """Charge the job with a failed attempt: back into the queue, or to bad/ after the last.

        Args:
            reason: one line.
            detail: a traceback, kept in the job's notes when it goes bad.

        Returns:
            Whether it is bad now.
        """
        queue, attempt = self.consumer.queue, self.attempt + 1
        if attempt >= MAX_ATTEMPTS:
            self.condemn(reason, detail)
            return True
        queue.spool.log.requeued(self.id, queue.name, reason, attempt)
        self._move(f"{queue.new}/{self.id}.{attempt}")
        return False

    def condemn(self, reason: str, detail: str = "") -> None:
        """Put the job aside for a person to look at, with the reason among its notes."""
        queue, attempt = self.consumer.queue, self.attempt + 1
        with suppress(CorruptJob, OSError):  # unreadable, or no room: the log still has the reason
            why = {"queue": queue.name, "at": time.time(), "reason": reason, "traceback": detail}
            job = self.job()
            queue.spool.replace(self.path, job.encode({**job.notes, BAD: why}))
        queue.spool.log.bad(self.id, queue.name, reason, attempt)
        self._move(f"{queue.bad}/{self.id}.{attempt}")

    def _move(self, target: str, *, alone: bool = False) -> None:
        fsio.rename(self.path, target)
        if not alone:
            # After a fan-out both names may be one file's; then rename does nothing, says POSIX.
            fsio.unlink(self.path)
        self.consumer.held.discard(self.id)

    def _end(self) -> None:
        fsio.unlink(self.path)
        self.consumer.held.discard(self.id)
