"""What an address or a host's name leaves behind: its domain, its words, and the forms these hide in.

Mail names its recipients in many ways: in URLs, spelt backwards, as a hash, in base64. Whoever may
not tell a recipient looks for all of them.
"""

import base64
import codecs
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

MIN_WORD = 4
"""Shorter words of a recipient are compared with whole labels of a domain, not with parts of them."""
# fmt: off
ROLES = frozenset((
    "abuse", "admin", "contact", "email", "help", "hostmaster", "info", "mail", "marketing", "news", "noc",
    "office", "post", "postmaster", "sales", "security", "service", "shop", "support", "test", "user",
    "webmaster", "www",
))
# fmt: on
"""Names that every domain has (RFC 2142, and habit): they give nobody away, and stand in many domains."""
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?:[a-z]{{2,24}}|xn--[a-z0-9-]{{2,40}})")
# fmt: off
_SECOND_LEVEL = frozenset((
    "ac", "co", "com", "edu", "gob", "gov", "go", "gr", "gv", "id", "in", "mil", "ne", "net", "nom", "or",
    "org",
))
# fmt: on
"""Labels under which country registries register, as in example.co.uk."""
_BASE64_START = (0, 2, 3)
"""First characters of base64 that also hold bits of what stands before, by its length modulo 3."""


def registrable(domain: str) -> str:
    """What somebody registered of a domain, told by its shape; empty when it is no domain.

    >>> registrable("a8f3.Mailer.example.com"), registrable("x.example.co.uk"), registrable("WIN-4711")
    ('example.com', 'example.co.uk', '')
    """
    domain = domain.lower().rstrip(".")
    if len(domain) > 255 or not _DOMAIN.fullmatch(domain):
        return ""
    parts = domain.split(".")
    registry = 2 if len(parts[-1]) == 2 and parts[-2] in _SECOND_LEVEL else 1
    return ".".join(parts[-1 - registry :])


def shares(candidate: str, names: Iterable[str]) -> bool:
    """Whether a domain or word in lower case has something in common with one of the addresses or names."""
    words = labels(candidate)
    said = f"{candidate}\n{squeeze(candidate)}"
    for name in names:
        short, longer = traces(name)
        if words & short or [form for form in longer if form in said]:
            return True
    return False


@lru_cache(maxsize=4096)
def traces(address: str) -> tuple[frozenset[str], frozenset[str]]:
    """What an address is known by: its short words, and the forms its longer ones could be hidden in."""
    local, _, domain = address.lower()[:320].rpartition("@")
    registered = registrable(domain) or domain
    plain, label = local.partition("+")[0], registered.partition(".")[0]
    found = (f"{local}@{domain}", local, plain, domain, registered, label)
    words = {word.strip(".") for word in found} - ROLES - {""}
    longer = {word for word in words if len(word) >= MIN_WORD}
    return frozenset(words - longer), frozenset(form for word in longer for form in forms(word))


def forms(word: str) -> Iterator[str]:
    """What a word may be hidden as, in lower case: backwards, in hex or base64, as a hash."""
    raw = word.encode("utf-8", "surrogateescape")
    turned = ".".join(reversed(word.split(".")))
    for form in (word, squeeze(word), turned, codecs.encode(word, "rot13"), raw.hex()):
        if len(form) >= MIN_WORD:
            yield form
            yield form[::-1]
    for pad, start in enumerate(_BASE64_START):
        coded = base64.urlsafe_b64encode(bytes(pad) + raw).decode("ascii")
        core = coded[start : (pad + len(raw)) * 8 // 6].lower()
        if len(core) > MIN_WORD:
            yield core
    for name in ("md5", "sha1", "sha256"):
        yield hashlib.new(name, raw, usedforsecurity=False).hexdigest()


def labels(text: str) -> frozenset[str]:
    """The words of a text in lower case that what is neither letter nor digit parts."""
    return frozenset(re.split(r"[^a-z0-9]", text))


def squeeze(text: str) -> str:
    """A text's letters and digits."""
    return "".join(c for c in text if c.isalnum())
