"""Finds codes that are drawn in the text itself, as cells of an HTML table or as block characters.

There is no image that anybody could look into: so they come past filters. Here what looks drawn becomes
an image (PGM) for stages.extraction.qr to read; whether it is a code, that will tell.

    >>> pictures("no drawing here")
    []
"""

import html
import re
from collections.abc import Iterator

MAX_PICTURES = 5
_MAX_BODY = 2 << 20
"""Characters of a body that are looked at."""
_LEAST, _MOST = 20, 400
"""Modules or characters of a side: a QR code of the first version has 21."""
_SCALE = 3
"""Pixels of a module."""
_QUIET = 4
"""Modules of white around."""

Row = list[bool]
"""Whether each module is dark."""

_DARK = frozenset("\u2588\u2593\u25a0\u25fc\u25fe\u2b1b\u25cf#@")
_LIGHT = frozenset(" \xa0\u2591\u25a1\u25fb\u25fd\u2b1c\u25cb\u2003\u2002\u3000")
_UPPER, _LOWER = "\u2580", "\u2584"
_WIDE = frozenset("\u2b1b\u2b1c\u3000")
_MARKS = _DARK | {_UPPER, _LOWER, "\u2b1c", "\u25a1", "\u2591"}

_MAY_BE_DRAWN = re.compile(
    "[\u2580\u2584\u2588\u2591\u2593\u25a0\u25a1\u25cf\u25fc-\u25fe\u2b1b]|##|@@|&#x?[29]"
)
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li)\b[^>]{0,200}>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{1,2000}>")
_TABLE = re.compile(r"<(/?)(table|tr|td|th)\b([^<>]{0,1000})>", re.IGNORECASE)
_STYLE = re.compile(r"(?:^|[},>\s])(?:t[dh])?\.([\w-]{1,40})\s{0,5}\{([^{}]{1,500})\}")
_CLASS = re.compile(r"""\bclass\s?=\s?["']?([\w -]{1,200})""", re.IGNORECASE)
_COLOUR = re.compile(
    r"""(?:bgcolor\s?=\s?["']?|background(?:-color)?\s{0,3}:\s{0,3})"""
    r"""(?:\#?([0-9a-f]{6}|[0-9a-f]{3})\b|rgba?\(\s?(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})|([a-z]{3,20}))""",
    re.IGNORECASE,
)
_SPAN = re.compile(r"""\bcolspan\s?=\s?["']?(\d{1,3})""", re.IGNORECASE)
_DARK_NAMES = frozenset(
    ("black", "navy", "darkblue", "midnightblue", "maroon", "darkgreen", "indigo", "purple")
)
_HALF = 128
"""Of 255: what is less bright is dark."""


def pictures(body: str) -> list[bytes]:
    """What is drawn in a body as images, MAX_PICTURES at the most.

    Args:
        body: plain text or HTML, as it came.
    """
    body = body[:_MAX_BODY]
    found = [*_tables(body)] if "<td" in body or "<TD" in body else []
    if _MAY_BE_DRAWN.search(body):
        found += _blocks(body)
    return [_picture(rows) for rows in found[:MAX_PICTURES]]


def _tables(body: str) -> Iterator[list[Row]]:
    """Tables whose cells are so many that they may be modules."""
    classes = {
        name: colour for name, style in _STYLE.findall(body) if (colour := _is_dark(style)) is not None
    }
    tables: list[list[Row]] = []
    for tag in _TABLE.finditer(body):
        closing, name, said = tag[1], tag[2].lower(), tag[3]
        if name == "table":
            if not closing:
                tables.append([])
            elif tables and _is_picture(table := tables.pop()):
                yield table
        elif closing or not tables:
            continue
        elif name == "tr":
            tables[-1].append([])
        elif tables[-1] and len(tables[-1][-1]) < _MOST:
            span = _SPAN.search(said)
            tables[-1][-1] += [_cell(said, classes)] * min(int(span[1]) if span else 1, _MOST)


def _cell(said: str, classes: dict[str, bool]) -> bool:
    """Whether a cell is dark."""
    own = _is_dark(said)
    if own is None and (named := _CLASS.search(said)):
        own = next((classes[name] for name in named[1].split() if name in classes), None)
    return bool(own)


def _is_dark(style: str) -> bool | None:
    """Whether a background is; None if nothing is said of one."""
    found = _COLOUR.search(style)
    if not found:
        return None
    digits, red, green, blue, name = found.groups()
    if name:
        return name.lower() in _DARK_NAMES
    if digits:
        size = len(digits) // 3
        parts = [int((digits[at : at + size] * 2)[:2], 16) for at in range(0, 3 * size, size)]
    else:
        parts = [int(red), int(green), int(blue)]
    return sum(parts) < 3 * _HALF


def _blocks(body: str) -> Iterator[list[Row]]:
    """Drawings of block characters: many lines after each other of little else."""
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n", body)))
    rows: list[Row] = []
    for line in (*text.splitlines(), ""):
        if len(line) >= _LEAST // 2 and _MARKS & set(line) and _is_drawn(line):
            rows += _lines(line[:_MOST])
            continue
        if _is_picture(rows):
            yield rows
        rows = []


def _is_drawn(line: str) -> bool:
    return all(c in _DARK or c in _LIGHT or c in (_UPPER, _LOWER) for c in line)


def _lines(line: str) -> tuple[Row, Row]:
    """The upper and the lower half of a line of characters, which are twice as high as they are wide."""
    upper: Row = []
    lower: Row = []
    for char in line:
        width = 2 if char in _WIDE else 1
        upper += [char in _DARK or char == _UPPER] * width
        lower += [char in _DARK or char == _LOWER] * width
    return upper, lower


def _is_picture(rows: list[Row]) -> bool:
    return _LEAST <= len(rows) <= _MOST and max(map(len, rows)) >= _LEAST


def _picture(rows: list[Row]) -> bytes:
    """An image in shades of grey: PGM, of netpbm."""
    width = max(map(len, rows))
    side = b"\xff" * (_QUIET * _SCALE)
    found: list[bytes] = []
    for row in rows:
        modules = [*row, *[False] * (width - len(row))]
        line = side + b"".join((b"\0" if dark else b"\xff") * _SCALE for dark in modules) + side
        found += [line] * _SCALE
    margin = b"\xff" * len(found[0]) * (_QUIET * _SCALE)
    height = len(found) + 2 * _QUIET * _SCALE
    return b"P5 %d %d 255\n" % (len(found[0]), height) + margin + b"".join(found) + margin
