"""Senders that are too large to be blamed for a message: never reported for one, and never listed.

Who knows of a trap can feed it: order a newsletter for it, write to it from a free mailbox, put the name of
a large site into spam. What is listed then hurts everybody but him. `large_senders.yaml` says who is meant.

    >>> senders = LargeSenders()
    >>> senders.owns_domain("mail-ed1-f41.google.com"), senders.owns_domain("google.com.evil.example")
    ('Google', '')
    >>> senders.owns_ip("209.85.208.41"), senders.owns_ip("192.0.2.1")
    ('Google', '')
"""

from functools import cache
from ipaddress import ip_network
from pathlib import Path

import msgspec

from stages.names.blocklists import Address
from stages.names.relays import Network, address_of
from stages.shared.suffixes import MAX_DOMAIN, registrable

FILE = Path(__file__).with_name("large_senders.yaml")


class _Sender(msgspec.Struct, forbid_unknown_fields=True):
    """One of the file; each a list of words."""

    domains: str
    hosts: str = ""
    networks: str = ""


class _Known(msgspec.Struct, frozen=True):
    """All of the file, to be asked."""

    domains: dict[str, str]
    hosts: dict[str, str]
    networks: dict[int, list[tuple[int, int, str]]]
    """By version: first address, last, and whose they are. As numbers: lists are looked through often."""


class LargeSenders:
    """Knows what belongs to a large sender. Costs nothing to make: the file is read once."""

    def __init__(self) -> None:
        self._known = _known()

    def owns_domain(self, domain: str) -> str:
        """Whose a domain is: the large sender's name, "" when it is no such one's.

        What was given to a customer of his, by the Public Suffix List, is the customer's.

        Args:
            domain: a domain or host, in any case; labels that are not ASCII in punycode.
        """
        name = domain.strip().rstrip(".").lower()
        if not name or len(name) > MAX_DOMAIN:
            return ""
        # A suffix, as s3.amazonaws.com, is not given to anybody: it is of those who run what is above it.
        is_suffix = registrable(f"x.{name}") == f"x.{name}"
        return _above(name, "" if is_suffix else registrable(name), self._known.domains)

    def owns_ip(self, ip: str, ptr: str = "") -> str:
        """Whose mail server an address is: the large sender's name, "" when it is no such one's.

        Args:
            ip: the address.
            ptr: its name, but only if that name was looked up and has this address: anybody can write
                mail.google.com into the reverse zone of a network of his own.
        """
        address = address_of(ip)
        if address is None:
            return ""
        return self.overlaps(address) or _above(
            ptr.strip().rstrip(".").lower()[:MAX_DOMAIN], "", self._known.hosts
        )

    def overlaps(self, network: Network | Address) -> str:
        """Whose addresses a network has some of: the large sender's name, "" when there are none."""
        wanted = ip_network(network)
        first, last = int(wanted.network_address), int(wanted.broadcast_address)
        owners = (
            owner
            for low, high, owner in self._known.networks[wanted.version]
            if low <= last and first <= high
        )
        return next(owners, "")


def _above(name: str, last: str, owners: dict[str, str]) -> str:
    """The owner of a name, or of the nearest above it that has one; `last` is the last that is asked for."""
    while name:
        if name in owners:
            return owners[name]
        if name == last:
            return ""
        name = name.partition(".")[2]
    return ""


@cache
def _known() -> _Known:
    senders = msgspec.yaml.decode(FILE.read_bytes(), type=dict[str, _Sender])
    networks = [
        (ip_network(text), owner) for owner, each in senders.items() for text in each.networks.split()
    ]
    return _Known(
        {name: owner for owner, each in senders.items() for name in each.domains.split()},
        {name: owner for owner, each in senders.items() for name in each.hosts.split()},
        {
            version: [
                (int(network.network_address), int(network.broadcast_address), owner)
                for network, owner in networks
                if network.version == version
            ]
            for version in (4, 6)
        },
    )
