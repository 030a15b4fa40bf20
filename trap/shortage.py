"""When the spool runs short: sees it, says what becomes of mail, and makes room where it is told to.

Short is the spool when its file system has less than the reserve left, in bytes or inodes, when the
queue that mail begins in holds more than `spool.max_waiting` jobs, or when the mail log's disk is full.
`spool.when_full` says for each tag what happens then: `tempfail` answers 452, `shed` throws the oldest
waiting jobs of the queue away, just enough for the new one, and `accept-and-drop` answers 250 and
keeps nothing. Without a mail log nothing may end, so then it is `tempfail` for all.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from trap import fsio
from trap.claim import Consumer
from trap.config import Config
from trap.queue import Queue, Spool

TEMPFAIL, SHED, DROP = "tempfail", "shed", "accept-and-drop"
FULL = "full"
"""The reason that stands in the mail log."""

_PRECIOUS = (DROP, TEMPFAIL, SHED)
"""Choices by what the mail is worth to whoever made them."""
_LOOK_EVERY = 0.1
_COMPLAIN_EVERY = 10.0
_LOG_BYTES = 1 << 20
"""Bytes that the mail log's file system must have free."""
_INODES = 64
"""Inodes kept free when the reserve is given in bytes."""
_LONGEST = 0.05
"""Seconds for which jobs are shed for one message at most, so that other sessions go on."""
_LISTING_SHARE = 50
"""Where counting a queue means listing it, it is listed for a fiftieth of the time at most."""
_BLOCK = 4096
_HEAD = 512
"""What a job needs besides its message, about."""


class State(NamedTuple):
    """What was found."""

    spool: str = ""
    """Why the spool is short; empty when it is not."""
    maillog: str = ""
    crowded: frozenset[str] = frozenset()
    """Queues that hold too many jobs."""
    fill: float = 0.0
    """Share of the spool's file system in use, bytes or inodes."""

    def __bool__(self) -> bool:
        return bool(self.spool or self.maillog or self.crowded)


class Shortage:
    """The state of one spool.

    Args:
        config: pipeline, route, paths and spool are used.
        root: the spool's directory.
        spool: opens the spool, to shed from; asked only where something is to be shed.
        quiet: the operator is not told, whoever has the message tells.

    Attributes:
        first: the queues in which mail begins.
        counts: what was done for lack of room: messages answered 452 (tempfail), jobs shed (shed),
            messages dropped (accept-and-drop).
    """

    def __init__(
        self, config: Config, root: Path, spool: Callable[[], Spool], *, quiet: bool = False
    ) -> None:
        self.first = list(dict.fromkeys([config.first, *(route.to for route in config.route)]))
        self.counts: Counter[str] = Counter()
        self._quiet = quiet
        self._settings = config.spool
        self._log = config.paths.maillog
        self._root = root
        self._default = config.spool.when_full.get("default", TEMPFAIL)
        self._state = State()
        self._looked = 0.0
        self._depths = {name: _Depth(f"{root}/{name}/new") for name in self.first}
        self._told = 0.0
        self._told_counts: Counter[str] = Counter()
        self._shedders: dict[str, _Shedder] = {}
        if SHED in config.spool.when_full.values():
            # Now: when the last inode is gone, none must be needed to shed.
            self._shedders = {name: _Shedder(spool()[name]) for name in self.first}

    @property
    def state(self) -> State:
        """What there is; the kernel is asked ten times a second at most."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._state = self._look()
        return self._state

    def short(self, queues: Iterable[str]) -> str:
        """Why there is no room for mail that begins in these queues; empty when there is."""
        state = self.state
        if not state:
            return ""
        crowded = next(
            (f"queue {name}: more than {self._most} wait" for name in queues if name in state.crowded), ""
        )
        return state.maillog or state.spool or crowded

    @property
    def _most(self) -> int:
        return self._settings.max_waiting

    def choice(self, tags: Iterable[str]) -> str:
        """What is configured for recipients with these tags ("" for none): the most precious wins."""
        if self._state.maillog:
            return TEMPFAIL
        choices = [self._settings.when_full.get(tag, self._default) for tag in tags]
        return max(choices, key=_PRECIOUS.index, default=self._default)

    def shed(self, queue: str, size: int) -> bool:
        """Throw the oldest waiting jobs of a queue away, just enough for one of `size` bytes.

        Returns:
            Whether there is room for it now.
        """
        shedder = self._shedders.get(queue)
        if shedder is None:
            return False
        depth = self._depths[queue]
        excess = depth.count() - self._most + 1 if self._most else 0
        if excess <= 0 and queue in self._state.crowded and not self._state.spool:
            return True  # it was crowded when we looked last, and workers have made room since
        crowded = excess > 0 and not self.state.spool
        need = 0 if crowded else -(-(size + _HEAD) // _BLOCK) * _BLOCK
        number, freed = shedder.shed(need, excess)
        depth.fewer(number)
        if number:
            self.count(SHED, number=number)
        if freed >= need and number >= excess:
            return True
        self._looked = 0.0  # others may have made room meanwhile
        return not self.short([queue])

    def count(self, what: str, reason: str = "", number: int = 1) -> None:
        """Count what was done with mail, and tell the operator, with the reason; not once a message."""
        self.counts[what] += number
        now = time.monotonic()
        if self._quiet or (self._told and now - self._told < _COMPLAIN_EVERY):
            return
        import logging  # noqa: PLC0415 - `inject` starts for each message, and is quiet

        reason = reason or self.short(self.first) or "spool: no room"
        new = self.counts - self._told_counts
        done = [
            f"{new[what]} {words}"
            for what, words in ((TEMPFAIL, "answered 452"), (SHED, "shed"), (DROP, "accepted and dropped"))
            if new[what]
        ]
        logging.getLogger("trap.sink").warning("%s: %s", reason, ", ".join(done))
        self._told, self._told_counts = now, self.counts.copy()

    def close(self) -> None:
        """Give up the leases."""
        for shedder in self._shedders.values():
            shedder.close()

    def _look(self) -> State:
        try:
            space = fsio.space(self._root)
            crowded = [
                name for name, depth in self._depths.items() if self._most and depth.count() >= self._most
            ]
            return State(
                spool=self._spool_short(space),
                maillog=self._log_short(),
                crowded=frozenset(crowded),
                fill=max(space.bytes_used, space.inodes_used),
            )
        except OSError as error:
            return State(spool=f"spool: {error}", fill=1.0)

    def _spool_short(self, space: fsio.Space) -> str:
        reserve = self._settings.reserve
        inodes = reserve.of(space.inodes_total)
        if reserve.share is None:  # bytes were meant
            inodes = min(inodes, _INODES, space.inodes_total // 20)
        if space.bytes_free >= reserve.of(space.bytes_total) and (
            not space.inodes_total or space.inodes_free >= inodes
        ):
            return ""
        return f"spool: less than {reserve} free"

    def _log_short(self) -> str:
        if self._log.exists() and fsio.space(self._log).bytes_free < _LOG_BYTES:
            return "mail log: its disk is full"
        return ""


class _Depth:
    """How many jobs wait in a queue."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._cheap = fsio.is_tmpfs(directory) and fsio.entries(directory) >= 0  # a ramfs does not tell
        self._number = 0
        self._due = 0.0

    def count(self) -> int:
        """The number. On tmpfs that is one system call; else it may be of some time ago."""
        if self._cheap:
            return fsio.entries(self._directory)
        begin = time.monotonic()
        if begin >= self._due:
            self._number = len(fsio.names(self._directory))
            end = time.monotonic()
            self._due = end + (end - begin) * _LISTING_SHARE
        return self._number

    def fewer(self, number: int) -> None:
        """So many were thrown away: not to be thrown away again by who counted before."""
        self._number -= number


class _Shedder:
    """Throws away the oldest waiting jobs of one queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._consumer = self._take()
        self._names: list[str] = []

    def _take(self) -> Consumer:
        return self._queue.consumer("sink-")  # one that has a prefix counts as no worker

    def shed(self, size: int, number: int) -> tuple[int, int]:
        """Shed jobs until `size` bytes are free that were not, and at least `number` jobs.

        Returns:
            Jobs shed, and the bytes they took.
        """
        done = freed = 0
        end = time.monotonic() + _LONGEST
        while done < number or freed < size:
            if not self._names:
                # Amortised, as a worker's: one listing for as many jobs as there were names.
                self._names = self._queue.waiting()
                self._names.reverse()
                if not self._names:
                    break
                if not self._consumer.alive:
                    gone, self._consumer = self._consumer, self._take()
                    gone.close()
                end = time.monotonic() + _LONGEST
            if time.monotonic() > end:
                self._names.clear()  # most of them have gone to workers: look anew next time
                break
            claim = self._consumer.take(self._names.pop())
            if claim is None:
                continue  # a worker has it already
            taken = fsio.size(claim.path)
            try:
                claim.shed(FULL)
            except OSError:  # the log can't be written, so it may not end
                claim.give_back()
                raise
            done, freed = done + 1, freed + taken
        return done, freed

    def close(self) -> None:
        self._consumer.close()
