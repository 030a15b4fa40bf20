"""Lenses: they show what a text says besides its letters, and let it be changed there.

A lens has a text of its own. What is overwritten in it, at the same length, `back` writes into what
was read, at the same length too: a coded character stays coded, lines end where they did. So a name is
masked where it is plain, however deep that is.

    >>> body = bytearray(b"Zm9y\\r\\nIGpvZQ==")
    >>> lens = Base64(body)
    >>> lens.text[4:] = b"xyz"
    >>> lens.back(), body
    (True, bytearray(b'Zm9y\\r\\nIHh5eg=='))
"""

import base64
import binascii
import codecs
import re
from collections.abc import Callable
from typing import Protocol

Say = Callable[[re.Match[bytes]], bytes]
"""What a piece of a text says."""
Spell = Callable[[bytes, bytes], bytes]
"""A piece of a text that says something new, at the same length: the piece, and that."""

_MOST_CHARACTERS = 4 << 20
"""Of a text in a charset that is written back character by character."""
_LETTERS = re.compile(rb"[A-Za-z0-9+/]+")
_NO_LETTERS = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
_PLAIN_CODECS = frozenset(("ascii", "utf-8", "utf-8-sig"))
_ODD_CODECS = frozenset(
    ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem")
)
_CODED = ("utf-16", "utf-32", "utf-7", "iso2022", "hz")
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


class Lens(Protocol):
    """A text read out of another."""

    text: bytearray
    """What it says."""

    def back(self) -> bool:
        """Write what was changed into what was read; False: there was no room for it, and all of it stays."""


class Pieces:
    """Reads a text in which some pieces say something else.

    Args:
        source: it.
        pattern: finds the pieces.
        say: what they say.
        spell: writes them anew.
    """

    def __init__(self, source: bytearray, pattern: re.Pattern[bytes], say: Say, spell: Spell) -> None:
        self._source, self._pattern, self._say, self._spell = source, pattern, say, spell
        self._read = pattern.sub(say, source)
        self.text = bytearray(self._read)

    @property
    def differs(self) -> bool:
        """Whether any piece says anything else."""
        return self._read != self._source

    def back(self) -> bool:
        """Write what was changed into the source."""
        if self.text == self._read:
            return True
        source, at, place = self._source, 0, 0
        for found in self._pattern.finditer(bytes(source)):
            place = self._copy(at, found.start(), place)
            at = found.end()
            said = self._say(found)
            new = bytes(self.text[place : place + len(said)])
            place += len(said)
            if new != said:
                spelt = self._spell(found[0], new)
                source[found.start() : at] = spelt if len(spelt) == len(found[0]) else b"x" * len(found[0])
        self._copy(at, len(source), place)
        return True

    def _copy(self, start: int, end: int, place: int) -> int:
        """Write what stands between two pieces."""
        self._source[start:end] = self.text[place : place + end - start]
        return place + end - start


class Base64:
    """Reads base64 whose lines may be laid out as they like, and that may begin anew behind its padding.

    Args:
        source: it, in the alphabet of RFC 4648, section 4.
    """

    def __init__(self, source: bytearray) -> None:
        self._source = source
        self._runs = bytes(source).translate(None, _NO_LETTERS).split(b"=")
        self._texts = [decoded(run) for run in self._runs]
        self._read = b"".join(self._texts)
        self.text = bytearray(self._read)

    def back(self) -> bool:
        """Write what was changed into the source."""
        if self.text == self._read:
            return True
        coded, place = [], 0
        for run, text in zip(self._runs, self._texts, strict=True):
            new = bytes(self.text[place : place + len(text)])
            place += len(text)
            coded.append(run if new == text else encoded(new, run))
        letters, at = b"".join(coded), 0
        for found in _LETTERS.finditer(bytes(self._source)):
            size = found.end() - found.start()
            self._source[found.start() : found.end()] = letters[at : at + size]
            at += size
        return True


class Characters:
    """Reads a text in a charset as UTF-8.

    Args:
        source: it.
        codec: its charset, as `codec_of` returns it.
    """

    def __init__(self, source: bytearray, codec: str) -> None:
        self._source, self._codec, self._skip = source, codec, 0
        if codec in _MARKS:  # the mark of order is no character of the text
            mark = next((mark for mark in _MARKS[codec] if source.startswith(mark)), b"")
            self._codec += "-be" if mark == _MARKS[codec][1] else "-le"
            self._skip = len(mark)
        self._said = bytes(source[self._skip :]).decode(self._codec, "replace")
        self._read = self._said.encode("utf-8", "replace")
        self.text = bytearray(self._read)

    def back(self) -> bool:
        """Write what was changed into the source, if characters of the same size can stand there."""
        if self.text == self._read:
            return True
        if len(self._source) > _MOST_CHARACTERS:
            return False
        written, expected, place = bytearray(self._source), [], 0
        for c, (start, end) in zip(self._said, self._places(), strict=False):
            old = c.encode("utf-8", "replace")
            new = self.text[place : place + len(old)]
            place += len(old)
            if new == old:
                expected.append(c)
                continue
            letter = chr(new[0]) if new[0] < 128 else "x"
            unit = letter.encode(self._codec)
            if (end - start) % len(unit):
                return False
            times = (end - start) // len(unit)
            written[start:end] = unit * times
            expected.append(letter * times)
        if bytes(written[self._skip :]).decode(self._codec, "replace") != "".join(expected):
            return False
        self._source[:] = written
        return True

    def _places(self) -> list[tuple[int, int]]:
        """Where each character stands in the source."""
        decoder = codecs.getincrementaldecoder(self._codec)("replace")
        places, start, size = [], self._skip, len(self._source)
        for at in range(self._skip, size):
            said = decoder.decode(self._source[at : at + 1], at + 1 == size)
            if said:
                places += [(start, at + 1)] * len(said)
                start = at + 1
        return places


def codec_of(charset: str) -> str:
    """What Python calls a charset; empty when its text can be read as it is, or nobody knows it."""
    try:
        name = codecs.lookup(charset.strip()).name if charset else ""
        if not name or name in _PLAIN_CODECS or name in _ODD_CODECS:
            return ""
        # Some codecs of Python are no charsets: rot13, hex, zlib.
        return name if "a".encode(name).decode(name) == "a" else ""
    except (LookupError, ValueError):
        return ""


def like_ascii(codec: str) -> bool:
    """Whether ASCII stands in a charset as it is."""
    return not codec.startswith(_CODED) and b"az.@09".decode(codec, "replace") == "az.@09"


def decoded(run: bytes) -> bytes:
    """What the letters of a run of base64 say; bits that make no byte are left out."""
    whole = run if len(run) % 4 != 1 else run[:-1]
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def encoded(text: bytes, run: bytes) -> bytes:
    """A run of base64 for a new text, with what the old one had left over."""
    coded = base64.b64encode(text).rstrip(b"=")
    return coded + run[len(coded) :]
