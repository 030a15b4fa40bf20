"""feed - publish reports in files for others to fetch: JSON lines, or bundles of STIX 2.1.

A report is written down as soon as it is due, and published with others, in a file that is complete when it
gets its name (stages/reporting/rotation.py). Whoever fetches the directory regularly, by rsync or from behind
a web server, has everything once.

* jsonl: a report a line, as docs/report.schema.json has it: "type": "report"; or "revoked" with the id of one
  that is taken back,
* stix: a bundle a file (stages/reporting/stix.py). One that is taken back comes again, revoked.

Readers who shall not be able to compare their feeds get a queue each, and with it ids and masks of their own.
"""

import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from stages.reporting import stix
from stages.reporting.case import Case, Letter
from stages.reporting.record import VERSION, Revoked, encode, moment, record
from stages.reporting.reporter import Reporter
from stages.reporting.rotation import Files, Rotation
from stages.reporting.tell import Tell
from stages.reporting.terms import Terms
from trap.config import Duration
from trap.job import Job
from trap.place import Place
from trap.reports import Sending
from trap.units import Base

Format = Literal["jsonl", "stix"]
_SUFFIX = {"jsonl": ".jsonl", "stix": ".json"}


class Bundles(Base, frozen=True):
    """What bundles are like."""

    name: str = "spamtrap"
    """Who reports, as readers know him; it must not name the trap."""
    tlp: stix.Tlp = "amber"
    """Who may get to see it: white, green, amber, red."""
    indicators: tuple[stix.Kind, ...] = ("ip", "hash")
    """What may be taken for a sign by itself: ip, url, domain, hash. The rest is only observed."""
    valid: Duration = Duration("7d")
    """For so long."""


class Feed(Reporter):
    """Publish reports in files.

    Args:
        place: given by the worker.
        state_dir: of what is not published yet.
        format: jsonl or stix.
        directory: of the files; `files` in state_dir when not set.
        files: when a file is full, and how long it stays: {every, size, keep}.
        stix: what bundles are like: {name, tlp, indicators, valid}.
        tell: how much is told: {sample, grain}; bundles have no sample.
        terms: as of all reporters.

    Raises:
        ValueError: a setting makes no sense.
        OSError: the book or a directory can't be used.
    """

    log_as = "reported"
    repeatable = True

    def __init__(
        self,
        place: Place,
        state_dir: Path,
        format: Format = "jsonl",
        directory: Path | None = None,
        files: Files = Files(),
        stix: Bundles = Bundles(),
        tell: Tell = Tell(sample="none"),
        terms: Terms = Terms(),
    ) -> None:
        files.check()
        super().__init__(place, terms)
        self._format = format
        self._style = _style(stix)
        self._tell = tell
        together = _bundles if format == "stix" else _lines
        path = directory or state_dir / "files"
        self._files = Rotation(state_dir / "feed.db", path, _SUFFIX[format], together, files)

    async def recipients(self, job: Job) -> list[str]:
        """Whoever fetches the files; a queue has one reader."""
        return [self.place.queue]

    def compose(self, case: Case, to: str) -> bytes:
        """A line, or a bundle."""
        if self._format == "stix":
            return stix.bundle(record(case, "none", self._tell.grain), self._style)
        return encode(record(case, self._tell.sample, self._tell.grain))

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Write it down for the next file."""
        return self._add(letter.id, letter.text, sending)

    async def retract(self, letter: Letter, sending: Sending) -> str:
        """Write down that it is taken back."""
        if self._format == "stix":
            text = stix.revocation(letter.text)
        else:
            text = encode(Revoked(version=VERSION, id=letter.id, time=moment(time.time())))
        return self._add(f"{letter.id}-revoked", text, sending)

    def tick(self) -> None:
        """Send what is due, and publish what is."""
        super().tick()
        if self._lock is not None:  # one worker sends, and it alone publishes
            self._files.turn()

    def close(self) -> None:
        """Leave book and files to others."""
        super().close()
        self._files.close()

    def _add(self, name: str, text: bytes, sending: Sending) -> str:
        sending.commit()
        return "for the next file" if self._files.add(name, text) else "it was there already"


def _style(bundles: Bundles) -> stix.Style:
    return stix.Style(bundles.name, bundles.tlp, bundles.indicators, bundles.valid)


def _lines(texts: Sequence[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in texts)


def _bundles(texts: Sequence[bytes]) -> bytes:
    return stix.packed(chain.from_iterable(map(stix.objects, texts))) + b"\n"
