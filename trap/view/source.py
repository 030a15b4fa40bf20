"""The message as it came, by line numbers, however large it is and whatever its lines hold.

>>> raw_lines(b"Subject: a\\r\\n\\r\\nb\\x00\\r\\n", 1, 10)
[(1, 'Subject: a'), (2, ''), (3, 'b\\\\x00')]
"""

from trap.envelope import printable
from trap.view.headers import lined

MAX_LINE = 2000
"""Bytes of one line that are shown."""
MAX_LINES = 5000
"""Lines shown at once."""
_STEP = 1 << 16


def raw_lines(message: bytes, first: int, limit: int) -> list[tuple[int, str]]:
    """Lines with their numbers, the first line being 1; bytes that are no UTF-8 are escaped.

    Args:
        message: as it came.
        first: number of the first line wanted.
        limit: how many, MAX_LINES at most.
    """
    message = lined(message)
    at, number = _start(message, max(1, first))
    found: list[tuple[int, str]] = []
    while at < len(message) and len(found) < min(limit, MAX_LINES):
        end = message.find(b"\n", at)
        end = len(message) if end < 0 else end
        found.append((number, _shown(message, at, end)))
        at, number = end + 1, number + 1
    return found


def line_count(message: bytes) -> int:
    """How many lines a message has."""
    message = lined(message)
    return message.count(b"\n") + (not message.endswith(b"\n") and bool(message))


def _start(message: bytes, first: int) -> tuple[int, int]:
    """Where a line begins, and its number; the end where there is no such line."""
    at, number = 0, 1
    while number < first and at < len(message):
        count = message.count(b"\n", at, at + _STEP)
        if number + count < first:
            at, number = at + _STEP, number + count
        else:
            at, number = message.find(b"\n", at) + 1, number + 1
    return min(at, len(message)), number


def _shown(message: bytes, start: int, end: int) -> str:
    if message[end - 1 : end] == b"\r" and end > start:
        end -= 1
    kept = message[start : min(end, start + MAX_LINE)]
    text = "\t".join(map(printable, kept.decode("utf-8", "surrogateescape").split("\t")))
    return text if end - start <= MAX_LINE else f"{text} … {end - start - MAX_LINE} more bytes"
