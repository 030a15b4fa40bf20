"""Reads a segment, whichever form it has: loose as it was written, or packed later.

    >>> import tempfile
    >>> from trap.archive.writer import Writer
    >>> from trap.job import Job
    >>> writer = Writer.create(Path(tempfile.mkdtemp()), b"", level=3)
    >>> place, = writer.append([Job.from_message(b"Subject: hi\\r\\n\\r\\nbody\\r\\n")])
    >>> writer.seal()
    >>> with Reader(writer.path) as reader:
    ...     reader.read(place.offset).message
    b'Subject: hi\\r\\n\\r\\nbody\\r\\n'

A job's place is its offset in the loose form, and stays so: the packed form has a table.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from trap.archive.form import FOOTER_SIZE, PACKED, SUFFIX, Fault, Footer, Frame, read_head
from trap.archive.loose import Loose
from trap.archive.packed import Packed
from trap.archive.record import Corrupt, Record

__all__ = ["FOOTER_SIZE", "SUFFIX", "Fault", "Footer", "Frame", "Reader"]


class Reader:
    """Reads a segment, also while another process appends to it. Packing it does not disturb who reads it.

    Attributes:
        start: where its first record is.
        created: when it was begun, in seconds since the epoch.
        packed: whether it has that form.

    Raises:
        Corrupt: the file does not begin like a segment.
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(SUFFIX)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            magic, start, says = read_head(self._fd)
        except Corrupt as error:
            self.close()
            raise Corrupt(f"{self.name}: {error}") from None
        except BaseException:
            self.close()
            raise
        self.created = float(says["created"])
        self.packed = magic == PACKED
        form = Packed if self.packed else Loose
        self._form: Loose | Packed = form(self.name, self._fd, start, says)
        self.start = self._form.start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._fd).st_size

    @property
    def gone(self) -> bool:
        """Whether the file has no name any more: it was dropped, or packed."""
        return os.fstat(self._fd).st_nlink == 0

    @property
    def seed(self) -> int:
        """Where the crc32 of its marks starts from."""
        return self._form.seed

    @property
    def dictionary(self) -> bytes:
        """What another segment's frames may lean on; empty when there is nothing."""
        return self._form.dictionary

    @property
    def seal(self) -> Footer | None:
        """Its footer, or None while it is open."""
        return self._form.seal

    @property
    def end(self) -> int:
        """Where its records end: at the footer, or at the end of an open one; as places are."""
        return self._form.end

    @property
    def digest(self) -> bytes | None:
        """The sha256 of all its messages' sha256, when it says so: once it is packed."""
        return self._form.digest

    def proof(self) -> bytes:
        """The sha256 of everything before its footer, as it is now."""
        return self._form.proof()

    def frames(self, start: int = 0, fault: Callable[[Fault], None] = lambda _: None) -> Iterator[Frame]:
        """Every whole frame from `start` on, in the order they were written.

        Args:
            start: where a frame begins; 0 for the first one.
            fault: told of damage that is passed over. The torn tail of an open segment is none.
        """
        return self._form.frames(start, fault)

    def content(self, frame: Frame) -> bytes:
        """The record in a frame, still packed (trap.archive.record).

        Raises:
            Corrupt: it can't be unpacked, or what it leans on is damaged.
        """
        return self._form.content(frame)

    def record(self, frame: Frame) -> Record:
        """The record in a frame.

        Raises:
            Corrupt: it is not what was written.
        """
        return self._form.record(frame)

    def read(self, offset: int) -> Record:
        """The record at this place.

        Raises:
            Corrupt: there is none, or it is damaged.
        """
        return self._form.read(offset)
