"""What is held back: why, and the text that would have left, for a person to look at.

A file `QUEUE-REPORT.json` says what was found and where, `QUEUE-REPORT.txt` is the text. Both name the trap:
the directory is its user's alone.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from trap.fsio import make_directory, names, read, replace_file, unlink

DIRECTORY = "held"


class Evidence(msgspec.Struct, frozen=True):
    """One thing that held a report back."""

    where: str
    """Part, header field or layer of the text."""
    kind: str
    """The spelling in which it stood there, or what kind of mail it is."""
    name: str
    """The trap's name that was found; "" when it was none."""
    excerpt: str


class Held:
    """The files of one reporter.

    Args:
        directory: of all reporters' books.
        queue: the reporter's.
    """

    def __init__(self, directory: Path, queue: str) -> None:
        self._directory = directory / DIRECTORY
        self._queue = queue

    def put(self, report: str, evidence: list[Evidence], text: bytes = b"") -> None:
        """Write down why a report is held.

        Raises:
            OSError: it can't be written.
        """
        make_directory(self._directory)
        if text:
            replace_file(self._path(report, "txt"), text)
        replace_file(self._path(report, "json"), msgspec.json.format(msgspec.json.encode(evidence)))

    def evidence(self, report: str) -> list[Evidence]:
        """Why a report is held; nothing when it is not."""
        with suppress(FileNotFoundError):
            return msgspec.json.decode(read(str(self._path(report, "json"))), type=list[Evidence])
        return []

    def text(self, report: str) -> bytes:
        """What would have left."""
        with suppress(FileNotFoundError):
            return read(str(self._path(report, "txt")))
        return b""

    def remove(self, report: str) -> None:
        """Forget why a report was held."""
        for kind in ("json", "txt"):
            unlink(str(self._path(report, kind)))

    def keep(self, reports: Collection[str]) -> None:
        """Forget why others than these were held."""
        pattern = re.compile(rf"{re.escape(self._queue)}-([0-9a-f]+)\.(?:json|txt)")
        with suppress(FileNotFoundError):
            for name in names(str(self._directory)):
                if (match := pattern.fullmatch(name)) and match[1] not in reports:
                    unlink(f"{self._directory}/{name}")

    def _path(self, report: str, kind: str) -> Path:
        return self._directory / f"{self._queue}-{report}.{kind}"
