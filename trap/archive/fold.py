"""Folds base64 away: it is stored as the bytes it stands for, and written out again on reading.

Base64 hides from the compressor that two parts are alike, and costs a quarter even of what can't
be compressed. A run of base64 lines is folded only when encoding it again gives the very bytes it
came from, so what comes back is always what was put in.

    >>> message = b"Hello\\r\\n" + (b"QUJD" * 19 + b"\\r\\n") * 4 + b"QUI=\\r\\n--end"
    >>> pieces = fold(message)
    >>> [piece if isinstance(piece, bytes) else piece[:2] for piece in pieces]
    [b'Hello\\r\\n', [76, True], b'--end']
    >>> unfold(pieces) == message
    True
"""

import binascii
import re
from typing import Any

# The outer repeat is not possessive: Python before 3.11.5 takes a line less than it could then.
# It begins with a character that can be looked for: three times as fast as the beginning of a line.
_RUN = re.compile(rb"\n((?:[A-Za-z0-9+/]{40,1000}+\r?\n){4,}(?:[A-Za-z0-9+/]{1,1000}={0,2}\r?\n)?)")
_LINES = 1024
"""Of base64 that are made at once."""

Piece = bytes | list[Any]
"""Bytes as they are, or [width, whether lines end in CRLF, decoded bytes] for lines of base64."""


def fold(message: bytes) -> list[Piece]:
    """Split a message into pieces that `unfold` puts together again."""
    pieces: list[Piece] = []
    at = 0
    for run in _RUN.finditer(message):
        if piece := _decode(run[1]):
            pieces.append(message[at : run.start(1)])
            pieces.append(piece)
            at = run.end()
    if at < len(message):
        pieces.append(message[at:] if at else message)
    return pieces


def unfold(pieces: list[Piece]) -> bytes:
    """The message that was folded.

    Raises:
        ValueError, TypeError: these are not pieces of a message.
    """
    return b"".join(piece if isinstance(piece, bytes) else _encode(*piece) for piece in pieces)


def _decode(lines: bytes) -> Piece | None:
    """The folded form of some lines of base64, or None when it would not give them back."""
    width = lines.index(b"\n")
    crlf = lines[width - 1] == 13
    width -= crlf
    try:
        data = binascii.a2b_base64(lines)
    except binascii.Error:
        return None
    return [width, crlf, data] if _encode(width, crlf, data) == lines else None


def _encode(width: int, crlf: bool, data: bytes) -> bytes:
    end = b"\r\n" if crlf else b"\n"
    # A few lines at a time stay near the processor: a large message takes half the time.
    size = max(1, len(data)) if width % 4 else width // 4 * 3 * _LINES
    pieces = []
    for start in range(0, len(data), size):
        text = binascii.b2a_base64(data[start : start + size], newline=False)
        pieces.append(end.join([text[at : at + width] for at in range(0, len(text), width)]))
    return end.join([*(pieces or [b""]), b""])
