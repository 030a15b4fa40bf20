"""Has the email package parse a message, as much of it as is worth the time.

The email package, and mail-parser after it, have no limits of their own: a megabyte of encoded words,
of boundaries or of parameters takes them seconds. So they are given messages piece by piece, until there
are too many parts, or too many in each other; and of header fields they get the first bytes only. What
no honest message needs is left out, and `Room.defects` says so.
"""

from email.feedparser import BytesFeedParser
from email.message import Message
from email.policy import Compat32, compat32
from functools import partial

MAX_LINES = 500_000
MAX_PARTS = 400
MAX_DEPTH = 8
MAX_WORK = 1_500_000
"""Lines that are read, each counted once more for every part around it: all their boundaries are tried."""
MAX_HEADER_LINES = 20_000
MAX_MIME_FIELD = 4 << 10
"""Bytes of one MIME field; time for its parameters grows with the square of its size."""
_MAX_MIME = 32 << 10
"""Bytes of all MIME fields."""
MAX_FIELD = 8 << 10
"""Bytes of all fields of another name."""
_MAX_OTHERS = 128 << 10
"""Bytes of the fields that nobody reads."""
_MAX_EPILOGUE = 16 << 10
"""Characters behind the last boundary; of a message in there it is its header."""
_CHUNK = 8192
_READ = frozenset(
    ("subject", "from", "reply-to", "to", "cc", "bcc", "delivered-to", "date", "resent-date", "received")
)
_MIME, _OTHERS = "mime", "others"


class Room:
    """What is left for one message, parts in it included.

    Args:
        defects: where what was left out is noted at once.
    """

    def __init__(self, defects: list[str] | None = None) -> None:
        self.parts = MAX_PARTS
        self.depth = 0
        """Of the deepest part so far."""
        self.work = MAX_WORK
        self.header_lines = MAX_HEADER_LINES
        self.defects = [] if defects is None else defects
        self._spent: dict[str, int] = {}

    def take(self, name: str, value: str) -> str | None:
        """As much of a field as there is room for: of the first a part, of those that follow all or None."""
        kind = name.lower()
        one = most = MAX_FIELD
        if kind.startswith(("content-", "mime-")):
            kind, one, most = _MIME, MAX_MIME_FIELD, _MAX_MIME
        elif kind not in _READ:
            kind, one, most = _OTHERS, _MAX_OTHERS, _MAX_OTHERS
        spent = self._spent.get(kind, 0)
        kept = value if len(value) <= one else _cut(value, one)
        if spent + len(kept) > most:
            kept = ""
        if len(kept) < len(value):
            self.note("header fields too long: only their first bytes were parsed")
            if not kept:
                return None
        self._spent[kind] = spent + len(kept)
        return kept

    def note(self, defect: str) -> None:
        """Remember that something was left out, once for each reason."""
        if defect not in self.defects:
            self.defects.append(defect)

    def full(self) -> str:
        """Why no more is parsed; empty as long as there is room."""
        if self.parts < 0:
            return "too many parts"
        if self.depth > MAX_DEPTH:
            return "parts too deep in each other"
        return "too many lines" if self.work < 0 else ""


def _cut(value: str, length: int) -> str:
    """The beginning of a field, of one with addresses up to the last comma: half an address is a defect."""
    end = value.rfind(",", 0, length)
    return value[: end if end > length // 2 else length]


class _Entity(Message):
    """A message or part that takes no more than there is room for."""

    def __init__(self, room: Room, policy: Compat32 = compat32) -> None:
        super().__init__(policy)
        self._room = room
        self._depth = 0
        room.parts -= 1

    def set_raw(self, name: str, value: str) -> None:
        kept = self._room.take(name, value)
        if kept is not None:
            super().set_raw(name, kept)

    def attach(self, payload: Message | str) -> None:
        if isinstance(payload, _Entity):
            payload._depth = self._depth + 1
            self._room.depth = max(self._room.depth, payload._depth)
        super().attach(payload)


class _Parser(BytesFeedParser):
    """Reads no more lines of headers than there is room for."""

    def __init__(self, room: Room) -> None:
        super().__init__(partial(_Entity, room), policy=compat32)
        self._room = room

    def _parse_headers(self, lines: list[str]) -> None:
        """The email package's own step between collecting a header's lines and reading them as fields."""
        kept = lines[: self._room.header_lines]
        if len(kept) < len(lines):
            self._room.note("headers too long: only their first lines were parsed")
        self._room.header_lines -= len(kept)
        super()._parse_headers(kept)  # type: ignore[misc]  # no stub has it


def parse(message: bytes, room: Room, body: int = 0) -> Message:
    """What `email.message_from_bytes` makes of it, or of its beginning if there is no room for more.

    Args:
        message: as a whole.
        room: what there is for it; says afterwards what was left out.
        body: where its body begins, if that is known. Pieces are counted from there, so that it does not
            matter for them how much of the header was taken out before.
    """
    parser = _Parser(room)
    parser.feed(message[:body])
    for start in range(body, len(message), _CHUNK):
        chunk = message[start : start + _CHUNK]
        parser.feed(chunk)
        room.work -= _line_ends(chunk) * (1 + room.depth)
        if why := room.full():
            room.note(f"{why}: only {start + len(chunk) - body} bytes were parsed")
            break
    made = parser.close()
    if made.epilogue and not _is_short(made.epilogue):
        made.epilogue = made.epilogue[:_MAX_EPILOGUE]
    return made


def _is_short(epilogue: str) -> bool:
    """Whether what follows the last boundary, which mail-parser may parse as a message, takes no time."""
    if len(epilogue) <= _MAX_EPILOGUE:
        return True
    parts = max(epilogue.count("\n--"), epilogue.count("\r--"))
    kinds = epilogue.lower()
    return (
        parts <= MAX_DEPTH
        and kinds.count("content-type") <= MAX_DEPTH
        and "message/" not in kinds
        and any(end in epilogue[:_MAX_EPILOGUE] for end in ("\n\n", "\n\r\n", "\r\r"))
    )


def first_lines(message: bytes) -> bytes:
    """A message without the lines that are too many, whatever ends them."""
    if len(message) <= MAX_LINES or _line_ends(message) <= MAX_LINES:
        return message
    left = MAX_LINES
    for start in range(0, len(message), _CHUNK):
        left -= _line_ends(message[start : start + _CHUNK])
        if left <= 0:
            return message[: start + _CHUNK]
    return message


def _line_ends(chunk: bytes) -> int:
    return chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
