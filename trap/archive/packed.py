"""The form a segment has after it was packed (trap.archive.packer): a third smaller, and for reading only.

Between head and footer (trap.archive.form) lie, each behind a skippable mark with lengths and crc32s,

    blob        one file that mail carried and that is large or can't be compressed: once, however many
                carry it
    dictionary  the lines that several messages of a part of the segment share, and what heals them
                (trap.archive.spare): much leans on them
    block       the records of a few dozen jobs, about a MiB of text, compressed with the dictionary
                before it (trap.archive.blocks)

The head says where records began and ended in the loose form, and has the sha256 of all messages'
sha256. To read one record is to read its block. A damaged block costs its own records, a damaged blob
those who carried it; a dictionary that is damaged in more than one place the blocks that lean on it.
"""

import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

import zstandard

from trap.archive.blocks import Block, Frames
from trap.archive.form import (
    CRC_SIZE,
    FOOTER_SIZE,
    PACKED,
    SKIPPABLE,
    Fault,
    Footer,
    Frame,
    crc,
    head,
    inflate,
    read_footer,
    sha256,
)
from trap.archive.record import Corrupt, Record, encode
from trap.archive.spare import healed, spare

BLOB, DICTIONARY, BLOCK = b"F", b"D", b"B"
_MARK, _SPARE = 0x184D2A53, 0x184D2A54
_FIELDS = struct.Struct("<cQQIII4s4s")
_MARK_START = SKIPPABLE.pack(_MARK, _FIELDS.size)
_MARK_SIZE = SKIPPABLE.size + _FIELDS.size
_WINDOW = 1 << 20
_LEND = 1 << 20
"""Bytes of a dictionary that are lent to segments that have none yet."""


class Mark(NamedTuple):
    """What stands in front of a blob, a dictionary or a block."""

    kind: bytes
    offset: int
    """Of a block: the place of its first record."""
    dictionary: int
    """Of a block: where the mark of the dictionary lies that it leans on."""
    table: int
    text: int
    """Bytes of a block's first and second frame; of a dictionary: 0, and without what heals it."""
    length: int
    """Bytes of all that follows."""
    check: bytes
    """Its crc32."""
    end: int
    """Where what follows it begins."""


def start(seed: int, created: float, places: tuple[int, int], digest: bytes) -> bytes:
    """The first bytes of a packed segment.

    Args:
        seed: as in the loose form.
        created: when it was begun, in seconds since the epoch.
        places: where the records began and ended in the loose form.
        digest: sha256 of all the messages' sha256.
    """
    return head(PACKED, {"created": created, "seed": seed, "places": places, "digest": digest})


def lines_frames(lines: bytes, compressor: zstandard.ZstdCompressor) -> Frames:
    """A dictionary, compressed, and what heals it."""
    frame = compressor.compress(lines)
    kept = spare(frame)
    return Frames(b"", frame, SKIPPABLE.pack(_SPARE, len(kept)) + kept)


def marked(
    seed: int, kind: bytes, frames: Frames | bytes, offset: int = 0, dictionary: int = 0
) -> list[bytes]:
    """A blob, a dictionary or a block, with its mark."""
    pieces = [frames] if isinstance(frames, bytes) else list(frames)
    table, text = (0, 0) if isinstance(frames, bytes) else (len(frames.table), len(frames.text))
    length = sum(map(len, pieces))
    fields = _FIELDS.pack(kind, offset, dictionary, table, text, length, crc(seed, *pieces), b"")[:-CRC_SIZE]
    return [_MARK_START + fields + crc(seed, fields), *pieces]


class Packed:
    """Reads a packed segment. Holds one block and one dictionary in memory.

    Args:
        name: for messages.
        fd: stays the caller's.
        start: where its head ends.
        says: what its head says.
    """

    def __init__(self, name: str, fd: int, start: int, says: dict[str, Any]) -> None:
        self.name = name
        self.seed = int(says["seed"])
        self.start, self.end = says["places"]
        self.digest: bytes | None = says["digest"]
        self._fd = fd
        self._body = start
        self._dictionary: tuple[int, zstandard.ZstdCompressionDict] | None = None
        self._block: tuple[int, Block] | None = None
        self._record: tuple[int, Record] | None = None

    @property
    def dictionary(self) -> bytes:
        """Some of the lines that its messages share; empty when they share none."""
        _, mark = next(iter(self._blocks.values()), (0, None))
        lines = self._lines(mark.dictionary).as_bytes()[-_LEND:] if mark else b""
        # Mail must not choose how it begins: four bytes there would make it a dictionary of another kind.
        return lines and b"\n" + lines

    @property
    def seal(self) -> Footer | None:
        """Its footer, or None when that is damaged."""
        return read_footer(self._fd, self._body)

    def proof(self) -> bytes:
        """The sha256 of everything before its footer, as it is now."""
        return sha256(self._fd, self._stop)

    def frames(self, start: int, fault: Callable[[Fault], None]) -> Iterator[Frame]:
        """See trap.archive.segment.Reader.frames. Faults are told by where they lie in the file."""
        for at, mark in self.marks(fault):
            if mark.kind != BLOCK:
                if self._data(at, mark) is None:
                    fault(Fault(at, f"{mark.length} bytes that records share are damaged"))
                continue
            try:
                block = self._opened(at, mark)
            except Corrupt as error:
                fault(Fault(at, f"{mark.length} bytes of records: {error}"))
                continue
            for frame in block.frames:
                if frame.offset >= start:
                    yield self._proved(block, frame)

    def content(self, frame: Frame) -> bytes:
        """The record in a frame, as the loose form has it.

        Raises:
            Corrupt: it can't be unpacked, or what it leans on is damaged.
        """
        return encode(self.record(frame).job())

    def record(self, frame: Frame) -> Record:
        """The record in a frame.

        Raises:
            Corrupt: it is not what was written.
        """
        return self.read(frame.offset)

    def read(self, offset: int) -> Record:
        """The record at this place.

        Raises:
            Corrupt: there is none, or it is damaged.
        """
        if self._record and self._record[0] == offset:
            return self._record[1]
        starts = list(self._blocks)
        at, mark = self._blocks[starts[bisect_right(starts, offset) - 1]] if starts else (0, None)
        block = self._opened(at, mark) if mark else None
        if not block or offset not in block.numbers:
            raise Corrupt(f"{self.name}: no record at {offset}")
        record = block.record(block.numbers[offset], self._blob)
        self._record = offset, record
        return record

    def _proved(self, block: Block, frame: Frame) -> Frame:
        """The frame with the sha256 that its message has; whoever asks for a damaged one is told then."""
        try:
            record = block.record(block.numbers[frame.offset], self._blob)
        except Corrupt:
            return frame
        self._record = frame.offset, record
        return frame._replace(sha256=record.sha256)

    @cached_property
    def _blocks(self) -> dict[int, tuple[int, Mark]]:
        """Where the blocks are, by the place of the first record in each."""
        marks = self.marks()
        return {mark.offset: (at, mark) for at, mark in marks if mark.kind == BLOCK}

    @property
    def _stop(self) -> int:
        return os.fstat(self._fd).st_size - (FOOTER_SIZE if self.seal else 0)

    def marks(self, fault: Callable[[Fault], None] = lambda _: None) -> Iterator[tuple[int, Mark]]:
        """Every whole mark and where it lies in the file."""
        at, end = self._body, self._stop
        while at < end:
            if mark := self._mark(at, end):
                yield at, mark
                at = mark.end
                continue
            found = self._resume(at + 1, end)
            fault(Fault(at, f"{(found or end) - at} bytes are no block"))
            if not found:
                return
            at = found

    def _mark(self, at: int, end: int) -> Mark | None:
        data = os.pread(self._fd, _MARK_SIZE, at)
        fields = data[SKIPPABLE.size : -CRC_SIZE]
        if len(data) < _MARK_SIZE or not data.startswith(_MARK_START) or crc(self.seed, fields) != data[-4:]:
            return None
        kind, offset, dictionary, table, text, length, check, _ = _FIELDS.unpack_from(data, SKIPPABLE.size)
        stop = at + _MARK_SIZE + length
        return Mark(kind, offset, dictionary, table, text, length, check, stop) if stop <= end else None

    def _resume(self, at: int, end: int) -> int:
        """Where the next whole mark begins, from `at` on; 0 when there is none."""
        while at < end:
            window = os.pread(self._fd, min(_WINDOW, end - at), at)
            hit = window.find(_MARK_START)
            if hit >= 0 and self._mark(at + hit, end):
                return at + hit
            at += hit + 1 if hit >= 0 else max(1, len(window) - len(_MARK_START) + 1)
        return 0

    def _data(self, at: int, mark: Mark) -> bytes | None:
        """What follows a mark, or None when it is damaged."""
        data = os.pread(self._fd, mark.length, at + _MARK_SIZE)
        return data if crc(self.seed, data) == mark.check else None

    def _blob(self, at: int) -> bytes:
        mark = self._mark(at, self._stop)
        data = self._data(at, mark) if mark and mark.kind == BLOB else None
        if data is None:
            raise Corrupt(f"the file it carried, at {at}, is damaged")
        return inflate(zstandard.ZstdDecompressor(), data)

    def _lines(self, at: int) -> zstandard.ZstdCompressionDict:
        if not self._dictionary or self._dictionary[0] != at:
            self._dictionary = at, raw_dictionary(self._healed(at))
        return self._dictionary[1]

    def _healed(self, at: int) -> bytes:
        mark = self._mark(at, self._stop)
        if not mark or mark.kind != DICTIONARY:
            raise Corrupt(f"no shared lines at {at}")
        data = os.pread(self._fd, mark.length, at + _MARK_SIZE)
        frame, kept = data[: mark.text], data[mark.text + SKIPPABLE.size :]
        for whole in (frame, healed(frame, kept)):
            with suppress(Corrupt):  # it has a checksum
                if whole:
                    return inflate(zstandard.ZstdDecompressor(), whole)
        raise Corrupt(f"the lines it shares with others, at {at}, are damaged")

    def _opened(self, at: int, mark: Mark) -> Block:
        if not self._block or self._block[0] != at:
            data = self._data(at, mark)
            if data is None:
                raise Corrupt(f"{self.name}: the block at {at} is damaged")
            ends = mark.table, mark.table + mark.text
            frames = Frames(data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] :])
            self._block = at, Block(mark.offset, frames, self._lines(mark.dictionary))
        return self._block[1]


def raw_dictionary(lines: bytes) -> zstandard.ZstdCompressionDict:
    """A dictionary made of lines."""
    return zstandard.ZstdCompressionDict(lines, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
