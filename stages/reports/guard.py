"""What may be told of the names, networks and reasons that stand near a trap's mail.

A `Guard` knows the key of all hashes and the names its operator wants kept, and turns what came
with a message into what may be published, or into a word that says why not. The reasoning behind
it stands in stages/reports/facts.py.
"""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from trap.envelope import printable
from trap.traces import labels, registrable, shares, squeeze, traces

OWN = "own"
"""Stands for what has something in common with a recipient, or is to be kept."""

_NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w.-])")
_MAX_REASON = 60
_MAX_SAID = 1000


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
        known = [traces(name) for name in self._protect]
        self._short = frozenset(word for short, _ in known for word in short)
        self._forms = frozenset(form for _, forms in known for form in forms)
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
        if self._short.intersection(labels(candidate)):
            return True
        return any(
            text[at : at + length] in self._forms
            for text in (candidate, squeeze(candidate))
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
