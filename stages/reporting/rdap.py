"""Asks regional registries whom they know as the abuse contact of an address (RDAP, RFC 9082 and 9083).

Which registry knows a network stands in IANA's bootstrap files (RFC 9224), which an operator fetches now and
then, or in the setting `servers`. Nobody else is asked: a redirection is followed only to a server that is
listed there. One question is under way at a time, so many an hour, all of it within one deadline, and the
answers are kept in a file (stages/reporting/rdapstore.py).
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

import msgspec

from stages.clients.http import Answer, Endpoint, Session
from stages.names.blocklists import Address
from stages.names.relays import Network, is_public
from stages.reporting.rdapanswer import NotAnswered, read
from stages.reporting.rdapstore import Known, Store
from trap.backend import Broken, Finding
from trap.config import Duration
from trap.envelope import printable

log = logging.getLogger("spamtrap.rdap")

MAX_FILE = 8 << 20
"""Bytes of a bootstrap file; IANA's have 10 kB."""
MAX_ANSWER = 512 << 10
"""Bytes of an answer that are read; usual ones have 10 kB."""
MAX_REDIRECTS = 3
REST, LONGEST_REST = 300.0, 3600.0
"""Seconds for which a server that failed is left alone; the longest that one may ask for."""
FIELDS = [("Accept", "application/rdap+json")]


class Registries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The setting `rdap:`."""

    bootstrap: list[str] = []
    """IANA's files, ipv4.json and ipv6.json."""
    servers: dict[str, str] = {}
    """URLs by network, before those of the files: {"192.0.2.0/24": "https://rdap.example/"}."""
    timeout: Duration = Duration("10s")
    """For finding out one address, whatever happens."""
    keep: Duration = Duration("7d")
    """How long an answer is believed."""
    keep_none: Duration = Duration("1d")
    """The same, of one that names nobody."""
    rate: int = 200
    """Questions an hour, of all workers together."""
    daily: int = 20
    """Campaigns a day that one address is told of which only registries name: whoever has a network writes
    there whom he likes, and could have mail of his own sent to him as reports."""

    def check(self) -> None:
        """Whether they make sense.

        Raises:
            ValueError: they don't.
        """
        for setting, number in (("rate", self.rate), ("daily", self.daily)):
            if number < 1:
                raise ValueError(f"rdap: {setting}: should be 1 or more")
        if not self.bootstrap and not self.servers:
            raise ValueError("rdap: nobody is to be asked: set bootstrap or servers")


class _Bootstrap(msgspec.Struct):
    """What is read of a bootstrap file (RFC 9224, section 3)."""

    services: list[tuple[list[str], list[str]]]


class _Server(NamedTuple):
    """Who knows a network."""

    network: Network
    url: str


class _NotAsked(NotAnswered):
    """A server was not even asked."""


class Rdap:
    """Asks for contacts.

    Args:
        registries: who is asked, and how often.
        path: of the file in which answers are kept.

    Raises:
        ValueError: a setting or a bootstrap file makes no sense.
        OSError: the file of answers can't be used.
    """

    def __init__(self, registries: Registries, path: Path) -> None:
        registries.check()
        self._registries = registries
        self._servers: dict[Network, str] = {}
        for file in registries.bootstrap:
            self._servers.update(_bootstrap(Path(file)))
        self._servers.update(_named(registries.servers.items(), "servers"))
        self._store = Store(path)
        self._resting: dict[str, float] = {}
        self._one = asyncio.Lock()

    async def contacts(self, address: Address) -> list[str] | None:
        """Addresses that get reports about an IP address.

        Returns:
            None when nobody can tell now.
        """
        if not is_public(address):
            return []
        known = self._store.find(address)
        if known and not self._is_old(known):
            return known.contacts
        try:
            async with asyncio.timeout(self._registries.timeout), self._one:
                known = self._store.find(address)  # somebody may have asked meanwhile
                if known and not self._is_old(known):
                    return known.contacts
                return await self._ask(address)
        except TimeoutError:
            log.warning("no registry told of %s within %g s", address, self._registries.timeout)
        except _NotAsked as error:
            log.debug("no registry is asked about %s: %s", address, error)
        except NotAnswered as error:
            log.warning("no registry tells of %s: %s", address, printable(str(error)))
        return known.contacts if known else None

    def may_tell(self, contact: str, campaign: str) -> bool:
        """Whether a contact that a registry named may be told of one more campaign today."""
        may = self._store.may_tell(contact, campaign, self._registries.daily)
        if not may:
            log.info("%s is told of no more than %d campaigns a day", contact, self._registries.daily)
        return may

    def findings(self) -> list[Finding]:
        """For `spamtrap doctor`: what was read of registries."""
        told = f"{len(self._servers)} networks of {len(set(self._servers.values()))} registries"
        return [Finding("rdap", good=True, text=told)]

    def close(self) -> None:
        """Close the file of answers."""
        self._store.close()

    def _is_old(self, known: Known) -> bool:
        keep = self._registries.keep if known.contacts else self._registries.keep_none
        return not 0 <= time.time() - known.at < keep

    async def _ask(self, address: Address) -> list[str]:
        """Ask the registry that knows the network.

        Raises:
            NotAnswered: it did not tell.
        """
        server = self._server(address)
        if server is None:
            return []
        if self._resting.get(server.url, 0.0) > time.monotonic():
            raise _NotAsked(f"{server.url} failed lately")
        if not self._store.may_ask(self._registries.rate):
            raise _NotAsked(f"{self._registries.rate} questions an hour have been asked")
        try:
            networks, contacts = await self._answer(server, address)
        except (NotAnswered, OSError, Broken) as error:
            self._rest(server.url, REST)
            raise NotAnswered(f"{server.url}: {error or type(error).__name__}") from None
        except asyncio.CancelledError:  # it was the deadline
            self._rest(server.url, REST)
            raise
        self._store.keep(address, networks, contacts)
        return contacts

    def _rest(self, url: str, seconds: float) -> None:
        until = time.monotonic() + min(seconds, LONGEST_REST)
        self._resting[url] = max(until, self._resting.get(url, 0.0))

    def _server(self, address: Address) -> _Server | None:
        for bits in range(address.max_prefixlen, -1, -1):
            network = ip_network((address, bits), strict=False)
            if network in self._servers:
                return _Server(network, self._servers[network])
        return None

    async def _answer(self, server: _Server, address: Address) -> tuple[list[Network], list[str]]:
        url = f"{server.url.rstrip('/')}/ip/{address}"
        alone = [ip_network(address)]
        for _ in range(MAX_REDIRECTS + 1):
            answer = await _get(url)
            if answer.status in (301, 302, 303, 307, 308):
                url = _pointed(url, answer.field("location"))
                if not any(url.startswith(f"{each.rstrip('/')}/") for each in self._servers.values()):
                    log.info("not followed, as it is none of the servers: %s", printable(url[:200]))
                    return alone, []
            elif answer.status == 404:
                return alone, []
            elif answer.status == 200 and answer.whole:
                return read(answer.body, address, server.network)
            else:
                self._rest(server.url, answer.pause)
                raise NotAnswered(answer.said if answer.whole else f"more than {MAX_ANSWER} bytes")
        raise NotAnswered("redirections without an end")


def _pointed(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError as error:
        raise NotAnswered(f"points to {printable(target)[:100]}: {error}") from None


async def _get(url: str) -> Answer:
    try:
        endpoint = Endpoint.parse(url)
    except ValueError as error:
        raise NotAnswered(str(error)) from None
    with closing(await Session.open(endpoint.address, endpoint.host)) as session:
        return await session.ask("GET", endpoint.target, FIELDS, most=MAX_ANSWER)


def _bootstrap(path: Path) -> dict[Network, str]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"rdap: bootstrap: {path}: {(error.strerror or str(error)).lower()}") from None
    try:
        services = msgspec.json.decode(data, type=_Bootstrap).services
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"rdap: bootstrap: {path}: no file of IANA's: {error}") from None
    pairs = (
        (prefix, next((url for url in urls if url.startswith("https:")), urls[0] if urls else ""))
        for prefixes, urls in services
        for prefix in prefixes
    )
    return _named(pairs, f"bootstrap: {path}")


def _named(pairs: Iterable[tuple[str, str]], where: str) -> dict[Network, str]:
    found: dict[Network, str] = {}
    for prefix, url in pairs:
        try:
            Endpoint.parse(url)
            found[ip_network(prefix)] = url
        except ValueError as error:
            raise ValueError(f"rdap: {where}: {prefix}: {error}") from None
    return found
