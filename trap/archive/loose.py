"""The form a segment has as it is written: one frame a job, synced, nothing of it ever moved.

Between head and footer (trap.archive.form) lies for each job

    mark      skippable: job id, size and sha256 of the message, the record it leans on if any
              (trap.archive.copies), length and crc32 of the frame
    frame     its record

The head holds the dictionary that frames lean on, itself compressed, and a seed. A segment without a
footer is open: a living process appends to it, or a dead one did. Its torn tail is what follows the
last frame whose mark and crc32 are right. A sealed one never changes, but for being packed.
"""

import os
import struct
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import zstandard

from trap.archive.copies import as_dictionary
from trap.archive.form import (
    CRC_SIZE,
    FOOTER_SIZE,
    SKIPPABLE,
    Fault,
    Footer,
    Frame,
    crc,
    inflate,
    read_footer,
    sha256,
)
from trap.archive.form import LOOSE as MAGIC
from trap.archive.form import head as form_head
from trap.archive.record import Corrupt, Record, decode
from trap.job import ID_DIGITS, Job

_MARK = 0x184D2A51
_JOB = struct.Struct("<QII32sQII")
_MARK_START = SKIPPABLE.pack(_MARK, _JOB.size)
MARK_SIZE = SKIPPABLE.size + _JOB.size
_WINDOW = 1 << 20


def head(created: float, seed: int, dictionary: bytes) -> bytes:
    """The first bytes of a segment.

    Args:
        created: when it is begun, in seconds since the epoch.
        seed: a random number below 2**32. The crc32 of every mark starts from it, so that no mail
            can hold something that looks like a frame of this segment.
        dictionary: what its frames lean on; may be empty.
    """
    packed = zstandard.ZstdCompressor(level=19).compress(dictionary) if dictionary else b""
    return form_head(MAGIC, {"created": created, "seed": seed, "dictionary": packed})


def mark(seed: int, job: Job, sha256: bytes, base: int, frame: bytes) -> bytes:
    """What stands in front of a job's frame.

    Args:
        seed: of the segment.
        sha256: of the message.
        base: offset of the record the frame leans on, or 0.

    Raises:
        ValueError: the job has an id of another form.
    """
    when, rest = int(job.id[:ID_DIGITS]), int(job.id[ID_DIGITS:], 16)
    fields = _JOB.pack(when, rest, job.size, sha256, base, len(frame), 0)[:-CRC_SIZE]
    return _MARK_START + fields + crc(seed, fields, frame)


class Loose:
    """Reads a segment in its loose form, open or sealed, also while another process appends to it.

    Args:
        name: for messages.
        fd: stays the caller's.
        start: where its head ends.
        says: what its head says.
    """

    digest: bytes | None = None

    def __init__(self, name: str, fd: int, start: int, says: dict[str, Any]) -> None:
        self.name = name
        self.start = start
        self.seed = int(says["seed"])
        self._fd = fd
        self._packed_dictionary = says["dictionary"]

    @cached_property
    def dictionary(self) -> bytes:
        """The dictionary its frames lean on; empty when it has none."""
        packed = self._packed_dictionary
        return inflate(zstandard.ZstdDecompressor(), packed) if packed else b""

    @property
    def seal(self) -> Footer | None:
        """Its footer, or None while it is open."""
        return read_footer(self._fd, self.start)

    @property
    def end(self) -> int:
        """Where its frames end: at the footer, or at the end of an open one."""
        return os.fstat(self._fd).st_size - (FOOTER_SIZE if self.seal else 0)

    def proof(self) -> bytes:
        """The sha256 of everything before its footer, as it is now."""
        return sha256(self._fd, self.end)

    def frames(self, start: int, fault: Callable[[Fault], None]) -> Iterator[Frame]:
        """See trap.archive.segment.Reader.frames."""
        sealed = self.seal is not None
        at, end = max(start, self.start), self.end
        while at < end:
            if frame := self._frame(at, end):
                yield frame
                at = frame.end
                continue
            found = self._resume(at + 1, end)
            if found or sealed:
                fault(Fault(at, f"{(found or end) - at} bytes are no record"))
            if not found:
                return
            at = found

    def content(self, frame: Frame) -> bytes:
        """The record in a frame, still packed.

        Raises:
            Corrupt: it can't be unpacked, or what it leans on is damaged.
        """
        if not frame.base:
            return inflate(self._decompressor, frame.data)
        base = self._frame(frame.base, frame.offset)
        if not base or base.base:
            raise Corrupt(f"{frame.id}: it leans on a damaged record at {frame.base}")
        decompressor = zstandard.ZstdDecompressor(dict_data=as_dictionary(self.content(base)))
        return inflate(decompressor, frame.data)

    def record(self, frame: Frame) -> Record:
        """The record in a frame.

        Raises:
            Corrupt: it is not what was written.
        """
        return decode(frame.id, frame.sha256, self.content(frame))

    def read(self, offset: int) -> Record:
        """The record whose mark begins at `offset`.

        Raises:
            Corrupt: there is none, or it is damaged.
        """
        if offset < self.start or not (frame := self._frame(offset, os.fstat(self._fd).st_size)):
            raise Corrupt(f"{self.name}: no record at {offset}")
        return self.record(frame)

    @cached_property
    def _decompressor(self) -> zstandard.ZstdDecompressor:
        if not self.dictionary:
            return zstandard.ZstdDecompressor()
        return zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(self.dictionary))

    def _frame(self, at: int, end: int) -> Frame | None:
        start = os.pread(self._fd, MARK_SIZE, at)
        if len(start) < MARK_SIZE or not start.startswith(_MARK_START):
            return None
        when, rest, size, sha256, base, length, _ = _JOB.unpack_from(start, SKIPPABLE.size)
        if at + MARK_SIZE + length > end:
            return None
        data = os.pread(self._fd, length, at + MARK_SIZE)
        fields, check = start[SKIPPABLE.size : -CRC_SIZE], start[-CRC_SIZE:]
        if len(data) != length or crc(self.seed, fields, data) != check:
            return None
        job_id = f"{when:0{ID_DIGITS}}{rest:08x}"
        return Frame(job_id, at, at + MARK_SIZE + length, size, sha256, base, data)

    def _resume(self, at: int, end: int) -> int:
        """Where the next whole frame begins, from `at` on; 0 when there is none."""
        while at < end:
            window = os.pread(self._fd, min(_WINDOW, end - at), at)
            hit = window.find(_MARK_START)
            if hit >= 0 and self._frame(at + hit, end):
                return at + hit
            at += hit + 1 if hit >= 0 else max(1, len(window) - len(_MARK_START) + 1)
        return 0
