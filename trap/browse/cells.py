"""Fits hostile text into the cells of a terminal: one line, nothing to obey, no more width than it says.

>>> safe("a\\x1b]0;b"), cut("invoice", 5), folds("one two three", 8)
('a\\\\x1b]0;b', 'invo…', [8])
"""

import unicodedata
from collections.abc import Iterator

from rich.cells import cell_len, get_character_cell_size, set_cell_size

from trap.envelope import printable

_TAB = 4
_MARKS = 2
"""Accents on one letter; more of them would climb over the lines above."""
_WIDTHLESS = {0x200D: None, **dict.fromkeys(range(0xFE00, 0xFE10))}
"""Joiners and selectors: terminals do not agree how wide what they make is."""


def safe(text: str) -> str:
    """Text of any origin as one line that a terminal only shows."""
    if text.isascii() and text.isprintable():
        return text
    text = printable(text.expandtabs(_TAB).translate(_WIDTHLESS))
    return text if text.isascii() else "".join(_thinned(text))


def _thinned(text: str) -> Iterator[str]:
    """The characters without the marks that pile up on one."""
    room = 0
    for character in text:
        if unicodedata.category(character) in {"Mn", "Me"}:
            room -= 1
            if room < 0:
                continue
        else:
            room = _MARKS
        yield character


def cut(text: str, width: int) -> str:
    """A safe text in exactly so many cells: filled up with blanks, or its end cut off."""
    text = text[: 4 * width + 4]
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def folds(text: str, width: int, rest: int = 0) -> list[int]:
    """Where to break a safe text into lines, behind blanks where that leaves no line nearly empty. Linear.

    Args:
        width: cells of the first line.
        rest: of all that follow; the same when 0.
    """
    breaks: list[int] = []
    start = used = blank = 0
    if text.isascii() and len(text) <= width:
        return breaks
    room = max(2, width)
    for at, character in enumerate(text):
        taken = 1 if character < "\x7f" else get_character_cell_size(character)
        if used + taken > room and character != " ":
            start = blank if blank - start > room // 2 else at
            breaks.append(start)
            room = max(2, rest or width)
            used = cell_len(text[start:at])
        used += taken
        if character == " ":
            blank = at + 1
    return breaks
