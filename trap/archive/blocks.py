"""A block of a packed segment: the records of a few dozen jobs, compressed together.

Three zstd frames. The table has a column for each thing that is known of a job; the text has the jobs'
records, one msgpack array each: envelope, notes, and the message in pieces as trap.archive.fold made
them, their tokens taken out; the third has the tokens. In a piece [width, crlf, data] the data may be
a number instead: where in the segment a blob lies.
"""

import hashlib
from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import msgpack
import zstandard

from trap.archive.fold import Piece, unfold
from trap.archive.form import Frame, inflate
from trap.archive.record import Corrupt, Record
from trap.archive.tokens import Joiner, split
from trap.envelope import Envelope
from trap.job import ID_DIGITS

_COLUMNS = "qIIIII"
"""Microseconds since the job before, random half of the id, bytes in the loose form, bytes of the
message, of the text, of the tokens; then comes the column of proofs."""
_PROOF = 8
"""First bytes of a message's sha256 that are kept: against accidents. All of them prove the segment's."""


class Item(NamedTuple):
    """A job to be put into a block."""

    frame: Frame
    envelope: Any
    notes: Any
    pieces: list[Piece]


class Frames(NamedTuple):
    """A block, compressed."""

    table: bytes
    text: bytes
    tokens: bytes


def encode(
    items: list[Item],
    known: Callable[[bytes], bool],
    texts: zstandard.ZstdCompressor,
    others: zstandard.ZstdCompressor,
) -> Frames:
    """Compress a block.

    Args:
        known: whether a token comes again in this part of the segment.
        texts, others: what compresses texts, and table and tokens.
    """
    columns = [array(kind) for kind in _COLUMNS]
    proofs, text, tokens = [], [], []
    before = 0
    for frame, envelope, notes, pieces in items:
        taken: list[bytes] = []
        left = [_split(piece, known, taken) for piece in pieces]
        text.append(msgpack.packb([envelope, notes, left], unicode_errors="surrogateescape"))
        tokens.append(b"".join(taken))
        when = int(frame.id[:ID_DIGITS])
        row = (when - before, int(frame.id[ID_DIGITS:], 16), frame.end - frame.offset, frame.message_bytes)
        for column, value in zip(columns, (*row, len(text[-1]), len(tokens[-1])), strict=True):
            column.append(value)
        proofs.append(frame.sha256[:_PROOF])
        before = when
    table = b"".join([*(column.tobytes() for column in columns), *proofs])
    return Frames(others.compress(table), texts.compress(b"".join(text)), others.compress(b"".join(tokens)))


def _split(piece: Piece, known: Callable[[bytes], bool], taken: list[bytes]) -> Piece:
    data = piece if isinstance(piece, bytes) else piece[2]
    if not isinstance(data, bytes):
        return piece
    rest, tokens = split(data, known)
    taken.append(tokens)
    return rest if isinstance(piece, bytes) else [piece[0], piece[1], rest]


class Block:
    """A block, decompressed.

    Args:
        offset: place of its first record.
        frames: as they were written.
        dictionary: what its text leans on.

    Raises:
        Corrupt: it is not what was written.
    """

    def __init__(self, offset: int, frames: Frames, dictionary: zstandard.ZstdCompressionDict) -> None:
        plain = zstandard.ZstdDecompressor()
        table = inflate(plain, frames.table)
        self._text = inflate(zstandard.ZstdDecompressor(dict_data=dictionary), frames.text)
        self._tokens = inflate(plain, frames.tokens)
        columns = [array(kind) for kind in _COLUMNS]
        count, odd = divmod(len(table), sum(column.itemsize for column in columns) + _PROOF)
        if odd:
            raise Corrupt("a block's table is not one")
        at = 0
        for column in columns:
            column.frombytes(table[at : at + count * column.itemsize])
            at += count * column.itemsize
        times, randoms, lengths, sizes, texts, tokens = columns
        self._texts = list(accumulate(texts, initial=0))
        self._token_ends = list(accumulate(tokens, initial=0))
        self._proofs = table[at:]
        ends = list(accumulate(lengths, initial=offset))
        self.numbers = {place: number for number, place in enumerate(ends[:-1])}
        """Its records by their places."""
        self.frames = [
            Frame(f"{when:0{ID_DIGITS}}{rest:08x}", ends[n], ends[n + 1], sizes[n], self._proof(n), 0, b"")
            for n, (when, rest) in enumerate(zip(accumulate(times), randoms, strict=True))
        ]
        """Their sha256 are proofs only, not whole."""

    def _proof(self, number: int) -> bytes:
        return self._proofs[number * _PROOF : (number + 1) * _PROOF]

    def record(self, number: int, blob: Callable[[int], bytes]) -> Record:
        """One of its records.

        Args:
            blob: the blob at a place of the file.

        Raises:
            Corrupt: it is not what was written.
        """
        text = self._text[self._texts[number] : self._texts[number + 1]]
        joiner = Joiner(self._tokens[self._token_ends[number] : self._token_ends[number + 1]])
        job_id = self.frames[number].id

        def whole(piece: Piece) -> Piece:
            if isinstance(piece, bytes):
                return joiner.join(piece)
            width, crlf, data = piece
            return [width, crlf, joiner.join(data) if isinstance(data, bytes) else blob(data)]

        try:
            envelope, notes, pieces = msgpack.unpackb(
                text, unicode_errors="surrogateescape", strict_map_key=False
            )
            message = unfold([whole(piece) for piece in pieces])
            digest = hashlib.sha256(message).digest()
            record = Record(job_id, digest, Envelope.from_map(envelope), notes, message)
        except Corrupt as error:
            raise Corrupt(f"{job_id}: {error}") from error
        except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
            raise Corrupt(f"{job_id}: not a record: {error or type(error).__name__}") from error
        if not digest.startswith(self._proof(number)):
            raise Corrupt(f"{job_id}: the message's sha256 is wrong")
        return record
