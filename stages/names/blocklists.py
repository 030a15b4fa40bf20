"""Lists of addresses and of domains that are published by DNS (RFC 5782), and what their answers mean.

A list answers with addresses in 127.0.0.0/8, each of which is a reason. Others mean that somebody
between us and the list has an answer to everything. Some are no reason but a refusal: they are for who asks
too much, or through a resolver that the whole world uses. Who refuses is left alone for a while; who has
no answer time after time is asked no more than once in a few seconds, for which no message waits long.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import Literal

import msgspec

from stages.names.lookup import Answer, Lookup
from stages.names.resolver import seen
from stages.shared.suffixes import registrable
from trap.archive.links import host
from trap.backend import Finding
from trap.envelope import printable
from trap.stage import Unavailable

log = logging.getLogger("spamtrap.dns")

LEFT_ALONE = 300.0
"""Seconds for which a list that refuses is not asked."""
PAUSE = 3.0
"""Seconds between two questions to one that has no answers."""
PATIENCE = 1.0
"""Seconds that a message waits for the answer to such a question."""
FAILURES = 10
"""Answers in a row that never came, after which it has none."""
MAX_CODES = 10

TEST_ADDRESSES = "2.0.0.127", "1.0.0.127"
TEST_DOMAINS = "test", "invalid"
"""What a list holds, and what it does not, to be tested by (RFC 5782, 5)."""

Address = IPv4Address | IPv6Address

_REASONS = IPv4Network("127.0.0.0/8")
# Spamhaus: 127.255.255.x; its domain list, of an address: 127.0.1.255. SURBL, URIBL: 127.0.0.1, which
# RFC 5782 leaves to nobody.
_REFUSALS = (IPv4Network("127.255.255.0/24"), IPv4Network("127.0.1.255"), IPv4Network("127.0.0.1"))


class NoAnswer(Exception):
    """What was asked for can't be known now."""


class Zone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list, as it is configured."""

    zone: str
    """Where it is published: "bl.example"."""
    codes: dict[str, str] = {}
    """What its answers are called in the notes: {127.0.0.2: SBL}; their addresses when not set."""
    bits: dict[int, str] = {}
    """The same for lists whose answers' last byte is a sum: {2: spam, 8: phish}."""
    ask: Literal["domain", "host"] = "domain"
    """Of a list of domains: whether it knows what was registered, or every host by itself."""
    senders: bool = True
    """Of a list of domains: whether it is asked about HELO, MAIL FROM and From, too."""
    addresses: bool = False
    """Of a list of domains: whether it is to be asked about addresses that stand in URLs, too."""
    test: str = ""
    """An entry that it holds, for `spamtrap doctor`; those that RFC 5782 asks for when not set."""
    ipv6: bool = True
    """Of a list of addresses: whether it knows those of IPv6."""


def zone_of(setting: str | Zone) -> Zone:
    """A list, written out or only by its zone.

    Raises:
        ValueError: it makes no sense.
    """
    zone = Zone(setting) if isinstance(setting, str) else setting
    if not host(zone.zone):
        raise ValueError(f"{zone.zone!r} is not the zone of a list; write it like bl.example")
    for code in zone.codes:
        try:
            known = IPv4Address(code) in _REASONS
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"{zone.zone}: {code!r} is no answer of a list; those begin with 127.")
    if not all(0 < bit < 256 for bit in zone.bits):
        raise ValueError(f"{zone.zone}: bits are numbers from 1 to 255")
    return zone


class Blocklist:
    """A list that is asked.

    Args:
        zone: which one.
        lookup: who asks.
    """

    def __init__(self, zone: Zone, lookup: Lookup) -> None:
        self.zone = zone
        self.name = zone.zone
        self.refusal = ""
        """With what it refused lately."""
        self._lookup = lookup
        self._failures = 0
        self._until = 0.0
        self._trials: set[asyncio.Task[list[str]]] = set()

    async def about_address(self, address: Address) -> list[str]:
        """Why an address is listed; nothing when it is not, or is none that this list knows.

        Raises:
            NoAnswer: that can't be known now.
            Unavailable: all resolvers are away.
        """
        if address.version == 6 and not self.zone.ipv6:
            return []
        return await self._ask(reverse(address))

    async def about_host(self, name: str) -> list[str]:
        """The same of a domain or host, as `asked` gives it."""
        address = _literal(name)
        return await self._ask(reverse(address) if address else name)

    def asked(self, name: str) -> str:
        """What this list is asked about a host: its domain, its name, its address; "" for nothing."""
        if _literal(name):
            return name if self.zone.addresses else ""
        return name if self.zone.ask == "host" else registrable(name)

    async def check(self, listed: str, unlisted: str) -> Finding:
        """Ask for the two entries by which a list shows that it is there, and lists not everything.

        Args:
            listed: what every list of this kind holds, as it stands in front of the zone.
            unlisted: what none does.
        """
        listed = self.zone.test or listed
        try:
            found, wrong = [
                await self._lookup.query(f"{name}.{self.name}", "A") for name in (listed, unlisted)
            ]
        except Unavailable:
            return Finding(self.name, good=False, text="no resolver answers")
        if "servfail" in (found.status, wrong.status):
            trouble = "has no answer; look whether its zone is written right, and whether it is still there"
        elif refusal := next((str(code) for code in _codes(found) if _refuses(code)), ""):
            trouble = f"refuses us ({refusal}); ask through a resolver of your own, or with a key of theirs"
        elif not _codes(found):
            trouble = (
                f"does not know the test entry {listed}; is the zone written right? Or set `test` to another"
            )
        elif _codes(wrong):
            trouble = f"lists everything, {unlisted} too; it was given up, or somebody answers in its place"
        else:
            return Finding(self.name, good=True, text="knows its test entries")
        return Finding(self.name, good=False, text=trouble)

    async def _ask(self, asked: str) -> list[str]:
        name = f"{asked}.{self.name}"
        left_alone = time.monotonic() < self._until
        if left_alone and self.refusal:
            return []
        if known := self._lookup.known(name, "A"):  # which tells nothing of the list as it is now
            if known.status == "servfail":
                raise NoAnswer
            return self._read(known)
        if left_alone:
            raise NoAnswer
        if self._failures >= FAILURES:
            return await self._try(name)
        return await self._hear(name)

    async def _try(self, name: str) -> list[str]:
        """Ask a list that had no answers. The question goes on when the message has gone."""
        self._until = time.monotonic() + PAUSE
        trial = asyncio.ensure_future(self._hear(name))
        self._trials.add(trial)
        trial.add_done_callback(self._trials.discard)
        trial.add_done_callback(seen)
        await asyncio.wait([trial], timeout=PATIENCE)
        if not trial.done():
            raise NoAnswer
        return trial.result()

    async def _hear(self, name: str) -> list[str]:
        answer = await self._lookup.query(name, "A")
        if answer.status == "servfail":
            self.late()
            raise NoAnswer
        if self._failures >= FAILURES:
            log.warning("%s has answers again", self.name)
        self._failures, self._until = 0, 0.0
        return self._read(answer)

    def late(self) -> None:
        """Note that an answer did not come."""
        self._failures += 1
        if self._failures == FAILURES:
            log.warning("%s has no answers: it is asked again every %g s", self.name, PAUSE)
            self.refusal, self._until = "", time.monotonic() + PAUSE

    def _read(self, answer: Answer) -> list[str]:
        codes = _codes(answer)
        if refusal := next((str(code) for code in codes if _refuses(code)), ""):
            if not self.refusal:
                log.warning("%s refuses to answer (%s): it is left alone for a while", self.name, refusal)
            self.refusal, self._until = refusal, time.monotonic() + LEFT_ALONE
            return []
        self.refusal = ""
        return list(dict.fromkeys(name for code in codes for name in self._names(code)))[:MAX_CODES]

    def _names(self, code: IPv4Address) -> Iterator[str]:
        bits = [word for bit, word in self.zone.bits.items() if int(code) & bit]
        yield from map(printable, bits or [self.zone.codes.get(str(code), str(code))])


def reverse(address: Address) -> str:
    """An address as it stands in front of a zone (RFC 5782, 2.1 and 2.4).

    >>> reverse(ip_address("192.0.2.99")), reverse(ip_address("2001:db8::1"))[:15]
    ('99.2.0.192', '1.0.0.0.0.0.0.0')
    """
    return address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def _codes(answer: Answer) -> list[IPv4Address]:
    return sorted(code for record in answer.records if (code := IPv4Address(record)) in _REASONS)


def _refuses(code: IPv4Address) -> bool:
    return any(code in network for network in _REFUSALS)


def _literal(name: str) -> Address | None:
    try:
        return ip_address(name.strip("[]"))
    except ValueError:
        return None
