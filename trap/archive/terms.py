"""The terms a query is made of: told apart, written, added and taken away.

Whoever offers a term to click on (a facet's value, a bar of the histogram) makes it with `term` and
puts it into the query with `with_term`. The query is then what it would be had it been typed.

    >>> query = with_term("invoice", term("tag", "web form"))
    >>> query, without_term(query, term("tag", "web form"))
    ('invoice tag:"web form"', 'invoice')
    >>> with_term("invoice date:2026", "date:2026-11-01")
    'invoice date:2026-11-01'
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

MAX_QUERY = 4000
"""Characters of a query."""
MAX_LEXEMES = 400
_MAX_MESSAGE = 160
RANGES = frozenset(("date", "size"))
"""Fields that narrow the whole query, and stand in it but with AND."""

_LEXEME = re.compile(
    r"""(?P<minus>-?)(?:(?P<open>\()|(?:(?P<name>[A-Za-z]+):(?!//))?(?:"(?P<phrase>[^"]*)"(?P<star>\*?)
    |(?P<word>[^\s"()]+)))|(?P<close>\))""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"(?!//)[\w@.,:/+=&%~#!?'-]+")
_SEARCHED = {"network": "cidr"}
"""Facets that are searched by another name."""


class QueryError(ValueError):
    """What is wrong with a query, in one line, and where.

    Attributes:
        text: the query.
        start, end: the wrong place in it.
    """

    def __init__(self, message: str, text: str, start: int, end: int) -> None:
        if len(message) > _MAX_MESSAGE:  # what was typed is part of it
            message = f"{message[: _MAX_MESSAGE // 2]}…{message[-_MAX_MESSAGE // 2 :]}"
        super().__init__(message)
        self.text = text
        self.start = start
        self.end = end


class Lexeme(NamedTuple):
    """A term, or what stands between terms."""

    kind: str
    """ "term", "or", "(" or ")"."""
    start: int
    end: int
    minus: bool = False
    name: str = ""
    """Of the field, in lower case."""
    value: str = ""
    quoted: bool = False
    star: bool = False
    """Behind a phrase."""


def lexemes(text: str) -> list[Lexeme]:
    """Take a query apart.

    Raises:
        QueryError: it is too long, or a quotation mark is left open.

    >>> [(each.kind, each.name, each.value) for each in lexemes('-tag:web or "a b"')]
    [('term', 'tag', 'web'), ('or', '', ''), ('term', '', 'a b')]
    """
    if len(text) > MAX_QUERY:
        raise QueryError(f"the query is longer than {MAX_QUERY} characters", text, MAX_QUERY, len(text))
    found: list[Lexeme] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _LEXEME.match(text, at)
        if not match:
            raise QueryError("this quotation mark has no other to end the phrase", text, at, len(text))
        if len(found) == MAX_LEXEMES:
            raise QueryError(f"a query has at most {MAX_LEXEMES} words", text, at, match.end())
        found.append(_lexeme(match))
        at = match.end()
    return found


def _lexeme(match: re.Match[str]) -> Lexeme:
    start, end = match.span()
    minus, name, phrase, word = match["minus"] == "-", match["name"] or "", match["phrase"], match["word"]
    if match["open"] or match["close"]:
        return Lexeme(match["open"] or ")", start, end, minus)
    if word in {"or", "OR"} and not minus and not name:
        return Lexeme("or", start, end)
    quoted = phrase is not None
    return Lexeme(
        "term", start, end, minus, name.lower(), phrase if quoted else word, quoted, bool(match["star"])
    )


def term(name: str, value: str) -> str:
    """A term that finds exactly the messages with this value of a field or facet.

    >>> term("tag", "web form"), term("network", "192.0.2.0/24"), term("domain", "a.example")
    ('tag:"web form"', 'cidr:192.0.2.0/24', 'from:@a.example')
    """
    if name == "domain":  # the facet is the sender's, where domain: is any the message has to do with
        return f"from:@{value}"
    name = _SEARCHED.get(name, name)
    if _PLAIN.fullmatch(value):
        return f"{name}:{value}"
    return f'{name}:"{value.replace(chr(34), chr(39))}"'


def with_term(text: str, added: str) -> str:
    """The query narrowed by a term. A date or a size takes the place of the one there is."""
    if has_term(text, added):
        return text
    name = added.partition(":")[0]
    kept = _without(text, lambda said: said.name == name) if name in RANGES else text.strip()
    return f"{kept} {added}".lstrip()


def without_term(text: str, removed: str) -> str:
    """The query without a term that narrows it as a whole; the same when there is none such."""
    return _without(text, lambda said: text[said.start : said.end] == removed)


def has_term(text: str, wanted: str) -> bool:
    """Whether a term narrows the query as a whole."""
    return wanted in narrowing(text)


def narrowing(text: str) -> list[str]:
    """The distinct terms that narrow the query as a whole, in their order, as they are written.

    >>> narrowing('money -tag:web (a b) c or d money')
    ['money', '-tag:web']
    """
    return list(dict.fromkeys(text[each.start : each.end] for each in _narrowing(text)))


def _without(text: str, unwanted: Callable[[Lexeme], bool]) -> str:
    kept, at = [], 0
    for each in filter(unwanted, _narrowing(text)):
        kept.append(text[at : each.start].strip())
        at = each.end
    return " ".join(filter(None, [*kept, text[at:].strip()]))


@lru_cache(maxsize=64)
def _narrowing(text: str) -> tuple[Lexeme, ...]:
    """The terms that stand in no parentheses and beside no `or`; none when it can't be taken apart."""
    try:
        found = lexemes(text)
    except QueryError:
        return ()
    alone = []
    depth = 0
    kinds = ["", *(each.kind for each in found), ""]
    for each, before, after in zip(found, kinds, kinds[2:], strict=False):
        depth += (each.kind == "(") - (each.kind == ")")
        if each.kind == "term" and not depth and "or" not in {before, after}:
            alone.append(each)
    return tuple(alone)
