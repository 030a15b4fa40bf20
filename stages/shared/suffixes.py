"""Tells which names are domains, and what of a name somebody registered, by the Public Suffix List.

The list (publicsuffix.org) comes with a package and is never fetched. Names are in lower case, without a
dot at the end, labels that are not ASCII in punycode.
"""

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

MAX_DOMAIN = 253
_MORE = (".example", ".test", ".invalid", ".onion")
"""Top-level domains that are on no list, as nobody can register there: RFC 2606, RFC 7686."""


@cache
def _list() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


@lru_cache(maxsize=8192)
def registrable(name: str) -> str:
    """What somebody registered, or was given below a name that many share; empty when it is no domain.

    >>> registrable("www.shop.example.co.uk"), registrable("joe.github.io"), registrable("setup.py.old")
    ('example.co.uk', 'joe.github.io', '')

    What many share is one, too, when it is used itself:

    >>> registrable("s3.amazonaws.com"), registrable("com")
    ('s3.amazonaws.com', '')
    """
    if len(name) > MAX_DOMAIN:
        return ""
    if name.endswith(_MORE):
        return ".".join(name.split(".")[-2:])
    return _list().privatesuffix(name) or (name if "." in name and _list().publicsuffix(name) else "")
