"""Takes random-looking tokens out of text: signatures, keys and tracking codes in base64.

Nothing compresses them, and a text's other bytes compress worse beside them. Taken out and decoded,
they cost the six bits a character that they hold. In the text stays how long they were.

    >>> text = b"v=1; b=kZ8vT1x/Qm4+Rw2Lp9Yc7Hd3 tail"
    >>> rest, tokens = split(text, lambda token: False)
    >>> rest, len(tokens)
    (b'v=1; b=\\xff\\x06 tail', 18)
    >>> Joiner(tokens).join(rest) == text
    True
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable

_TOKEN = re.compile(rb"[A-Za-z0-9+/]{20,}")
_MARK, _ESCAPED = b"\xff", b"\xff\x00"
_MARKED = re.compile(rb"\xff([\x01-\xff])")
_MOST = 10_000
"""Tokens that are taken out of one text."""
_MIXED = tuple(re.compile(kind).search for kind in (rb"[A-Z]", rb"[a-z]", rb"[0-9]"))
_QUADS = 255
"""Most groups of four characters that one mark stands for."""


def found(text: bytes) -> Iterable[bytes]:
    """What may be tokens in a text."""
    return _TOKEN.findall(text)


def split(text: bytes, known: Callable[[bytes], bool]) -> tuple[bytes, bytes]:
    """A text with marks where its tokens were, and the tokens, decoded.

    Args:
        known: whether a token is better left where it is, because it comes again.
    """
    tokens: list[bytes] = []

    def take(match: re.Match[bytes]) -> bytes:
        token = match[0]
        if not _random(token) or known(token):
            return token
        quads = len(token) // 4
        tokens.append(a2b_base64(token[: quads * 4]))
        full, rest = divmod(quads, _QUADS)
        marks = bytes([0xFF, _QUADS]) * full + (bytes([0xFF, rest]) if rest else b"")
        return marks + token[quads * 4 :]

    rest = _TOKEN.sub(take, text.replace(_MARK, _ESCAPED), count=_MOST)
    return rest, b"".join(tokens)


class Joiner:
    """Puts tokens back into the texts they were taken from, one text after the other."""

    def __init__(self, tokens: bytes) -> None:
        self._tokens = tokens
        self._at = 0

    def join(self, text: bytes) -> bytes:
        """The text as it was."""
        return _MARKED.sub(self._put, text).replace(_ESCAPED, _MARK) if _MARK in text else text

    def _put(self, match: re.Match[bytes]) -> bytes:
        size = match[1][0] * 3
        token = self._tokens[self._at : self._at + size]
        self._at += size
        return b2a_base64(token, newline=False)


def _random(token: bytes) -> bool:
    return len(set(token)) > 12 and all(kind(token) for kind in _MIXED)
