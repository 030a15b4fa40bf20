"""The words a person would read in a message, found cheaply and whatever the bytes.

A full MIME parser is too slow and too easily upset for what only compares messages. This one
takes what it needs: the text of the text parts with transfer encoding, charset and HTML undone,
and a hash of every other part. All work is bounded, so the worst message costs milliseconds: a
part, a level of nesting or a byte past the limits below is not looked at.

    >>> body = b"Content-Type: text/html\\r\\n\\r\\n<p>Dear <b>friend</b>&excl;"
    >>> read(body).text.split()
    ['Dear', 'friend', '!']

MIME as in RFC 2045 and 2046; where a message breaks the rules, what is there is taken for text.
"""

import binascii
import hashlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PARTS = 100
MAX_DEPTH = 8
MAX_HEADER = 1 << 16
MAX_PART = 1 << 18
"""Bytes of one part that are decoded."""
MAX_TEXT = 1 << 18
"""Characters of text in all."""
MAX_HASHED = 1 << 20
"""Bytes of one part that go into its hash."""

_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|>?From ")
_VALUE = re.compile(rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_ENCODING = re.compile(rb"[ \t]*([\w-]+)")
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]{1,256})"|([^\s;"]{1,256}))', re.I)
_CHARSET = re.compile(r'charset\s*=\s*["\']?([^\s;"\']{1,40})', re.I)
# Python knows codecs that are no charsets, some slow or noisy on bad input (punycode, unicode_escape).
_KNOWN_CHARSET = re.compile(
    r"utf-?8|utf-?16([bl]e)?|(us-)?ascii|iso-?8859-?\d+|latin-?1|(windows-?|cp)\d+|koi8-[ru]|macintosh"
    r"|gb2312|gbk|gb18030|big5|shift[_-]?jis|euc-(jp|kr)|iso-2022-(jp|kr)|ks_c_5601-1987|tis-620",
    re.I,
)
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_LOOKS_HTML = re.compile(r"<(?:html|body|table|div|p|br|font|a)\b", re.I)
# An unclosed tag or comment ends with the text: no input makes these patterns start over.
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)|<(style|script|title)\b.*?(?:</\1[^>]*>?|\Z)|<[a-z/!?][^>]*(?:>|\Z)", re.I | re.S
)
# html.unescape refuses numbers of more than 4,300 digits by raising.
_ENDLESS_REFERENCE = re.compile(r"&#[0-9a-fx]{9,};?", re.I)


@dataclass(frozen=True, slots=True)
class Readable:
    """What a message shows.

    Attributes:
        parts: each text part as it is before HTML is undone, and whether it says that it is HTML.
        others: 8-byte hashes of the parts that are not text, in their order.
    """

    parts: tuple[tuple[str, bool], ...]
    others: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """Text of all text parts, HTML undone, parts separated by a newline."""
        return "\n".join(_undo_html(part) if html or _looks_html(part) else part for part, html in self.parts)

    @property
    def markup(self) -> str:
        """The same before HTML was undone, for those who look for links."""
        return "\n".join(part for part, _ in self.parts)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A part that has no parts: its media type, the type's parameters, encoding, and bytes as sent."""

    kind: str
    params: str
    encoding: bytes
    body: bytes


def read(message: bytes) -> Readable:
    """Read a message (header and body, RFC 5322). Never raises; see the limits above."""
    texts: list[tuple[str, bool]] = []
    others: list[bytes] = []
    room = MAX_TEXT
    for number, leaf in enumerate(_leaves(message, 0, len(message), 0)):
        if number >= MAX_PARTS:
            break
        if leaf.kind.startswith("text/") or "/" not in leaf.kind:
            text = decode(_undo_encoding(leaf), leaf.params)[:room]
            room -= len(text)
            texts.append((text, leaf.kind == "text/html"))
        elif leaf.body.strip():
            others.append(_hash(leaf))
    return Readable(tuple(texts), tuple(others))


def decode(data: bytes, params: str) -> str:
    """Text of `data` in the charset that `params` names (`charset=utf-8; format=flowed`), or as it looks."""
    named = _CHARSET.search(params)
    if named and _KNOWN_CHARSET.fullmatch(named[1]):
        try:
            return data.decode(named[1], "replace")
        except LookupError:  # a number of a code page that Python lacks
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _leaves(raw: bytes, start: int, stop: int, depth: int) -> Iterator[_Leaf]:
    """The leaves of the entity that fills raw[start:stop], depth first."""
    head, body = _split(raw, start, stop)
    content_type = next(_values(head, b"\ncontent-type"), b"text/plain")
    kind, _, params = content_type.decode("latin-1").partition(";")
    kind = kind.strip().lower()
    boundary = _BOUNDARY.search(params) if kind.startswith("multipart/") else None
    if depth < MAX_DEPTH and boundary:
        delimiter = b"--" + (boundary[1] or boundary[2]).encode("latin-1")
        inner = list(_delimited(raw, body, stop, delimiter))
        for first, last in inner:
            yield from _leaves(raw, first, last, depth + 1)
        if inner:
            return
    if depth < MAX_DEPTH and kind == "message/rfc822":
        yield from _leaves(raw, body, stop, depth + 1)
        return
    if kind.startswith("multipart/"):
        kind = "text/plain"  # no parts, or too deep
    said = map(_ENCODING.match, _values(head, b"\ncontent-transfer-encoding"))
    encoding = next((found[1].lower() for found in said if found), b"")
    yield _Leaf(kind, params, encoding, raw[body : min(stop, body + MAX_HASHED)])


def _split(raw: bytes, start: int, stop: int) -> tuple[bytes, int]:
    """The header of an entity, behind a line end, and where its body begins."""
    if not _FIELD.match(raw, start, stop):
        return b"", start  # an empty line, or someone who forgot the header
    limit = min(stop, start + MAX_HEADER)
    # Lines end with CRLF nearly always: the other search then ends with the header, not with the mail.
    full = raw.find(b"\n\r\n", start, limit)
    bare = raw.find(b"\n\n", start, full if full >= 0 else limit)
    if bare >= 0:
        return b"\n" + raw[start:bare], bare + 2
    return (b"\n" + raw[start:full], full + 3) if full >= 0 else (b"\n" + raw[start:limit], limit)


def _values(head: bytes, name: bytes) -> Iterator[bytes]:
    """The values, unfolded, of each field of a name, which is in lower case and behind a line end."""
    lower = head.lower()
    at = lower.find(name)
    while at >= 0:
        if found := _VALUE.match(head, at + len(name)):
            yield _FOLD.sub(b" ", found[1])
        at = lower.find(name, at + 1)


def _delimited(raw: bytes, start: int, stop: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where the body parts between the delimiter lines begin and end; at most MAX_PARTS."""
    at = start if raw.startswith(delimiter, start, stop) else _next_line(raw, start, stop, delimiter)
    for _ in range(MAX_PARTS):
        line_end = raw.find(b"\n", at, stop) if at >= 0 else -1
        if line_end < 0 or raw.startswith(b"--", at + len(delimiter), stop):
            return
        at = _next_line(raw, line_end, stop, delimiter)
        yield line_end + 1, max(line_end + 1, at - 1 if at >= 0 else stop)


def _next_line(raw: bytes, start: int, stop: int, delimiter: bytes) -> int:
    found = raw.find(b"\n" + delimiter, start, stop)
    return found + 1 if found >= 0 else -1


def _undo_encoding(leaf: _Leaf) -> bytes:
    body = leaf.body[:MAX_PART]
    if leaf.encoding == b"base64":
        letters = body.translate(None, _NOT_BASE64)
        return binascii.a2b_base64(letters[: len(letters) // 4 * 4])
    return binascii.a2b_qp(body) if leaf.encoding == b"quoted-printable" else body


def _looks_html(text: str) -> bool:
    return bool(_LOOKS_HTML.search(text, 0, 4096))


def _undo_html(markup: str) -> str:
    return html.unescape(_ENDLESS_REFERENCE.sub(" ", _MARKUP.sub(" ", markup)))


def _hash(leaf: _Leaf) -> bytes:
    # Lines may be folded anew on the way; what they say stays.
    return hashlib.blake2b(leaf.body.translate(None, b"\r\n\t "), digest_size=8).digest()
