"""Finds the parts of a message by their place in it, so that what a part holds can be cut out to the byte.

A parser that makes a tree of a message and writes it again changes it: line ends, folding, the order of
parameters. Here an entity (RFC 2045) is a range of the message's own bytes, and boundaries are whole
lines, as RFC 2046 has them. All work is bounded; never raises, whatever the bytes.

    >>> mail = b"Content-Type: multipart/mixed; boundary=x\\n\\n--x\\n\\none\\n--x\\nA: b\\n\\ntwo\\n--x--\\n"
    >>> [part.body for part in leaves(mail)]
    [b'one', b'two']
"""

import binascii
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message
from functools import cached_property
from itertools import islice

MAX_PARTS = 200
MAX_DEPTH = 10
"""Parts in each other, messages in messages included."""
MAX_HEADER = 1 << 18
"""Bytes of a part's header."""
MAX_FIELD = 2 << 10
"""Bytes of a MIME field that are read."""
MAX_UUENCODED = 20
"""Files in one text."""
MAX_NAME = 200
"""Characters of a file's name."""

_FIRST_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|>?From ")
_BLANK = re.compile(rb"\r?\n")
_MIME_FIELD = re.compile(
    rb"^content-(type|transfer-encoding|disposition)[ \t]*:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_BOUNDARY = re.compile(r'boundary\s{0,8}=\s{0,8}(?:"([^"]{1,256})"|([^\s;"]{1,256}))', re.IGNORECASE)
_ENCODING = re.compile(rb"[\w-]+")
_REST = re.compile(rb"(--)?[ \t]{0,80}(?:\r?\n|\Z)")
_LINE_FEED = 10
_IDENTITY = frozenset((b"", b"7bit", b"8bit", b"binary"))
_LINE = re.compile(rb"[^\r\n]+")
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]*)\r?\n", re.MULTILINE)


@dataclass(frozen=True)
class Entity:
    """A part, or a message as a whole.

    Attributes:
        raw: the message that it is a part of.
        start: where its header begins.
        middle: where its body begins.
        stop: where it ends, without the line end that belongs to the boundary.
        inside: media type of what it is directly in, "" for the message itself.
        depth: how many others it is in.
    """

    raw: bytes
    start: int
    middle: int
    stop: int
    inside: str = ""
    depth: int = 0

    @property
    def header(self) -> bytes:
        """The header's bytes, without the empty line that ends it; at most MAX_HEADER."""
        return self.raw[self.start : min(self.middle, self.start + MAX_HEADER)]

    @property
    def body(self) -> bytes:
        """The body's bytes as sent."""
        return self.raw[self.middle : self.stop]

    @property
    def size(self) -> int:
        """Length of the body as sent, which is never less than that of `data`."""
        return self.stop - self.middle

    @cached_property
    def _fields(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for match in _MIME_FIELD.finditer(self.header):
            found.setdefault(match[1].decode("ascii").lower(), _FOLD.sub(b" ", match[2][:MAX_FIELD]).strip())
        return found

    @property
    def parameters(self) -> str:
        """What follows the media type: ` charset=utf-8; format=flowed`."""
        return self._fields.get("type", b"").decode("latin-1").partition(";")[2]

    @cached_property
    def type(self) -> str:
        """Its media type in lower case, the default one if it says none."""
        said = self._fields.get("type", b"").decode("ascii", "replace").partition(";")[0].strip().lower()
        if "/" in said:
            return said[:100]
        return "message/rfc822" if self.inside == "multipart/digest" else "text/plain"

    @property
    def disposition(self) -> str:
        """`inline`, `attachment`, or what it says; empty when it says nothing."""
        return (
            self._fields.get("disposition", b"").decode("ascii", "replace").partition(";")[0].strip().lower()
        )

    @property
    def encoding(self) -> bytes:
        """The transfer encoding in lower case; empty when there is none to undo."""
        found = _ENCODING.search(self._fields.get("transfer-encoding", b""))
        encoding = found[0].lower() if found else b""
        return b"" if encoding in _IDENTITY else encoding

    @cached_property
    def name(self) -> str:
        """The file's name (RFC 2183, 2231; also in encoded words, RFC 2047), empty when it has none."""
        if b"name" not in self.header.lower():
            return ""
        header = Message()
        for field in ("type", "disposition"):
            header[f"content-{field}"] = self._fields.get(field, b"").decode("latin-1")
        try:
            said = header.get_filename() or ""
            if "=?" in said:
                said = str(make_header(decode_header(said)))
        except Exception:  # the email package raises many kinds on what is not quite a parameter
            return ""
        with suppress(UnicodeError):  # bytes of UTF-8 as they are, which is against the rules and common
            said = said.encode("latin-1").decode("utf-8")
        return said[:MAX_NAME]

    @cached_property
    def data(self) -> bytes:
        """The body with its transfer encoding undone; what is broken is left out."""
        return decoded(self.body, self.encoding)


def decoded(body: bytes, encoding: bytes) -> bytes:
    """Undo a transfer encoding (RFC 2045, section 6), named in lower case.

    >>> decoded(b"aGVs\\r\\nbG8", b"base64"), decoded(b"a=3D=\\r\\nb", b"quoted-printable")
    (b'hello', b'a=b')
    """
    if encoding == b"base64":
        try:
            return binascii.a2b_base64(body)
        except binascii.Error:  # cut off in the middle of four letters
            letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
            return binascii.a2b_base64(letters[: len(letters) - (len(letters) % 4 == 1)] + b"===")
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    if encoding in (b"x-uuencode", b"uuencode", b"x-uue", b"uue"):
        return _undo_uuencode(body)
    return body


def _undo_uuencode(body: bytes) -> bytes:
    return next((data for _, data in uuencoded(body)), b"") or _uu_lines(body)


def uuencoded(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files that stand in a text as uuencode writes them; at most MAX_UUENCODED.

    >>> list(uuencoded(b"see:\\nbegin 644 a.txt\\n+:&5L;&\\\\@=&AE<F4\\n`\\nend\\n"))
    [('a.txt', b'hello there')]
    """
    if b"begin " not in body:
        return
    begun = list(islice(_UU_BEGIN.finditer(body), MAX_UUENCODED + 1))
    for at, begin in enumerate(begun[:MAX_UUENCODED]):
        stop = begun[at + 1].start() if at + 1 < len(begun) else len(body)
        if data := _uu_lines(body[begin.end() : stop]):
            yield begin[1].decode("utf-8", "replace").strip()[:MAX_NAME], data


def _uu_lines(lines: bytes) -> bytes:
    made = bytearray()
    for line in _LINE.finditer(lines):
        if line[0] == b"end":
            break
        try:
            made += binascii.a2b_uu(line[0][:86])
        except binascii.Error:  # a line too long, or of other letters
            continue
    return bytes(made)


def leaves(raw: bytes, into_messages: bool = True) -> Iterator[Entity]:
    """The parts of a message that have no parts, in their order; at most MAX_PARTS.

    Args:
        raw: the message.
        into_messages: whether messages in it are taken apart, too; else they count as leaves.
    """
    for number, leaf in enumerate(_leaves(whole(raw), into_messages)):
        if number >= MAX_PARTS:
            return
        yield leaf


def whole(raw: bytes) -> Entity:
    """The message itself as an entity."""
    return _entity(raw, 0, len(raw), "", 0)


def _entity(raw: bytes, start: int, stop: int, inside: str, depth: int) -> Entity:
    if blank := _BLANK.match(raw, start, stop):  # no header
        return Entity(raw, start, blank.end(), stop, inside, depth)
    if not _FIRST_FIELD.match(raw, start, stop):
        return Entity(raw, start, start, stop, inside, depth)  # nor the empty line that should be there
    # Lines end with CRLF nearly always: the other search then ends with the header, not with the mail.
    full = raw.find(b"\n\r\n", start, stop)
    bare = raw.find(b"\n\n", start, full if full >= 0 else stop)
    middle = bare + 2 if bare >= 0 else full + 3 if full >= 0 else stop
    return Entity(raw, start, middle, stop, inside, depth)


def _leaves(entity: Entity, into_messages: bool) -> Iterator[Entity]:
    kind, depth = entity.type, entity.depth + 1
    if depth <= MAX_DEPTH and kind.startswith("multipart/"):
        boundary = _BOUNDARY.search(entity.parameters)
        if boundary:
            delimiter = b"--" + (boundary[1] or boundary[2]).rstrip().encode("latin-1")
            ranges = list(_between(entity.raw, entity.middle, entity.stop, delimiter))
            for start, stop in ranges:
                yield from _leaves(_entity(entity.raw, start, stop, kind, depth), into_messages)
            if ranges:
                return
    elif depth <= MAX_DEPTH and kind == "message/rfc822" and into_messages:
        raw, start, stop = entity.raw, entity.middle, entity.stop
        if entity.encoding:
            raw = entity.data
            start, stop = 0, len(raw)
        yield from _leaves(_entity(raw, start, stop, kind, depth), into_messages)
        return
    yield entity


def _between(raw: bytes, start: int, stop: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where the parts between the delimiter lines begin and end; the last may lack its end."""
    begun, at = -1, start
    # What begins with the delimiter and goes on is looked at in vain: such lines are counted, too.
    for _ in range(4 * MAX_PARTS):
        at = raw.find(delimiter, at, stop)
        if at < 0:
            break
        rest = _REST.match(raw, at + len(delimiter), stop)
        if rest and (at == start or raw[at - 1] == _LINE_FEED):
            if begun >= 0:  # the line end in front belongs to the boundary (RFC 2046, section 5.1.1)
                end = at - (2 if raw.startswith(b"\r\n", at - 2) else 1)
                yield begun, max(begun, end)
            if rest[1]:
                return
            begun = rest.end()
        at += len(delimiter)
    if begun >= 0:
        yield begun, stop
