"""Takes a message apart at its boundaries where they leave no doubt, and lets the email package do the rest.

The email package reads line by line and asks of each whether it is a boundary of any part it is in.
Here the boundaries are looked for. A message that is not put together as RFC 2046 says, or holds
another message, is left to the email package whole: what is wrong with it is for that to say.

    >>> mail = b"Content-Type: multipart/mixed; boundary=x\\r\\n\\r\\n--x\\r\\n\\r\\none\\r\\n--x--\\r\\n"
    >>> parse(mail).get_payload()[0].get_payload()
    'one'

A test compares what comes out with the email package's own answer for every message of the corpus.
"""

import re
from collections.abc import Iterable, Iterator
from email.message import Message

from trap.archive import feed
from trap.archive.feed import Room

MAX_HEADER = 1 << 18
"""Bytes; a message with a longer header is left to the email package."""
MAX_PARTS = 200
MAX_DEPTH = 8
MAX_PART_HEADERS = 4 * feed.MAX_MIME_FIELD
"""Bytes of the headers of all parts together."""

Field = tuple[bytes, bytes]
"""Name and value of a header field, the value as it stands but for space before it."""

# Possessive quantifiers, but only of single characters: before Python 3.11.5 those of groups fail where
# something in the group can be tried again. Every group begins with what nothing before it can be, so
# no pattern here tries anything for long.
HEADER = re.compile(rb"(?:[!-9;-~]++:[^\r\n]*+(?:\r?+\n[ \t][^\r\n]*+)*\r?+\n)*(?=\r?+\n)")
FIELD = re.compile(rb"([!-9;-~]++):[ \t]*+([^\r\n]*+(?:\r?+\n[ \t][^\r\n]*+)*)\r?+\n")
_END_OF_LINE = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")
_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


class _Doubtful(Exception):
    """The boundaries are not where they should be."""


class _Left:
    """Bytes of parts' headers that may still be read."""

    def __init__(self) -> None:
        self.headers = MAX_PART_HEADERS


def parse(message: bytes) -> Message:
    """What `email.message_from_bytes` makes of it, but for preambles and epilogues, and within limits."""
    header = HEADER.match(message, 0, MAX_HEADER)
    if not header:
        return feed.parse(message, Room())
    return assemble(FIELD.findall(message, 0, header.end()), message, header.end(), Room())


def assemble(fields: Iterable[Field], message: bytes, body: int, room: Room) -> Message:
    """Parse a message whose header is read already.

    Args:
        fields: of its header, or some of them.
        message: as a whole.
        body: where the empty line is that ends its header.
        room: what the email package may need, should it be asked.
    """
    fields = list(fields)
    try:
        if message.count(b"\r") != message.count(b"\r\n"):
            raise _Doubtful  # the email package ends lines there too
        return _entity(fields, message, body, len(message), (), _Left())
    except _Doubtful:
        header = b"".join(b"%s: %s\r\n" % field for field in fields)
        return feed.parse(header + message[body:], room, len(header))


def _entity(
    fields: list[Field], raw: bytes, body: int, stop: int, outer: tuple[bytes, ...], left: _Left
) -> Message:
    """A message or part: its fields, and its body, which begins with the empty line, up to `stop`."""
    made: Message = Message()
    for name, value in fields:
        made.set_raw(name.decode("ascii"), value.decode("ascii", "surrogateescape"))
    kind = made.get_content_type()
    if kind.startswith("message/") or kind == "multipart/digest":
        raise _Doubtful
    body = raw.index(b"\n", body) + 1
    if not kind.startswith("multipart/"):
        made.set_payload(raw[body:stop].decode("ascii", "surrogateescape"))
        return made
    boundary = str(made.get_boundary("")).encode("ascii", "replace")
    encoding = str(made.get("content-transfer-encoding", "")).strip().lower()
    attached = outer and "content-disposition" in made  # its bytes are wanted too
    if (
        not boundary
        or boundary in outer
        or len(outer) > MAX_DEPTH
        or attached
        or encoding not in _PLAIN_ENCODINGS
    ):
        raise _Doubtful
    for start, end in _between(raw, body, stop, b"--" + boundary):
        header = HEADER.match(raw, start, min(end, start + feed.MAX_MIME_FIELD))
        if not header:
            raise _Doubtful
        left.headers -= header.end() - start
        if left.headers < 0:
            raise _Doubtful
        inner = FIELD.findall(raw, start, header.end())
        made.attach(_entity(inner, raw, header.end(), end, (*outer, boundary), left))
    return made


def _between(raw: bytes, start: int, stop: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends, without the line end that belongs to the boundary."""
    begun = 0
    at = start if raw.startswith(boundary, start, stop) else _next(raw, start, stop, boundary)
    for _ in range(MAX_PARTS):
        line = _END_OF_LINE.match(raw, at + len(boundary), stop)
        if line:
            if begun:
                end = at - (2 if raw.startswith(b"\r\n", at - 2) else 1)
                if end <= begun:
                    raise _Doubtful
                yield begun, end
            elif line[1]:
                raise _Doubtful
            if line[1]:
                return
            begun = line.end()
        at = _next(raw, at + 1, stop, boundary)
    raise _Doubtful


def _next(raw: bytes, start: int, stop: int, boundary: bytes) -> int:
    found = raw.find(b"\n" + boundary, start - 1, stop)
    if found < 0:
        raise _Doubtful
    return found + 1
