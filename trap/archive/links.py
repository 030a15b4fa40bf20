"""Finds the addresses (URLs) in a text, and the hosts that URLs and mail addresses name. All is bounded.

>>> urls_in("see (HTTP://www.A.example:80/x?y), or http://a.example@b.example.")
['HTTP://www.A.example:80/x?y', 'http://a.example@b.example']
>>> [host_of(url) for url in urls_in("HTTP://www.A.example:80/x http://a.example@b.example")]
['www.a.example', 'b.example']
>>> family("www.a.example")
('www.a.example', 'a.example', 'example')
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

MAX_URLS = 100
MAX_URL = 300
"""Characters of a URL that are looked at."""
_MAX_HOST = 253
_MAX_PARENTS = 5

# It begins with what can be looked for fast; what stands in front of it is looked at afterwards.
_URL = re.compile(rf"://[^\s\"'<>\x00-\x1f\x7f]{{3,{MAX_URL}}}")
_END = ".,;:!?)]}*"
"""What follows a URL in a sentence more often than it is a part of one."""
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_AUTHORITY = re.compile(r"[/\\]*([^/\\?#]*)")


def urls_in(text: str) -> list[str]:
    """The distinct http and https addresses in a text, in their order; at most MAX_URLS."""
    if "://" not in text:
        return []
    found: dict[str, None] = {}
    for match in _URL.finditer(text):
        start = match.start()
        scheme = text[max(0, start - 5) : start].lower()
        if scheme.endswith("http") or scheme == "https":
            found[text[start - (5 if scheme == "https" else 4) : match.end()].rstrip(_END)] = None
            if len(found) == MAX_URLS:
                break
    return list(found)


def host_of(url: str) -> str:
    """The host a URL leads to, as browsers read it and `host` gives it; empty when that is not clear."""
    authority = _AUTHORITY.match(url.partition("://")[2])
    name = authority[1].rpartition("@")[2].partition(":")[0] if authority else ""
    return host(unquote(name) if "%" in name else name)


def domain_of(address: str) -> str:
    """The domain of a mail address, written alone or as "Name <address>"; empty when it has none."""
    if address.endswith(">"):
        address = address[address.rfind("<") + 1 : -1]
    _, at, domain = address.rpartition("@")
    return host(domain) if at else ""


@lru_cache(maxsize=4096)
def host(text: str) -> str:
    """A host's name in the one form in which names are compared: lower case, IDNA, no dot at its end.

    Empty for what is no name with a dot in it. An IPv4 address is taken as a name, too.

    >>> host("WWW.Bücher.Example."), host("[192.0.2.1]"), host("localhost")
    ('www.xn--bcher-kva.example', '', '')
    """
    text = text.strip().rstrip(".").lower()
    if len(text) > _MAX_HOST:
        return ""
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return text if _HOST.fullmatch(text) else ""


@lru_cache(maxsize=4096)
def family(name: str) -> tuple[str, ...]:
    """A host and the domains it is in. Far from the top, only itself."""
    labels = name.split(".")
    if labels[-1].isdigit():  # an IPv4 address
        return (name,)
    first = max(1, len(labels) - _MAX_PARENTS)
    return (name, *(".".join(labels[at:]) for at in range(first, len(labels))))


def families(hosts: Iterable[str], limit: int) -> list[str]:
    """All of the hosts' families, each name once, at most `limit`."""
    found: dict[str, None] = {}
    for name in dict.fromkeys(hosts):
        if name:
            found.update(dict.fromkeys(family(name)))
        if len(found) >= limit:
            break
    return list(found)[:limit]
