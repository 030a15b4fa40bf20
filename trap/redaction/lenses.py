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
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

Say = Callable[[re.Match[bytes]], bytes | None]
"""What a piece of a text says."""
Spell = Callable[[bytes, bytes], bytes]
"""A piece of a text that says something new, at the same length: the piece, and that."""
_BETWEEN = b"\n\n"
"""What stands in a lens for text that it does not show."""

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


class _Span(NamedTuple):
    """A stretch of what a lens shows: a piece, what stands around one, or what parts two such stretches."""

    start: int
    end: int
    piece: re.Match[bytes] | None
    said: bytes


class Pieces:
    """Reads a text in which some pieces say something else.

    Args:
        source: it.
        pattern: finds the pieces.
        say: what they say; None: nothing worth reading.
        spell: writes them anew.
        around: bytes that are shown before and behind a piece; all of the text when it is None.
    """

    def __init__(
        self, source: bytearray, pattern: re.Pattern[bytes], say: Say, spell: Spell, around: int | None = None
    ) -> None:
        self._source, self._pattern, self._say, self._spell = source, pattern, say, spell
        self._around = len(source) if around is None else around
        if around is None:
            self._read = pattern.sub(lambda found: found[0] if (said := say(found)) is None else said, source)
        else:
            self._read = b"".join(span.said for span in self._spans(bytes(source)))
        self.text = bytearray(self._read)
        self._starts, self._ends = array("Q"), array("Q")

    @property
    def shows(self) -> bool:
        """Whether it shows anything that can't be seen without it."""
        return bool(self._read) and self._read != self._source

    def back(self) -> bool:
        """Write what was changed into the source."""
        if self.text == self._read:
            return True
        place = 0
        for span in self._spans(bytes(self._source)):
            new = bytes(self.text[place : place + len(span.said)])
            place += len(span.said)
            if new != span.said and span.end > span.start:
                spelt = self._spell(span.piece[0], new) if span.piece else new
                size = span.end - span.start
                self._source[span.start : span.end] = spelt if len(spelt) == size else b"x" * size
        return True

    def touches(self, start: int, end: int) -> bool:
        """Whether a stretch of what is shown holds anything of a piece; else it is seen without the lens."""
        if not self._starts:
            place = 0
            for span in self._spans(bytes(self._source)):
                if span.piece:
                    self._starts.append(place)
                    self._ends.append(place + len(span.said))
                place += len(span.said)
        # The last piece that begins before the end; of nothing but a cut, both ends are inside.
        at = bisect_left(self._starts, end) - 1
        return at >= 0 and self._ends[at] > start

    def _spans(self, source: bytes) -> Iterator[_Span]:
        """What is shown, in order; nothing but pieces of which something is said, and what is around them."""
        at, shown = 0, 0  # where the last piece ended, and what was shown
        for found in self._pattern.finditer(source):
            said = self._say(found)
            if said is None:
                continue
            start, end = found.span()
            if start - at > 2 * self._around:
                if at:
                    yield _literal(source, at, at + self._around)
                yield _Span(at, at, None, _BETWEEN)
                at = start - self._around
            if start > at:
                yield _literal(source, at, start)
            yield _Span(start, end, found, said)
            at = shown = end
        if shown or self._around >= len(source):
            yield _literal(source, at, min(len(source), at + self._around))


def _literal(source: bytes, start: int, end: int) -> _Span:
    return _Span(start, end, None, source[start:end])


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
        for c, (begin, end) in zip(self._said, self._places(), strict=False):
            old = c.encode("utf-8", "replace")
            new = self.text[place : place + len(old)]
            place += len(old)
            if new == old:
                expected.append(c)
                continue
            letter = chr(new[0]) if new[0] < 128 else "x"
            unit = letter.encode(self._codec)
            # What precedes a letter may change the alphabet (ISO 2022).
            start = max(begin, end - len(unit)) if c.isascii() else begin
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
