"""Two messages side by side, line by line: their headers, then their text."""

from collections.abc import Iterator
from difflib import SequenceMatcher

from trap.view import body, headers, parts
from trap.view.defang import defang_text
from trap.view.view import DiffLine

MAX_LINES = 1500
"""Lines of each that are compared."""
MAX_LINE = 1000
"""Characters of a line."""
CONTEXT = 3
"""Lines alike that are kept beside a difference."""


def difference(left: bytes, right: bytes) -> list[DiffLine]:
    """What differs between two messages, long runs of lines alike folded; URLs are defanged."""
    ours, theirs = lines(left), lines(right)
    matcher = SequenceMatcher(None, ours, theirs)
    blocks = matcher.get_opcodes()
    found: list[DiffLine] = []
    for number, (kind, i, i_end, j, j_end) in enumerate(blocks):
        if kind == "equal":
            same = [
                DiffLine("same", ours[i + n], theirs[j + n], i + n + 1, j + n + 1) for n in range(i_end - i)
            ]
            found += _folded(same, number == 0, number == len(blocks) - 1)
        else:
            found += _beside(ours[i:i_end], theirs[j:j_end], i, j)
    for line in found:
        line.left, line.right = defang_text(line.left), defang_text(line.right)
    return found


def lines(message: bytes) -> list[str]:
    """A message as it is compared: decoded header fields, an empty line, the text."""
    message = headers.lined(message)
    fields = [f"{field.name}: {field.value}" for field in headers.shown(headers.scan(message))]
    text = body.text(parts.tree(message), message)[0].split("\n")
    return [line[:MAX_LINE] for line in [*fields, "", *text][:MAX_LINES]]


def _folded(same: list[DiffLine], first: bool, last: bool) -> Iterator[DiffLine]:
    before, after = (0 if first else CONTEXT), (0 if last else CONTEXT)
    hidden = len(same) - before - after
    if hidden < 2 * CONTEXT:
        yield from same
        return
    yield from same[:before]
    yield DiffLine("fold", left_no=hidden, right_no=hidden)
    yield from same[len(same) - after :]


def _beside(left: list[str], right: list[str], i: int, j: int) -> Iterator[DiffLine]:
    """Lines that differ, in pairs as long as there are two."""
    for n in range(max(len(left), len(right))):
        kind = "changed" if n < len(left) and n < len(right) else "left" if n < len(left) else "right"
        yield DiffLine(
            kind,
            left[n] if n < len(left) else "",
            right[n] if n < len(right) else "",
            i + n + 1 if n < len(left) else 0,
            j + n + 1 if n < len(right) else 0,
        )
