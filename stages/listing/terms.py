"""What it takes to be listed, and how lists are published: settings of the stage dnsbl."""

import re
from ipaddress import IPv4Address, IPv4Network

from trap.config import Duration
from trap.units import Base, Share

LISTS = ("addresses", "domains", "files", "backscatter")
"""Who sent, what was advertised, what was attached, and who returns mail that was forged in our name."""

_CODES = IPv4Network("127.0.0.0/8")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.?){1,40}", re.IGNORECASE)
_LONGEST_REASON = 120
_SHORTEST = 60.0
"""Seconds; shorter half-lives and expiries are mistakes."""


class Bar(Base, frozen=True):
    """What it takes to be on one list. As a whole: mail to one trap from one host is no evidence.

    Who could have himself listed by one message to one address would know by that whether it is a trap. So
    several traps are asked for, and of what others put into their mail several networks, too.
    """

    min_score: float = 1.5
    """A hit counts 1 as it comes, and half as much after every half_life: 0.5 is one hit, for a half-life;
    1.5 are two that are not far apart."""
    min_traps: int = 2
    """Different recipients that were hit."""
    min_networks: int = 1
    """Different networks that it came from: autonomous systems where dns noted them, else /24 and /48."""
    half_life: Duration = Duration("24h")
    expire: Duration = Duration("7d")
    """Time without a hit after which it is forgotten, whatever its score."""
    code: str = "127.0.0.2"
    """What the list answers."""

    def check(self, name: str) -> None:
        """Whether it makes sense.

        Args:
            name: of the list.

        Raises:
            ValueError: it does not.
        """
        if not 0 < self.min_score <= 1e6:
            raise ValueError(f"{name}: min_score: {self.min_score:g} is not above 0")
        for what, number in (("min_traps", self.min_traps), ("min_networks", self.min_networks)):
            if not 1 <= number <= MOST_WITNESSES:
                raise ValueError(f"{name}: {what}: {number} is not between 1 and {MOST_WITNESSES}")
        for what, span in (("half_life", self.half_life), ("expire", self.expire)):
            if span < _SHORTEST:
                raise ValueError(f"{name}: {what}: must be a minute at least")
        try:
            good = IPv4Address(self.code) in _CODES and self.code != "127.0.0.1"
        except ValueError:
            good = False
        if not good:
            raise ValueError(
                f"{name}: code: {self.code!r} is no answer of a list; those are 127.0.0.2 and above"
            )


MOST_WITNESSES = 32
"""Traps, and networks, that are remembered of one entry: more would say nothing new."""


class Domains(Bar, frozen=True):
    """The same for domains: anybody can write anybody's name into a mail."""

    min_score: float = 3.5
    min_traps: int = 3
    min_networks: int = 2


class Files(Bar, frozen=True):
    """The same for attached files."""

    min_score: float = 2.5
    min_traps: int = 2
    min_networks: int = 2


class Backscatter(Bar, frozen=True):
    """The same for servers that answer to forged senders: for weeks, most of them, and not often."""

    min_score: float = 2.5
    half_life: Duration = Duration("3d")
    expire: Duration = Duration("14d")


class Lists(Base, frozen=True):
    """The lists; null for one that is not to be."""

    addresses: Bar | None = Bar()
    domains: Domains | None = Domains()
    files: Files | None = Files()
    backscatter: Backscatter | None = Backscatter()

    @property
    def bars(self) -> dict[str, Bar]:
        """What it takes, by list; only of those that are to be."""
        return {name: bar for name in LISTS if (bar := getattr(self, name)) is not None}


class Publication(Base, frozen=True):
    """How lists are published."""

    directory: str = ""
    """Where to; `lists` in the stage's state directory when empty."""
    every: Duration = Duration("5s")
    """A list that has changed is published so often."""
    valid: Duration = Duration("2h")
    """What was published is good for so long: later, rbldnsd stops answering. A living trap renews it."""
    max_change: Share = Share("20%")
    """Of a list, what may come, and what may go, within an hour; more is held."""
    at_least: int = 500
    """So many may, however small the list is."""
    release_after: Duration = Duration("6h")
    """What is held goes out after this time by itself; 0: only when a person says so."""
    ns: list[str] = []  # noqa: RUF012 - msgspec copies it
    """Name servers that the zones name."""
    contact: str = ""
    """Of the zones: a mail address with a dot for its @."""
    reason: str = ""
    """Said behind the reason in TXT records; $ stands for what is listed: "see https://bl.example/?q=$"."""

    def check(self) -> None:
        """Whether it makes sense.

        Raises:
            ValueError: it does not.
        """
        if self.every < 2:
            raise ValueError("publish: every: must be 2s at least: rbldnsd tells files by the second")
        if self.valid < max(_SHORTEST, 4 * self.every):
            raise ValueError("publish: valid: must be a minute, and four times `every`, at least")
        if self.at_least < 0:
            raise ValueError("publish: at_least: must not be below 0")
        for name in (*self.ns, *filter(None, [self.contact])):
            if not _HOST.fullmatch(name) or len(name) > 253:
                raise ValueError(f"publish: {name!r} is not the name of a host")
        if len(self.reason) > _LONGEST_REASON or not (self.reason.isascii() and self.reason.isprintable()):
            raise ValueError(f"publish: reason: must be plain ASCII, {_LONGEST_REASON} characters at most")


class Removal(Base, frozen=True):
    """How who is listed gets himself removed."""

    cool_down: Duration = Duration("12h")
    """Hits do not count for so long after a removal. The next request is heard after twice the time, after
    another removal after four times, and so on."""
    rate: int = 60
    """Requests an hour that are granted, of all together; others wait."""
    requests: str = ""
    """Directory that requests lie in, a file each; `requests` in the stage's state directory when empty."""

    def check(self) -> None:
        """Whether it makes sense.

        Raises:
            ValueError: it does not.
        """
        if self.cool_down < _SHORTEST:
            raise ValueError("removal: cool_down: must be a minute at least")
        if self.rate < 0:
            raise ValueError("removal: rate: must not be below 0")
