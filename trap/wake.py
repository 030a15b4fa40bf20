"""Wakes an idle worker when a job arrives in its queue.

A watch that stays makes an event of every arrival, and of every claim. Here the kernel is asked
for exactly one: an inotify watch with IN_ONESHOT, set only when the queue was found empty, that is
gone once it has fired. A busy worker has no watch and pays nothing, whatever arrives.

One that is just faster than the arrivals falls asleep after each of them, and would pay a watch for
each. So when two arrivals woke it in quick succession, it is not woken for a while: it takes naps,
and looks after each. Where the kernel has no watch left to give, waits last their time, and the
worker finds what came then.
"""

import errno
import logging
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

log = logging.getLogger("spamtrap.worker")

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOSPC}
_MASK = Mask(InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CREATE | InotifyConstants.IN_ONESHOT)

NAP = 0.002
"""Seconds of a nap; arrivals that are no further apart are followed by naps."""
NAPS = 0.1
"""Seconds for which naps are taken, before the kernel is asked again."""


class Wake:
    """Waits for a name to appear in one directory.

    Use: `arm()`, look once more, and only then `wait()`.

    Args:
        directory: the `new/` of a queue.
    """

    def __init__(self, directory: str) -> None:
        self._directory = os.fsencode(directory)
        self._inotify: InotifyFD | None = None
        with self._without_when_exhausted():
            self._inotify = InotifyFD.get_instance()
        self._armed = False
        self._woken = 0.0
        self._naps_until = 0.0
        self._napping = False
        # Not a threading.Event: its lock would deadlock a signal handler that interrupts a wait.
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.events = 0
        """Events the kernel sent in all."""

    def arm(self) -> None:
        """Ask for the next arrival. What arrived before this call must be looked for after it."""
        # RACE: a job that comes between the worker's look and the watch makes no event; hence
        # arm, look again, wait. (test_arrival_between_look_and_watch)
        # Whether there is a watch or a nap is settled here, once: else a wait might have neither.
        self._napping = not self._armed and time.monotonic() < self._naps_until
        if self._inotify and not self._armed and not self._napping:
            self._armed = True
            with self._without_when_exhausted():
                self._inotify.add_callback(self._directory, _MASK, self, CallbackId(id(self)))

    @contextmanager
    def _without_when_exhausted(self) -> Iterator[None]:
        """Go on without inotify when the user's instances or watches are used up."""
        try:
            yield
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            log.warning("no inotify, jobs are looked for by the clock: %s", error)
            self._inotify = None

    def wait(self, timeout: float) -> bool:
        """Sleep until it is time to look; False when `timeout` seconds passed first.

        It is time when something arrived, when `poke` was called, and after each nap.
        """
        nap, self._napping = self._napping, False
        bell = select.poll()
        bell.register(self._bell, select.POLLIN)
        rung = bool(bell.poll(min(timeout, NAP if nap else timeout) * 1000))
        with suppress(BlockingIOError):  # nothing rang
            os.eventfd_read(self._bell)
        if rung:
            now = time.monotonic()
            if now - self._woken < NAP:
                self._naps_until = now + NAPS
            self._woken = now
        return rung or nap

    def poke(self) -> None:
        """End the wait, or the next one, from a signal handler or another thread."""
        os.eventfd_write(self._bell, 1)

    def on_event(self, event: InotifyEvent) -> None:
        """Called by watchdog's thread with the one event."""
        self.events += 1

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Called by watchdog's thread once the kernel has removed the fired watch."""
        self._armed = False
        self.poke()

    def on_queue_overflow(self) -> None:
        """Called by watchdog's thread when events were lost: look."""
        self.poke()
