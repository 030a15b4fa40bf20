"""A message as signatures see it: its header fields, its body, and their canonical forms (RFC 6376, 3.4).

Lines end in CRLF here, as they did when the sender signed; a message that came with bare LF, as much spam
does, is read as if it had been sent properly. Nothing else is changed, and nothing is parsed as MIME.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from trap.job import header_end

MAX_HEADER = 256 << 10
"""Bytes of a header that is looked at; a longer one is no mail program's."""
LARGE = 256 << 10
"""Bytes of a message that take longer than a moment."""
_TABS = bytes.maketrans(b"\t", b" ")


class TooLarge(ValueError):
    """The header has more than MAX_HEADER bytes."""


class Field(NamedTuple):
    """A header field.

    Attributes:
        name: in lower case.
        raw: all of it, with its name, its folds and the CRLF at its end.
    """

    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon."""
        return self.raw.partition(b":")[2]

    def canonical(self, *, relaxed: bool) -> bytes:
        """What is hashed of it."""
        if not relaxed:
            return self.raw
        return b"%s:%s\r\n" % (self.name, _squeezed(self.value.replace(b"\r\n", b"")).strip(b" "))

    def unsigned(self) -> "Field":
        """The same field with an empty b= tag, and without the CRLF at its end."""
        head, colon, value = self.raw.removesuffix(b"\r\n").partition(b":")
        tags = [_without_value(tag) for tag in value.split(b";")]
        return Field(self.name, head + colon + b";".join(tags))


def _without_value(tag: bytes) -> bytes:
    name, equals, _ = tag.partition(b"=")
    return name + equals if name.strip(b" \t\r\n") == b"b" else tag


class SignedMail:
    """A message, made ready for the signatures in it.

    Args:
        message: as it was received.

    Raises:
        TooLarge: its header is.
    """

    def __init__(self, message: bytes) -> None:
        end = min(header_end(message), len(message))
        if end > MAX_HEADER:
            raise TooLarge(f"a header of more than {MAX_HEADER} bytes")
        self.message = message
        self._end = end
        self.fields = list(_fields(_crlf(message[:end])))
        self._body: bytes | None = None
        self._relaxed: bytes | None = None
        self._turn = asyncio.Lock()
        self._hashes: dict[tuple[bool, str, int | None], bytes] = {}
        self._places: defaultdict[bytes, list[Field]] = defaultdict(list)
        for field in self.fields:
            self._places[field.name].append(field)

    @property
    def has_bare_lf(self) -> bool:
        """Whether lines ended in LF alone, so that what was signed had to be guessed."""
        return self.message.count(b"\n") != self.message.count(b"\r\n")

    def named(self, name: bytes) -> list[Field]:
        """The fields of a name (in lower case), as they stand from the top."""
        return self._places.get(name, [])

    async def aside(self, work: Callable[["SignedMail"], None]) -> None:
        """Do what takes as long as the body is: of a large one in a thread, while others go on.

        Args:
            work: asks for body_length or body_hash.
        """
        if len(self.message) < LARGE:
            work(self)
            return
        async with self._turn:  # one at a time, else each would make the same forms
            await asyncio.to_thread(work, self)

    def body_length(self, *, relaxed: bool) -> int:
        """Bytes of the canonical body."""
        return len(self._canonical(relaxed=relaxed))

    def body_hash(self, algorithm: str, *, relaxed: bool, length: int | None) -> bytes:
        """The hash of the canonical body; computed once, however many signatures ask.

        Args:
            algorithm: sha1 or sha256.
            relaxed: which canonical form.
            length: only so many bytes of it.
        """
        key = (relaxed, algorithm, length)
        if key not in self._hashes:
            body = memoryview(self._canonical(relaxed=relaxed))[:length]
            self._hashes[key] = hashlib.new(algorithm, body, usedforsecurity=False).digest()
        return self._hashes[key]

    def selected(self, names: Iterable[bytes], *, relaxed: bool) -> bytes:
        """The canonical fields that a signature names, each as often as it is named, from the bottom up."""
        used: Counter[bytes] = Counter()
        chosen = []
        for name in names:
            used[name] += 1
            fields = self.named(name)
            if used[name] <= len(fields):
                chosen.append(fields[-used[name]].canonical(relaxed=relaxed))
        return b"".join(chosen)

    def _canonical(self, *, relaxed: bool) -> bytes:
        if self._body is None:
            body = _crlf(self.message[self._end :])
            self._body = body.removeprefix(b"\r\n")  # the line between header and body
        if not relaxed:
            return _trimmed(self._body) or b"\r\n"
        if self._relaxed is None:
            body = _squeezed(self._body).replace(b" \r\n", b"\r\n")
            self._relaxed = _trimmed(body.removesuffix(b" "))
        return self._relaxed


def _crlf(data: bytes) -> bytes:
    if data.count(b"\n") == data.count(b"\r\n"):
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _squeezed(data: bytes) -> bytes:
    """Data in which one space stands for each run of spaces and tabs.

    Every round halves the runs, so the rounds are few; a regular expression takes ten times as long.
    """
    data = data.translate(_TABS)
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def _trimmed(body: bytes) -> bytes:
    """A body with one CRLF at its end, instead of none or many; empty when there is nothing else in it."""
    if not body.endswith(b"\r\n"):
        return body + b"\r\n" if body else b""
    end = len(body.rstrip(b"\r\n"))
    lone = body.rfind(b"\r\r", end)  # a CR that is none of a line end
    end = end if lone < 0 else lone + 1
    return body[: end + 2] if end else b""


def _fields(header: bytes) -> Iterator[Field]:
    """The fields of a header; lines that are none are passed over."""
    lines: list[bytes] = []
    for line in header.split(b"\r\n"):
        if lines and line.startswith((b" ", b"\t")):
            lines.append(line)
            continue
        if lines:
            yield _field(lines)
        lines = [line] if _begins_field(line) else []
    if lines:
        yield _field(lines)


def _begins_field(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")
    return bool(colon and name and name.isascii() and name.decode("ascii").isprintable() and b" " not in name)


def _field(lines: list[bytes]) -> Field:
    name = lines[0].partition(b":")[0].rstrip(b" \t").lower()
    return Field(name, b"\r\n".join(lines) + b"\r\n")
