"""What those reporters share that tell one counterpart, by configuration, of every message.

Most of them tell check sums of the original: what the counterpart keeps is the sums. Where a program may hand
on text as well, the redacted message is told, which passes the gate as all text does.
"""

from collections.abc import Sequence

from stages.reporting.case import Case, Letter
from stages.reporting.reporter import Reporter
from stages.reporting.terms import Terms
from trap.job import Job
from trap.place import Place
from trap.reports import Refused
from trap.stage import Preview


class CheckSums(Reporter):
    """The base of them.

    Args:
        place: given by the worker.
        terms: what the operator set.
        to: names of who is told, as reports are listed by.
        max_size: bytes; larger messages are left out.
    """

    original = True

    def __init__(self, place: Place, terms: Terms, to: Sequence[str], max_size: int) -> None:
        super().__init__(place, terms)
        self._to = list(to)
        self._max_size = max_size

    async def recipients(self, job: Job) -> list[str]:
        """Who was configured."""
        return self._to

    def compose(self, case: Case, to: str) -> bytes:
        """The redacted message, for those who don't tell of the original."""
        return case.message

    def unfit(self, job: Job) -> str:
        """As of all reporters; large messages, too."""
        too_large = f"larger than max_size, {self._max_size} bytes" if job.size > self._max_size else ""
        return too_large or super().unfit(job)

    async def summary(self, job: Job, to: str) -> str:
        """What is told of a message, in words, where it is no text.

        Raises:
            Refused: nothing can be.
        """
        raise NotImplementedError

    async def preview(self, job: Job) -> list[Preview]:
        """What would be sent of a message, to whom; nothing is."""
        found = []
        for each in await super().preview(job):
            text, why = each.text, each.why_not
            if self.original:
                try:
                    text = (await self.summary(job, each.to)).encode()
                except Refused as error:
                    why = why or str(error)
            found.append(Preview(each.to, text, why))
        return found

    def message(self, letter: Letter) -> bytes:
        """What the counterpart gets to see.

        Raises:
            Refused: the original is gone.
        """
        if not self.original:
            return letter.text
        if letter.job is None:
            raise Refused("no copy of the message is left")
        return letter.job.message
