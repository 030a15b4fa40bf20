"""Tells strings that stand for something, as keys into somebody's table do, from strings that say something.

A key has to tell one recipient from a million others, which takes 20 bits that no word has: it is a long
number, a hash, base64, letters nobody can pronounce. So a word of letters and digits counts as opaque when

* it is a number of MIN_NUMBER digits or more, or holds such a one, and that is no date;
* six characters or more are left of it without the words in it, and these change between letters and
  digits, or between cases, more often than names of products do;
* it is of letters alone, and pairs of them follow each other that words of ten languages don't have (_RARE,
  counted in ordinary mail), twice and in a sixth of its places; or it has no vowel.

What is said, dates, names of charsets and files, colours, versions, host names, are not.

    >>> [word for word in "a3f9c1d20b7e 48291734 qzxkvbtw Xk3Jq9Lm2P".split() if opaque(word)]
    ['a3f9c1d20b7e', '48291734', 'qzxkvbtw', 'Xk3Jq9Lm2P']
    >>> any(map(opaque, "Rechtsschutz 20241231 utf8 image001 ff8800 MimeOLE mp3player".split()))
    False
    >>> list(runs("2024-12-31/unsubscribe.php/48291734-Xk3Jq9.html"))
    ['48291734-Xk3Jq9']
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from trap.redaction.vocabulary import common

MIN_NUMBER = 6
"""Digits of a number that may be somebody's: there are enough of them."""
SHORTEST = 4
"""Characters of a string that is worth hiding."""
_FEWEST = 6
"""Characters of an opaque word."""
_LONG = 12
"""Characters from which base64 and the like is told by its look alone."""
_MAX_WORD = 4096
_REMEMBERED = 40
"""Characters of a word about which is remembered what it is."""

# fmt: off
_RARE = {
    "b": "cdfghknpqvwxz", "c": "bdfgjmnpvwxz", "d": "fjkpqxz", "f": "bcdghjkmnpqvwxz", "g": "cdfjkpqvwxz",
    "h": "cdfghjkpqvxz", "i": "iwy", "j": "bcdfghjklmnpqrstvwxyz", "k": "bcdfgjmqvwxz", "l": "jqwxz",
    "m": "cdjkqrvwxz", "n": "qx", "p": "bjknqvwxz", "q": "abcdefghijklmnopqrstvwxyz", "r": "jx", "s": "bjxz",
    "t": "jkqx", "u": "quw", "v": "bcdfghjklmnpqstvwxyz", "w": "bcdgjkmpqtvxyz", "x": "bdfghjlnqrsvwxyz",
    "y": "fghjkquvxyz", "z": "bcdfghjkmnpqrsvwx",
}
# fmt: on
"""Letters that follow one in less than three of ten thousand words."""
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]|[0-9]+")
_WORD = re.compile(r"[A-Za-z0-9]+")
_JOINED = re.compile(r"[A-Za-z0-9]+(?:[-_+=/.~:%$]{1,2}[A-Za-z0-9]+)*=*")
_NUMBER = re.compile(r"[0-9]+")
_YEAR, _MONTH, _DAY = "(?:19[5-9][0-9]|20[0-4][0-9])", "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(
    f"{_YEAR}{_MONTH}{_DAY}(?:(?:[01][0-9]|2[0-4])[0-5][0-9](?:[0-6][0-9])?)?|{_YEAR}{_MONTH}?|{_DAY}{_MONTH}{_YEAR}"
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HEX = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{12,}|(?=[A-F]*[0-9])[0-9A-F]{12,}")
_SIZE_OR_TIME = re.compile(r"[0-9]{1,5}(?:[xX][0-9]{1,5}){1,3}[xX]?|(?:19|20)[0-9]{6}[tT][0-9]{4,6}[zZ]?")
_COLOUR = re.compile(r"[0-9a-fA-F]{6}")
_WALLET = re.compile(
    r"(?:bc1|ltc1|tb1|addr1)[a-z0-9]{11,100}|[13LMDTXr][1-9A-HJ-NP-Za-km-z]{24,34}|0x[0-9a-fA-F]{40}"
    r"|[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}"
)


def is_date(digits: str) -> bool:
    """Whether digits are a day or a time as people and programs write them."""
    return bool(_DATE.fullmatch(digits))


def is_wallet(word: str) -> bool:
    """Whether a word looks like an address that money is sent to: opaque, and the point of the message."""
    return bool(_WALLET.fullmatch(word))


def opaque(word: str) -> bool:
    """Whether a word stands for something; letters and digits only.

    Args:
        word: ASCII; anything else says something.
    """
    if len(word) < _FEWEST or not word.isascii() or not word.isalnum():
        return False
    return _judged(word) if len(word) <= _REMEMBERED else _judge(word[:_MAX_WORD])


def _judge(word: str) -> bool:
    if common(word.lower()) or _SIZE_OR_TIME.fullmatch(word):
        return False
    coloured = _COLOUR.fullmatch(word) is not None
    if any(len(each) >= MIN_NUMBER and not is_date(each) for each in _NUMBER.findall(word)):
        return True
    if _HEX.fullmatch(word):
        return not is_date(word)
    if word.isalpha():
        return not coloured and _unspeakable(word)
    pieces = _PIECE.findall(word)
    left = sum(len(piece) for piece in pieces if not (_says(piece) or is_date(piece)))
    return len(pieces) > (4 if coloured else 2) and left >= _FEWEST


_judged = lru_cache(maxsize=16384)(_judge)


def likely(word: str) -> bool:
    """Whether a string may be a key where keys are expected, as in ?uid=: shorter ones count."""
    if len(word) < SHORTEST:
        return False
    if word.isdigit():
        return not is_date(word)
    return any(map(str.isdigit, word)) and not common(word.lower())


def runs(text: str, joints: str = "-_+=.~:%$") -> Iterator[str]:
    """The opaque strings in a text that is no prose: the value of a field, a part of a URL.

    What is joined by `joints` is taken together when all of it is opaque: 8f3a-12b-Qx9z2L.
    """
    for found in _JOINED.finditer(text):
        yield from _opaque_in(found[0], joints)


def _opaque_in(text: str, joints: str) -> Iterator[str]:
    if len(text) <= _MAX_WORD and _is_coded(inner := _without_words(text)):
        yield inner
        return
    start, end, keyed = -1, -1, False
    for word in _WORD.finditer(text):
        key = opaque(word[0])
        plain = not key and _is_plain(word[0])
        joined = start >= 0 and all(each in joints for each in text[end : word.start()])
        if start >= 0 and (plain or not joined):
            if keyed:
                yield text[start:end]
            start, keyed = -1, False
        if not plain or key:
            start = word.start() if start < 0 else start
            end, keyed = word.end(), keyed or key
    if keyed:
        yield text[start:end]


def _without_words(text: str) -> str:
    """A joined string without words in front and at its end: bounce-48291734-Xk3Jq9-news."""
    words = list(_WORD.finditer(text))
    telling = [number for number, word in enumerate(words) if not _is_plain(word[0])]
    if not telling:
        return ""
    first, last = telling[0], telling[-1]
    return text[words[first].start() : len(text) if last + 1 == len(words) else words[last].end()]


def _is_coded(text: str) -> bool:
    """Whether all of a string looks like base64, a UUID or a hash, with what these have between letters."""
    if _UUID.fullmatch(text):
        return True
    if "." in text or ":" in text or "%" in text:
        return False
    letters = "".join(_WORD.findall(text))
    if len(letters) < _LONG or letters.isdigit():
        return False
    words = _WORD.findall(text)
    pieces = [piece for word in words for piece in _PIECE.findall(word)]
    if sum(len(piece) for piece in pieces if _says(piece)) * 3 > len(letters):
        return False
    return len(letters) < 3 * len(pieces) and not all(word.isalpha() and len(word) < 3 for word in words)


def _is_plain(word: str) -> bool:
    """Whether a word says something; a short number does not, but belongs to what it is joined to."""
    return is_date(word) if word.isdigit() else _says(word) or common(word.lower())


def _says(piece: str) -> bool:
    """Whether letters of one case say something."""
    if not piece.isalpha() or len(piece) < 3:
        return False
    return common(piece.lower()) or (len(piece) > 4 and not _unspeakable(piece))


def _unspeakable(word: str) -> bool:
    pieces = [piece.lower() for piece in _PIECE.findall(word)]
    rare = sum(after in _RARE.get(before, "") for piece in pieces for before, after in pairwise(piece))
    if rare >= 2 and rare * 6 >= len(word) - 1:
        return True
    if not set("aeiouy") & set(word.lower()):
        return len(word) >= _FEWEST
    return len(word) >= 8 and len(pieces) * 5 > len(word) * 2
