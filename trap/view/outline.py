"""What stages noted, whatever it is, as lines to show: bounded in number, depth and length."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from trap.envelope import printable

MAX_LINES = 200
MAX_DEPTH = 5
MAX_VALUE = 500
"""Characters of a value."""
_MAX_ROW = 8
"""Plain values that stand in one line."""


class Line(NamedTuple):
    """One key with its value, or with what is below it."""

    depth: int
    key: str
    value: str = ""


def outline(notes: Mapping[str, Any], most: int = MAX_LINES) -> list[Line]:
    """The lines of nested notes.

    >>> [tuple(line) for line in outline({"dedup": {"campaign": "0f", "copy": 2}})]
    [(0, 'dedup', ''), (1, 'campaign', '0f'), (1, 'copy', '2')]

    Args:
        most: lines; what is cut off is said in the last one.
    """
    lines = list(islice(_lines(notes, 0), most + 1))
    return lines if len(lines) <= most else [*lines[:most], Line(0, "…", "there is more")]


def _lines(thing: Any, depth: int) -> Iterator[Line]:
    pairs = thing.items() if isinstance(thing, Mapping) else enumerate(thing, 1)
    for key, value in pairs:
        name = _text(key)
        if not isinstance(value, Mapping | list | tuple) or not value:
            yield Line(depth, name, _text(value))
        elif depth >= MAX_DEPTH:
            yield Line(depth, name, f"({len(value):,} within)")
        elif not isinstance(value, Mapping) and len(value) <= _MAX_ROW and all(map(_is_plain, value)):
            yield Line(depth, name, ", ".join(map(_text, value)))
        else:
            yield Line(depth, name)
            yield from _lines(value, depth + 1)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, Mapping | list | tuple):
        return "none"  # an empty one
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        value = value[:MAX_VALUE].decode("utf-8", "surrogateescape")
    text = str(value) if not isinstance(value, int) else f"{value}"
    return printable(text[:MAX_VALUE]) + ("…" if len(text) > MAX_VALUE else "")
