"""What may be told of the names, networks and reasons that stand near a trap's mail.

A `Guard` knows the key of all hashes and the names its operator wants kept, and turns what came
with a message into what may be published, or into a word that says why not. The reasoning behind
it stands in stages/facts.py.
"""

import base64
import codecs
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from trap.envelope import printable

MIN_WORD = 4
"""Shorter words of a recipient are compared with whole labels of a domain, not with parts of them."""
# fmt: off
_ROLES = frozenset((
    "abuse", "admin", "contact", "email", "help", "hostmaster", "info", "mail", "marketing", "news", "noc",
    "office", "post", "postmaster", "sales", "security", "service", "shop", "support", "test", "user",
    "webmaster", "www",
))
# fmt: on
"""Names that every domain has (RFC 2142, and habit): they give nobody away, and stand in many domains."""
OWN = "own"
"""Stands for what has something in common with a recipient, or is to be kept."""

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?:[a-z]{{2,24}}|xn--[a-z0-9-]{{2,40}})")
# fmt: off
_SECOND_LEVEL = frozenset((
    "ac", "co", "com", "edu", "gob", "gov", "go", "gr", "gv", "id", "in", "mil", "ne", "net", "nom", "or",
    "org",
))
# fmt: on
"""Labels under which country registries register, as in example.co.uk."""
_NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w.-])")
_MAX_REASON = 60
_MAX_SAID = 1000
_BASE64_START = (0, 2, 3)
"""First characters of base64 that also hold bits of what stands before, by its length modulo 3."""


class Guard:
    """Decides what is told.

    Args:
        secret: the key of all hashes.
        protect: names and networks (/24, /48) to be kept besides those of the recipients: the trap's
            own hosts and domains, which stages may put into their reasons and operators into tags.
    """

    def __init__(self, secret: bytes, protect: Iterable[str] = ()) -> None:
        self._secret = secret
        self._protect = frozenset(word.lower() for word in protect)
        # Of traps with thousands of domains, each message asks: what they are known by is one set.
        traces = [_traces(name) for name in self._protect]
        self._short = frozenset(word for short, _ in traces for word in short)
        self._forms = frozenset(form for _, forms in traces for form in forms)
        self._lengths = sorted({len(form) for form in self._forms})

    def hash(self, kind: str, text: str) -> str:
        """16 hexadecimal digits (HMAC-SHA256, RFC 2104); the same text of another kind gives others."""
        said = f"{kind}\0{text}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, said, "sha256").hex()[:16]

    def campaign(self, name: str) -> str:
        """The name under which a campaign is published."""
        return self.hash("campaign", name)

    def network(self, ip: str) -> str:
        """The client's network, "own" when it is to be kept, empty when there is none."""
        found = network(ip)
        return OWN if found in self._protect else found

    def domain(self, said: str, recipients: Iterable[str]) -> str:
        """The registrable domain of `said`, "own" when it must not be told, empty when there is none."""
        found = registrable(said)
        return OWN if found and (shares(found, recipients) or self._protects(found)) else found

    def reason(self, said: str) -> str:
        """A drop's reason, or a tag, without numbers, addresses and protected names.

        >>> Guard(b"", ["trap.example"]).reason("1048577 bytes for <joe@a.example> at x.trap.example")
        'N bytes for (kept) at (kept)'
        """
        words = printable(said[:_MAX_SAID]).split()
        kept = ["(kept)" if "@" in word or self._protects(word.lower()) else word for word in words]
        return _NUMBER.sub("N", " ".join(kept))[:_MAX_REASON]

    def _protects(self, candidate: str) -> bool:
        """`shares` with the protected names, at a cost that their number does not raise."""
        if self._short.intersection(_labels(candidate)):
            return True
        return any(
            text[at : at + length] in self._forms
            for text in (candidate, _squeeze(candidate))
            for length in self._lengths
            for at in range(len(text) - length + 1)
        )


@lru_cache(maxsize=4096)
def network(ip: str) -> str:
    """The /24 (IPv4) or /48 (IPv6) of an address; empty when it is none.

    >>> network("203.0.113.7"), network("2001:db8:1:2::3"), network("::ffff:203.0.113.7")
    ('203.0.113.0/24', '2001:db8:1::/48', '203.0.113.0/24')
    """
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))


def registrable(domain: str) -> str:
    """What somebody registered of a domain, told by its shape; empty when it is no domain.

    >>> registrable("a8f3.Mailer.example.com"), registrable("x.example.co.uk"), registrable("WIN-4711")
    ('example.com', 'example.co.uk', '')
    """
    domain = domain.lower().rstrip(".")
    if len(domain) > 255 or not _DOMAIN.fullmatch(domain):
        return ""
    labels = domain.split(".")
    registry = 2 if len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 1
    return ".".join(labels[-1 - registry :])


def shares(candidate: str, names: Iterable[str]) -> bool:
    """Whether a domain or word in lower case has something in common with one of the addresses or names."""
    labels = _labels(candidate)
    said = f"{candidate}\n{_squeeze(candidate)}"
    for name in names:
        short, forms = _traces(name)
        if labels & short or [form for form in forms if form in said]:
            return True
    return False


@lru_cache(maxsize=4096)
def _traces(address: str) -> tuple[frozenset[str], frozenset[str]]:
    """What an address is known by: its short words, and the forms its longer ones could be hidden in."""
    local, _, domain = address.lower()[:320].rpartition("@")
    registered = registrable(domain) or domain
    plain, label = local.partition("+")[0], registered.partition(".")[0]
    found = (f"{local}@{domain}", local, plain, domain, registered, label)
    words = {word.strip(".") for word in found} - _ROLES - {""}
    longer = {word for word in words if len(word) >= MIN_WORD}
    return frozenset(words - longer), frozenset(form for word in longer for form in _forms(word))


def _forms(word: str) -> Iterator[str]:
    raw = word.encode("utf-8", "surrogateescape")
    turned = ".".join(reversed(word.split(".")))
    for form in (word, _squeeze(word), turned, codecs.encode(word, "rot13"), raw.hex()):
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


def _labels(text: str) -> frozenset[str]:
    return frozenset(re.split(r"[^a-z0-9]", text))


def _squeeze(text: str) -> str:
    return "".join(c for c in text if c.isalnum())
