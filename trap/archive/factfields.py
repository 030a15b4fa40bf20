"""What a field of a query asks for where it asks for facts: the tokens of which a message has one.

>>> FACT_FIELDS["domain"]("domain", "*.A.example") == [facts.token("domain", "a.example")]
True
>>> len(FACT_FIELDS["cidr"]("cidr", "192.0.2.0/22"))
4
"""

import ipaddress
import re
from collections.abc import Callable

from trap.archive import facts
from trap.archive.links import host

MAX_NETWORKS = 256
"""Networks that one cidr: may stand for, see `_networks`."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def is_sha256(value: str) -> bool:
    """Whether it is written as one."""
    return bool(_SHA256.fullmatch(value))


def _value(name: str, value: str) -> list[str]:
    if not facts.clean(value):
        raise ValueError(f"{name}: needs a value")
    return [facts.token(name, value)]


def _hash(name: str, value: str) -> list[str]:
    if not is_sha256(value):
        raise ValueError(f"{name}: takes a sha256: 64 hexadecimal digits")
    return [facts.token("hash", value)]


def _charset(name: str, value: str) -> list[str]:
    known = facts.charset(value)
    if known == "other" != value.lower():
        raise ValueError(f"{value!r} is no charset that is known; charset:other finds mail in such")
    return [facts.token(name, known)]


def _domain(name: str, value: str) -> list[str]:
    # A name without a dot is no host, but the top of some.
    domain = host("any." + value.removeprefix("*.").lstrip("@.")).removeprefix("any.")
    if not domain:
        raise ValueError(f"{value!r} is not a domain like a.example")
    return [facts.token(name, domain)]


def _tld(name: str, value: str) -> list[str]:
    top = value.removeprefix(".")
    if not (len(top) == 2 and top.isascii() and top.isalpha()):
        raise ValueError(f"{value!r} is not a country's top-level domain like ru")
    return [facts.token(name, top)]


def _networks(name: str, value: str) -> list[str]:
    """The facts that say an address is in a network: it is in one of the networks that are facts.

    For a prefix length that is none of facts.LEVELS, these are all networks of the next longer one in it.
    """
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address or a network like 192.0.2.0/24") from None
    version, packed = facts.packed_address(str(network.network_address))
    length = network.prefixlen - (96 if version != network.version else 0)
    level = next(level for level in facts.LEVELS[version] if level >= length)
    if (count := 1 << (level - length)) > MAX_NETWORKS:
        shorter = max(each for each in facts.LEVELS[version] if each < length)
        longer = level - MAX_NETWORKS.bit_length() + 1
        raise ValueError(f"/{length} is too wide to search for; the nearest are /{longer} and /{shorter}")
    first = int.from_bytes(packed[: level // 8], "big")
    return [
        facts.token("net", facts.net(version, number.to_bytes(level // 8, "big"), level))
        for number in range(first, first + count)
    ]


FACT_FIELDS: dict[str, Callable[[str, str], list[str]]] = {
    "ip": _networks,
    "cidr": _networks,
    "domain": _domain,
    "hash": _hash,
    "stage": _value,
    "tag": _value,
    "campaign": _value,
    "kind": _value,
    "charset": _charset,
    "tld": _tld,
}
"""What makes tokens of a field's name and value, by the name; ValueError says why it can't."""
