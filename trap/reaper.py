"""The reaper: returns what was orphaned, throws away what is stale, and keeps the log bounded.

We want fresh spam, not all spam. Under a flood the oldest jobs go first and the newest stay, and
each one thrown away is in the mail log: `shed` by age, count or room, `purged` by the clock or by
command. Jobs that a worker holds are never touched.
"""

import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from heapq import merge

from cronsim import CronSim

from trap import fsio
from trap.claim import Consumer
from trap.config import Config
from trap.history import History
from trap.job import id_time
from trap.jobs import KEEPER, purge, throw_away
from trap.ledger import settle
from trap.queue import Queue, Spool

log = logging.getLogger("spamtrap.reaper")

LOOK = 0.2
"""Seconds within which the reaper hears that it should stop."""
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
        self.stopping = False
        self._history = History(config)
        self._consumers: dict[str, Consumer] = {}
        self._purges = CronSim(self.settings.purge, datetime.now()) if self.settings.purge else None
        self._purge_at = self._next_purge()

    def run(self) -> None:
        """Do the rounds until stopped."""
        due = time.monotonic()
        while not self.stopping:
            if time.monotonic() >= due:
                try:
                    self.round()
                except OSError as error:  # a full disk, say: it may be better next time
                    log.error("%s; trying again in %g s", error, self.settings.interval)
                due = time.monotonic() + self.settings.interval
            time.sleep(min(LOOK, self.settings.interval))
        self.close()

    def stop(self, *_: object) -> None:
        """End `run`; may be called from a signal handler."""
        self.stopping = True

    def close(self) -> None:
        """Give up the leases."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def round(self) -> Counter[str]:
        """Do everything that is due once.

        Returns:
            How many jobs were returned, shed and purged, by what was done.
        """
        done: Counter[str] = Counter()
        for name in self.spool:
            if name not in self._consumers or not self._consumers[name].alive:
                # Kept from round to round: when the last inode is gone, none is needed to shed.
                self._consumers[name] = self.spool[name].consumer(KEEPER)
        done["returned"] = self.spool.recover()
        if self._purge_at and time.time() >= self._purge_at:
            self._purge_at = self._next_purge()
            done["purged"] = purge(self.spool, self._passing(), "by the clock").total()
        waiting = {name: self.spool[name].waiting() for name in self.spool}
        done["shed: too old"] = self._shed_old(waiting)
        done["shed: too many"] = self._shed_many(waiting)
        done["shed: no room"] = self._shed_for_room(waiting)
        done["purged bad"] = self._purge_bad()
        self._history.update()
        self._history.save()
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

    def _passing(self) -> list[str]:
        """The queues that mail passes through: not those that only hold, nor those no longer configured."""
        return [name for name in self.spool.configured if self.config.stage(name).workers]

    def _shed_old(self, waiting: Waiting) -> int:
        shed = 0
        passing = self._passing()
        for name, names in waiting.items():
            limit = self.config.stage(name).max_age
            if limit is None:
                limit = self.settings.max_age if name in passing else None
            if limit is not None:
                before = time.time() - limit
                shed += self._shed(name, [entry for entry in names if id_time(entry) < before], "too old")
        return shed

    def _shed_many(self, waiting: Waiting) -> int:
        return sum(
            self._shed(name, names[: max(0, len(names) - self.settings.max_count)], "too many")
            for name, names in waiting.items()
        )

    def _shed_for_room(self, waiting: Waiting) -> int:
        """Shed the oldest jobs of all queues until the spool is within its room."""
        bytes_over, inodes_over = self._excess()
        shed = 0
        if bytes_over <= 0 and inodes_over <= 0:
            return shed  # as nearly always: don't line up everything that waits
        by_age = merge(
            *([(entry, self.spool[name]) for entry in names] for name, names in waiting.items()), key=_name
        )
        for entry, queue in by_age:
            if bytes_over <= 0 and inodes_over <= 0:
                break
            with suppress(FileNotFoundError):  # a worker has it, or it was shed above
                size = fsio.size(f"{queue.new}/{entry}")
                if self._shed(queue.name, [entry], "no room"):
                    shed, bytes_over, inodes_over = shed + 1, bytes_over - size, inodes_over - 1
        return shed

    def _shed(self, name: str, entries: Sequence[str], reason: str) -> int:
        return throw_away(self._consumers[name], entries, lambda claim: claim.shed(reason))

    def _excess(self) -> tuple[int, int]:
        """Bytes and inodes by which the spool is over what it may use."""
        space = fsio.space(self.spool.root)
        most_bytes = self.settings.max_bytes.of(space.bytes_total)
        most_inodes = self.settings.max_inodes.of(space.inodes_total) if space.inodes_total else sys.maxsize
        used, files = space.bytes_total - space.bytes_free, space.inodes_total - space.inodes_free
        if (used > most_bytes or files > most_inodes) and not fsio.is_mount(self.spool.root):
            # Other things live on this file system too: count what is ours, file by file.
            used, files = fsio.usage(str(self.spool.root))
        return used - most_bytes, files - most_inodes

    def _purge_bad(self) -> int:
        before = time.time() - self.settings.bad_max_age
        old = [entry for entry in self.spool.bad() if id_time(entry[1]) < before]
        for queue, job_id, attempt in old:
            self.spool[queue].discard_bad(job_id, attempt, "bad for too long")
        return len(old)


def _name(entry: tuple[str, Queue]) -> str:
    return entry[0]


def run(config: Config, *, once: bool = False) -> int:
    """Run the reaper in this process until SIGTERM or SIGINT; with `once`, do one round.

    Returns:
        The exit code.
    """
    spool = Spool.open(config)
    reaper = Reaper(config, spool)
    if once:
        reaper.round()
        reaper.close()
    else:
        signal.signal(signal.SIGTERM, reaper.stop)
        signal.signal(signal.SIGINT, reaper.stop)
        reaper.run()
    spool.close()
    return 0
