"""All books of a trap at once, for people: what was reported where, what is held, and what they decide."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from trap.config import Config
from trap.configfile import ConfigError
from trap.place import DIRECTORY
from trap.plugin import find
from trap.reports.book import Book
from trap.reports.held import Evidence
from trap.reports.report import Report, State

MOST = 1000
"""Reports that a list has at most."""


class Entry(msgspec.Struct, frozen=True):
    """A report, and the reporter in whose book it stands."""

    reporter: str
    report: Report


class Unknown(LookupError):
    """There is no such report, or several; as text, what to do."""


class Desk:
    """Where the books lie open.

    Args:
        config: of the trap.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._directory = config.paths.state / DIRECTORY

    def reporters(self) -> list[str]:
        """Those that have a book."""
        return Book.queues(self._directory)

    def counts(self) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
        """How many reports there are in each state, by reporter; and whose book can't be read, and why."""
        found: dict[str, dict[str, int]] = {}
        trouble: dict[str, str] = {}
        for queue in self.reporters():
            try:
                with self._book(queue) as book:
                    found[queue] = book.counts()
            except OSError as error:
                trouble[queue] = str(error)
        return found, trouble

    def entries(
        self,
        reporters: Sequence[str] = (),
        states: Sequence[State] = (),
        campaign: str = "",
        recipient: str = "",
        limit: int = MOST,
    ) -> list[Entry]:
        """Reports of all books that can be read, those to which something happened last first.

        Args:
            reporters: of these only.
            states: those in these states only.
            campaign: those of this campaign only.
            recipient: those to this recipient only.
            limit: at most so many.
        """
        found = []
        for queue in reporters or self.reporters():
            with suppress(OSError), self._book(queue) as book:
                found += [Entry(queue, each) for each in book.reports(states, campaign, recipient, limit)]
        return sorted(found, key=lambda entry: -entry.report.changed)[:limit]

    def entry(self, begin: str) -> Entry:
        """The report whose id begins so.

        Raises:
            Unknown: there is none in the books that can be read, or several.
        """
        found = []
        for queue in self.reporters():
            with suppress(OSError), self._book(queue) as book:
                found += [Entry(queue, each) for each in book.find(begin)]
        if not found:
            raise Unknown(f"no report {begin!r}; `spamtrap reports ls` lists them")
        if len(found) > 1:
            raise Unknown(f"several reports begin with {begin!r}: give more of the name")
        return found[0]

    def text(self, entry: Entry) -> bytes:
        """What was sent, or would have been if it were not held; empty where check sums were told."""
        with self._book(entry.reporter) as book:
            held = entry.report.state == "held"
            return book.held.text(entry.report.id) if held else book.text(entry.report.id)

    def evidence(self, entry: Entry) -> list[Evidence]:
        """Why it is held; nothing when it is not, or not any more."""
        if entry.report.state != "held":
            return []
        with self._book(entry.reporter) as book:
            return book.held.evidence(entry.report.id)

    def release(self, entry: Entry) -> bool:
        """Let it go, past what held it back but the gate; whether there was something to let go."""
        with self._book(entry.reporter) as book:
            return book.release(entry.report.id)

    def retract(self, entry: Entry) -> bool:
        """Have it taken back, or not sent at all; whether there was something.

        Raises:
            Unknown: what this reporter sends can't be taken back.
        """
        possible = self.can_retract(entry.reporter)
        if entry.report.state in ("sent", "unsure") and not possible:
            raise Unknown(f"what {entry.reporter} sends can't be taken back")
        with self._book(entry.reporter) as book:
            return book.retract(entry.report.id, possible=possible)

    def can_retract(self, reporter: str) -> bool:
        """Whether what a reporter has sent can be taken back."""
        try:
            kind = find(self._config.stage(reporter).use or reporter, self._config.paths.plugins)
        except ConfigError:
            return False
        return hasattr(kind, "retract")

    @contextmanager
    def _book(self, queue: str) -> Iterator[Book]:
        book = Book(self._directory, queue)
        try:
            yield book
        finally:
            book.close()
