"""What the trap is doing at this moment, looked at once for all who watch."""

import asyncio
import time

import msgspec

from trap import backendstate
from trap.backendstate import Seen
from trap.config import Config
from trap.history import LEFT, SPANS, History, Point
from trap.live import Live, read, together
from trap.queue import Spool
from trap.status import QueueStatus, Room, queue_statuses, reports, room

EVERY = 2.0
"""Seconds between two looks."""
_SHARE = 20
"""A look that takes long, as at a million jobs, is repeated after this many times as long."""
_FORGET = 60.0
"""Seconds without a look after which what the reaper kept is the shorter way to go on."""


class Look(msgspec.Struct):
    """What one look saw."""

    at: float
    """Seconds since the epoch."""
    queues: list[QueueStatus]
    room: Room
    sink: Live | None
    """All sink processes together; nothing when none is running."""
    sinks: list[Live]
    accept_rate: float
    """Messages accepted per second over the last minute."""
    passing: dict[str, float]
    """Jobs a second that leave each queue, and were neither dropped nor shed."""
    asked: Seen
    """The programs that stages ask, as their workers find them."""
    reports: dict[str, dict[str, int]]
    """Reports, by reporter and state."""
    points: dict[str, list[Point]]
    """The steps of each span (trap/history.py)."""


class Pulse:
    """Looks, and remembers the last look for whoever asks within EVERY seconds.

    Args:
        config: of the trap.
        spool: its spool.
    """

    def __init__(self, config: Config, spool: Spool) -> None:
        self._config = config
        self._spool = spool
        self._history: History | None = None
        self._task: asyncio.Task[Look] | None = None
        self._due = 0.0
        self.drawn: dict[str, tuple[float, dict[str, str]]] = {}
        """What the page made of a look: by span, its time and its parts."""

    async def look(self) -> Look:
        """What is to be seen now, or was a moment ago.

        Raises:
            OSError: the spool or the log can't be read.
        """
        if self._task is None or (self._task.done() and time.monotonic() >= self._due):
            self._task = asyncio.create_task(self._renew())
        # Whoever waits may go away: the others want to know all the same, and there is never a second look.
        return await asyncio.shield(self._task)

    async def _renew(self) -> Look:
        begin = time.monotonic()
        if begin > self._due + _FORGET:
            self._history = None
        try:
            return await asyncio.to_thread(self._look)
        finally:
            end = time.monotonic()
            self._due = begin + max(EVERY * 0.9, _SHARE * (end - begin))

    def _look(self) -> Look:
        if self._history is None:
            self._history = History(self._config)
        history = self._history
        history.update()
        now = time.time()
        ends = history.rates(now)
        queues = queue_statuses(self._spool, {name: _rate(ends, f"{LEFT}{name}") for name in self._spool})
        sinks = read(self._config)
        return Look(
            now,
            queues,
            room(self._config),
            together(sinks),
            sinks,
            _rate(ends, "accepted"),
            {queue.name: _passing(ends, queue) for queue in queues},
            backendstate.read(self._config),
            reports(self._config),
            {span: history.points(span, now) for span in SPANS},
        )


def _rate(rates: dict[str, float], key: str) -> float:
    return round(rates.get(key, 0.0), 2)


def _passing(rates: dict[str, float], queue: QueueStatus) -> float:
    ended = (f"dropped {queue.name} ", f"shed {queue.name} ")
    return round(max(0.0, queue.rate - sum(rate for key, rate in rates.items() if key.startswith(ended))), 2)
