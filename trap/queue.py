"""Directory queues: put, claim, pass, fan out, drop, recover, bad.

A queue is a directory, a job is a file, and `ls` shows the state. A queue in the life of a message:

    >>> import tempfile; from pathlib import Path
    >>> base = Path(tempfile.mkdtemp())
    >>> spool = Spool(base / "spool", MailLog(base / "log"), ["dedup", "archive"])
    >>> job_id = spool.put("dedup", Envelope(), b"Subject: hello\\r\\n\\r\\n")
    >>> spool["dedup"].stats().waiting
    1

A worker claims it; now nobody else can:

    >>> worker = spool["dedup"].consumer()
    >>> claim = worker.claim()
    >>> claim.id == job_id, spool["dedup"].consumer().claim()
    (True, None)

The worker dies: the kernel drops its lock, and whoever comes by returns the job, one attempt older:

    >>> worker.crash()
    >>> spool.recover()
    1
    >>> worker = spool["dedup"].consumer()
    >>> claim = worker.claim()
    >>> claim.attempt
    1

It lets the job pass, with a note, to the next queue, where the way of this one ends:

    >>> claim.forward(["archive"], {"dedup": {"count": 1}})
    >>> last = spool["archive"].consumer()
    >>> claim = last.claim()
    >>> claim.job().notes
    {'dedup': {'count': 1}}
    >>> claim.forward([])
    >>> [spool[name].stats().waiting for name in spool]
    [0, 0]
    >>> spool.close()

An accepted message has a name in some queue at every instant, or its end is in the mail log: what
ends a name is logged first and done second, so a crash between the two leaves the job, not a hole.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from trap import fsio
from trap.config import Config
from trap.envelope import Envelope
from trap.job import CorruptJob, Job, encode, id_time, new_id, split_name
from trap.maillog import MailLog

MAX_ATTEMPTS = 3
"""Failed attempts after which a job is bad."""
BAD = "bad"


class Stats(NamedTuple):
    """What `ls` would tell of a queue."""

    waiting: int
    claimed: int
    oldest: float
    """When the oldest job in it was accepted (seconds since the epoch); 0 when it is empty."""
    workers: int


class Spool:
    """All queues below one directory, and the log that accounts for them.

    Args:
        root: the spool's directory; made, with its queues, when it is not there.
        log: every event is written to it.
        queues: their names.
        sync: fsync before a put returns, for a spool on a disk.
    """

    def __init__(self, root: Path, log: MailLog, queues: Iterable[str], *, sync: bool = False) -> None:
        self.root = root
        self.log = log
        self.sync = sync
        self._tmp = f"{root}/tmp"
        fsio.make_directory(self._tmp)
        self._queues = {name: Queue(self, name) for name in queues}

    @classmethod
    def open(cls, config: Config) -> "Spool":
        """The spool of a configuration, with all its queues."""
        log = MailLog(config.paths.maillog)
        return cls(config.paths.spool, log, config.queues, sync=config.spool.fsync)

    def __getitem__(self, name: str) -> "Queue":
        return self._queues[name]

    def __contains__(self, name: object) -> bool:
        return name in self._queues

    def __iter__(self) -> Iterator[str]:
        return iter(self._queues)

    @cached_property
    def _writer(self) -> fsio.Lease:
        return fsio.Lease.take(self._tmp)

    def put(
        self, queue: str, envelope: Envelope, message: bytes, notes: Mapping[str, Any] | None = None
    ) -> str:
        """Take a message in. When this returns, it is in the queue and in the log.

        Returns:
            The job's id.

        Raises:
            OSError: it is not in the queue (ENOSPC: no bytes or no inodes left), or the log could
                not be written: do not acknowledge it.
        """
        job_id = new_id()
        name = f"{job_id}.0"
        self.replace(f"{self._queues[queue].new}/{name}", encode(envelope, notes or {}, message))
        self.log.accepted(job_id, queue, envelope, len(message))
        return job_id

    def replace(self, path: str, pieces: list[bytes]) -> None:
        """Put a file at `path`, new or in place of the old, whole or not at all."""
        tmp = f"{self._writer.path}/{path.rpartition('/')[2]}"
        fsio.write(tmp, pieces, sync=self.sync)
        try:
            fsio.rename(tmp, path, sync=self.sync)
        except OSError:
            fsio.unlink(tmp)
            raise

    def recover(self) -> int:
        """Undo what dead processes left: return their claims, sweep their half-written files.

        Returns:
            How many jobs were returned to their queues or put aside as bad.
        """
        for lease in fsio.Lease.orphaned(self._tmp):
            for name in lease.names():
                fsio.unlink(f"{lease.path}/{name}")
            lease.release()
        return sum(queue.recover() for queue in self._queues.values())

    def snapshot(self) -> set[tuple[str, str]]:
        """Every job in the spool: (id, queue), with "bad/queue" for those put aside."""
        found = {(job_id, f"{BAD}/{queue}") for queue, job_id, _ in self.bad()}
        for queue in self._queues.values():
            found.update((job_id, queue.name) for job_id in queue.ids())
        return found

    def bad(self) -> Iterator[tuple[str, str, int]]:
        """The jobs put aside: queue, job id, attempt; oldest first in each queue."""
        for name in sorted(fsio.names(f"{self.root}/{BAD}")):
            for entry in sorted(fsio.names(f"{self.root}/{BAD}/{name}")):
                if split := split_name(entry):
                    yield name, *split

    def close(self) -> None:
        """Give up the place for half-written files."""
        if "_writer" in self.__dict__:
            self._writer.release()
            del self._writer


class Queue:
    """One directory queue."""

    def __init__(self, spool: Spool, name: str) -> None:
        self.spool = spool
        self.name = name
        self.new = f"{spool.root}/{name}/new"
        self.work = f"{spool.root}/{name}/work"
        self.bad = f"{spool.root}/{BAD}/{name}"
        for directory in (self.new, self.work, self.bad):
            fsio.make_directory(directory)

    def consumer(self) -> "Consumer":
        """Begin to claim jobs; what is claimed returns to the queue if this process dies."""
        return Consumer(self, fsio.Lease.take(self.work))

    def waiting(self) -> list[str]:
        """File names of the waiting jobs, oldest first. Lists the whole directory."""
        return sorted(name for name in fsio.names(self.new) if split_name(name))

    def stats(self) -> Stats:
        """Count what is in the queue. Lists the whole directory."""
        waiting = self.waiting()
        claimed = [name for name in self._claimed() if split_name(name)]
        oldest = min([*waiting[:1], *claimed], default="")
        return Stats(
            len(waiting), len(claimed), id_time(oldest) if oldest else 0.0, fsio.Lease.alive(self.work)
        )

    def ids(self) -> set[str]:
        """Ids of all jobs in the queue, waiting or claimed."""
        # RACE: a job moves from new/ to work/, or back, between two listings; so list new/ once
        # more. (test_listing_meets_a_job_that_is_given_back)
        listed = [*fsio.names(self.new), *self._claimed(), *fsio.names(self.new)]
        return {split[0] for name in listed if (split := split_name(name))}

    def _claimed(self) -> Iterator[str]:
        for worker in fsio.names(self.work):
            # RACE: a worker that stops removes its directory between our two listings.
            # (test_listing_while_a_worker_stops)
            with suppress(FileNotFoundError):
                yield from fsio.names(f"{self.work}/{worker}")

    def find(self, job_id: str) -> str | None:
        """Path of a job in this queue, waiting, claimed or bad; None when it is not here."""
        places = [self.new, self.bad, *(f"{self.work}/{worker}" for worker in fsio.names(self.work))]
        for place in places:
            with suppress(FileNotFoundError):
                for name in fsio.names(place):
                    if name.startswith(f"{job_id}."):
                        return f"{place}/{name}"
        return None

    def recover(self) -> int:
        """Return the jobs of workers that died. A job that keeps killing its workers goes bad."""
        count = 0
        for lease in fsio.Lease.orphaned(self.work):
            with Consumer(self, lease) as dead:
                for name in sorted(lease.names()):
                    if split := split_name(name):
                        Claim(dead, *split).fail("its worker died")
                        count += 1
        return count

    def requeue(self, job_id: str, attempt: int) -> None:
        """Give a bad job another three attempts.

        Raises:
            FileNotFoundError: there is no such bad job; nothing is logged.
        """
        with self.consumer() as consumer:
            claim = consumer.take_bad(job_id, attempt)
            self.spool.log.requeued(job_id, self.name, "by request", 0)
            claim.give_back()

    def discard_bad(self, job_id: str, attempt: int, reason: str) -> None:
        """Purge a bad job; that it is gone already is what was asked for."""
        with self.consumer() as consumer, suppress(FileNotFoundError):
            consumer.take_bad(job_id, attempt).purge(reason)


class Consumer:
    """Claims jobs of one queue for one worker: lists the directory once and eats through the list."""

    def __init__(self, queue: Queue, lease: fsio.Lease) -> None:
        self.queue = queue
        self.lease = lease
        self.held: set[str] = set()
        self._list: list[str] = []

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def claim(self) -> "Claim | None":
        """Claim the oldest waiting job; None when the queue is empty."""
        if not self._list:
            # Amortised: one listing for as many claims as there were names. Newer arrivals are
            # younger than everything in the list, so the order holds.
            self._list = self.queue.waiting()
            self._list.reverse()
        while self._list:
            if claim := self.take(self._list.pop()):
                return claim
        return None

    def take(self, name: str) -> "Claim | None":
        """Claim the waiting job of this file name; None when somebody else was faster."""
        split = split_name(name)
        if not split or split[0] in self.held:
            return None
        try:
            fsio.rename(f"{self.queue.new}/{name}", f"{self.lease.path}/{name}")
        except FileNotFoundError:
            # RACE: another worker claimed it, or the reaper shed it, since we listed.
            # (test_two_workers_never_claim_the_same_job)
            return None
        self.held.add(split[0])
        return Claim(self, *split)

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
    ) -> None:
        """Pass the job on, to several queues at once when it branches; to none: its way ends well.

        Args:
            to: names of queues.
            notes: all of the job's notes when they changed; None leaves the file as it is.
            took: seconds the stage needed, for the log.
            event: the stage's word for letting it pass.

        Raises:
            OSError: no room for the new notes, or the log can't be written; the claim is still held.
        """
        queue, spool = self.consumer.queue, self.consumer.queue.spool
        if not to:
            spool.log.done(self.id, queue.name, took, event)
            self._end()
            return
        if notes is not None:
            spool.replace(self.path, self.job().encode(notes))
        *branches, last = [f"{spool[name].new}/{self.id}.0" for name in to]
        spool.log.passed(self.id, queue.name, to, took, event)
        for target in branches:
            fsio.link(self.path, target, sync=spool.sync)
        self._move(last)

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

    def _move(self, target: str) -> None:
        fsio.rename(self.path, target)
        # After a fan-out both names may be one file's; then rename does nothing, says POSIX.
        fsio.unlink(self.path)
        self.consumer.held.discard(self.id)

    def _end(self) -> None:
        fsio.unlink(self.path)
        self.consumer.held.discard(self.id)
