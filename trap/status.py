"""What the trap is doing now: `spamtrap status`."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trap import backendstate, fsio
from trap.audit import Account, tally
from trap.backendstate import BackendState
from trap.config import Config
from trap.ledger import Event, recent
from trap.live import Live, read, together
from trap.queue import Spool
from trap.reports.desk import Desk

WINDOW = 60.0
"""Seconds over which rates are taken."""


class QueueStatus(msgspec.Struct):
    """One queue."""

    name: str
    waiting: int
    claimed: int
    oldest_age_s: float
    workers: int
    rate: float
    """Jobs that left it, per second, over the last minute."""
    bad: int
    configured: bool
    """False: left by an earlier configuration; nobody works it off."""


class Room(msgspec.Struct):
    """Free room of the spool's file system."""

    path: str
    tmpfs: bool
    bytes_free: int
    bytes_used_share: float
    inodes_free: int
    inodes_used_share: float


class Status(msgspec.Struct):
    """The whole, as `spamtrap status --json` prints it."""

    queues: list[QueueStatus]
    bad: int
    accepted: int
    archived: int
    drops: dict[str, int]
    shed: int
    purged: int
    in_flight: int
    accept_rate: float
    """Messages accepted per second over the last minute."""
    spool: Room
    sink: Live | None
    """All sink processes together; nothing when none is running."""
    sinks: list[Live]
    """Each of them."""
    backends: list[BackendState] = []
    """The programs that stages ask, as their workers find them."""
    unjudged: dict[str, int] = {}
    """Jobs that passed without having been judged since the workers began, by stage."""
    reports: dict[str, dict[str, int]] = {}
    """Reports that reporters remember, by stage and state."""


def collect(config: Config, spool: Spool) -> Status:
    """Look at the spool, the log, and what the sinks tell of themselves.

    Raises:
        OSError: one of them can't be read.
    """
    account: Account = tally(config)
    left, accepted = _rates(config.paths.maillog)
    queues = queue_statuses(spool, left)
    sinks = read(config)
    seen = backendstate.read(config)
    return Status(
        queues,
        sum(queue.bad for queue in queues),
        account.accepted,
        account.archived,
        account.dropped,
        account.shed,
        account.purged,
        account.in_flight,
        accepted,
        room(config),
        together(sinks),
        sinks,
        seen.backends,
        seen.unjudged,
        reports(config),
    )


def reports(config: Config) -> dict[str, dict[str, int]]:
    """How many reports each reporter has in each state; none of books that can't be read, as workers tell."""
    found, _ = Desk(config).counts()
    return found


def queue_statuses(spool: Spool, left: Mapping[str, float]) -> list[QueueStatus]:
    """Every queue that is configured, or holds something.

    Args:
        spool: the spool; its directories are listed.
        left: jobs a second that leave each queue.
    """
    bad = Counter(queue for queue, _, _ in spool.bad())
    now = time.time()
    queues = []
    for name in spool:
        stats = spool[name].stats()
        configured = name in spool.configured
        if not (configured or stats.waiting or stats.claimed or bad[name]):
            continue
        age = round(max(0.0, now - stats.oldest), 3) if stats.oldest else 0.0  # clocks are set back
        rate = left.get(name, 0.0)
        queues.append(
            QueueStatus(name, stats.waiting, stats.claimed, age, stats.workers, rate, bad[name], configured)
        )
    return queues


def room(config: Config) -> Room:
    """What is free where the spool is."""
    space = fsio.space(config.paths.spool)
    return Room(
        os.fspath(config.paths.spool),
        fsio.is_tmpfs(config.paths.spool),
        space.bytes_free,
        round(space.bytes_used, 4),
        space.inodes_free,
        round(space.inodes_used, 4),
    )


def _rates(directory: Path) -> tuple[dict[str, float], float]:
    """Jobs a second that left each queue, and that were accepted, lately."""
    now = time.time()
    left: Counter[str] = Counter()
    accepted = 0
    first = now
    event: Event
    for event in recent(directory, now - WINDOW):
        first = min(first, event.t)
        if event.e == "accepted":
            accepted += 1
        elif event.e != "requeued":
            left[event.q] += 1
    span = max(now - first, 1.0)
    return {name: round(number / span, 2) for name, number in left.items()}, round(accepted / span, 2)
