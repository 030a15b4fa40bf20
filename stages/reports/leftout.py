"""Messages that must never be reported, for summaries to pass over.

Summaries are counted from the mail log, which knows every message and names networks. So the ids of those
that nothing may be told of are kept, beside the key and as private: files of a day, a line a message.
"""

from collections.abc import Iterator
from pathlib import Path

from stages.reports.feed import append
from stages.reports.period import DAY, Period, iso

MAX_KNOWN = 1_000_000
"""Messages that are remembered while a summary is made."""


class LeftOut:
    """The files in one directory, which must exist."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def append(self, job_id: str, campaign: str, time: float) -> None:
        """Note a message.

        Args:
            job_id: its id.
            campaign: dedup's name of what it is a copy of; "" when it has none.
            time: now, in seconds since the epoch.

        Raises:
            OSError: it can't be written.
        """
        # The line begins anew: what was before may be half of one.
        append(self._path(iso(time)[:10]), f"\n{job_id} {campaign}\n".encode("ascii", "replace"), 0o600)

    def read(self, period: Period) -> tuple[set[str], set[str]]:
        """Ids and campaigns of messages of messages that may be of a period, judged then or soon after."""
        ids: set[str] = set()
        campaigns: set[str] = set()
        for words in self._lines(Period(period.start, period.end + DAY)):
            if len(ids) < MAX_KNOWN:
                ids.add(words[0])
                campaigns |= set(words[1:2])
        return ids, campaigns

    def clean(self, oldest: str) -> None:
        """Remove the files of days before one."""
        for path in self._directory.glob("left-out-????-??-??"):
            if path.name < self._path(oldest).name:
                path.unlink(missing_ok=True)

    def _lines(self, period: Period) -> Iterator[list[str]]:
        for day in period.days():
            try:
                with self._path(day).open("rb") as file:
                    yield from filter(None, (line.decode("ascii", "replace").split() for line in file))
            except FileNotFoundError:
                continue

    def _path(self, day: str) -> Path:
        return self._directory / f"left-out-{day}"
