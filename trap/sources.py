"""Where old mail is found: folders of .eml files, Maildirs and mboxes, at any depth."""

import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MBOX_LINE = b"From "
_MBOX_START = re.compile(rb"(?:\AFrom |\n\r?\nFrom (?=[^\n]*\d:\d\d))[^\n]*\n")
_MBOX_SENDER = re.compile(r"From (\S+@\S+)")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message and where it lies; not yet read."""

    path: str
    start: int = 0
    size: int | None = None
    """Bytes from `start`; None: all of the file."""
    sender: str | None = None
    """From the mbox line before it."""

    @property
    def name(self) -> str:
        """What to call it before people."""
        return f"{self.path}:{self.start}" if self.size is not None else self.path

    def read(self) -> bytes:
        """The message, byte for byte.

        Raises:
            OSError: it can't be read.
        """
        with open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read(-1 if self.size is None else self.size)


def letters(path: Path) -> Iterator[Letter]:
    """Every message at or below `path`.

    A file that is named is taken as it is, a mbox when it begins like one. Below a folder only .eml
    files, mboxes and what lies in Maildirs are taken. In name order, so that two runs do the same.
    What can't be read is handed on like a message; whoever reads it hears why.

    Raises:
        OSError: `path` itself can't be read.
    """
    if not path.is_dir():
        yield from _mbox(path) if _is_mbox(path) else [Letter(str(path))]
        return
    closed: list[OSError] = []
    for where, folders, files in os.walk(path, onerror=closed.append):
        folders.sort()
        maildir = os.path.basename(where) in {"cur", "new"} and os.path.isdir(f"{where}/../tmp")
        if "cur" in folders and "new" in folders and "tmp" in folders:
            folders.remove("tmp")  # half-delivered mail
        for name in sorted(files):
            file = Path(where, name)
            if not file.is_file():
                continue  # a pipe would have us wait for ever
            if maildir or name.endswith(".eml") or not os.access(file, os.R_OK):
                yield Letter(str(file))
            elif _is_mbox(file):
                yield from _mbox(file)
    yield from (Letter(str(error.filename)) for error in closed)


def _is_mbox(path: Path) -> bool:
    if path.suffix == ".eml":
        return False
    with path.open("rb") as file:
        return file.read(len(_MBOX_LINE)) == _MBOX_LINE


def _mbox(path: Path) -> Iterator[Letter]:
    """The messages of a mbox: each begins with a dated From line after an empty line (RFC 4155)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as box:
        last: re.Match[bytes] | None = None
        for match in _MBOX_START.finditer(box):
            if last:
                yield _between(path, last, match.start() + 1)
            last = match
        if last:
            yield _between(path, last, len(box))


def _between(path: Path, mark: re.Match[bytes], end: int) -> Letter:
    line = mark[0].decode("ascii", "replace").lstrip()
    sender = _MBOX_SENDER.match(line)
    return Letter(str(path), mark.end(), max(0, end - mark.end()), sender[1] if sender else None)
