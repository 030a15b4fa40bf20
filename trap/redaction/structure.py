"""Where the parts of a message are: what has to be read, and what holds it together.

The email package says what a message is made of, but not where it stands. Here the same rules are
followed to find the places: lines end in CR, LF or both; a header ends at the first line that is none
of it; a part ends at a boundary of any part around it.

    >>> mail = b"Content-Type: multipart/mixed; boundary=x\\r\\n\\r\\n--x\\r\\n\\r\\none\\r\\n--x--\\r\\n"
    >>> sorted((region.kind, mail[region.start : region.end]) for region in outline(mail).regions)[2:]
    [('leaf', b'one'), ('text', b''), ('text', b'')]
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import NamedTuple

HEADER, TEXT, LEAF, MESSAGE = "header", "text", "leaf", "message"
"""Kinds of regions: a header, what stands around parts, the body of a part, one that is a coded message."""
MAX_DEPTH = 60
"""Parts within parts; what lies deeper is one body."""
_MAX_FIELD = 1 << 16
_NO_HEADER = re.compile(rb"(?:(?<=\n)|(?<=\r)(?!\n))(?!From |[!-9;-~]*+:|[ \t])")
_HEADER_LINE = re.compile(rb"From |[!-9;-~]*+:|[ \t]")
_FIELD = re.compile(
    rb"(?:^|[\r\n])(content-(?:type|transfer-encoding|disposition)):"
    rb"([^\r\n]*+(?:(?:\r\n|\r|\n)[ \t][^\r\n]*+){0,1000})",
    re.IGNORECASE,
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_DELIMITER_END = re.compile(rb"(--)?[ \t]*+(?:\r\n|\r|\n|\Z)")
_CODED = frozenset(("base64", "quoted-printable", "x-uuencode", "uuencode", "uue", "x-uue"))


class Region(NamedTuple):
    """A part of a message that is read as a whole."""

    kind: str
    start: int
    end: int
    part: tuple[int, ...] = ()
    """The part that it belongs to: (1, 2) is the second in the first, () the message itself."""
    type: str = "text/plain"
    charset: str = ""
    encoding: str = ""


@dataclass
class Outline:
    """All regions of a message, and its boundaries."""

    regions: list[Region] = field(default_factory=list)
    boundaries: list[bytes] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)
    """Where each boundary stands: in the header that tells it, and in the lines between parts."""


class _Part(NamedTuple):
    """What is still to be read."""

    start: int
    end: int
    type: str
    path: tuple[int, ...]


def outline(raw: bytes) -> Outline:
    """Find the regions of a message. Never raises, whatever the bytes; each is in one region at most."""
    found = Outline()
    waiting = [_Part(0, len(raw), "text/plain", ())]
    while waiting:
        waiting += _inside(raw, waiting.pop(), found)
    return found


def _inside(raw: bytes, part: _Part, found: Outline) -> list[_Part]:
    """Note a part's regions; return the parts in it."""
    header, body = _header_end(raw, part.start, part.end)
    found.regions.append(Region(HEADER, part.start, header, part.path))
    fields = _fields(raw[part.start : header])
    kind = fields.get_content_type() if "content-type" in fields else part.type
    encoding = str(fields.get("content-transfer-encoding", "")).strip().lower()
    boundary = _boundary(fields) if kind.startswith("multipart/") and len(part.path) < MAX_DEPTH else b""
    if boundary and (lines := list(_delimiters(raw, body, part.end, boundary))):
        in_header = raw.find(boundary, part.start, header)
        found.boundaries.append(boundary)
        found.places.append([*([in_header] if in_header >= 0 else []), *(line.start for line in lines)])
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        return list(_between(raw, body, part, lines, found, default))
    message = kind.startswith("message/") and kind != "message/delivery-status"
    if message and encoding not in _CODED and len(part.path) < MAX_DEPTH:
        return [_Part(body, part.end, "text/plain", (*part.path, 1))]
    charset = fields.get_param("charset", "")
    if isinstance(charset, tuple):  # RFC 2231
        charset = charset[2]
    region = MESSAGE if message and len(part.path) < MAX_DEPTH else LEAF
    found.regions.append(Region(region, body, part.end, part.path, kind, str(charset), encoding))
    return []


def _header_end(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Where a part's header ends, and where its body begins."""
    if not _HEADER_LINE.match(raw, start, end):
        header = start
    else:
        found = _NO_HEADER.search(raw, start + 1, end)
        header = found.start() if found else end
    blank = _LINE_END.match(raw, header, end)
    return header, blank.end() if blank else header


def _fields(header: bytes) -> Message:
    """The fields that tell what a part is, read by the email package."""
    made: Message = Message()
    for name, value in _FIELD.findall(header):
        said = value[:_MAX_FIELD].decode("ascii", "surrogateescape").lstrip(" \t")
        made.set_raw(name.decode("ascii"), said)
    return made


def _boundary(fields: Message) -> bytes:
    try:
        return str(fields.get_boundary("")).encode("ascii", "surrogateescape")
    except ValueError:  # characters that no line of the message can hold
        return b""


class _Delimiter(NamedTuple):
    """A line between two parts."""

    line: int
    start: int
    end: int
    last: bool


def _delimiters(raw: bytes, start: int, end: int, boundary: bytes) -> Iterator[_Delimiter]:
    """The lines between parts, up to the one that ends them."""
    sign = b"--" + boundary
    at = raw.find(sign, start, end)
    while at >= 0:
        behind = _DELIMITER_END.match(raw, at + len(sign), end)
        if behind and (at == start or raw[at - 1] in b"\r\n"):
            yield _Delimiter(at, at + 2, behind.end(), bool(behind[1]))
            if behind[1]:
                return
        at = raw.find(sign, at + 1, end)


def _between(
    raw: bytes, body: int, whole: _Part, lines: list[_Delimiter], found: Outline, default: str
) -> Iterator[_Part]:
    """The parts between those lines; what stands before and behind them is text."""
    found.regions.append(Region(TEXT, body, lines[0].line, whole.path))
    number = 0
    for at, line in enumerate(lines):
        following = lines[at + 1].line if at + 1 < len(lines) else whole.end
        if line.last:
            found.regions.append(Region(TEXT, line.end, whole.end, whole.path))
        else:
            end = following
            if at + 1 < len(lines):  # the line end before a boundary belongs to it
                end -= 2 if raw[end - 2 : end] == b"\r\n" else 1
            number += 1
            yield _Part(line.end, max(line.end, end), default, (*whole.path, number))
