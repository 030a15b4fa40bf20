"""Periods of time, aligned to UTC, and the names they give to files and feed lines."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0


class Period(NamedTuple):
    """A stretch of time: `start` belongs to it, `end` does not. Seconds since the epoch.

    >>> hour = Period.at(1_795_158_000 + 1800, HOUR)
    >>> hour.name, hour.before().name
    ('20261120T0700Z', '20261120T0600Z')
    """

    start: float
    end: float

    @classmethod
    def at(cls, time: float, length: float) -> "Period":
        """The period of `length` seconds that holds `time`."""
        start = time // length * length
        return cls(start, start + length)

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return self.end - self.start

    @property
    def name(self) -> str:
        """Its start in the basic format of ISO 8601: sorts by time, fit for a file's name."""
        return datetime.fromtimestamp(self.start, UTC).strftime("%Y%m%dT%H%MZ")

    def before(self, count: int = 1) -> "Period":
        """The period of the same length that lies `count` lengths earlier."""
        return Period(self.start - count * self.length, self.end - count * self.length)

    def days(self) -> Iterator[str]:
        """The dates it touches."""
        at = self.start // DAY * DAY
        while at < self.end:
            yield iso(at)[:10]
            at += DAY


def iso(time: float) -> str:
    """A time to the minute, as ISO 8601 writes it: 2026-11-20T07:00Z."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%MZ")
