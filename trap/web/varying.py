"""What varies between the copies of a campaign: header fields, and the words of their text.

A spammer's template shows itself in what stays. Copies are compared with the first of them, line by
line and then word by word; all is bounded, as the copies were written by somebody who may not want this.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple

from trap.view.view import Header

MAX_FIELDS = 60
MAX_LINES = 80
MAX_WORDS = 60
"""Words of a line that are told apart."""
SAMPLES = 3
_CUT = 160
"""Characters shown of a value."""
_CONTEXT = 2
"""Constant lines shown on either side of one that varies."""


class Field(NamedTuple):
    """A header field of some copies."""

    name: str
    values: list[str]
    """Distinct ones, some of them; the only one when it is constant."""
    distinct: int
    present: int
    """Copies that have it."""
    is_constant: bool
    """All copies have it, with the same value."""


class Run(NamedTuple):
    """Words of a line, constant or varying."""

    text: str
    varies: bool


class Line(NamedTuple):
    """A line of the text as the first copy has it."""

    runs: list[Run]
    others: list[str]
    """What other copies have in its place."""
    folded: int = 0
    """So many constant lines instead."""


class Copy(NamedTuple):
    """What is compared of a copy."""

    headers: Sequence[Header]
    text: str


def fields(copies: Sequence[Copy]) -> list[Field]:
    """The header fields: those that vary first, and of them those that most copies have."""
    found: dict[str, tuple[str, list[str]]] = {}
    for copy in copies:
        together: dict[str, tuple[str, list[str]]] = {}
        for header in copy.headers[: 4 * MAX_FIELDS]:
            together.setdefault(header.name.lower(), (header.name, []))[1].append(header.value)
        for key, (name, values) in together.items():
            found.setdefault(key, (name, []))[1].append("\n".join(values))
    made = [_field(name, values, len(copies)) for name, values in found.values()]
    return sorted(made, key=lambda field: (field.is_constant, -field.present))[:MAX_FIELDS]


def _field(name: str, values: list[str], copies: int) -> Field:
    distinct = list(dict.fromkeys(values))
    constant = len(values) == copies and len(distinct) == 1
    return Field(
        cut(name), [cut(value) for value in distinct[:SAMPLES]], len(distinct), len(values), constant
    )


def lines(copies: Sequence[Copy]) -> list[Line]:
    """The text of the first copy, with what varies in it; constant lines far from that are folded."""
    if not copies:
        return []
    first, *rest = (_lines(copy.text) for copy in copies)
    others: list[list[str | None]] = [_counterparts(first, other) for other in rest]
    made = []
    for at, said in enumerate(first):
        theirs = [other[at] for other in others]
        made.append(_line(said, theirs))
    return _folded(made)


def _lines(text: str) -> list[str]:
    kept = (cut(line.strip(), 2 * _CUT) for line in text[: 4 * MAX_LINES * _CUT].splitlines())
    return [line for line in kept if line][:MAX_LINES]


def _counterparts(first: list[str], other: list[str]) -> list[str | None]:
    """What another copy has in the place of each line; None for nothing."""
    found: list[str | None] = [None] * len(first)
    for kind, start, end, at, stop in SequenceMatcher(None, first, other, autojunk=False).get_opcodes():
        if kind in {"equal", "replace"}:
            for place, line in zip(range(start, end), other[at:stop], strict=False):
                found[place] = line
    return found


def _line(said: str, theirs: list[str | None]) -> Line:
    others = list(dict.fromkeys(line for line in theirs if line is not None and line != said))
    if not others and None not in theirs:
        return Line([Run(said, varies=False)], [])
    words = said.split()[:MAX_WORDS]
    constant = [None not in theirs] * len(words)
    for other in others:
        matcher = SequenceMatcher(None, words, other.split()[:MAX_WORDS], autojunk=False)
        same = {block.a + step for block in matcher.get_matching_blocks() for step in range(block.size)}
        constant = [kept and at in same for at, kept in enumerate(constant)]
    marked = groupby(zip(words, constant, strict=True), key=lambda pair: pair[1])
    runs = [Run(" ".join(word for word, _ in group), not kept) for kept, group in marked]
    return Line(runs, [cut(other) for other in others[:SAMPLES]] or ["(not there)"])


def _folded(made: list[Line]) -> list[Line]:
    """Without the constant lines that are further than _CONTEXT from one that varies."""
    near = {
        at + step for at, line in enumerate(made) if line.others for step in range(-_CONTEXT, _CONTEXT + 1)
    }
    shown: list[Line] = []
    for is_near, group in groupby(enumerate(made), key=lambda pair: pair[0] in near):
        some = [line for _, line in group]
        shown += some if is_near or len(some) == 1 else [Line([], [], len(some))]
    return shown


def cut(text: str, limit: int = _CUT) -> str:
    """A text no longer than can be looked at."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
