"""All that a text can be read as: what is coded in it decoded, tags taken out, hidden bytes brought out.

Made for the release gate alone: it looks at a text as a suspicious reader would, and never asks how the
text was meant to be read. Work grows with the length of the text and not with its depth: what is coded
over and over is decoded in one go.
"""

import base64
import binascii
import html
import re
from collections.abc import Iterator
from email.header import decode_header
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from trap.redaction.appearance import WITHOUT_TAGS, appearances

ROUNDS = 6
"""Times that different codings are undone in turns; a text that needs more can't be read."""
MAX_JSON = 2 << 20
"""Bytes of a document that is read as JSON, of which lists take many times as much; no report is larger."""
_AGAIN_PERCENT = re.compile(rb"%(?:25)+(?=[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")
_AGAIN_AMP = re.compile(rb"&(?:(?:amp|#38|#x26|#X26);)+(?=#|[a-zA-Z])")
_PERCENT = re.compile(rb"%[0-9a-fA-F]{2}")
_BACKSLASHES = re.compile(rb"\\{2,}")
_ESCAPE = re.compile(
    rb"(?:\\u\{?|%u)([0-9a-fA-F]{4})\}?|\\(?:x|')([0-9a-fA-F]{2})|\\([0-3][0-7]{2})|\\(?:/|\r?\n)"
)
_QP = re.compile(rb"=[0-9a-fA-F]{2}|=[ \t]*\r?\n")
_ENTITY = re.compile(rb"&#|&[a-zA-Z]{2,31};")
_WORD = re.compile(rb"=\?[^?\s]{1,60}\?[bBqQ]\?[^?]{0,4000}\?=")
_BETWEEN_WORDS = re.compile(rb"\?=\s+=\?")
_CONTINUED = re.compile(rb"\"?[;\s]{1,20}[\w-]{1,60}\*\d{1,4}\*?=\s{0,20}\"?")
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_BASE64_LINES = re.compile(rb"^[A-Za-z0-9+/_-]{20,}\r?\n(?:[A-Za-z0-9+/_-]{1,}={0,2}\r?\n?)+", re.MULTILINE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_PIECES = (re.compile(rb"[^/]{12,}"), re.compile(rb"[^/+_-]{12,}"))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_NO_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_MIXED = re.compile(rb"[a-z+/_-][A-Z0-9]|[A-Z0-9]{2}")
_SHORT_RUN = 1024
"""Characters of a run of base64 whose beginning is not taken for granted."""
_HEX = re.compile(rb"[0-9a-fA-F]{12,}|(?:[0-9a-fA-F]{2}[ :,-]){5,}[0-9a-fA-F]{2}")
_BASE32 = re.compile(rb"[A-Z2-7]{16,}|[a-z2-7]{16,}")
_NUMBERS = re.compile(rb"(?<![0-9])(?:[0-9]{2,3}[ ,;|-]{1,2}){7,}[0-9]{2,3}(?![0-9])")
_NUMBER = re.compile(rb"[0-9]+")
_BITS = re.compile(rb"[01]{64,4096}")
_SAYS = re.compile(rb"(?:[ -~]\0?){6}")
_PACKED = (
    b"PK\x03\x04",
    b"\x1f\x8b\x08",
    b"BZh",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"\xfd7zXZ",
)
_STRINGS = re.compile(rb"[\t -~]{5,}")
_UTF_7 = re.compile(rb"\+([A-Za-z0-9+/]{3,})-?")
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} [^\r\n]*\r?\n", re.MULTILINE)
_Y_BEGIN = re.compile(rb"^=ybegin [^\r\n]*\r?\n(?:=ypart [^\r\n]*\r?\n)?", re.MULTILINE)
_Y_CODED = re.compile(rb"=(.)", re.DOTALL)
_Y_SHIFT = bytes((byte - 42) % 256 for byte in range(256))
_CONTROLS = bytes(set(range(32)) - set(b"\t\r\n\f\x1b"))
_NO_CONTROLS = bytes(set(range(256)) - set(_CONTROLS))
_BINARY = 0.03
"""Share of control characters from which data is no text."""


_WIDE = 0.8
"""Share of other bytes than NUL, below which a text is one of 16 or 32 bits a character."""


class Unreadable(Exception):
    """A text is coded so many times that it can't be looked into."""


class Reading(NamedTuple):
    """One way to read a text."""

    how: str
    """Such as "decoded", "without tags", "base64"."""
    data: bytes
    inner: bool = False
    """Something else was in the text, that has readings of its own."""


def readings(data: bytes) -> Iterator[Reading]:
    """All that data can be read as, besides as it is.

    Raises:
        Unreadable: it is coded too many times.
    """
    if b"\0" in data:
        bare = data.replace(b"\0", b"")
        yield Reading("without NUL", bare)
        if len(bare) < _WIDE * len(data):
            data = bare
    if is_binary(data):
        data = b"\n".join(_STRINGS.findall(data))
    yield from _inner(data)
    yield from _of_json(data)
    texts = [data]
    if _QP.search(data):
        texts.append(_undo_qp(data))
        yield Reading("quoted-printable", texts[-1])
    for text in texts:
        plain = text
        for plain in _undone(text):
            yield Reading("decoded", plain)
        if plain is not data:
            yield from _inner(plain)
        for how, seen in appearances(plain):
            yield Reading(how, seen)
            if how == WITHOUT_TAGS:
                yield from _inner(seen)


def _of_json(data: bytes) -> Iterator[Reading]:
    """The strings of a JSON document that have lines: written as \\n, their ends hide where words begin."""
    if len(data) > MAX_JSON or not data[:64].lstrip().startswith((b"{", b"[")):
        return
    try:
        left: list[object] = [msgspec.json.decode(data.decode("utf-8", "replace"))]
    except (msgspec.DecodeError, RecursionError):
        return
    while left:
        match left.pop():
            case str(text) if not text.isprintable():
                yield Reading("JSON", _utf8(text), inner=True)
            case list(things):
                left += things
            case dict(things):
                left += [*things, *things.values()]


def is_binary(data: bytes) -> bool:
    """Whether data is no text."""
    return len(data.translate(None, _NO_CONTROLS)) > _BINARY * len(data)


def words(data: bytes) -> bytes:
    """Header fields with their encoded words decoded (RFC 2047), however they are written."""
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(b"?==?", data))


def joined(data: bytes) -> bytes:
    """A parameter whose value is in several pieces as one (RFC 2231)."""
    return _CONTINUED.sub(b"", data)


def uncommented(field: str) -> str:
    """A header field without comments, also in each other (RFC 5322), and without space.

    >>> uncommented("joe(a(b)c)@ trap.example")
    'joe@trap.example'
    """
    for _ in range(ROUNDS):
        before, field = field, _COMMENT.sub("", field)
        if field == before:
            break
    return "".join(field.split())


def from_base64(data: bytes) -> bytes:
    """What base64 says, with anything in between; what follows padding begins anew."""
    pieces = data.translate(_STANDARD).split(b"=")
    return b"".join(_decoded(piece.translate(None, _NO_BASE64)) for piece in pieces)


def _undone(text: bytes) -> Iterator[bytes]:
    """A text with percent, entities and escapes decoded, as often as there are any."""
    for _ in range(ROUNDS):
        before = text
        if b"%" in text:
            text = _AGAIN_PERCENT.sub(b"%", text)
        if b"&" in text and _ENTITY.search(text):
            said = _AGAIN_AMP.sub(b"&", text).decode("utf-8", "surrogateescape")
            text = _utf8(html.unescape(said))
        if b"\\" in text or b"%u" in text:
            text = _ESCAPE.sub(_escaped, _BACKSLASHES.sub(b"\\\\", text))
        if _PERCENT.search(text):
            text = unquote_to_bytes(text)
        if text == before:
            return
        yield text
    raise Unreadable


def _utf8(text: str) -> bytes:
    """Bytes of a text that may hold what was no character."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _escaped(found: re.Match[bytes]) -> bytes:
    """A character of an escape as in JSON, JavaScript, RTF or PDF."""
    if found[1]:
        return _utf8(chr(int(found[1], 16)))
    if found[2]:
        return bytes([int(found[2], 16)])
    if found[3]:
        return bytes([int(found[3], 8)])
    return b"/" if found[0].endswith(b"/") else b""


def _undo_qp(data: bytes) -> bytes:
    """Quoted-printable, also where it is written in lower case."""
    return binascii.a2b_qp(data)


def _word(found: re.Match[bytes]) -> bytes:
    """An encoded word decoded; as it is, where that can't be done."""
    try:
        pieces = decode_header(found[0].decode("ascii", "replace"))
    except (ValueError, LookupError, AttributeError):
        return found[0]
    return b"".join(_utf8(said) if isinstance(said, str) else bytes(said) for said, _ in pieces)


def _inner(text: bytes) -> Iterator[Reading]:
    """What else is in a text, coded in letters."""
    if b"=?" in text and (said := words(text)) != text:
        yield Reading("encoded words", said, inner=True)
    if b"*" in text and (said := joined(text)) != text:
        yield Reading("joined", said, inner=True)
    if b"+A" in text:
        yield Reading("UTF-7", _UTF_7.sub(_utf7, text))
    for how, found in (
        ("base64", _base64(text)),
        ("hex", _hex(text)),
        ("base32", _base32(text)),
        ("numbers", _numbers(text)),
    ):
        texts = []
        for data in found:
            if data.startswith(_PACKED):
                yield Reading(how, data, inner=True)
            elif _SAYS.search(data):
                texts.append(data)
        if texts:
            yield Reading(how, b"\n".join(texts), inner=True)
    yield from _enclosed(text)


def _base64(text: bytes) -> Iterator[bytes]:
    """What runs of base64 say: lines of it, and words wherever they may begin."""
    for lines in _BASE64_LINES.finditer(text):
        yield from_base64(lines[0])
    for run in dict.fromkeys(_BASE64.findall(_BASE64_LINES.sub(b"\n", text))):
        if not _MIXED.search(run):
            continue
        for start in range(4 if len(run) < _SHORT_RUN else 1):
            yield _decoded(run[start:].translate(_STANDARD))
        for pieces in _PIECES:
            for piece in pieces.findall(run):
                if piece != run:
                    yield _decoded(piece.translate(_STANDARD))


def _decoded(run: bytes) -> bytes:
    """What a run of base64 without padding says; a single character too many is left out."""
    odd = len(run) % 4
    return binascii.a2b_base64(run[:-1] if odd == 1 else run + b"=" * (-odd % 4))


def _hex(text: bytes) -> Iterator[bytes]:
    """What runs of digits say, wherever a pair may begin."""
    for run in dict.fromkeys(_HEX.findall(text)):
        digits = run.translate(None, b" :,-")
        for start in (0, 1):
            pairs = (len(digits) - start) // 2 * 2
            yield bytes.fromhex(digits[start : start + pairs].decode("ascii"))


def _base32(text: bytes) -> Iterator[bytes]:
    """What runs of base32 say, in the alphabet of RFC 4648, of either case, as in names of hosts."""
    for run in dict.fromkeys(_BASE32.findall(text)):
        for start in range(8 if len(run) < _SHORT_RUN else 1):
            piece = run[start:].upper()
            odd = len(piece) % 8
            piece = piece[: len(piece) - odd + {3: 2, 6: 5}.get(odd, odd * (odd != 1))]
            yield base64.b32decode(piece + b"=" * (-len(piece) % 8))


def _numbers(text: bytes) -> Iterator[bytes]:
    """What rows of numbers say, one a letter, as scripts and puzzles have them."""
    for row in _NUMBERS.findall(text):
        yield bytes(int(number) & 0xFF for number in _NUMBER.findall(row))
    for row in _BITS.findall(text):
        for start in range(8):
            bits = row[start : start + (len(row) - start) // 8 * 8]
            yield int(bits, 2).to_bytes(len(bits) // 8, "big")


def _utf7(found: re.Match[bytes]) -> bytes:
    """Characters that UTF-7 codes."""
    return _utf8(_decoded(found[1]).decode("utf-16-be", "replace"))


def _enclosed(text: bytes) -> Iterator[Reading]:
    """Files in a text: uuencoded, or by yEnc."""
    for body in _after(_UU_BEGIN, text):
        if said := _uudecoded(body):
            yield Reading("uuencode", said, inner=True)
    for body in _after(_Y_BEGIN, text):
        coded = body.partition(b"\n=yend")[0].translate(None, b"\r\n")
        coded = _Y_CODED.sub(lambda found: bytes([(found[1][0] - 64) % 256]), coded)
        yield Reading("yEnc", coded.translate(_Y_SHIFT), inner=True)


def _after(begin: re.Pattern[bytes], text: bytes) -> Iterator[bytes]:
    """What follows each mark, up to the next."""
    marks = [found.span() for found in begin.finditer(text)]
    ends = [start for start, _ in marks[1:]]
    return (text[start:end] for (_, start), end in zip(marks, [*ends, len(text)], strict=False))


def _uudecoded(body: bytes) -> bytes:
    """Lines that are uuencoded, as far as they are."""
    said = []
    for line in body.splitlines():
        try:
            said.append(binascii.a2b_uu(line))
        except binascii.Error:  # some programs pad lines otherwise than Python likes
            length = ((line[0] - 32) & 63) * 4 // 3 + 2 if line else 0
            try:
                said.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                break
    return b"".join(said)
