"""What must never be listed, whatever evidence there is: large senders, private networks, ourselves, friends.

Who knows a trap can feed it with anything: so what is here is no matter of thresholds. It is looked at when
evidence comes in, and again when a list is published, as what is allowed may have changed since.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path

from stages.listing.names import Named, is_suffix, named
from stages.names.relays import Network, is_public
from stages.reporting.senders import LargeSenders
from stages.shared.suffixes import registrable
from trap import fsio
from trap.envelope import printable
from trap.redaction.identities import Identities
from trap.redaction.search import Searcher

MAX_FILE = 16 << 20
"""Bytes of a file of what is allowed."""
_REMEMBERED = 1 << 18
"""Answers that are kept: an address costs 50 µs, and lists are looked through every few seconds."""

log = logging.getLogger("spamtrap.dnsbl")


class Entries:
    """What somebody allows: addresses, networks, domains with all below them, files.

    Args:
        said: one of them each, and where it stands, for errors.

    Raises:
        ValueError: something is none of these; as text, where it stands, and what it is.
    """

    def __init__(self, said: Iterable[tuple[str, str]] = ()) -> None:
        self._keys: set[str] = set()
        self._networks: dict[tuple[int, int], set[int]] = {}
        for where, text in said:
            found = named(text)
            if found is None:
                raise ValueError(
                    f"{where}{text!r} is neither an address, a network, a domain nor a sha256 or md5"
                )
            if found.kind in ("network", "address"):
                network = ip_network(found.key)
                shift = network.max_prefixlen - network.prefixlen
                prefixes = self._networks.setdefault((network.version, shift), set())
                prefixes.add(int(network.network_address) >> shift)
            else:
                self._keys.add(found.key)

    def hold(self, thing: Named, also: str = "") -> bool:
        """Whether something is among them, or a network is that it is in.

        Args:
            thing: what.
            also: another check sum of the same file.
        """
        if not (self._networks if thing.kind == "address" else self._keys):
            return False
        if thing.kind == "address":
            network = ip_network(thing.key)
            number, own = int(network.network_address), network.max_prefixlen - network.prefixlen
            return any(
                number >> shift in prefixes
                if shift >= own
                else any(prefix >> (own - shift) == number >> own for prefix in prefixes)
                for (version, shift), prefixes in self._networks.items()
                if version == network.version
            )
        return thing.key in self._keys or bool(also and also in self._keys)


class Operators:
    """What the setting `allow` names: some of them, or a file with one a line, read again when it changes.

    Args:
        allow: what is allowed, or the path of a file.

    Raises:
        ValueError: something is nothing that can be allowed; of a file, with its line.
        OSError: the file can't be read.
    """

    def __init__(self, allow: str | Sequence[str]) -> None:
        self._path = Path(allow) if isinstance(allow, str) and allow else None
        self._seen = self._stamp()
        self._trouble = ""
        lines = self._lines() if self._path else (("", text) for text in allow)
        self.entries = Entries(lines)

    def refresh(self) -> None:
        """Read the file again if it has changed; of one with a mistake, what it held before stays."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self.entries = Entries(self._lines())
            self._trouble = ""
        except (ValueError, OSError) as error:
            if self._trouble != (trouble := str(error)):  # this is asked every second
                log.error("%s; what was allowed before still is", printable(trouble))
            self._trouble = trouble

    def _stamp(self) -> tuple[int, int, int]:
        if self._path is None:
            return 0, 0, 0
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _lines(self) -> Iterator[tuple[str, str]]:
        path = self._path or Path()
        if path.stat().st_size > MAX_FILE:
            raise ValueError(f"{path}: more than {MAX_FILE >> 20} MB of what is allowed")
        text = fsio.read(str(path)).decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if said := line.partition("#")[0].strip():
                yield f"{path}:{number}: ", said


class Allowed:
    """Says why something is not to be listed.

    Args:
        operators: what the configuration allows.
        trusted: networks of our own.
        identities: who the trap is.
    """

    def __init__(self, operators: Operators, trusted: Sequence[Network], identities: Identities) -> None:
        self._operators = operators
        self._trusted = trusted
        self._large = LargeSenders()
        self._ours = [network for text in identities.ips if (network := _network(text))]
        names = {
            *identities.domains,
            *identities.hosts,
            *(a.rpartition("@")[2] for a in identities.addresses),
        }
        self._our_domains = frozenset(registrable(name) or name for name in names)
        self._searcher = Searcher(identities)
        self._why = lru_cache(_REMEMBERED)(self._look)

    def why(self, thing: Named, also: str = "", persons: Entries | None = None) -> str:
        """Why it is not to be listed; "" when it may be.

        Args:
            thing: what.
            also: another check sum of the same file.
            persons: what was allowed by hand.
        """
        if self._operators.entries.hold(thing, also) or (persons and persons.hold(thing, also)):
            return "allowed"
        return self._why(thing)

    def why_client(self, ip: str, ptr: str) -> str:
        """The same of a client by its name, which has to be one that was looked up and has this address."""
        return self._large.owns_ip(ip, ptr) if ptr else ""

    def _look(self, thing: Named) -> str:
        if any(True for _ in self._searcher.find(thing.key.encode())):
            return "our own"  # or it spells us, were it backwards: what is published must name no trap
        if thing.kind == "address":
            return self._why_address(thing.key)
        return self._why_domain(thing.key) if thing.kind == "domain" else ""

    def _why_address(self, key: str) -> str:
        network = ip_network(key)
        address = network.network_address
        if not is_public(address):
            return "private or special"
        if any(_overlap(network, ours) for ours in (*self._trusted, *self._ours)):
            return "our own"
        return self._large.overlaps(network)

    def _why_domain(self, key: str) -> str:
        if is_suffix(key):
            return "people register below it"
        if owner := self._large.owns_domain(key):
            return owner
        return "our own" if key in self._our_domains else ""


def _network(text: str) -> Network | None:
    try:
        return ip_network(ip_address(text))
    except ValueError:
        return None


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
