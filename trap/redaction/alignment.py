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
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

from trap.redaction.opaque import MIN_NUMBER, SHORTEST, is_date, likely, opaque
from trap.redaction.vocabulary import common

MAX_COPIES = 10
"""Copies that a message is compared with."""
MAX_WORDS = 60_000
"""Words of one place that are compared, as the subject or the text is one."""
LIKENESS = 0.5
"""Share of the words of a place that two copies have in common, if there is anything to compare."""
KEYS = ("url", "field")
"""How names of places begin that hold no prose: what varies there is a key, however little is alike."""
FEW = 8
"""Words of a field that may all be somebody's."""
AROUND, CROWD = 16, 16
"""So many words around one, before it and after it; if more of them than that vary, it is another text."""
_MIN_KEY = 4
"""Digits of a number that varies where keys are expected."""
_FEW = 3
"""Words of a name."""

# Scripts that put no space between words have one in each character.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]{{1,400}}")
_JOINT = re.compile(r"[-_.+/=~%:$]{1,3}")
_TIME = re.compile(r"[0-9]{1,4}(?:[-.:/ ][0-9]{1,9}){1,7}")
"""Dates, times, versions, addresses."""
_MEASURE = re.compile(r"[0-9]+(?:[a-z]{1,3}|[a-z]{1,2}[0-9])")
"""12pt, 100mg, 5th, 20cm2."""
# fmt: off
_TIMES = frozenset((
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug",
    "sep", "oct", "nov", "dec", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
    "sunday", "january", "february", "march", "april", "june", "july", "august", "september", "october",
    "november", "december", "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag",
    "januar", "februar", "märz", "juni", "juli", "oktober", "dezember", "lundi", "mardi", "mercredi",
    "jeudi", "vendredi", "samedi", "dimanche", "janvier", "février", "mars", "avril", "juin", "juillet",
    "août", "septembre", "octobre", "novembre", "décembre", "lunes", "martes", "miércoles", "jueves",
    "viernes", "sábado", "domingo", "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio",
    "agosto", "septiembre", "noviembre", "diciembre",
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
        drawn = [_unique(place, words, twin.get(place, "")) for twin in twins[:MAX_COPIES]]
        found = [_unique(place, words, copy.get(place, "")) for copy in copies[:MAX_COPIES]]
        unique = set().union(*found)
        crowd = _crowded(unique, len(words))
        for run in _runs(text, words, sorted(unique)):
            keys_only = set().union(crowd, *drawn)
            yield from _told(place, text, run, keys_only)


def _unique(place: str, words: Sequence[_Word], other: str) -> set[int]:
    """Numbers of the words that do not stand next to the same word in the other text.

    Words of letters must not be in it at all: what is put into another order tells nobody.
    """
    theirs = [found[0] for found in islice(_WORD.finditer(other), MAX_WORDS)]
    if not theirs:
        return set()
    pairs = set(pairwise(["", *theirs, ""]))
    known = {word.lower() for word in theirs}
    near = [pair in pairs for pair in pairwise(["", *(word.text for word in words), ""])]
    apart = [word for word in words if not (near[word.number] or near[word.number + 1])]
    found = {word.number for word in apart if _is_mixed(word.text) or word.text.lower() not in known}
    is_key = place.startswith(KEYS)
    if len(words) - len(apart) >= LIKENESS * len(words) or (is_key and len(words) <= FEW):
        return found
    return {number for number in found if is_key and _is_mixed(words[number].text)}


def _is_mixed(word: str) -> bool:
    """Whether there is more to a word than letters."""
    return not word.isalpha()


def _crowded(unique: set[int], count: int) -> set[int]:
    """Numbers of words in a text of its own, as a paragraph that only one copy has: it names nobody."""
    sums = [0, *accumulate(number in unique for number in range(count))]
    return {
        number
        for number in unique
        if sums[min(count, number + AROUND + 1)] - sums[max(0, number - AROUND)] > CROWD
    }


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


def _told(place: str, text: str, run: Sequence[_Word], keys_only: set[int]) -> Iterator[str]:
    """What is worth hiding of words that vary: each, and all together where they are short or joined."""
    known = [
        word.text
        for word in run
        if _tells(place, word.text) and (word.number not in keys_only or opaque(word.text))
    ]
    whole = text[run[0].start : run[-1].end]
    if len(run) > 1 and (
        (known and (" " not in whole or any(len(word) < SHORTEST for word in known)))
        or (place.startswith(KEYS) and " " not in whole and likely(whole) and not _TIME.fullmatch(whole))
    ):
        yield whole
    yield from (word for word in known if len(word) >= SHORTEST)


def _tells(place: str, word: str) -> bool:
    """Whether a word that varies may tell a recipient: it is no small number, date or usual word."""
    if word.isdigit():
        fewest = _MIN_KEY if place.startswith(KEYS) else MIN_NUMBER
        return len(word) >= fewest and not is_date(word)
    low = word.lower()
    if (low.isascii() and common(low)) or low in _TIMES or _MEASURE.fullmatch(low):
        return False
    # Of short words only names tell somebody; scripts without cases have short words of two characters.
    return len(word) >= SHORTEST or not word.isascii() or word.istitle()
