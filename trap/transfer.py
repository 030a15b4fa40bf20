"""One message on its way in: what was heard of it is in memory or, when that is too much, in the spool."""

from collections.abc import Callable

from trap.body import Body, Chunks
from trap.draft import Draft
from trap.intake import Intake

NO_ROOM, TOO_LARGE = "no_room", "too_large"
"""Causes for which a message is not stored."""


class Transfer:
    """A message that is coming in.

    Args:
        intake: counts what is in memory, and has the spool.
        body: finds the end of the message, or of its chunk.
        aims: tells tags and queues of the recipients, for when the spool runs short.
        now: the loop's time.

    Attributes:
        began_at: the loop's time when it began.
    """

    __slots__ = ("_aims", "_draft", "_intake", "_lost", "_weight", "began_at", "body")

    def __init__(
        self, intake: Intake, body: Body | Chunks, aims: Callable[[], tuple[list[str], list[str]]], now: float
    ) -> None:
        self.body = body
        self.began_at = now
        self._intake = intake
        self._aims = aims
        self._draft: Draft | None = None
        self._weight = 0  # bytes in memory, as the intake counts them
        self._lost = False

    def weigh(self) -> None:
        """Count what is in memory; what is too much for it goes to the spool."""
        body, intake = self.body, self._intake
        intake.memory.add(body.kept - self._weight)
        self._weight = body.kept
        if body.oversize:
            self._abandon()
        elif body.kept and intake.must_spill(body.kept):
            try:
                if self._draft is None:
                    self._draft = intake.draft(*self._aims())
                self._draft.write(body.take())
            except OSError:  # the intake has told the operator
                self._lost = True
                body.give_up()
                self._abandon()
            self._forget()

    def end(self) -> list[bytes] | Draft | str:
        """It is whole.

        Returns:
            The message, which is the caller's now; or the cause why it can't be stored.
        """
        if self._draft is not None and not self.body.oversize:
            try:
                self._draft.write(self.body.take())
            except OSError:
                self._lost = True
        if self._lost or self.body.oversize:
            self.drop()
            return NO_ROOM if self._lost else TOO_LARGE
        message: list[bytes] | Draft = self._draft or self.body.take()
        self._draft = None
        self._forget()
        return message

    def drop(self) -> None:
        """Forget it."""
        self._abandon()
        self._forget()

    def _abandon(self) -> None:
        if self._draft is not None:
            self._draft.abandon()
            self._draft = None

    def _forget(self) -> None:
        if self._weight:
            self._intake.memory.add(-self._weight)
            self._weight = 0
