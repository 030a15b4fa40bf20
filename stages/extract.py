"""extract - take the sample out of forwarded mail, and note what the mail wants of its reader.

Mail that a known donor forwards is unwrapped: from here on the original is what is judged and archived,
with the donor's session in the note `donor` (stages/extraction/unwrap.py). Then the message is read, and

* urls, links (what is to say of each of the urls), domains, addresses, phones, wallets: where to click,
  write, call and pay (stages.extraction.indicators);
* attachments, archives, qr: files by their hashes, what is in them, with passwords that the message
  names, and what codes in images say (stages.extraction.attachments);
* truncated: what there may be more of, and why

are noted; what a message has none of is left out, but for urls and domains. Every message passes: reading
it is bounded in time and size, and whatever goes wrong there is a note. Nothing is fetched, run or shown.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from stages.extraction import qr
from stages.extraction.attachments import Found, Part, examine
from stages.extraction.budget import Budget, Exhausted
from stages.extraction.donors import Donor
from stages.extraction.entity import Entity, uuencoded
from stages.extraction.indicators import Reader
from stages.extraction.unwrap import unwrap
from trap.archive.fields import TooSlow, cpu_limit
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Pass, Sample, Verdict

_ALWAYS = ("urls", "domains")
"""Noted also when there are none, so that other stages need not look."""
MAX_ITEMS = 2000
"""Parts, members of archives and redirections of one message that are looked at."""


class Extract:
    """The stage.

    Args:
        donors: who forwards mail to the trap; the first that a session fits counts.
        time: processor time for one message: half of it for its text, most of what is left then for files.
        max_unpacked: bytes that may be made of one message by undoing encodings and unpacking.
        most: entries of each kind that are noted.
        region: two letters of the country that telephone numbers without a code are taken for.
        qr: whether images are searched for codes; when not set, if the libraries are there.

    Raises:
        ValueError: codes are asked for and the libraries are missing, or `most` is too much or nothing.
    """

    def __init__(
        self,
        donors: list[Donor] | None = None,
        time: Duration = Duration("2s"),
        max_unpacked: Size = Size("64MB"),
        most: int = 200,
        region: str = "US",
        qr: bool | None = None,
    ) -> None:
        if not 1 <= most <= 10_000:
            raise ValueError(f"most: {most} is not between 1 and 10000")
        self._donors = donors or []
        self._seconds = float(time)
        self._size = int(max_unpacked)
        self._most = most
        self._region = region.upper()
        self._codes = _codes(qr)

    def process(self, job: Job) -> Verdict:
        """Unwrap and read one message."""
        notes: dict[str, Any] = {}
        sample: Sample | None = None
        donor = next((each for each in self._donors if each.sent(job.envelope, job.headers)), None)
        if donor:
            unwrapped = unwrap(job, donor)
            sample = unwrapped.sample
            notes["donor"] = unwrapped.note
        message, envelope = (sample.message, sample.envelope) if sample else (job.message, job.envelope)
        own = [*job.envelope.rcpt_tos, *envelope.rcpt_tos]
        return Pass(self._read(message, own) | notes, sample=sample)

    def close(self) -> None:
        """End the reader of codes."""
        if self._codes:
            self._codes.close()

    def _read(self, message: bytes, own: list[str]) -> dict[str, Any]:
        half = self._seconds / 2
        budget = Budget(half, self._size, MAX_ITEMS)
        reader = Reader(budget, self._most, own, self._region)
        _bounded(half, reader, "text", lambda: reader.read(message))
        left = half + max(0.0, budget.seconds)
        files = Budget(0.6 * left, max(0, budget.size), max(0, budget.items))
        came = Found()
        parts: list[Part] = []

        def look() -> None:
            examine(parts, reader.text, files, self._codes, reader.bodies, came)

        _bounded(0.2 * left, reader, "attachments", lambda: parts.extend(_files(reader.parts, files)))
        _bounded(0.4 * left, reader, "attachments", look)
        for why in came.truncated:
            reader.cut("attachments", why)

        def read_on() -> None:
            for said in came.qr:
                reader.add_text(said, "qr")
            for url in came.urls:
                reader.add_text(url, "document")
            for page in came.pages:
                reader.add_file(page.name, page.data)

        budget.renew(0.1 * left)
        _bounded(0.1 * left, reader, "attachments", read_on)
        _bounded(0.3 * left, reader, "phones, wallets", reader.count)
        found = asdict(reader.found())
        found |= {"attachments": came.attachments, "archives": came.archives, "qr": came.qr}
        return {key: value for key, value in found.items() if value or key in _ALWAYS}


def _bounded(seconds: float, reader: Reader, kind: str, read: Callable[[], None]) -> None:
    """Do a step of the reading within some time, and note why it ended too early."""
    try:
        with cpu_limit(max(0.01, seconds)):
            read()
    except Exhausted as error:
        reader.cut(kind, str(error))
    except TooSlow:
        reader.cut(kind, f"more than {seconds:.2g} s")
    except Exception as error:  # hostile mail makes parsers raise anything; it is a note, not a loss
        reader.cut(kind, f"{type(error).__name__}: {error}"[:200])


def _files(leaves: list[Entity], budget: Budget) -> Iterator[Part]:
    """The parts that are files, and those that stand in the text of the message."""
    for leaf in leaves:
        if leaf.name or leaf.disposition == "attachment" or not leaf.type.startswith(("text/", "message/")):
            budget.spend(leaf.size, 1)
            yield Part(leaf.name, leaf.type, leaf.data)
        else:
            yield from (Part(name, "", data) for name, data in uuencoded(leaf.data))


def _codes(wanted: bool | None) -> qr.Reader | None:
    """Who reads codes in images, if anybody shall."""
    if wanted is False or (wanted is None and not qr.is_available()):
        return None
    if not qr.is_available():
        raise ValueError(f"qr: its libraries are missing: {qr.HINT}")
    return qr.Reader()
