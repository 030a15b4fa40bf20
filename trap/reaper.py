"""The reaper: returns what was orphaned, throws away what is stale, and keeps the log bounded.

We want fresh spam, not all spam. Under a flood the oldest jobs go first and the newest stay, and
each one thrown away is in the mail log: `shed` by age, count or room, `purged` by the clock or by
command. Jobs that a worker holds are never touched.
"""

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from heapq import merge

from cronsim import CronSim

from trap import fsio
from trap.config import Config, Room
from trap.job import id_time
from trap.ledger import settle
from trap.queue import Queue, Spool

log = logging.getLogger("spamtrap.reaper")

Waiting = Mapping[str, Sequence[str]]
"""File names of the waiting jobs, oldest first, by queue."""


class Reaper:
    """Looks after one spool.

    Args:
        config: the whole configuration; `reaper` and `maillog` say what to do.
        spool: the spool.
    """

    def __init__(self, config: Config, spool: Spool) -> None:
        self.config = config
        self.settings = config.reaper
        self.spool = spool
        self.stopped = threading.Event()
        self._purges = CronSim(self.settings.purge, datetime.now()) if self.settings.purge else None
        self._purge_at = self._next_purge()

    def run(self) -> None:
        """Do the rounds until stopped."""
        while not self.stopped.is_set():
            try:
                self.round()
            except OSError as error:  # a full disk, say: it may be better next time
                log.error("%s; trying again in %g s", error, self.settings.interval)
            self.stopped.wait(self.settings.interval)

    def stop(self, *_: object) -> None:
        """End `run`; may be called from a signal handler."""
        self.stopped.set()

    def round(self) -> Counter[str]:
        """Do everything that is due once.

        Returns:
            How many jobs were returned, shed and purged, by what was done.
        """
        done: Counter[str] = Counter()
        done["returned"] = self.spool.recover()
        if self._purge_at and time.time() >= self._purge_at:
            self._purge_at = self._next_purge()
            done["purged"] = purge(self.spool, self.spool, "by the clock").total()
        waiting = {name: self.spool[name].waiting() for name in self.spool}
        done["shed: too old"] = self._shed_old(waiting)
        done["shed: too many"] = self._shed_many(waiting)
        done["shed: no room"] = self._shed_for_room(waiting)
        done["purged bad"] = self._purge_bad()
        config = self.config
        settle(
            self.spool.log, config.paths.maillog, config.branches, config.maillog.rotate, config.maillog.keep
        )
        for what, number in done.items():
            if number:
                log.info("%s: %d", what, number)
        return done

    def _next_purge(self) -> float:
        return next(self._purges).timestamp() if self._purges else 0.0

    def _shed_old(self, waiting: Waiting) -> int:
        before = time.time() - self.settings.max_age
        shed = 0
        for name, names in waiting.items():
            shed += _discard(
                self.spool[name], [entry for entry in names if id_time(entry) < before], "too old"
            )
        return shed

    def _shed_many(self, waiting: Waiting) -> int:
        return sum(
            _discard(self.spool[name], names[: max(0, len(names) - self.settings.max_count)], "too many")
            for name, names in waiting.items()
        )

    def _shed_for_room(self, waiting: Waiting) -> int:
        """Shed the oldest jobs of all queues until the spool is within its room."""
        bytes_over, inodes_over = self._excess()
        shed = 0
        by_age = merge(
            *([(entry, self.spool[name]) for entry in names] for name, names in waiting.items()), key=_name
        )
        for entry, queue in by_age:
            if bytes_over <= 0 and inodes_over <= 0:
                break
            with suppress(FileNotFoundError):  # a worker has it, or it was shed above
                size = fsio.size(f"{queue.new}/{entry}")
                if _discard(queue, [entry], "no room"):
                    shed, bytes_over, inodes_over = shed + 1, bytes_over - size, inodes_over - 1
        return shed

    def _excess(self) -> tuple[int, int]:
        """Bytes and inodes by which the spool is over what it may use."""
        space = fsio.space(self.spool.root)
        if fsio.is_mount(self.spool.root):
            used, files = space.bytes_total - space.bytes_free, space.inodes_total - space.inodes_free
        else:  # other things live on this file system too: count what is ours
            used, files = fsio.usage(str(self.spool.root))
        bytes_over = used - self.settings.max_bytes.of(space.bytes_total)
        return bytes_over, self._over(files, self.settings.max_inodes, space.inodes_total)

    @staticmethod
    def _over(files: int, room: Room, total: int) -> int:
        return files - room.of(total) if total else 0

    def _purge_bad(self) -> int:
        before = time.time() - self.settings.bad_max_age
        old = [entry for entry in self.spool.bad() if id_time(entry[1]) < before]
        for queue, job_id, attempt in old:
            if queue in self.spool:
                self.spool[queue].discard_bad(job_id, attempt, "bad for too long")
        return len(old)


def _name(entry: tuple[str, Queue]) -> str:
    return entry[0]


def purge(
    spool: Spool,
    queues: Iterable[str],
    reason: str,
    *,
    older_than: float = 0.0,
    keep_newest: int = 0,
    dry_run: bool = False,
) -> Counter[str]:
    """Throw away waiting jobs.

    Args:
        spool: the spool.
        queues: names of the queues to purge.
        reason: stands in the mail log.
        older_than: only jobs accepted this many seconds ago or earlier.
        keep_newest: leave this many of the newest in each queue.
        dry_run: only count.

    Returns:
        Jobs purged, by queue.
    """
    purged: Counter[str] = Counter()
    before = time.time() - older_than
    for queue in queues:
        names = spool[queue].waiting()
        names = [name for name in names[: len(names) - keep_newest] if id_time(name) <= before]
        purged[queue] = len(names) if dry_run else _discard(spool[queue], names, reason, purged=True)
    return purged


def _discard(queue: Queue, names: Sequence[str], reason: str, *, purged: bool = False) -> int:
    """Claim waiting jobs and end them; those that a worker claims first are left to it."""
    count = 0
    if not names:
        return count
    with queue.consumer() as consumer:
        for name in names:
            if claim := consumer.take(name):
                claim.purge(reason) if purged else claim.shed(reason)
                count += 1
    return count


def run(config: Config, *, once: bool = False) -> int:
    """Run the reaper in this process until SIGTERM or SIGINT; with `once`, do one round.

    Returns:
        The exit code.
    """
    spool = Spool.open(config)
    reaper = Reaper(config, spool)
    if once:
        reaper.round()
    else:
        signal.signal(signal.SIGTERM, reaper.stop)
        signal.signal(signal.SIGINT, reaper.stop)
        reaper.run()
    spool.close()
    return 0
