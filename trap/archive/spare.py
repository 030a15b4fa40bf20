"""Heals bytes that were damaged in one place, as RAID 5 does: a crc32 for each stripe, and the sum of all.

The stripes are a thirty-second of the bytes each.

>>> lines = b"what hundreds of messages lean on" * 9
>>> healed(b"noise" + lines[5:], spare(lines)) == lines
True
"""

import zlib

STRIPES = 32
_CRC = 4


def spare(data: bytes) -> bytes:
    """What must be kept to heal `data`: a stripe, and four bytes for each stripe."""
    pieces = _stripes(data)
    total = 0
    for piece in pieces:
        total ^= int.from_bytes(piece, "little")
    return b"".join(map(_check, pieces)) + total.to_bytes(max(map(len, pieces), default=0), "little")


def healed(data: bytes, kept: bytes) -> bytes | None:
    """The data as it was, or None when more than one stripe is damaged.

    Args:
        kept: what `spare` made of it; when that is damaged, what comes out is no better.
    """
    pieces = _stripes(data)
    checks = [kept[at : at + _CRC] for at in range(0, len(pieces) * _CRC, _CRC)]
    bad = [number for number, piece in enumerate(pieces) if _check(piece) != checks[number]]
    if len(bad) != 1:
        return None if bad else data
    total = int.from_bytes(kept[len(pieces) * _CRC :], "little")
    for number, piece in enumerate(pieces):
        if number != bad[0]:
            total ^= int.from_bytes(piece, "little")
    size = len(pieces[bad[0]])
    pieces[bad[0]] = (total & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return b"".join(pieces)


def _stripes(data: bytes) -> list[bytes]:
    stripe = -(-len(data) // STRIPES) or 1
    return [data[at : at + stripe] for at in range(0, len(data), stripe)]


def _check(piece: bytes) -> bytes:
    return zlib.crc32(piece).to_bytes(_CRC, "little")
