"""What a registry's answer about a network says: its reach, and who is its abuse contact (RFC 9083).

An answer is hostile like all else that comes from outside: how deep, how long and how far it may go is
bounded here.
"""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import islice
from typing import Any

import msgspec

from stages.names.blocklists import Address
from stages.names.relays import Network
from stages.reporting.mail import mailbox

MAX_ENTITIES = 300
"""Entities of an answer that are looked at."""
MAX_DEPTH = 3
"""Entities in entities: some registries name the contact within the organization."""
MAX_CONTACTS = 3
"""Addresses that are taken from an answer."""
MAX_PARTS = 64
"""Prefixes that the range of an answer may consist of."""
WIDEST = {4: 8, 6: 16}
"""Shortest prefix that is somebody's; what is wider is the registry's own, or a mistake."""


class NotAnswered(Exception):
    """A server gave no answer that is one; as text, why."""


def read(body: bytes, address: Address, within: Network) -> tuple[list[Network], list[str]]:
    """The networks that an answer is about, and whom it names.

    Args:
        body: the answer, JSON.
        address: that was asked about.
        within: the network that the server knows; what it says of others is believed of this address only.

    Raises:
        NotAnswered: it is none.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnswered(f"answers no JSON: {error}") from None
    if not isinstance(answer, dict) or answer.get("objectClassName") != "ip network":
        raise NotAnswered("answers nothing about a network")
    networks = _range(answer)
    if not any(address in network for network in networks):
        raise NotAnswered("answers about another network")
    if min(network.prefixlen for network in networks) < WIDEST[address.version]:
        return [ip_network(address)], []  # a block that was never given to anybody, say
    if not all(network.subnet_of(within) for network in networks):  # type: ignore[arg-type]
        networks = [ip_network(address)]  # what it says of others' networks is not its to say
    return networks, list(islice(dict.fromkeys(_abuse(answer)), MAX_CONTACTS))


def _range(answer: dict[str, Any]) -> list[Network]:
    try:
        first, last = ip_address(answer["startAddress"]), ip_address(answer["endAddress"])
        found: Iterator[Network] = summarize_address_range(first, last)
        parts = list(islice(found, MAX_PARTS + 1))
    except (KeyError, ValueError, TypeError):
        raise NotAnswered("answers without a range of addresses") from None
    if len(parts) > MAX_PARTS:
        raise NotAnswered("answers with an odd range of addresses")
    return parts


def _abuse(answer: dict[str, Any]) -> Iterator[str]:
    """Addresses of entities in the role of abuse, of the level nearest to the network that has any."""
    level, left = [answer], MAX_ENTITIES
    for _ in range(MAX_DEPTH):
        entities = list(islice((each for one in level for each in _maps(one.get("entities"))), left))
        left -= len(entities)
        abuse = [each for each in entities if "abuse" in _items(each.get("roles"))]
        if found := [address for each in abuse for address in _addresses(each)]:
            yield from found
            return
        level = entities


def _addresses(entity: dict[str, Any]) -> Iterator[str]:
    """Of a jCard (RFC 7095), and of a JSContact card (RFC 9553)."""
    card = _items(entity.get("vcardArray"))
    said = [
        field[3]
        for field in _items(card[1] if len(card) > 1 else None)[:100]
        if isinstance(field, list) and len(field) > 3 and str(field[0])[:10].lower() == "email"
    ]
    jscard = entity.get("jscard")
    emails = jscard.get("emails") if isinstance(jscard, dict) else None
    said += [each.get("address") for each in _maps(list(emails.values()) if isinstance(emails, dict) else [])]
    yield from filter(None, (mailbox(each) for each in said if isinstance(each, str)))


def _items(thing: Any) -> list[Any]:
    return thing if isinstance(thing, list) else []


def _maps(thing: Any) -> Iterator[dict[str, Any]]:
    return (each for each in _items(thing) if isinstance(each, dict))
