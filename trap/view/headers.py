"""Reads header fields as they stand: in order, with their lines, and with what is odd about them.

One pass over the lines, whatever they hold. The email package would skip, repair or stop at what is
odd, and that is what one looks for in hostile mail.
"""

import binascii
import quopri
import re
from collections.abc import Iterator
from email.utils import getaddresses
from typing import NamedTuple

from trap.view.glyphs import codec, decoded, visible, visible_line
from trap.view.view import Address, Header

MAX_HEADER = 4 << 20
"""Bytes of a header that are looked at."""
MAX_FIELDS = 2000
"""Fields that are shown."""
MAX_VALUE = 16 << 10
"""Bytes of one field that are shown."""
MAX_TOTAL = 512 << 10
"""Bytes of all fields together that are shown."""
MAX_ADDRESSES = 200
_MAX_PEOPLE = 64 << 10
"""Bytes of all fields with addresses that are searched for them."""
_LOOKED_AT = 1 << 16
_MAX_LINE = 998
"""Characters of a line (RFC 5322, section 2.1.1)."""
_SINGLE = frozenset(
    b"from sender reply-to to cc bcc subject date message-id in-reply-to references mime-version "
    b"content-type content-transfer-encoding content-disposition".split()
)
"""Fields of which there is one at most (RFC 5322, section 3.6, and RFC 2045)."""
# fmt: off
_ADDRESSES = frozenset((
    "from", "sender", "reply-to", "to", "cc", "bcc", "return-path", "delivered-to", "x-original-to",
    "envelope-to",
))
# fmt: on

_NAME = re.compile(rb"([!-9;-~]{1,200})([ \t]*):")
_END_OF_FIELD = re.compile(rb"\n(?![ \t])")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_WORD = r"=\?([\w.:()-]{1,60})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?\r\n]{0,4000})\?="
_ENCODED = re.compile(_WORD)
_ENCODED_RUN = re.compile(rf"{_WORD}(?:[ \t\r\n]*{_WORD})*")


class Field(NamedTuple):
    """A header field, or a line between fields that is none: its name is empty."""

    name: bytes
    value: bytes
    """What follows the colon, folds included, without the last end of line."""
    start: int
    """Where it begins in the message."""
    line: int
    """Its number, counted from the first line of this header."""

    @property
    def unfolded(self) -> bytes:
        """The value as one line."""
        return _FOLD.sub(b"", self.value).strip()


class Scan(NamedTuple):
    """What was found of a header."""

    fields: list[Field]
    body: int
    """Where its body begins."""
    lines: int
    """How many lines precede the body."""
    defects: list[str]


def lined(message: bytes) -> bytes:
    """The message, its lines ended by line feeds where it has only carriage returns. Places stay the same."""
    head = message[:_LOOKED_AT]
    return message.replace(b"\r", b"\n") if b"\r" in head and b"\n" not in head else message


def scan(message: bytes, start: int = 0) -> Scan:
    """Read the header that begins at `start`. Linear; of endless ones the first fields are kept.

    A line that is no field ends the header, unless a field follows it. That of a part, which does not
    begin with the message, is also ended by what looks like a boundary.
    """
    end = min(len(message), start + MAX_HEADER)
    fields: list[Field] = []
    defects: list[str] = []
    at, line = start, 0
    while at < end:
        following = _next_line(message, at, end)
        text = message[at : min(following, at + 400)]
        if text in (b"\n", b"\r\n", b"\r"):
            return Scan(fields, following, line + 1, defects)
        found = _NAME.match(text)
        ended = start and text.startswith(b"--")
        if ended or not (found or _NAME.match(message, following, min(end, following + 400))):
            if fields:
                defects.append(f"no empty line ends the header (line {line + 1})")
            return Scan(fields, at, line, defects)
        if len(fields) == MAX_FIELDS:
            defects.append(f"only the first {MAX_FIELDS} header fields are shown")
            return _given_up(message, at, Scan(fields, at, line, defects))
        fold = _END_OF_FIELD.search(message, at, end)
        following = fold.end() if fold else end
        name, value = (found[1], at + found.end()) if found else (b"", at)
        fields.append(Field(name, message[value:following].rstrip(b"\r\n"), at, line))
        line += message.count(b"\n", at, following)
        at = following
    if at < len(message):
        defects.append(f"only the first {MAX_HEADER} bytes of the header are shown")
    return _given_up(message, at, Scan(fields, at, line, defects))


def _given_up(message: bytes, at: int, found: Scan) -> Scan:
    """Go on to the body, with no more looks at fields."""
    empty = _EMPTY_LINE.search(message, max(0, at - 1))
    body = empty.end() if empty else len(message)
    return found._replace(body=body, lines=found.lines + message.count(b"\n", at, body))


def _next_line(message: bytes, at: int, end: int) -> int:
    found = message.find(b"\n", at, end)
    return end if found < 0 else found + 1


def shown(found: Scan) -> Iterator[Header]:
    """The fields of a scan, for people."""
    seen: set[bytes] = set()
    room = MAX_TOTAL
    for field in found.fields:
        name, value = field.name.lower(), field.unfolded[: min(MAX_VALUE, room)]
        room -= len(value)
        raw = (field.name + b":" if field.name else b"") + field.value[:MAX_VALUE]
        yield Header(
            field.name.decode("ascii"),
            visible_line(words(decoded(value))),
            visible(raw.decode("utf-8", "backslashreplace")),
            field.line + 1,
            "; ".join(_defects(field, len(value), name in seen)),
        )
        if name in _SINGLE:
            seen.add(name)


def _defects(field: Field, kept: int, again: bool) -> Iterator[str]:
    if not field.name:
        yield "not a field: many programs take the header for ended here"
        return
    if again:
        yield "second field of its kind; programs differ in which they believe"
    if not field.value.isascii():
        yield "8-bit characters" if _is_utf8(field.value) else "8-bit characters that are not UTF-8"
    lines = field.value.split(b"\n")
    if any(not line.strip() for line in lines[1:]):
        yield "a folded line holds nothing but space"
    if len(lines[0].strip()) == 0 and len(lines) > 1 and field.name.lower() in (b"from", b"subject"):
        yield "folded before its first word"
    if b"\r" in field.value.replace(b"\r\n", b"\n").rstrip(b"\r"):
        yield "a bare CR"
    if b"\0" in field.value:
        yield "a NUL"
    if max(map(len, lines)) > _MAX_LINE:
        yield f"a line longer than {_MAX_LINE} characters"
    if kept < len(field.unfolded):
        yield f"only its first {kept} bytes are shown"


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def words(text: str) -> str:
    """A header's text with its encoded words (RFC 2047) decoded, as leniently as mail programs do.

    >>> words("=?utf-8?q?caf=C3?= =?utf-8?q?=A9?= at =?x-none?q?noon?=")
    'café at noon'
    """
    return _ENCODED_RUN.sub(_run, text) if "=?" in text else text


def _run(found: re.Match[str]) -> str:
    """Encoded words that follow one another: a character may begin in one and end in the next."""
    text, data, charset = "", b"", ""
    for word in _ENCODED.finditer(found[0]):
        if word[1].lower() != charset:
            text += decoded(data, charset)
            data, charset = b"", word[1].lower()
        data += _bytes(word[2], word[3].encode("utf-8", "surrogateescape"))
    return text + decoded(data, charset if codec(charset) else "")


def _bytes(encoding: str, data: bytes) -> bytes:
    if encoding in "qQ":
        return quopri.decodestring(data, header=True)
    try:
        return binascii.a2b_base64(data + b"===")
    except binascii.Error:
        return data


def addresses(found: Scan) -> list[Address]:
    """Who is named in a header, in order."""
    people: list[Address] = []
    room = _MAX_PEOPLE
    for field in found.fields:
        name = field.name.decode("ascii")
        if name.lower() in _ADDRESSES and room > 0 and len(people) < MAX_ADDRESSES:
            said = decoded(field.unfolded[: min(MAX_VALUE, room)])
            room -= len(said)
            try:
                pairs = getaddresses([said])
            except (ValueError, RecursionError, IndexError):  # comments in comments, and the like
                continue
            people += [
                Address(name, visible_line(words(who)), visible_line(address))
                for who, address in pairs[: MAX_ADDRESSES - len(people)]
                if address
            ]
    return people
