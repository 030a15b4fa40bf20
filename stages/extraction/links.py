"""Finds the URLs in a text, and writes each as a browser would understand it.

Hosts are the point: `canonical` gives the one a browser would ask, whatever the URL makes of it with
users and passwords, numbers, percent signs, backslashes and letters of other scripts.

>>> canonical("hTTp:\\\\\\\\www.bank.example@0x7f.1/a\\n b")
Link(url='http://127.0.0.1/ab', host='127.0.0.1')
>>> canonical("https://b\\u00fccher.example:443/#x").host, canonical("mailto:joe@a.example")
('xn--bcher-kva.example', None)
"""

import re
import socket
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import unquote

from stages.shared.suffixes import MAX_DOMAIN, registrable

MAX_URL = 2000
"""Characters of a URL that are kept."""
MAX_FOUND = 5000
"""URLs and names in one text that are looked at."""

_IN_TEXT = re.compile(
    r"(?:https?|ftp)://{0,1}[^\s<>\"\x00-\x1f\x7f`|^]{3,2000}|\bwww\.[^\s<>\"/]{4,250}[^\s<>\"]{0,1500}",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"(?<![\w@.%/=&:#+-])((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,6}([a-z]{2,18}|xn--[a-z0-9-]{2,40}))(?![\w@-]|\.\w)(:\d{2,5})?(/[^\s<>\"]{0,1500})?",
    re.IGNORECASE,
)
# fmt: off
_FILES = frozenset((
    "am", "an", "app", "as", "asp", "at", "bat", "be", "bin", "by", "bz", "cab", "cf", "cfg", "do", "doc",
    "docs", "exe", "gz", "he", "id", "in", "is", "it", "java", "js", "la", "lib", "md", "me", "mov", "ms",
    "my", "no", "pl", "pm", "ps", "pub", "py", "rs", "sh", "so", "st", "tar", "tex", "to", "vi", "zip",
))
# fmt: on
"""Top-level domains that are ends of files' names, or words that follow a dot whose space is missing."""
_SCHEME = re.compile(r"([a-z][a-z0-9+-]{1,20}):", re.IGNORECASE)
_AUTHORITY = re.compile(r"[/\\]{0,10}([^/\\?#]*)(.*)", re.DOTALL)
_WEB = frozenset(("http", "https", "ftp"))
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.){1,40}(?:[a-z]{2,24}|xn--[a-z0-9-]{2,59})")
_NUMBERS = re.compile(r"(?:0x[0-9a-f]{0,30}|[0-9]{1,30})(?:\.(?:0x[0-9a-f]{0,30}|[0-9]{1,30})){0,3}")
_PORT = re.compile(r":(\d{1,5})\Z")
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61\u2024", "."))
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2060\ufeff\u00ad]+")
_END = ".,;:!?'*_\u2019\u201d\u00bb"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21"}


class Link(NamedTuple):
    """A URL that leads to a host."""

    url: str
    host: str
    """A name in lower case and ASCII, or an IP address, IPv6 without brackets."""


def in_text(text: str) -> Iterator[str]:
    """The URLs in a text, with scheme or beginning with www., as they stand."""
    for number, found in enumerate(_IN_TEXT.finditer(text)):
        if number >= MAX_FOUND:
            return
        yield trimmed(found[0])


def bare(text: str) -> Iterator[tuple[str, bool]]:
    """Names of domains in a text that stand there without a scheme: what is written, and if it has a path."""
    for number, found in enumerate(_BARE.finditer(text)):
        if number >= MAX_FOUND:
            return
        name, top, path = found[1], found[2].lower(), found[4]
        mixed = name not in (name.lower(), name.upper()) and not name[:1].isupper()
        if path is None and (top in _FILES or mixed or len(name) - len(top) < 4):
            continue
        if registrable(name.lower()):
            yield trimmed(f"{name}{found[3] or ''}{path or ''}"), path is not None


def trimmed(url: str) -> str:
    """A URL without what belongs to the sentence around it."""
    while url:
        last = url[-1]
        if last in _END or (last in _PAIRS and url.count(last) > url.count(_PAIRS[last])):
            url = url[:-1]
        else:
            break
    return url


def canonical(said: str) -> Link | None:
    """The URL a browser would go to; None when it leads to no host in the web."""
    said = _CONTROLS.sub("", said[: 2 * MAX_URL])
    if said.startswith(("//", "\\\\")):
        said = f"http:{said}"
    elif said[:4].lower() == "www.":
        said = f"http://{said}"
    scheme = _SCHEME.match(said)
    if not scheme or scheme[1].lower() not in _WEB:
        return None
    kind = scheme[1].lower()
    authority = _AUTHORITY.match(said, scheme.end())
    if not authority:
        return None
    where = authority[1].rpartition("@")[2]
    port = _PORT.search(where)
    host = host_of(where[: port.start()] if port else where)
    if not host:
        return None
    shown = f"[{host}]" if ":" in host else host
    number = f":{port[1]}" if port and port[1] != _DEFAULT_PORTS[kind] else ""
    return Link(f"{kind}://{shown}{number}{authority[2].replace(chr(92), '/') or '/'}"[:MAX_URL], host)


@lru_cache(maxsize=8192)
def host_of(said: str) -> str:
    """The host that a URL's authority names; empty when it is none that anybody can reach.

    >>> host_of("EVIL%2eexample."), host_of("3232235777"), host_of("[::ffff:192.0.2.1]"), host_of("a b")
    ('evil.example', '192.168.1.1', '192.0.2.1', '')
    """
    said = said[:1000]
    try:
        if said.startswith("["):
            address = IPv6Address(said[1:].partition("]")[0].partition("%")[0])
            return str(address.ipv4_mapped or address)
        if "%" in said:
            said = unquote(said, errors="replace")
        said = said.translate(_DOTS).strip(".").lower()
        if not said.isascii():
            said = said.encode("idna").decode("ascii").lower()
        if _NUMBERS.fullmatch(said):
            return socket.inet_ntoa(socket.inet_aton(said))
    except (ValueError, OSError):  # not an address, not a name, or numbers too large
        return ""
    return said if len(said) <= MAX_DOMAIN and _HOST.fullmatch(said) else ""
