"""Takes a message apart where its boundaries are, in one pass, so that every part has its place.

The email package asks of every line whether it ends any of the parts it is in: a flood of boundaries,
or thousands of parts in each other, take it minutes. Here the lines that begin with two dashes are
looked for, and each is looked up among the boundaries that are open. What is where, by number, is the
same at every call, so a part can be asked for by its number. Files are hashed, never opened: to us a
zip bomb is a file like any other.

A test compares what comes out with the email package's answer for every message of the corpus.
"""

import binascii
import hashlib
import quopri
import re
from collections.abc import Iterator
from email.message import Message

from trap.view import headers
from trap.view.glyphs import codec, visible_line
from trap.view.names import safe
from trap.view.view import PartInfo

MAX_PARTS = 500
MAX_DEPTH = 60
MAX_LINES = 200_000
"""Lines that begin with two dashes and are looked at."""
_MAX_BOUNDARY = 200
_MAX_PARAMETERS = 100
"""Of one field; the email package takes time by the square of them."""
_ENCODINGS = frozenset(("", "7bit", "8bit", "binary", "base64", "quoted-printable"))
_MESSAGES = frozenset(("message/rfc822", "message/global", "message/news"))
_UU = frozenset(("x-uuencode", "uuencode", "x-uue", "uue"))
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"
_LOOKED_AT = 1 << 20
"""Bytes of a part's base64 that are searched for what is none."""


class Part:
    """One part: where it is, and what its header says of it."""

    def __init__(
        self, found: headers.Scan, number: int, depth: int, start: int, line: int, default: str
    ) -> None:
        self.number = number
        self.depth = depth
        self.start = start
        self.line = line
        self.fields = found.fields
        self.body = found.body
        self.end = found.body
        self.defects = list(found.defects)
        said: Message = Message()
        said.set_default_type(default)
        for field in found.fields:
            if field.name[:8].lower() == b"content-" and field.name.decode("ascii") not in said:
                value = b";".join(
                    field.unfolded[: headers.MAX_VALUE].split(b";", _MAX_PARAMETERS)[:_MAX_PARAMETERS]
                )
                said.set_raw(field.name.decode("ascii"), value.decode("ascii", "surrogateescape"))
        self._said = said
        self.type = visible_line(said.get_content_type())[:100]
        self.encoding = visible_line(str(said.get("content-transfer-encoding", "")))[:60].lower()
        self.charset = visible_line(str(said.get_param("charset", "") or ""))[:60].lower()
        self.boundary = self._boundary()

    def _boundary(self) -> bytes:
        if not self.type.startswith("multipart/"):
            return b""
        found = self._said.get_boundary("") or ""
        if not found:
            self.defects.append("a multipart without a boundary")
        if len(found) > _MAX_BOUNDARY:
            self.defects.append(f"a boundary longer than {_MAX_BOUNDARY} characters")
            return b""
        return found.encode("utf-8", "surrogateescape")

    @property
    def is_multipart(self) -> bool:
        """Whether it only holds others."""
        return bool(self.boundary)

    @property
    def disposition(self) -> str:
        """Inline, attachment or another word; often empty."""
        return visible_line(str(self._said.get_content_disposition() or ""))[:60]

    @property
    def said_name(self) -> str:
        """The name it gives itself; not to be used as one."""
        return headers.words(self._said.get_filename("") or "")[:1000]

    @property
    def content_id(self) -> str:
        """What HTML may call it by."""
        return visible_line(str(self._said.get("content-id", ""))).strip("<> ")[:300]

    def decode(self, message: bytes, most: int | None = None) -> bytes:
        """Its bytes, decoded, made of no more than `most` bytes of the message."""
        stop = self.end if most is None else min(self.end, self.body + most)
        raw = message[self.body : stop]
        if self.encoding == "base64":
            return from_base64(raw)
        if self.encoding == "quoted-printable":
            return quopri.decodestring(raw)
        return _from_uu(raw) if self.encoding in _UU else raw

    def info(self, message: bytes) -> PartInfo:
        """What can be said of it without decoding it."""
        said = visible_line(self.said_name)
        name = safe(self.said_name)
        return PartInfo(
            self.number,
            self.depth,
            self.type,
            self.charset,
            self.encoding,
            0 if self.is_multipart else self._size(),
            name=name,
            said_name=said if said != name else "",
            disposition=self.disposition,
            content_id=self.content_id,
            line=self.line,
            defects=[*self.defects, *self._oddities(message)],
        )

    def _size(self) -> int:
        """Roughly, of base64: exactly only when it is decoded."""
        length = max(0, self.end - self.body)
        return length * 3 // 4 if self.encoding == "base64" else length

    def _oddities(self, message: bytes) -> Iterator[str]:
        if self.encoding not in _ENCODINGS | _UU:
            yield f"an encoding nobody knows: {self.encoding}"
        if self.is_multipart and self.encoding in ("base64", "quoted-printable"):
            yield f"a multipart can't be in {self.encoding}"
        if self.charset and not codec(self.charset):
            yield f"a charset nobody knows: {self.charset}"
        head = min(self.end, self.body + _LOOKED_AT)
        if self.encoding == "base64" and message[self.body : head].translate(None, _BASE64):
            yield "base64 with characters that are none of it"


def from_base64(data: bytes) -> bytes:
    """What a lenient reader makes of base64: other characters are skipped, a cut end is left out."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        whole = re.sub(rb"[^A-Za-z0-9+/]+", b"", data)
        return binascii.a2b_base64(whole[: len(whole) // 4 * 4] + _tail(whole[len(whole) // 4 * 4 :]))


def _tail(rest: bytes) -> bytes:
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def _from_uu(data: bytes) -> bytes:
    found = []
    for line in data.splitlines()[:MAX_LINES]:
        if line[:6] != b"begin " and line.strip() != b"end":
            try:
                found.append(binascii.a2b_uu(line))
            except binascii.Error:
                continue
    return b"".join(found)


def tree(message: bytes) -> list[Part]:
    """All parts in order, the message itself first. Linear, whatever the message."""
    return list(_Tree(message).parts)


class _Tree:
    def __init__(self, message: bytes) -> None:
        self._message = message
        self.parts: list[Part] = []
        self._open: list[Part] = []
        self._boundaries: dict[bytes, int] = {}
        self._counted, self._line = 0, 1
        self._at = 0
        self._begin(0)
        self._walk()
        self._close(0, len(message))

    def _walk(self) -> None:
        """Go from one line that may be a boundary to the next."""
        message = self._message
        for _ in range(MAX_LINES):
            if not self._boundaries:
                return
            if message.startswith(b"--", self._at) and (self._at == 0 or message[self._at - 1] == 10):
                at = self._at
            else:
                at = message.find(b"\n--", max(0, self._at - 1)) + 1
                if not at:
                    return
            end = message.find(b"\n", at, at + _MAX_BOUNDARY + 200)
            self._at = end + 1 if end >= 0 else min(len(message), at + _MAX_BOUNDARY + 200)
            said = message[at + 2 : self._at].rstrip()
            level = self._boundaries.get(said)
            if level is not None:
                self._close(level + 1, self._before(at))
                if not self._begin(self._at):
                    return
            elif said.endswith(b"--") and said[:-2] in self._boundaries:
                self._close(self._boundaries[said[:-2]], self._before(at), ended=True)
        self._open[0].defects.append(f"more than {MAX_LINES} lines begin like boundaries")

    def _begin(self, start: int) -> bool:
        """Read the header of a part; False when there are too many."""
        if len(self.parts) >= MAX_PARTS:
            self.parts[0].defects.append(f"only the first {MAX_PARTS} parts are shown")
            return False
        found = headers.scan(self._message, start)
        digest = self._open and self._open[-1].type == "multipart/digest"  # RFC 2046, section 5.1.5
        default = "message/rfc822" if digest else "text/plain"
        part = Part(found, len(self.parts), len(self._open), start, self._number(start), default)
        self.parts.append(part)
        self._open.append(part)
        self._at = max(start, part.body)
        if part.depth >= MAX_DEPTH:
            part.defects.append(f"parts nested deeper than {MAX_DEPTH} are not taken apart")
            part.boundary = b""
        elif part.boundary:
            self._boundaries.setdefault(part.boundary, part.depth)
        elif part.type in _MESSAGES and part.encoding not in ("base64", "quoted-printable"):
            return self._begin(part.body)
        return True

    def _close(self, level: int, end: int, ended: bool = False) -> None:
        """End all open parts from `level` on; whether the one of that level has said so itself."""
        while len(self._open) > level:
            part = self._open.pop()
            part.end = max(part.body, end)
            if part.boundary and self._boundaries.get(part.boundary) == part.depth:
                del self._boundaries[part.boundary]
                if not (ended and part.depth == level):
                    part.defects.append("the last boundary is missing")

    def _before(self, at: int) -> int:
        if at and self._message[at - 1] == 10:
            at -= 1
            if at and self._message[at - 1] == 13:
                at -= 1
        return at

    def _number(self, at: int) -> int:
        """The number of the line at a place; places are asked for in order."""
        self._line += self._message.count(b"\n", self._counted, at)
        self._counted = at
        return self._line


def digests(data: bytes) -> tuple[str, str]:
    """The sha256 and the md5 of a part's bytes."""
    return hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
