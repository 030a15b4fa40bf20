"""On what terms a reporter reports: the settings that all of them share."""

import re

from trap.config import Base, Duration

TYPO = "typo"
"""Tag of traps that people reach by a slip of the finger: what comes there need not be spam."""
LONGER = 1.5
"""A report gathers up to so many times as long as it is told to."""
_TAG = re.compile(r"[A-Za-z0-9_.-]{0,64}")


class Terms(Base, frozen=True):
    """The setting `terms:` of every reporter."""

    period: Duration = Duration("24h")
    """One report about a campaign goes to one recipient in this time."""
    gather: Duration = Duration("10m")
    """A report waits so long for more copies, which add to its weight and show what names recipients; up to
    half as long again, so that when it comes does not tell the second in which the first copy did."""
    min_traps: int | None = None
    """Nothing is reported before so many addresses of the trap got it: with 2, who sends one a text of its
    own does not learn whether it reports. The reporter's own choice when not set."""
    rate: int = 100
    """Reports an hour at most; 0 is no limit."""
    traps: list[str] | None = None
    """Tags of the traps whose mail is reported, "" for those without one; all but typo when not set."""
    max_age: Duration = Duration("2d")
    """What could not be sent until then never will be."""
    keep: Duration = Duration("30d")
    """How long it is remembered what was reported, with the text as sent."""

    def check(self) -> None:
        """Whether they make sense.

        Raises:
            ValueError: they don't.
        """
        if self.min_traps is not None and self.min_traps < 1:
            raise ValueError("terms: min_traps: must be 1 or more")
        if self.rate < 0:
            raise ValueError("terms: rate: must not be below 0")
        if self.gather * LONGER >= self.max_age:
            raise ValueError(f"terms: gather: {LONGER} times as long must be shorter than max_age")
        if self.keep < max(self.period, self.max_age):
            raise ValueError(
                "terms: keep: must not be shorter than period and max_age: it prevents repetition"
            )
        for tag in self.traps or ():
            if not _TAG.fullmatch(tag):
                raise ValueError(f"terms: traps: {tag!r} is no tag")

    def unfit(self, tags: list[str]) -> str:
        """Why mail that came to traps with these tags is not reported; "" when it is.

        Args:
            tags: of each recipient, "" for one without.
        """
        for tag in tags or [""]:
            if tag == TYPO if self.traps is None else tag not in self.traps:
                return f"came to a trap tagged {tag}" if tag else "came to a trap without a tag"
        return ""
