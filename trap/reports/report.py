"""One report: how it stands, and how an attempt to deliver it can end."""

from typing import TYPE_CHECKING, Literal

import msgspec

from trap.stage import Unavailable

if TYPE_CHECKING:
    from trap.reports.book import Book

State = Literal["gathering", "held", "sending", "sent", "unsure", "failed", "retracting", "retracted"]


class Later(Exception):
    """The counterpart said no for now; it has definitely not taken the report.

    Args:
        why: what it said.
        after: seconds for which it wants to be left alone; 0 when it does not say.
    """

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Refused(Exception):
    """The counterpart said no for good."""


class Report(msgspec.Struct, frozen=True):
    """One report, as lists show it. Times are seconds since the epoch."""

    id: str
    recipient: str
    campaign: str
    state: State
    weight: int
    """Copies of the campaign that it stands for."""
    first: float
    last: float
    """When its first and its newest copy were received."""
    created: float
    changed: float
    due: float
    """When it is sent at the earliest."""
    attempts: int
    released: bool
    """A person said that it may leave, whatever held it back; past the gate it has to go all the same."""
    word: str
    """What the counterpart answered, or why it is not sent."""
    sent: float
    """When its last byte left; 0 when it has not."""
    doubtful: bool = False
    """Whether an earlier attempt may have arrived."""
    begun: int = 0
    """Times that it was composed and its sender died of it."""
    traps: int = 0
    """Addresses that got a copy before it was sent; of them a few dozen are counted."""


class Sending:
    """One attempt to deliver a report.

    Whoever delivers calls `commit` right before the first byte that can't be taken back.

    Attributes:
        text: what is sent, for the record.
        committed: whether that has been called.
    """

    def __init__(self, book: "Book", report: str) -> None:
        self._book = book
        self._report = report
        self.text = b""
        self.committed = False

    def commit(self) -> None:
        """Write down, for good, that from now on nobody knows whether the counterpart has it.

        Raises:
            Unavailable: it was called before: a report is not told to a second server when the first one
                may have it; or the book can't be written.
        """
        if self.committed:
            raise Unavailable("broken off between the last byte and the answer")
        self._book.commit(self._report, self.text)
        self.committed = True
