"""Finds what varies between copies of one campaign: what is in one copy and not in the others.

A word is common to two copies when it stands next to the same word in both: that is what an alignment would
find, for the price of a table, in whatever order things stand. Words next to each other are looked up, and
not lines, for a longer name changes where lines end.

Three things vary: what tells the recipient, what tells the copy, and what is drawn from a list to make each
different. Copies to one recipient (`twins`) have the first alike; what differs between them is one of the
others. Without twins nobody can tell, and all that varies counts.

    >>> mine = {"text": "Dear Joachim, your code is 4711. Order now at our shop, Monday is too late"}
    >>> other = {"text": "Dear Marianne, your code is 4712. Order now at our shop, Friday is too late"}
    >>> sorted(varying(mine, [other], []))
    ['Joachim']
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from trap.redaction.opaque import MIN_NUMBER, SHORTEST, is_date, opaque
from trap.redaction.vocabulary import common

MAX_COPIES = 10
"""Copies that a message is compared with."""
MAX_WORDS = 60_000
"""Words of one place that are compared, as the subject or the text is one."""
LIKENESS = 0.5
"""Share of the words of a place that two copies have in common, if there is anything to compare."""
KEYS = ("url", "field")
"""How names of places begin that hold no prose: what varies there is a key, however little is alike."""
_MIN_KEY = 4
"""Digits of a number that varies where keys are expected."""
_FEW = 3
"""Words of a name."""

# Scripts that put no space between words have one in each character.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]{{1,400}}")
_JOINT = re.compile(r"[-_.+/=~%@:$]{1,3}")
# fmt: off
_TIMES = frozenset((
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february",
    "march", "april", "june", "july", "august", "september", "october", "november", "december", "montag",
    "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "januar", "februar", "märz",
    "juni", "juli", "oktober", "dezember", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi",
    "dimanche", "janvier", "février", "mars", "avril", "juin", "juillet", "août", "septembre", "octobre",
    "novembre", "décembre", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo",
    "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "noviembre",
    "diciembre",
))
# fmt: on
"""Names of days and months."""

Places = Mapping[str, str]
"""What a copy says, by where: "subject", "text", "url", "field x-campaign"."""


class _Word(NamedTuple):
    text: str
    start: int
    end: int
    number: int


def varying(message: Places, copies: Sequence[Places], twins: Sequence[Places]) -> Iterator[str]:
    """Strings of a message that tell whom it is for. Takes time by the length of all that is compared.

    Args:
        message: the one that is to be told.
        copies: those others got.
        twins: those that the same recipient got.
    """
    for place, text in message.items():
        words = [
            _Word(found[0], *found.span(), number)
            for number, found in enumerate(islice(_WORD.finditer(text), MAX_WORDS))
        ]
        unique = [_unique(place, words, copy.get(place, "")) for copy in copies[:MAX_COPIES]]
        drawn = [_unique(place, words, twin.get(place, "")) for twin in twins[:MAX_COPIES]]
        for run in _runs(text, words, sorted(set().union(*unique))):
            yield from _told(place, text, run, set().union(*drawn))


def _unique(place: str, words: Sequence[_Word], other: str) -> set[int]:
    """Numbers of the words that do not stand next to the same word in the other text."""
    theirs = [found[0] for found in islice(_WORD.finditer(other), MAX_WORDS)]
    if not theirs:
        return set()
    pairs = set(pairwise(["", *theirs, ""]))
    near = [pair in pairs for pair in pairwise(["", *(word.text for word in words), ""])]
    found = {number for number in range(len(words)) if not (near[number] or near[number + 1])}
    alike = 1 - len(found) / max(1, len(words))
    return found if alike >= LIKENESS or place.startswith(KEYS) else set()


def _runs(text: str, words: Sequence[_Word], numbers: Sequence[int]) -> Iterator[list[_Word]]:
    """Words that vary and stand together: with nothing but a joint between them, or a few as a name does."""
    run: list[_Word] = []
    for number in numbers:
        word = words[number]
        if run and not (run[-1].number == number - 1 and _belongs(text, run, word)):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _belongs(text: str, run: Sequence[_Word], word: _Word) -> bool:
    between = text[run[-1].end : word.start]
    return not between or _JOINT.fullmatch(between) is not None or (between == " " and len(run) < _FEW)


def _told(place: str, text: str, run: Sequence[_Word], drawn: set[int]) -> Iterator[str]:
    """What is worth hiding of words that vary: each, and all together where they are short or joined."""
    known = [
        word.text
        for word in run
        if _tells(place, word.text) and (word.number not in drawn or opaque(word.text))
    ]
    whole = text[run[0].start : run[-1].end]
    is_one = " " not in whole or any(len(word.text) < SHORTEST for word in run)
    if len(run) > 1 and is_one and (known or _is_key(place, whole)):
        yield whole
    yield from (word for word in known if len(word) >= SHORTEST)


def _is_key(place: str, text: str) -> bool:
    """Whether what is joined of short pieces, a1-b2-c3, is a key."""
    return (
        place.startswith(KEYS)
        and any(each.isdigit() for each in text)
        and any(each.isalpha() for each in text)
    )


def _tells(place: str, word: str) -> bool:
    """Whether a word that varies may tell a recipient: it is no small number, date or usual word."""
    if word.isdigit():
        fewest = _MIN_KEY if place.startswith(KEYS) else MIN_NUMBER
        return len(word) >= fewest and not is_date(word)
    low = word.lower().strip("_")
    return not (common(low) or low in _TIMES)
