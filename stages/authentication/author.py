"""Whose name a message bears: the domains in its From field (RFC 7489, section 6.6.1)."""

import re
from collections.abc import Iterator

from stages.authentication.domainname import domain_of

MAX_FIELD = 8 << 10
"""Characters of a From field that are looked at."""
_BRACKETED = re.compile(r"<([^<>]*)>")
_ROUTE = re.compile(r"<@[^<>:]*:")
"""Of RFC 821: "<@one.example,@two.example:joe@a.example>"."""


def domains_of(fields: list[str]) -> tuple[list[str], str]:
    """The domains of a message's authors.

    >>> domains_of(['"Joe <joe@fake.example>" <joe@News.Example.COM>'])
    (['news.example.com'], '')
    >>> domains_of(["Joe"])
    ([], 'From names no domain')

    Args:
        fields: the values of all its From fields.

    Returns:
        The distinct domains, and why these are not exactly one; "" when they are.
    """
    if not fields:
        return [], "no From"
    addresses = [address for field in fields[:10] for address in _addresses(field[:MAX_FIELD])]
    domains = list(dict.fromkeys(filter(None, map(_domain, addresses[:100]))))
    if len(fields) > 1:
        return domains, f"{len(fields)} From fields"
    if not domains:
        return [], "From names no domain"
    return domains, "" if len(domains) == 1 else f"From names {len(domains)} domains"


def _addresses(field: str) -> list[str]:
    parts = _ROUTE.sub("<", "".join(_uncommented(field))).split(",")
    return [address for part in parts for address in _BRACKETED.findall(part) or [part]]


def _domain(address: str) -> str:
    return domain_of(address.rpartition("@")[2]) if "@" in address else ""


def _uncommented(text: str) -> Iterator[str]:
    """A field's characters, without its comments and quoted strings."""
    depth, quoted, escaped = 0, False, False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and (quoted or depth):
            escaped = True
        elif quoted:
            quoted = character != '"'
        elif character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif character == '"' and not depth:
            quoted = True
        elif not depth:
            yield character
