"""Finds names of the trap in bytes, in all their spellings at once.

Spellings are looked for by one automaton (Aho and Corasick), whose time does not grow with their number.
Check sums would be thousands a name: they are found the other way round, by taking what looks like one
from the text and looking it up in a table, which is made when the first text has one.

    >>> from trap.redaction.identities import Identities
    >>> searcher = Searcher(Identities.named(["joe.miller@trap.example"]))
    >>> [(hit.name, hit.kind) for hit in searcher.find(b"?u=am9lLm1pbGxlckB0cmFwLmV4YW1wbGU")][0]
    ('joe.miller', 'base64')

With thousands of names it takes seconds to make one. So what stays the same, as the names that the
configuration tells, is given as `standing` to the searchers for one message.
"""

import re
from array import array
from binascii import a2b_base64, b2a_base64
from bisect import bisect_left
from collections.abc import Collection, Generator, Iterator
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

import re2
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from trap.redaction.spellings import (
    BASE64_START,
    CODED,
    LONG,
    SHORTEST,
    SUMS,
    Names,
    Spelling,
    known,
    spellings,
    sums,
)

_BLOCK = 1 << 18
"""Bytes that are searched at a time, so that who needs only the first hits need not wait for all."""
_HEX = re2.compile(rb"[0-9a-f]{16,}|\b[0-9a-f]{8}\b")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{22,}")
_AFTER_SIGN = re.compile(rb"(?:^|(?<=[+/_-]))(?=[A-Za-z0-9+/_-]{22})")
_CODED = re.compile(rb"[A-Za-z0-9+/]+")
_IN_BASE64 = frozenset({"base64", "base64url"})
_STANDARD = bytes.maketrans(b"-_", b"+/")
_LINES = re.compile(rb"(?:^[A-Za-z0-9+/]{60,76}\r?\n){4,}", re.MULTILINE)
"""A file in base64: no check sum stands in it, as it is not decoded."""
_PREFIX = 5
"""Bytes of a check sum in the table; what has the same is compared whole."""
_INDEX = 24
"""Bits of the number of a name in the table."""
_FEWEST = 16
"""Digits of a check sum in hex from which a cut one is found as well."""
_REMEMBERED = 20_000
"""Strings without a check sum that are not looked at again."""
_ALNUM = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


TOKEN = "token"  # noqa: S105 (a kind of hit, no password)
"""The kind of what is none of the trap's names and yet tells who a message was for."""


class Hit(NamedTuple):
    """Where a name is, and how it is spelt."""

    start: int
    end: int
    name: str
    kind: str
    """As of Spelling, or TOKEN."""


class Searcher:
    """Finds the names of some identities.

    Args:
        identities: who the trap is.
        tokens: other strings that tell who a message was for; also found in any case of letters.
        standing: finds some of these identities already; is asked first.
    """

    def __init__(
        self, identities: Names, tokens: Collection[str] = (), standing: "Searcher | None" = None
    ) -> None:
        self.identities = identities
        self._standing = standing
        self._names = sorted(
            known(_without(identities, standing.identities)) if standing else known(identities)
        )
        self._own = len(self._names)  # tokens follow
        self._spelt = array("Q")
        self._exact: dict[int, bytes] = {}
        self._kinds: list[str] = []
        self._sums: array[int] | None = None
        self._heads: frozenset[bytes] = frozenset()
        self._no_hex: set[bytes] = set()
        self._no_base64: set[bytes] = set()
        patterns = self._patterns(tokens)
        self._longest = max(map(len, patterns), default=0)
        self._automaton = BytesAhoCorasick(
            patterns, matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
        )

    @property
    def names(self) -> frozenset[str]:
        """What is looked for, besides tokens."""
        own = frozenset(self._names[: self._own])
        return own | self._standing.names if self._standing else own

    def find(self, data: bytes) -> Iterator[Hit]:
        """All places where a name is, in no order; they may overlap."""
        lowered = data.lower()
        if self._standing:
            yield from self._standing._find(data, lowered)
        yield from self._find(data, lowered)

    def _patterns(self, tokens: Collection[str]) -> list[bytes]:
        """All spellings in lower case; whose they are is kept in the same order, eight bytes each."""
        kinds: dict[str, int] = {}
        patterns: list[bytes] = []

        def add(number: int, spelling: Spelling) -> None:
            if spelling.exact:
                self._exact[len(patterns)] = spelling.pattern
            patterns.append(spelling.pattern.lower())
            kind = kinds.setdefault(spelling.kind, len(kinds))
            self._spelt.append((number << 8 | kind) << 1 | spelling.whole)

        for number, name in enumerate(self._names):
            for spelling in _searched(name):
                add(number, spelling)
        for token in tokens:
            if len(token) >= SHORTEST:
                self._names.append(token)
                pattern = token.lower().encode("utf-8", "surrogateescape")
                add(len(self._names) - 1, Spelling(TOKEN, pattern, len(token) < LONG))
        self._kinds = list(kinds)
        return patterns

    def _find(self, data: bytes, lowered: bytes) -> Iterator[Hit]:
        if not self._spelt:
            return
        for begin in range(0, len(data), _BLOCK):
            from_ = max(0, begin - self._longest)
            block = memoryview(lowered)[from_ : begin + _BLOCK] if len(data) > _BLOCK else lowered
            for index, start, end in self._automaton.find_matches_as_indexes(block, overlapping=True):
                if from_ + end > begin and self._counts(data, index, from_ + start, from_ + end):
                    number, kind = divmod(self._spelt[index] >> 1, 256)
                    hit = Hit(from_ + start, from_ + end, self._names[number], self._kinds[kind])
                    if not (hit.kind in _IN_BASE64 and _goes_on(data, hit)):
                        yield hit
        yield from self._find_sums(data, lowered)

    def _counts(self, data: bytes, index: int, start: int, end: int) -> bool:
        """Whether a pattern that was found stands alone and in the case it has to."""
        if self._spelt[index] & 1 and (
            (start and data[start - 1] in _ALNUM) or (end < len(data) and data[end] in _ALNUM)
        ):
            return False
        return index not in self._exact or data[start:end] == self._exact[index]

    def _find_sums(self, data: bytes, lowered: bytes) -> Iterator[Hit]:
        """Check sums, in hex within longer runs of digits too, in base64 at the start of what may be one."""
        if self._sums is None and (_HEX.search(lowered) or _BASE64.search(data)):
            self._tabulate()
        bare = _LINES.sub(lambda lines: b"\n" * len(lines[0]), data)
        for expression, look, text, clean in (
            (_HEX, self._in_hex, lowered, self._no_hex),
            (_BASE64, self._in_base64, bare, self._no_base64),
        ):
            if len(clean) > _REMEMBERED:
                clean.clear()
            # What is in one reading of a text is mostly in the next.
            if clean.issuperset(expression.findall(text)):
                continue
            for run in expression.finditer(text):
                if run[0] not in clean and not (yield from look(run.start(), run[0])):
                    clean.add(run[0])

    def _in_hex(self, begin: int, digits: bytes) -> Generator[Hit, None, bool]:
        """Check sums in a run of digits; returns whether there are any."""
        found = False
        if len(digits) == 8:
            found = yield from self._looked_up(begin, bytes.fromhex(digits.decode()) + b"\0", digits, True)
        for at in range(len(digits) - _FEWEST + 1):
            if digits[at : at + 4] in self._heads:
                prefix = bytes.fromhex(digits[at : at + 2 * _PREFIX].decode())
                found |= yield from self._looked_up(begin + at, prefix, digits[at : at + 128], True)
        return found

    def _in_base64(self, begin: int, run: bytes) -> Generator[Hit, None, bool]:
        """Check sums in a run of base64; returns whether there are any."""
        found = False
        for start in _AFTER_SIGN.finditer(run):
            text = run[start.start() : start.start() + 86].translate(_STANDARD)
            prefix = a2b_base64(text[:8])[:_PREFIX]
            found |= yield from self._looked_up(begin + start.start(), prefix, text, False)
        return found

    def _looked_up(self, start: int, prefix: bytes, text: bytes, in_hex: bool) -> Generator[Hit, None, bool]:
        """Names with a check sum that begins with that; returns whether there are any."""
        found = False
        table = self._sums or ()
        wanted = int.from_bytes(prefix, "big")
        at = bisect_left(table, wanted << _INDEX)
        while at < len(table) and table[at] >> _INDEX == wanted:
            name = self._names[table[at] & ((1 << _INDEX) - 1)]
            at += 1
            for kind, digest in sums(name):
                coded = digest.hex().encode() if in_hex else b2a_base64(digest, newline=False).rstrip(b"=")
                # Of a long one a part tells as much.
                same = coded[: len(text)] if len(coded) > len(text) else coded
                if text.startswith(same) and (len(text) == 8) == (kind == "crc32"):
                    yield Hit(start, start + len(same), name, kind)
                    found = True
        return found

    def _tabulate(self) -> None:
        """Make the table: beginnings of check sums with the number of their name, in order."""
        entries: set[int] = set()
        heads: set[bytes] = set()
        for number, name in enumerate(self._names[: self._own]):
            for _, digest in sums(name):
                entries.add(int.from_bytes(digest[:_PREFIX].ljust(_PREFIX, b"\0"), "big") << _INDEX | number)
                heads.add(digest[:2].hex().encode())
        self._sums, self._heads = array("Q", sorted(entries)), frozenset(heads)


def _goes_on(data: bytes, hit: Hit) -> bool:
    """Whether what is coded around a name in base64 makes another word of it, as hotmail.gr of mail.gr."""
    if not next(spellings(hit.name)).whole:
        return False
    name = hit.name.encode("utf-8", "surrogateescape")
    for pad, skip in enumerate(BASE64_START):
        begin = hit.start - skip - 4
        length = (hit.end - begin + 7) // 4 * 4
        around = data[max(0, begin) : begin + length].translate(_STANDARD)
        if begin < 0 or len(around) < length or not _CODED.fullmatch(around):
            continue  # it begins or ends there, or nobody can say
        plain, at = a2b_base64(around), 3 + pad
        end = at + len(name)
        if plain[at:end].lower() == name:
            return plain[at - 1] in _ALNUM or plain[end : end + 1].isalnum()
    return False


@lru_cache(maxsize=512)
def _searched(name: str) -> tuple[Spelling, ...]:
    """Spellings that an automaton is made of."""
    found = takewhile(lambda spelling: spelling.kind not in SUMS, spellings(name))
    return tuple(spelling for spelling in found if spelling.kind not in CODED)


class _Rest(NamedTuple):
    """Some identities without others."""

    domains: frozenset[str]
    addresses: frozenset[str]
    hosts: frozenset[str]
    ips: frozenset[str]
    words: frozenset[str]


def _without(identities: Names, others: Names) -> _Rest:
    """What is left to look for."""
    return _Rest(
        identities.domains - others.domains,
        identities.addresses - others.addresses,
        identities.hosts - others.hosts,
        identities.ips - others.ips,
        identities.words - others.words,
    )
