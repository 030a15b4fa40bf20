"""Who the trap is: what would tell it, of the configuration and of one message.

    >>> joe = Identities.named(["Joe.Doe@Trap.Example", "mx.trap.example", "192.0.2.25", "info@trap.example"])
    >>> sorted(joe.names())
    ['192.0.2.25', 'info@trap.example', 'joe.doe', 'joe.doe@trap.example', 'mx.trap.example', 'trap.example']

What looks for identities has to know where words end: "trap.example" is also looked for at the end of
"mx2.trap.example", and "joe.doe" stands alone.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from trap.config import Config
from trap.envelope import Envelope
from trap.job import Headers
from trap.redaction.vocabulary import common
from trap.traces import registrable

SHORTEST = 3
"""Characters of a name that is looked for at all."""
_MAX_FIELDS = 100
_MAX_SAID = 40
"""Names of one kind that are taken from header fields: what is looked for is not the sender's to choose."""
_READ = 2000
"""Characters of a header field that are read for names."""
DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "apparently-to")
"""Header fields in which servers of the receiving side write whom a message is for."""

PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"),
    )
)
"""Networks that end at a house's door (RFC 1918, 3927, 4193, 4291, 6598)."""
_ADDRESS = re.compile(r"[\w.+=%&'*/~!#$^{|}-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}")
_FOR = re.compile(r"\bfor[ \t]+<?([^\s;<>]{1,320}@[^\s;<>]{1,255})", re.IGNORECASE)
_BY = re.compile(r"\bby[ \t]+([\w.-]{4,255})", re.IGNORECASE)
_SIGNS = frozenset("@.-_")
_WILD = frozenset("*?[")
_PATTERN_END = re.compile(r"@((?:[a-z0-9-]|\\[.-])+)(?:\$|\\Z)?$", re.IGNORECASE)
"""What a pattern for addresses ends with, when that is a domain spelt out."""


class Identities(NamedTuple):
    """Names that tell who the trap is, in lower case. Immutable and hashable; `|` makes one of two.

    Attributes:
        domains: the trap's; everything below them is the trap's as well.
        addresses: whole ones.
        hosts: names of hosts that receive for it.
        ips: addresses of those.
        words: local parts, and words the configuration protects, that give somebody away alone.
    """

    domains: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    ips: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()

    @classmethod
    def named(cls, names: Iterable[str]) -> "Identities":
        """Sort names of any kind: addresses, domains (also with a leading dot), IP addresses, words.

        Names that say nothing, as "localhost" or what is too short, are left out; so is the local part
        of an address, as a word alone, when it is a word that mail is full of.
        """
        kinds: dict[str, set[str]] = {field: set() for field in cls._fields}
        for said in names:
            name = said.strip().lower().strip(".[]<>")
            if len(name) < SHORTEST or _WILD.intersection(name) or (found := _kind(name)) is None:
                continue
            if len({*name} - _SIGNS) == 1:
                continue  # xxx.xxx is what somebody else has blanked
            kinds[found].add(name)
            if found == "addresses":
                local, _, domain = name.rpartition("@")
                if registrable(domain):
                    kinds["domains"].add(_house(domain))
                kinds["words"].update(_words(local))
        return cls(*(frozenset(kinds[field]) for field in cls._fields))

    @classmethod
    def of(cls, config: Config) -> "Identities":
        """What the configuration tells: domains, addresses, the host's name, listeners, protected names."""
        accept = config.accept
        asked = [*accept.addresses, *(route.rcpt for route in config.route)]
        names = [name.rpartition("@")[2] if _WILD.intersection(name) else name for name in asked]
        patterns = (found[1] for text in accept.patterns if (found := _PATTERN_END.search(text)))
        names += [*accept.domains, *(text.replace("\\", "") for text in patterns), *config.protect]
        hosts = cls.named([config.hostname, *(listener.host for listener in config.listen)])
        return cls.named(names) | hosts._replace(hosts=hosts.hosts | hosts.domains, domains=frozenset())

    def with_message(self, envelope: Envelope, notes: Mapping[str, Any], message: bytes) -> "Identities":
        """These, and what would tell who got one message.

        What its header fields say of recipients is believed where we know the domain, or where the
        client is a server of ours: else a sender could have his own domain hidden.

        Args:
            envelope: of the message; its recipients and the address it came to.
            notes: of the stages; a donor's recipients are the trap's.
            message: its header fields are read.
        """
        headers = Headers(message)
        delivered = [said for name in DELIVERED for said in headers.get_all(name)[:_MAX_FIELDS]]
        received = headers.get_all("received")[:_MAX_FIELDS]
        relayed = is_relay(envelope.client_ip)
        found = self | Identities.named((*envelope.rcpt_tos, *_given_to(notes), envelope.server_ip))
        said = Identities.named(_said(_ADDRESS, delivered) | _said(_FOR, received))
        known = (found | said if relayed else found)._houses()
        ours = [name for name in said.addresses | _said(_BY, received) if _house(name) in known]
        if received and relayed:
            ours += _said(_BY, received[:1])
        more = Identities.named(ours)
        hosts = more.hosts | {name for name in more.domains if name in ours}
        domains = {_house(name) for name in more.addresses} - {""}
        return found | more._replace(hosts=hosts, domains=frozenset(domains))

    def __or__(self, other: object) -> "Identities":
        """Both."""
        if not isinstance(other, Identities):
            return NotImplemented
        return Identities(*(mine | theirs for mine, theirs in zip(self, other, strict=True)))

    def names(self) -> frozenset[str]:
        """All of them, as plain strings."""
        return frozenset().union(*self)

    def _houses(self) -> set[str]:
        """What was registered, of all of them."""
        return {_house(name) for name in (*self.domains, *self.addresses, *self.hosts)} - {""}


def is_relay(client_ip: str) -> bool:
    """Whether the client is a server of ours in front of the trap, or a replay: its Received is ours too."""
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return True  # it came by no network at all
    if address.is_loopback:
        return True
    return any(address in network for network in PRIVATE)


@lru_cache(maxsize=8192)
def _kind(name: str) -> str | None:
    """The field of Identities that a name belongs in; None: it tells nothing."""
    if "@" in name:
        return "addresses" if name.rpartition("@")[0] and len(name) <= 320 else None
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if registrable(name):
            return "domains"
        return None if common(name) else "words"
    return None if address.is_loopback or address.is_unspecified else "ips"


def _words(local: str) -> Iterator[str]:
    """What a local part is known by when it stands alone: itself, and what precedes a plus."""
    for word in {local, local.partition("+")[0]}:
        if len(word) >= SHORTEST and not common(word):
            yield word


def _house(name: str) -> str:
    """What somebody registered, of the domain of an address or host; empty when there is none."""
    return registrable(name.rpartition("@")[2])


def _given_to(notes: Mapping[str, Any]) -> Iterator[str]:
    """Recipients of the mail in which a donor sent this one: addresses of ours that the envelope has lost."""
    for note in notes.values():
        donor = note.get("donor") if isinstance(note, dict) else None
        said = donor.get("rcpts") if isinstance(donor, dict) else None
        yield from (address for address in said or () if isinstance(address, str))


def _said(pattern: re.Pattern[str], fields: list[str]) -> frozenset[str]:
    """What a pattern finds in some header fields, in lower case, and no more than anybody needs to say."""
    found = (text.lower().strip(".") for field in fields for text in pattern.findall(field[:_READ]))
    return frozenset(islice(found, _MAX_SAID))
