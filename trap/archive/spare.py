"""Heals bytes that were damaged in one place, as RAID 5 does: a crc32 for each stripe, and sums of stripes.

A stripe is a sixty-fourth of the bytes. Even and odd stripes have a sum each, so damage shorter than a
stripe may lie anywhere.

>>> lines = b"what hundreds of messages lean on" * 9
>>> healed(lines[:70] + b"no" + lines[72:], spare(lines)) == lines
True
"""

import zlib

STRIPES = 64
_CRC = 4


def spare(data: bytes) -> bytes:
    """What must be kept to heal `data`: two stripes, and four bytes for each stripe."""
    pieces = _stripes(data)
    size = max(map(len, pieces), default=0)
    sums = [_sum(pieces[first::2]).to_bytes(size, "little") for first in (0, 1)]
    return b"".join([*map(_check, pieces), *sums])


def healed(data: bytes, kept: bytes) -> bytes | None:
    """The data as it was, or None when more is damaged than an even stripe and an odd one.

    Args:
        kept: what `spare` made of it; when that is damaged, what comes out is no better.
    """
    pieces = _stripes(data)
    size = max(map(len, pieces), default=0)
    bad = [n for n, piece in enumerate(pieces) if _check(piece) != kept[n * _CRC : (n + 1) * _CRC]]
    if len({n % 2 for n in bad}) < len(bad):
        return None
    for n in bad:
        at = len(pieces) * _CRC + n % 2 * size
        others = [piece for other, piece in enumerate(pieces) if other % 2 == n % 2 and other != n]
        total = _sum(others) ^ int.from_bytes(kept[at : at + size], "little")
        length = len(pieces[n])
        pieces[n] = (total & ((1 << 8 * length) - 1)).to_bytes(length, "little")
    return b"".join(pieces)


def _stripes(data: bytes) -> list[bytes]:
    stripe = -(-len(data) // STRIPES) or 1
    return [data[at : at + stripe] for at in range(0, len(data), stripe)]


def _sum(pieces: list[bytes]) -> int:
    total = 0
    for piece in pieces:
        total ^= int.from_bytes(piece, "little")
    return total


def _check(piece: bytes) -> bytes:
    return zlib.crc32(piece).to_bytes(_CRC, "little")
