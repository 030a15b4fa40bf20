"""Puts with fsync, in a thread: while one group waits for the disk, the next gathers."""

import asyncio
import errno
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, repeat

from trap.queue import Spool
from trap.writer import Item, Results

_MOST = 64
"""Messages in one group at most, so that the first does not wait for ever for the last."""

log = logging.getLogger("trap.sink")

Done = Callable[[Results], None]


class Syncer:
    """The thread, and what waits for it.

    Args:
        spool: only the thread uses it.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        # One thread: the spool is not made for two, and syncs of one device queue up anyway.
        self._thread = ThreadPoolExecutor(1, "sync")
        self._waiting: list[tuple[list[Item], Done]] = []
        self._busy = False

    def put(self, items: list[Item], done: Done) -> None:
        """Put a message, from the loop; `done` is told the results, on the loop, later."""
        self._waiting.append((items, done))
        if not self._busy:
            self._begin()

    def close(self) -> None:
        """Wait until what was begun is written."""
        self._thread.shutdown()

    def _begin(self) -> None:
        self._busy = True
        group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        items = [item for message, _ in group for item in message]
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._spool.put_all, items)
        future.add_done_callback(partial(self._finish, group))

    def _finish(self, group: list[tuple[list[Item], Done]], future: asyncio.Future[Results]) -> None:
        self._busy = False
        if self._waiting:
            self._begin()
        try:
            results: Iterator[str | OSError] = iter(future.result())
        except Exception as error:
            # Broad: whatever it was, every client hears an answer. Those whose mail was stored all the
            # same send it twice.
            log.exception("a group of %d messages is answered 452", len(group))
            results = repeat(OSError(errno.EIO, f"not stored: {error!r}"))
        for items, done in group:
            done(list(islice(results, len(items))))
