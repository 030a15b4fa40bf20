"""What both forms of a segment have in common: head, footer, and what readers are told.

A segment is *loose* as it is written (trap.archive.loose) and *packed* once, after it was sealed
(trap.archive.packed). Either is a valid zstd stream. What zstd itself has no place for lies in
skippable frames (RFC 8878, 3.1.2), which every decoder passes over:

    head      magic, crc32, then msgpack: when it was begun, and what its form needs
    …
    footer    once it is sealed: number of records, time range, bytes of mail, sha256 of everything before
"""

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack
import zstandard

from trap.archive.record import Corrupt

SUFFIX = ".seg"
MAX_RECORD = 1 << 30
"""Largest record that is unpacked, in bytes: what says it is larger is not believed."""
LOOSE = b"spamtrap archive segment 1\n"
PACKED = b"spamtrap archive segment 2\n"
SKIPPABLE = struct.Struct("<II")
CRC_SIZE = 4

_HEAD, _FOOT = 0x184D2A50, 0x184D2A52
_SEAL = struct.Struct("<8sIQQQ32sI")
_SEALED = b"sealed 1"
_FOOT_START = SKIPPABLE.pack(_FOOT, _SEAL.size) + _SEALED
FOOTER_SIZE = SKIPPABLE.size + _SEAL.size
_READ = 1 << 20


class Frame(NamedTuple):
    """A job in a segment. Its place is where it was written first, and stays so when it is packed."""

    id: str
    offset: int
    """Where its mark begins, in the loose form."""
    end: int
    """Where what follows it begins, in the loose form."""
    message_bytes: int
    sha256: bytes
    """Of the message."""
    base: int
    """Where the record lies that this one leans on; 0 when it stands alone."""
    data: bytes
    """In the loose form: the record, compressed."""


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


def head(magic: bytes, says: dict[str, Any]) -> bytes:
    """The first bytes of a segment of either form."""
    body: bytes = msgpack.packb(says)
    payload = magic + zlib.crc32(body).to_bytes(CRC_SIZE, "little") + body
    return SKIPPABLE.pack(_HEAD, len(payload)) + payload


def read_head(fd: int) -> tuple[bytes, int, dict[str, Any]]:
    """A segment's magic, where its head ends, and what that says.

    Raises:
        Corrupt: the file does not begin like a segment.
    """
    start = os.pread(fd, SKIPPABLE.size, 0)
    if len(start) == SKIPPABLE.size:
        kind, length = SKIPPABLE.unpack(start)
        payload = os.pread(fd, length, len(start)) if kind == _HEAD else b""
        magic, body = payload[: len(LOOSE)], payload[len(LOOSE) + CRC_SIZE :]
        if (
            magic in {LOOSE, PACKED}
            and len(payload) == length
            and zlib.crc32(body) == int.from_bytes(payload[len(LOOSE) :][:CRC_SIZE], "little")
        ):
            return magic, len(start) + length, msgpack.unpackb(body)
    raise Corrupt("does not begin like a segment")


def footer(seal: Footer) -> bytes:
    """The last bytes of a sealed segment."""
    first, last = round(seal.first * 1_000_000), round(seal.last * 1_000_000)
    body = _SEAL.pack(_SEALED, seal.records, first, last, seal.message_bytes, seal.sha256, 0)[:-CRC_SIZE]
    return SKIPPABLE.pack(_FOOT, _SEAL.size) + body + crc(0, body)


def read_footer(fd: int, start: int) -> Footer | None:
    """The footer of a segment whose head ends at `start`, or None when it has none that is whole."""
    data = os.pread(fd, FOOTER_SIZE, max(start, os.fstat(fd).st_size - FOOTER_SIZE))
    body, check = data[SKIPPABLE.size : -CRC_SIZE], data[-CRC_SIZE:]
    if not data.startswith(_FOOT_START) or len(data) < FOOTER_SIZE or crc(0, body) != check:
        return None
    _, records, first, last, size, digest, _ = _SEAL.unpack_from(data, SKIPPABLE.size)
    return Footer(records, first / 1_000_000, last / 1_000_000, size, digest)


def crc(seed: int, *pieces: bytes) -> bytes:
    """The crc32 of some bytes, from `seed` on."""
    for piece in pieces:
        seed = zlib.crc32(piece, seed)
    return seed.to_bytes(CRC_SIZE, "little")


def sha256(fd: int, end: int) -> bytes:
    """The sha256 of a file's bytes before `end`."""
    digest, at = hashlib.sha256(), 0
    while at < end and (data := os.pread(fd, min(end - at, _READ), at)):
        digest.update(data)
        at += len(data)
    return digest.digest()


def inflate(decompressor: zstandard.ZstdDecompressor, data: bytes) -> bytes:
    """Unpack one zstd frame.

    Raises:
        Corrupt: it is none, or says that it is larger than any record.
    """
    try:
        if not 0 <= zstandard.frame_content_size(data) <= MAX_RECORD:
            raise Corrupt("a frame of unknown or absurd size")
        return decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise Corrupt(f"zstd: {error}") from error
