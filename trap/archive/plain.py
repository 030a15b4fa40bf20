"""Reads the header fields that leave no doubt, so that mail-parser need not.

Nine of ten Received, Date and address fields are written as RFC 5321 and 5322 would have them. That
such a field has no defect, and who is in it, is seen by one regular expression; mail-parser, which
weighs every character for what could be wrong, needs three quarters of its time for them. So what is
plain is taken out of the message and mail-parser gets the rest: what is doubtful, the MIME fields and
the body. A header with anything odd in its lines is left to it whole.

A test compares what comes out with mail-parser's own answer for every message of the corpus.

    >>> plain, doubtful = (b"From", b"Ann <ann@a.example>"), (b"To", b"(what?")
    >>> take_out([plain, doubtful, (b"Date", b"Tue, 3 Nov 2026 10:00:00 +0100")])
    Plain(fields=[(b'To', b'(what?')], people={'from': [('Ann', 'ann@a.example')]})
"""

import re
from collections.abc import Iterable
from datetime import date
from email.header import decode_header
from functools import lru_cache
from typing import NamedTuple

from trap.archive.feed import MAX_FIELD
from trap.archive.mime import Field

# Possessive quantifiers, but only of single characters, as in trap/archive/mime.py.
_SPACE = rb"[ \t\r\n]"
_ATOM = rb"[A-Za-z0-9!#$%&'*+/=^_`{|}~-]++"
_ADDRESS = rb"%s(?:\.%s)*@[\w-]++(?:\.[\w-]++)*" % (_ATOM, _ATOM)
# A word of a name, or an encoded one (RFC 2047). Between quotes what looks like an encoded word is none.
_WORD = rb"(?:[\w!'&./+-]++(?=%s|<)|=\?[\w-]{1,20}\?[bBqQ]\?[^?\s\x80-\xff]*+\?=(?=%s))" % (_SPACE, _SPACE)
_NAME = rb'"[^"\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]*+"|%s(?:%s++%s)*' % (_WORD, _SPACE, _WORD)
_COMMENT = rb'\(([^()"\\=\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]*+)\)'
_PERSON = rb"%s*+(?:(%s)?%s*+<(%s)>|(%s)(?:%s++%s)?)%s*+" % (
    _SPACE, _NAME, _SPACE, _ADDRESS, _ADDRESS, _SPACE, _COMMENT, _SPACE,
)  # fmt: skip
_ONE = re.compile(_PERSON)
_PEOPLE = re.compile(rb"%s(?:,%s)*" % (_PERSON, _PERSON))
_MAX_WORD = 75
"""Characters of an encoded word; mail-parser notes a longer one."""

_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAYS = b"Mon Tue Wed Thu Fri Sat Sun".split()
_TIME = (
    rb"%s*+(?:(%s),%s++)?(\d\d?)%s++(%s)%s++((?:19|20)\d\d)%s++"
    rb"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?%s++"
    rb"(?:[+-]\d\d[0-5]\d|[A-Z]{2,5})(?:%s++\([^()\\\x80-\xff]*+\))*%s*+"
) % (_SPACE, b"|".join(_DAYS), _SPACE, _SPACE, b"|".join(_MONTHS), _SPACE, _SPACE, _SPACE, _SPACE, _SPACE)
_DATE = re.compile(_TIME)
# Words, comments one in another at most, domain literals, addresses; then one semicolon and a date.
_TRACE = re.compile(
    rb'(?:[^()"\[\]<>;\\\x80-\xff]++|\((?:[^()\\\x80-\xff]++|\([^()\\\x80-\xff]*+\))*\)'
    rb'|\[[^\]\\\x80-\xff]*+\]|<[^()"\[\]<>;\\\x80-\xff]*+>)*;' + _TIME
)

_ADDRESSES = frozenset((b"from", b"reply-to", b"to", b"cc", b"bcc", b"delivered-to"))
_DATES = frozenset((b"date", b"resent-date"))


People = dict[str, list[tuple[str, str]]]
"""Name and address of all in an address field, by its name in lower case."""


class Plain(NamedTuple):
    """A header without its plain fields."""

    fields: list[Field]
    """Nothing but MIME fields, subject and what is doubtful."""
    people: People
    """Who is in the first field of each name, where that was plain."""


def take_out(header: Iterable[Field]) -> Plain:
    """Take the plain fields out of a header, and what the index does not hold. Linear in its size."""
    kept = []
    people: People = {}
    seen = set()
    for field in header:
        name, value = field[0].lower(), field[1]
        if name in _ADDRESSES:
            found = _people(value)
            if found is None:
                kept.append(field)
            elif name not in seen:
                people[name.decode("ascii")] = found
            seen.add(name)
        elif (
            (name == b"received" and not _is_right(_TRACE.fullmatch(value)))
            or (name in _DATES and not _is_right(_DATE.fullmatch(value)))
            or name == b"subject"
            or name.startswith((b"content-", b"mime-"))
        ):
            kept.append(field)
    return Plain(kept, people)


def _people(value: bytes) -> list[tuple[str, str]] | None:
    """Everybody in an address field, or None when it is not plain."""
    if not value.strip():
        return []
    if len(value) > MAX_FIELD or not _PEOPLE.fullmatch(value):
        return None
    people = []
    for person in _ONE.finditer(value):
        said, angle, bare, comment = person.groups()
        address = (angle or bare).decode("ascii")
        name = _name(said or comment or b"")
        if name is None:
            return None
        people.append(("" if name == address else name, address))
    return people


def _name(said: bytes) -> str | None:
    """A name with its encoded words decoded; None when one can't be, or should not."""
    text = said.decode("ascii")
    if text.startswith('"') or "=?" not in text:
        return text.strip('"')
    words: list[str] = []
    encoded = False
    for word in text.split():
        if word.startswith("=?"):
            decoded = _decoded(word)
            if decoded is None:
                return None
            # What stands between two encoded words is not there (RFC 2047, section 6.2).
            words[-1:] = [words[-1] + decoded] if encoded else [*words[-1:], decoded]
        else:
            words.append(word)
        encoded = word.startswith("=?")
    return " ".join(words)


def _decoded(word: str) -> str | None:
    if len(word) > _MAX_WORD:
        return None
    try:
        ((data, charset),) = decode_header(word)
        text = data.decode(charset or "ascii") if isinstance(data, bytes) else data
    except (LookupError, ValueError):  # no such charset, or bytes that are not of it
        return None
    return text if text.isprintable() else None


def _is_right(found: re.Match[bytes] | None) -> bool:
    """Whether the date in a field exists, and is the day of the week it says."""
    return found is not None and _exists(*found.groups())


@lru_cache(maxsize=4096)
def _exists(weekday: bytes | None, day: bytes, month: bytes, year: bytes) -> bool:
    try:
        said = date(int(year), _MONTHS.index(month) + 1, int(day))
    except ValueError:
        return False
    return weekday is None or _DAYS[said.weekday()] == weekday
