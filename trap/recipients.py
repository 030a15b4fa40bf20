"""Which recipients the trap accepts, how they are tagged, and in which queue their mail begins.

The most precise word of the configuration wins: an address as written, then an address with
wildcards, then a pattern, then the domain itself, then the nearest domain above it. Case never
matters for the choice; what is recorded is what the client said.

A server that knows everybody is no ordinary one, so a share of the addresses that only a domain, or
nothing at all, speaks for can be refused. A keyed hash chooses them: always the same, by a choice
that nobody foresees.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from trap.config import Config, Tagged

REMEMBERED = 4096
"""Addresses whose answer is kept at hand: a campaign names the same ones again and again."""
MAX_RCPTS_SIZE = 1 << 17
"""Characters of all recipients of a message: they are held in memory for as long as it takes."""
MAX_REMEMBERED = 320
"""Characters of such an address at most."""


class Accepted(NamedTuple):
    """What is decided about an accepted recipient."""

    tag: str
    """Kind of trap, "" when the configuration names none."""
    queue: str
    """The queue its mail begins in."""


class Recipients:
    """Answers for one configuration.

    Args:
        config: its accept and route parts are used, and paths.state when a share is refused.

    Raises:
        ValueError: a pattern is no regular expression, or a route leads to no queue.
        OSError: the secret that chooses the share can't be read or made.
    """

    def __init__(self, config: Config) -> None:
        accept = config.accept
        self._everything = not (accept.domains or accept.addresses or accept.patterns)
        self._addresses = {a.lower(): v.tag for a, v in accept.addresses.items() if not _wild(a)}
        self._matchers = [(_glob(a), v.tag) for a, v in accept.addresses.items() if _wild(a)]
        self._matchers += _compiled(accept.patterns)
        self._domains = {name.lower().lstrip("."): v.tag for name, v in accept.domains.items()}
        self._parents = {
            name.lower().lstrip("."): v.tag for name, v in accept.domains.items() if name.startswith(".")
        }
        self._refused = int(accept.refuse_unknown * (1 << 64))
        self._key = b""
        if self._refused:
            from trap import keys  # noqa: PLC0415 - hashes are for those who refuse: `inject` is in a hurry

            self._key = keys.key(config.paths.state, "unknown")
        self._first = config.first
        self._routes = []
        for route in config.route:
            if route.to not in config.queues:
                raise ValueError(f"route: no queue {route.to!r}; there are {', '.join(config.queues)}")
            self._routes.append((_glob(route.rcpt), _glob(route.listener), route.to))
        self._remembered = lru_cache(REMEMBERED)(self._decide)

    def lookup(self, address: str, listener: str) -> Accepted | None:
        """Decide about one recipient.

        Args:
            address: as the client said it, without angle brackets.
            listener: name of the listener it was said to.

        Returns:
            None when the trap does not accept it.
        """
        # Nothing longer is remembered, or an attacker fills the memory with it.
        return (self._remembered if len(address) <= MAX_REMEMBERED else self._decide)(address, listener)

    @property
    def anyhow(self) -> Accepted:
        """What is decided about one that the trap does not accept, where it can't be refused any more."""
        return Accepted("", self._first)

    def _decide(self, address: str, listener: str) -> Accepted | None:
        plain = normal(address)
        tag = self._tag_by_name(plain)
        if tag is None:
            tag = self._tag_by_domain(plain)
            if tag is None or (self._refused and self._is_refused(plain)):
                return None
        for rcpt, name, queue in self._routes:
            if rcpt.fullmatch(plain) and name.fullmatch(listener.lower()):
                return Accepted(tag, queue)
        return Accepted(tag, self._first)

    def _tag_by_name(self, address: str) -> str | None:
        if (tag := self._addresses.get(address)) is not None:
            return tag
        for matcher, tag in self._matchers:
            if matcher.fullmatch(address):
                return tag
        return None

    def _tag_by_domain(self, address: str) -> str | None:
        domain = address.rpartition("@")[2] if "@" in address else ""
        if (tag := self._domains.get(domain)) is not None:
            return tag
        while self._parents and domain:
            domain = domain.partition(".")[2]
            if (tag := self._parents.get(domain)) is not None:
                return tag
        return "" if self._everything else None

    def _is_refused(self, address: str) -> bool:
        """Whether an address is in the share that is refused; the postmaster never is (RFC 5321, 4.5.1)."""
        if address.partition("@")[0] == "postmaster":
            return False
        from hashlib import blake2b  # noqa: PLC0415 - as above

        said = address.encode("utf-8", "surrogatepass")
        chance = blake2b(said, key=self._key, digest_size=8).digest()
        return int.from_bytes(chance, "big") < self._refused


def normal(address: str) -> str:
    """The address as it is compared: lower case, no source route (RFC 5321 C), no dot at its end."""
    if address.startswith("@") and ":" in address:
        address = address.partition(":")[2]
    return address.lower().rstrip(".")


def _wild(address: str) -> bool:
    return "*" in address or "?" in address


def _glob(text: str) -> re.Pattern[str]:
    """* and ? only: a bracket may be part of an address literal."""
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(c) or re.escape(c) for c in text.lower()), re.DOTALL)


def _compiled(patterns: dict[str, Tagged]) -> Iterable[tuple[re.Pattern[str], str]]:
    for pattern, tagged in patterns.items():
        try:
            yield re.compile(pattern), tagged.tag
        except re.error as error:
            raise ValueError(f"accept: {pattern!r} is not a regular expression: {error}") from None
