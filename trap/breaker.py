"""What the worker remembers of trouble that is no job's fault: when to try again, later each time."""

import time

BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds a stage is left alone after its backend was found away, by consecutive failures."""


class Breaker:
    """Remembers that a backend is away, and when it may be tried again, by one job."""

    def __init__(self) -> None:
        self.failures = 0
        self.tripped = 0.0
        self.until = 0.0

    def trip(self, asked: float) -> float:
        """Note that what was asked at `asked` (monotonic clock) failed.

        Returns:
            How long the backend is left alone, in seconds; 0 when it was asked before the last
            failure was known: many jobs in flight count as one.
        """
        now = time.monotonic()
        if asked < self.tripped:
            return 0.0
        pause = BACKOFF[min(self.failures, len(BACKOFF) - 1)]
        self.failures += 1
        self.tripped, self.until = now, now + pause
        return pause

    def reset(self) -> bool:
        """Note that the backend answered; returns whether it was away."""
        was_away = self.failures > 0
        self.failures = 0
        self.until = 0.0
        return was_away

    @property
    def remaining(self) -> float:
        """Seconds until the next try; 0 when it is due."""
        return max(0.0, self.until - time.monotonic()) if self.failures else 0.0
