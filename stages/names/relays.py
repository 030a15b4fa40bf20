"""Which hosts a message came by: its client, and who stands in its Received fields.

Only addresses that can be somebody's are of use: none of private networks, none of our own.

>>> relays(["from a (b.example [192.0.2.7]) by mx ([192.0.2.9])", "by mx", "from [10.0.0.1] by mx"])
[IPv4Address('192.0.2.7')]
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from stages.names.blocklists import Address

MAX_FIELDS = 50
"""Received fields that are read, from the newest on."""
_MAX_FIELD = 1000
_MAX_TRIES = 5

# No pattern begins with what a star before it could take, so none is tried for long.
_BY = re.compile(r"(?:^|\s)by\s", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9a-f:.]{3,45})(?:%[^\]]{1,16})?\]", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w.:-])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.:-])")

Network = IPv4Network | IPv6Network
_TRANSLATED = IPv6Network("64:ff9b::/96")
# RFC 5737, RFC 3849. Nobody learns anything by a question about one of these.
_EXAMPLES = [*map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))]


class Trusted:
    """Addresses that are nobody's, or our own.

    Args:
        networks: our own ones, like 192.0.2.0/24 or 2001:db8::/32.

    Raises:
        ValueError: something is no network.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        try:
            self.networks: list[Network] = [ip_network(text) for text in networks]
        except ValueError as error:
            raise ValueError(f"trusted: {error}") from None

    def strangers(self, addresses: Iterable[Address]) -> list[Address]:
        """Those of the addresses that are somebody else's; each once, in their order."""
        return [each for each in dict.fromkeys(addresses) if is_public(each) and not self._own(each)]

    def vouches(self, host: Address | None, protocol: str) -> bool:
        """Whether a session's client is believed when it says from whom it has a message.

        A private address alone is no reason: strangers come by one behind NAT, a proxy or the bridge of a
        container, and write into Received fields whom they like. None of them speaks LMTP.
        """
        return protocol == "lmtp" or (host is not None and (host.is_loopback or self._own(host)))

    def _own(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def address_of(text: str) -> Address | None:
    """Read an address; that of IPv4 when it is one within IPv6 (RFC 4291, 6052). None for what is none.

    >>> address_of("::ffff:192.0.2.7"), address_of("64:ff9b::c000:207"), address_of("/run/trap.sock")
    (IPv4Address('192.0.2.7'), IPv4Address('192.0.2.7'), None)
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:  # the name of a UNIX socket, which may be anything
        return None
    if not isinstance(address, IPv6Address):
        return address
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in _TRANSLATED else None
    return address.ipv4_mapped or translated or address


def is_public(address: Address) -> bool:
    """Whether an address may be a host's anywhere in the Internet, or stands for one in examples."""
    example = any(address in network for network in _EXAMPLES)
    return example or (address.is_global and not address.is_multicast)


def relays(received: Iterable[str]) -> list[Address]:
    """Public addresses that Received fields say the message was taken from, the newest first.

    What was seen stands in a comment, in front of it what the sender said of itself: that is taken
    where nothing was seen.

    Args:
        received: the fields, unfolded.
    """
    found = (_sender(field[:_MAX_FIELD]) for _, field in zip(range(MAX_FIELDS), received, strict=False))
    return list(dict.fromkeys(address for address in found if address and is_public(address)))


def _sender(field: str) -> Address | None:
    by = _BY.search(field)
    origin = field[: by.start()] if by else field.partition(";")[0]
    if not origin.lstrip().lower().startswith("from"):
        return None
    said, _, seen = origin.partition("(")
    for place in (seen, said):
        for pattern in (_IN_BRACKETS, _BARE):
            for _, match in zip(range(_MAX_TRIES), pattern.finditer(place), strict=False):
                if address := address_of(match[1]):
                    return address
    return None
