"""The form of a segment file, and reading one.

A segment is a valid zstd stream. What zstd itself has no place for lies in skippable frames
(RFC 8878, 3.1.2), which every decoder passes over:

    head      magic, crc32, then msgpack: when it was begun, and the dictionary, itself compressed
    record    one frame a job; in front of it a mark: job id, size and sha256 of the message, the
              record it leans on if any (trap.archive.copies), length and crc32 of the frame
    …
    footer    once it is sealed: number of records, time range, bytes of mail, sha256 of everything before

A segment without a footer is open: a living process appends to it, or a dead one did. Its torn
tail is what follows the last frame whose mark and crc32 are right. A sealed one never changes.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgpack
import zstandard

from trap.archive.copies import as_dictionary
from trap.archive.record import Corrupt, Record, decode
from trap.job import ID_DIGITS, Job

SUFFIX = ".seg"
MAX_RECORD = 1 << 30
"""Largest record that is unpacked, in bytes: what says it is larger is not believed."""

_HEAD, _MARK, _FOOT = 0x184D2A50, 0x184D2A51, 0x184D2A52
_MAGIC = b"spamtrap archive segment 1\n"
_SKIPPABLE = struct.Struct("<II")
_JOB = struct.Struct("<QII32sQII")
_CRC_SIZE = 4
_SEAL = struct.Struct("<8sIQQQ32sI")
_SEALED = b"sealed 1"
_FOOT_START = _SKIPPABLE.pack(_FOOT, _SEAL.size) + _SEALED
_MARK_START = _SKIPPABLE.pack(_MARK, _JOB.size)
MARK_SIZE = _SKIPPABLE.size + _JOB.size
FOOTER_SIZE = _SKIPPABLE.size + _SEAL.size
_WINDOW = 1 << 20


class Frame(NamedTuple):
    """Where a job lies in a segment: its mark begins at `offset`, what follows it at `end`."""

    id: str
    offset: int
    end: int
    message_bytes: int
    sha256: bytes
    """Of the message."""
    base: int
    """Where the record lies that this one leans on; 0 when it stands alone."""
    data: bytes


class Footer(NamedTuple):
    """What a sealed segment says of itself."""

    records: int
    first: float
    """When the first of its jobs was accepted, in seconds since the epoch."""
    last: float
    message_bytes: int
    """Bytes of the messages before they were packed."""
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """Bytes of a segment that are not what was written."""

    offset: int
    what: str


def head(created: float, seed: int, dictionary: bytes) -> bytes:
    """The first bytes of a segment.

    Args:
        created: when it is begun, in seconds since the epoch.
        seed: a random number below 2**32. The crc32 of every mark starts from it, so that no mail
            can hold something that looks like a frame of this segment.
        dictionary: what its frames lean on; may be empty.
    """
    packed = zstandard.ZstdCompressor(level=19).compress(dictionary) if dictionary else b""
    body: bytes = msgpack.packb({"created": created, "seed": seed, "dictionary": packed})
    payload = _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body
    return _SKIPPABLE.pack(_HEAD, len(payload)) + payload


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
    fields = _JOB.pack(when, rest, job.size, sha256, base, len(frame), 0)[:-_CRC_SIZE]
    return _MARK_START + fields + _crc(seed, fields, frame)


def footer(seal: Footer) -> bytes:
    """The last bytes of a sealed segment."""
    first, last = round(seal.first * 1_000_000), round(seal.last * 1_000_000)
    body = _SEAL.pack(_SEALED, seal.records, first, last, seal.message_bytes, seal.sha256, 0)[:-_CRC_SIZE]
    return _SKIPPABLE.pack(_FOOT, _SEAL.size) + body + _crc(0, body, b"")


def _crc(seed: int, fields: bytes, frame: bytes) -> bytes:
    crc: int = zlib.crc32(frame, zlib.crc32(fields, seed))
    return crc.to_bytes(_CRC_SIZE, "little")


class Reader:
    """Reads a segment, open or sealed, also while another process appends to it.

    Raises:
        Corrupt: the file does not begin like a segment.
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(SUFFIX)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.start, self._head = self._read_head()
        except BaseException:
            self.close()
            raise

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
    def created(self) -> float:
        """When it was begun, in seconds since the epoch."""
        return float(self._head["created"])

    @property
    def seed(self) -> int:
        """Where the crc32 of its marks starts from."""
        return int(self._head["seed"])

    @cached_property
    def dictionary(self) -> bytes:
        """The dictionary its frames lean on; empty when it has none."""
        packed = self._head["dictionary"]
        return _inflate(zstandard.ZstdDecompressor(), packed) if packed else b""

    @property
    def seal(self) -> Footer | None:
        """Its footer, or None while it is open."""
        data = os.pread(self._fd, FOOTER_SIZE, max(self.start, self.size - FOOTER_SIZE))
        body, crc = data[_SKIPPABLE.size : -_CRC_SIZE], data[-_CRC_SIZE:]
        if not data.startswith(_FOOT_START) or len(data) < FOOTER_SIZE or _crc(0, body, b"") != crc:
            return None
        _, records, first, last, size, digest, _ = _SEAL.unpack_from(data, _SKIPPABLE.size)
        return Footer(records, first / 1_000_000, last / 1_000_000, size, digest)

    @property
    def end(self) -> int:
        """Where its frames end: at the footer, or at the end of an open one."""
        return self.size - (FOOTER_SIZE if self.seal else 0)

    def frames(self, start: int = 0, fault: Callable[[Fault], None] = lambda _: None) -> Iterator[Frame]:
        """Every whole frame from `start` on, in the order they were written.

        Args:
            start: where a frame begins; 0 for the first one.
            fault: told of damage that is passed over. The torn tail of an open segment is none.
        """
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
            return _inflate(self._decompressor, frame.data)
        base = self._frame(frame.base, frame.offset)
        if not base or base.base:
            raise Corrupt(f"{frame.id}: it leans on a damaged record at {frame.base}")
        decompressor = zstandard.ZstdDecompressor(dict_data=as_dictionary(self.content(base)))
        return _inflate(decompressor, frame.data)

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
        if offset < self.start or not (frame := self._frame(offset, self.size)):
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
        when, rest, size, sha256, base, length, _ = _JOB.unpack_from(start, _SKIPPABLE.size)
        if at + MARK_SIZE + length > end:
            return None
        data = os.pread(self._fd, length, at + MARK_SIZE)
        fields, crc = start[_SKIPPABLE.size : -_CRC_SIZE], start[-_CRC_SIZE:]
        if len(data) != length or _crc(self.seed, fields, data) != crc:
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

    def _read_head(self) -> tuple[int, dict[str, Any]]:
        start = os.pread(self._fd, _SKIPPABLE.size, 0)
        if len(start) == _SKIPPABLE.size:
            kind, length = _SKIPPABLE.unpack(start)
            payload = os.pread(self._fd, length, len(start)) if kind == _HEAD else b""
            body = payload[len(_MAGIC) + 4 :]
            if (
                payload.startswith(_MAGIC)
                and len(payload) == length
                and zlib.crc32(body) == int.from_bytes(payload[len(_MAGIC) :][:4], "little")
            ):
                return len(start) + length, msgpack.unpackb(body)
        raise Corrupt(f"{self.name}: does not begin like a segment")


def _inflate(decompressor: zstandard.ZstdDecompressor, data: bytes) -> bytes:
    try:
        if not 0 <= zstandard.frame_content_size(data) <= MAX_RECORD:
            raise Corrupt("a frame of unknown or absurd size")
        return decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise Corrupt(f"zstd: {error}") from error
