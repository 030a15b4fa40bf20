"""What may be on a list, and how it is written: an address, a network, a domain, a file's check sum.

    >>> named("192.0.2.7"), named("2001:db8:1:2::3"), named("www.Bad.example"), named("2001:db8::/32")
    (Named(kind='address', key='192.0.2.7'), Named(kind='address', key='2001:db8:1:2::/64'), \
Named(kind='domain', key='bad.example'), Named(kind='network', key='2001:db8::/32'))
    >>> named("d41d8cd98f00b204e9800998ecf8427e").kind, named("a b")
    ('file', None)
"""

import re
from ipaddress import ip_network
from typing import NamedTuple

from stages.names.blocklists import Address
from stages.names.relays import address_of
from stages.shared.suffixes import registrable
from trap.archive.links import host

_SUM = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
_LONGEST = 300


class Named(NamedTuple):
    """Something that a list may hold, or may not."""

    kind: str
    """address, network, domain or file."""
    key: str
    """How it is written in all lists."""


def named(said: str) -> Named | None:
    """Read what a person, a request or a file names; None for what is none of these."""
    text = said.strip().lower()[:_LONGEST]
    if _SUM.fullmatch(text):
        return Named("file", text)
    if "/" in text:
        try:
            network = ip_network(text)
        except ValueError:
            return None
        key = written(network.network_address)
        single = network.prefixlen == network.max_prefixlen or str(network) == key
        return Named("address", key) if single else Named("network", str(network))
    if address := address_of(text.strip("[]")):
        return Named("address", written(address))
    name = registrable(host(text.strip(".")) or "")
    return Named("domain", name) if name else None


def written(address: Address) -> str:
    """An address as lists hold it: one of IPv4 by itself, one of IPv6 as its /64, which is one host's."""
    return str(address) if address.version == 4 else str(ip_network(f"{address}/64", strict=False))


def is_suffix(name: str) -> bool:
    """Whether people register below a name, as below co.uk or github.io: then it is nobody's.

    >>> is_suffix("github.io"), is_suffix("bad.example")
    (True, False)
    """
    below = f"x.{name}"
    return registrable(below) == below
