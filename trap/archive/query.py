"""The query language of the archive: in the terminal, on the web page and in the API.

    invoice "bank transfer" pay*     all three, the second as a phrase, the third as a beginning
    -unsubscribe                     not
    cheap or "best price" pills      one of the first two, and pills; or binds closer than a space
    -(spam or ham)                   parentheses

    subject:prize body:winner        in the subject, in the text
    from:joe@a.example to:trap       in envelope or header; from:<> is the null sender, from:@a.example
                                     the sender's domain
    helo:mail.a.example              as the client greeted
    url:"claim/now"                  in what it links to
    attachment:invoice.pdf           by name, or by sha256
    ip:192.0.2.7 cidr:2001:db8::/32  the client's address or its network; both take both
    domain:a.example                 of senders, HELO and links, with all that is below
    hash:0123…                       sha256 of the message or of an attachment
    charset:koi8-r tld:ru            of its text; country of the sender's domain
    tag:web stage:dedup              of its recipients; a stage that noted something
    campaign:0000000000f7 kind:html  as the dedup stage numbers them; what it is (see trap.archive.facts)

    date:2026-11-01..2026-11-03      both days included, UTC; also 2026-11, 20261101, 2026-11-01T10:30,
                                     3d (the last three days), 7d..3d, 2026-11-01.. (since then), today,
                                     yesterday
    size:>1M                         also <, >=, <=, 10k..1M; of the message as received

All must be true of a message. date: and size: narrow the query as a whole, so they stand in no
parentheses, beside no `or` and behind no minus.

A query becomes one FTS5 expression, whatever it holds: what is no word is one of the facts.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple, NoReturn

from trap.archive import facts
from trap.archive.factfields import FACT_FIELDS, is_sha256
from trap.archive.links import host
from trap.archive.ranges import FOREVER, extent, period
from trap.archive.terms import MAX_QUERY, RANGES, Lexeme, QueryError, lexemes
from trap.archive.text import searchable

__all__ = ["COLUMNS", "FIELDS", "Query", "QueryError", "parse"]

COLUMNS = ("subject", "sender", "recipient", "attachment", "origin", "body", "url", "facts")
"""The columns that an expression may name."""
MAX_DEPTH = 10
"""Parentheses in parentheses."""
MAX_FACTS = 1024
"""Tokens of facts in one expression: of four cidr: with the most networks."""

_WORDS = {
    "subject": "subject",
    "from": "sender",
    "to": "recipient",
    "body": "body",
    "helo": "origin",
    "url": "url",
    "attachment": "attachment",
}


@dataclass(slots=True)
class Query:
    """A query, understood.

    Attributes:
        text: as it was typed.
        match: an FTS5 expression over COLUMNS; empty is true of every message.
        since, until: accepted at or after the one and before the other, in seconds since the epoch.
        min_size, max_size: of the message in bytes, both included; None is no limit.
    """

    text: str = ""
    match: str = ""
    since: float = 0.0
    until: float = FOREVER
    min_size: int = 0
    max_size: int | None = None


def parse(text: str, now: float | None = None) -> Query:
    """Understand a query. Takes time in proportion to its length.

    Args:
        text: see the top of this module.
        now: what "today" and "3d" are counted from, in seconds since the epoch.

    Raises:
        QueryError: it is not a query.

    >>> parse('prize or subject:"You won" -pills').match
    '(("prize" OR subject : "You won") NOT "pills")'
    >>> parse("prize form:joe")
    Traceback (most recent call last):
        ...
    trap.archive.terms.QueryError: no field 'form:'; did you mean from:?
    """
    return _Parser(text, time.time() if now is None else now).query()


class _Part(NamedTuple):
    """An FTS5 expression that must, or must not, match. It needs no more parentheses."""

    match: str
    negated: bool = False


class _Parser:
    """One reading of one query, by recursive descent."""

    def __init__(self, text: str, now: float) -> None:
        self._text = text
        self._now = now
        self._query = Query(text)
        self._lexemes = [*lexemes(text), Lexeme("end", len(text), len(text))]
        self._at = 0
        self._facts = 0

    def query(self) -> Query:
        """The whole text."""
        parts = self._all_of(0)
        if (left := self._lexemes[self._at]).kind != "end":
            self._wrong("this parenthesis closes none", left)
        self._query.match = _positive(_all(parts)) if parts else ""
        return self._query

    def _next(self) -> Lexeme:
        self._at += 1
        return self._lexemes[self._at - 1]

    def _all_of(self, depth: int) -> list[_Part]:
        """Terms and groups that must all be true, up to a closing parenthesis or the end."""
        parts = []
        while self._lexemes[self._at].kind not in {")", "end"}:
            lexeme, following = self._lexemes[self._at : self._at + 2]
            if lexeme.name in RANGES:
                if depth or lexeme.minus or following.kind == "or":
                    self._not_alone(lexeme)
                self._range(self._next())
                continue
            choices = [self._one(depth)]
            while self._lexemes[self._at].kind == "or":
                self._next()
                choices.append(self._one(depth))
            parts.append(_any(choices))
        return parts

    def _one(self, depth: int) -> _Part:
        """A term, or a group."""
        lexeme = self._next()
        if lexeme.kind == "term":
            if lexeme.name in RANGES:
                self._not_alone(lexeme)
            return _Part(self._term(lexeme), lexeme.minus)
        if lexeme.kind != "(":
            wanted = {"or": "before this", "end": "behind the last or", ")": "before this parenthesis"}
            self._wrong(f"something is missing {wanted[lexeme.kind]}", lexeme)
        if depth == MAX_DEPTH:
            self._wrong(f"parentheses are more than {MAX_DEPTH} deep", lexeme)
        parts = self._all_of(depth + 1)
        closing = self._next()
        if closing.kind != ")":
            self._wrong("this parenthesis is not closed", lexeme)
        if not parts:
            self._wrong("there is nothing between these parentheses", lexeme, closing.end)
        part = _all(parts)
        return _Part(part.match, part.negated != lexeme.minus)

    def _not_alone(self, lexeme: Lexeme) -> NoReturn:
        name = lexeme.name
        instead = {"date": "date:..A or date:B..", "size": "size:<=A or size:>B"}[name]
        if lexeme.minus:
            self._wrong(f"-{name}: is not possible; say {instead}", lexeme)
        self._wrong(f"{name}: narrows the whole query: it can't stand in parentheses or beside an or", lexeme)

    def _range(self, lexeme: Lexeme) -> None:
        query = self._query
        try:
            if lexeme.name == "date":
                since, until = period(lexeme.value, self._now)
                query.since, query.until = max(query.since, since), min(query.until, until)
            else:
                smallest, largest = extent(lexeme.value)
                query.min_size = max(query.min_size, smallest)
                if largest is not None:
                    query.max_size = largest if query.max_size is None else min(query.max_size, largest)
        except ValueError as error:
            self._wrong(str(error), lexeme)

    def _term(self, lexeme: Lexeme) -> str:
        name, value = lexeme.name, lexeme.value
        if name and name not in FIELDS:
            near = get_close_matches(name, FIELDS, 1)
            hint = f"did you mean {near[0]}:?" if near else "for the word, put it in quotation marks"
            start = lexeme.start + lexeme.minus
            raise QueryError(f"no field {name + ':'!r}; {hint}", self._text, start, start + len(name) + 1)
        if not name and not lexeme.quoted and value.endswith(":") and value[:-1].lower() in FIELDS:
            self._wrong(f"{value} needs a value right behind it", lexeme)
        try:
            if name == "attachment" and is_sha256(value):
                name = "hash"
            if name in FACT_FIELDS:
                tokens = _tokens(name, lexeme)
                self._facts += len(tokens)
                if self._facts > MAX_FACTS:
                    self._wrong(
                        "so many networks at once are too much; /8, /16, /24 and /32 cost least", lexeme
                    )
                return _facts(tokens)
            if name == "from" and (value == "<>" or (value.startswith("@") and host(value[1:]))):
                return _facts([facts.token("from", value if value == "<>" else f"@{host(value[1:])}")])
            return _words(_WORDS.get(name, ""), lexeme)
        except ValueError as error:
            self._wrong(str(error), lexeme)

    def _wrong(self, message: str, lexeme: Lexeme, end: int | None = None) -> NoReturn:
        raise QueryError(message, self._text, lexeme.start, lexeme.end if end is None else end)


def _all(parts: Sequence[_Part]) -> _Part:
    """True when all of them are."""
    wanted = [part.match for part in parts if not part.negated]
    unwanted = [part.match for part in parts if part.negated]
    if not wanted:
        return _Part(_joined(" OR ", unwanted), negated=True)
    match = _joined(" AND ", wanted)
    return _Part(f"({match} NOT {_joined(' OR ', unwanted)})" if unwanted else match)


def _any(parts: Sequence[_Part]) -> _Part:
    """True when one of them is."""
    return parts[0] if len(parts) == 1 else _Part(_joined(" OR ", [_positive(part) for part in parts]))


def _positive(part: _Part) -> str:
    """FTS5 has no NOT but behind something."""
    return f"({_facts([facts.ALL])} NOT {part.match})" if part.negated else part.match


def _joined(operator: str, matches: list[str]) -> str:
    return matches[0] if len(matches) == 1 else f"({operator.join(matches)})"


def _facts(tokens: list[str]) -> str:
    """True when a message has one of the facts."""
    quoted = [f'"{token}"' for token in tokens]
    return f"facts : {_joined(' OR ', quoted)}"


def _words(column: str, lexeme: Lexeme) -> str:
    """True when the column, or any, has a word, phrase or what begins with it.

    Raises:
        ValueError: there is no word in it.
    """
    value, star = lexeme.value, lexeme.star
    if value.endswith("*") and not lexeme.quoted:
        value, star = value.rstrip("*"), True
    # FTS5 takes for a word what is made of letters and digits.
    if not re.search(r"[^\W_]", value):
        raise ValueError(f"{value!r} holds no letter and no digit to search for")
    quoted = searchable(value, MAX_QUERY).strip().replace('"', " ")
    return (f"{column} : " if column else "") + f'"{quoted}"' + (" *" if star else "")


def _tokens(name: str, lexeme: Lexeme) -> list[str]:
    """The facts that a field and its value name.

    Raises:
        ValueError: there is no such value.
    """
    if lexeme.star or (lexeme.value.endswith("*") and not lexeme.quoted):
        raise ValueError(f"{name}: takes whole values, not beginnings")
    return FACT_FIELDS[name](name, lexeme.value)


FIELDS = (*_WORDS, *FACT_FIELDS, *sorted(RANGES))
"""All fields."""
