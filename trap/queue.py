"""Directory queues: put, claim, pass, fan out, drop, recover, bad.

A queue is a directory, a job is a file, and `ls` shows the state. A queue in the life of a message:

    >>> import tempfile; from pathlib import Path; from trap.envelope import Envelope
    >>> home = tempfile.TemporaryDirectory(); base = Path(home.name)
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
    >>> spool.close(); home.cleanup()

An accepted message has a name in some queue at every instant, or its end is in the mail log: what
ends a name is logged first and done second, so a crash between the two leaves the job, not a hole.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trap import fsio
from trap.claim import BAD, Claim, Consumer
from trap.config import Config
from trap.job import NAME, id_time, split_name
from trap.maillog import MailLog
from trap.writer import Writer


class Stats(NamedTuple):
    """What `ls` would tell of a queue."""

    waiting: int
    claimed: int
    oldest: float
    """When the oldest job in it was accepted (seconds since the epoch); 0 when it is empty."""
    workers: int


class Spool(Writer):
    """All queues below one directory, and the log that accounts for them.

    Args:
        root: the spool's directory; made, with its queues, when it is not there.
        log: every event is written to it.
        queues: their names. Directories of other queues, left by an earlier configuration, are found
            and looked after too: what lies in them is waiting for a person, not missing.
        sync: fsync before a put returns, for a spool on a disk.

    Attributes:
        configured: names of the queues that the configuration knows.
    """

    def __init__(self, root: Path, log: MailLog, queues: Iterable[str], *, sync: bool = False) -> None:
        super().__init__(root, log, sync=sync)
        self.configured = list(queues)
        bad = fsio.names(f"{root}/{BAD}") if os.path.isdir(f"{root}/{BAD}") else []
        left = [name for name in fsio.names(str(root)) if os.path.isdir(f"{root}/{name}/new")]
        left = sorted(left + [name for name in bad if os.path.isdir(f"{root}/{BAD}/{name}")])
        self._queues = {name: Queue(self, name) for name in dict.fromkeys([*self.configured, *left])}
        self._new = {name: queue.new for name, queue in self._queues.items()}

    @classmethod
    def open(cls, config: Config) -> "Spool":
        """The spool of a configuration, with all its queues.

        Raises:
            PermissionError: it lies where everybody may write, as /dev/shm, and is not ours.
            OSError: it can't be made.
        """
        root = config.paths.spool
        fsio.make_directory(root)
        if fsio.is_shared(root.parent):
            fsio.check_private(root)
        log = MailLog(config.paths.maillog)
        return cls(root, log, config.queues, sync=config.spool.fsync)

    def __getitem__(self, name: str) -> "Queue":
        return self._queues[name]

    def __contains__(self, name: object) -> bool:
        return name in self._queues

    def __iter__(self) -> Iterator[str]:
        return iter(self._queues)

    def make(self) -> None:
        """Make the directories of all queues where they are not there."""
        for queue in self._queues.values():
            queue.make()

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
            with suppress(NotADirectoryError):  # somebody's stray file
                for entry in sorted(fsio.names(f"{self.root}/{BAD}/{name}")):
                    if split := split_name(entry):
                        yield name, *split


class Queue:
    """One directory queue."""

    def __init__(self, spool: Spool, name: str) -> None:
        self.spool = spool
        self.name = name
        self.new = f"{spool.root}/{name}/new"
        self.work = f"{spool.root}/{name}/work"
        self.bad = f"{spool.root}/{BAD}/{name}"
        self.make()

    def make(self) -> None:
        """Make its directories where they are not there."""
        for directory in (self.new, self.work, self.bad):
            fsio.make_directory(directory)

    def consumer(self, prefix: str = "") -> "Consumer":
        """Begin to claim jobs; what is claimed returns to the queue if this process dies.

        Args:
            prefix: begins the name of its directory; one that has a prefix counts as no worker.
        """
        return Consumer(self, fsio.Lease.take(self.work, prefix))

    def waiting(self) -> list[str]:
        """File names of the waiting jobs, oldest first. Lists the whole directory."""
        return sorted(filter(NAME.fullmatch, fsio.names(self.new)))

    def stats(self) -> Stats:
        """Count what is in the queue. Lists the whole directory."""
        waiting = [name for name in fsio.names(self.new) if split_name(name)]
        claimed = [name for name in self._claimed() if split_name(name)]
        oldest = min([*waiting, *claimed], default="")
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
            with suppress(FileNotFoundError, NotADirectoryError):
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
        with self.consumer("person-") as consumer:
            claim = consumer.take_bad(job_id, attempt)
            self.spool.log.requeued(job_id, self.name, "by request", 0)
            claim.give_back()

    def discard_bad(self, job_id: str, attempt: int, reason: str) -> None:
        """Purge a bad job; that it is gone already is what was asked for."""
        with self.consumer("person-") as consumer, suppress(FileNotFoundError):
            consumer.take_bad(job_id, attempt).purge(reason)
