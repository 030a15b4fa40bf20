"""The newest copies of campaigns, in memory: for those who pass on every copy by itself.

What differs between the copies of a campaign tells who got them (trap/redaction/tokens.py), so whoever
redacts one of them has to know some others.

    >>> siblings = Siblings()
    >>> one, two = Job.from_message(b"Hi joe"), Job.from_message(b"Hi ann")
    >>> siblings.add("c1", one), siblings.add("c1", two)
    (None, None)
    >>> [copy.message for copy in siblings.of("c1", one)]
    [b'Hi ann']
"""

from collections import deque

from trap.job import Job

COPIES = 4
"""Of one campaign."""
CAMPAIGNS = 250
"""What was seen longest ago is forgotten."""
LARGEST = 32 << 10
"""Bytes of a copy: larger ones are not kept. So all take 32 MB at most."""


class Siblings:
    """The newest copies of each of the newest campaigns."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Job]] = {}

    def add(self, campaign: str, job: Job) -> None:
        """Remember a copy."""
        if job.size > LARGEST:
            return
        copies = self._kept.pop(campaign, None) or deque(maxlen=COPIES)
        copies.append(job)
        self._kept[campaign] = copies  # as the newest
        if len(self._kept) > CAMPAIGNS:
            del self._kept[next(iter(self._kept))]

    def of(self, campaign: str, job: Job) -> list[Job]:
        """The other copies of a job's campaign that are remembered."""
        # Reports are composed in a thread; what is taken at once can't change under its hands.
        return [copy for copy in tuple(self._kept.get(campaign, ())) if copy.id != job.id]
