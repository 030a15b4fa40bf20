"""Looks up names, for the stages: asynchronous, with a cache, and bounded in all directions.

Answers are kept as long as their TTL says, within limits; that there is none, as long as the zone's SOA
says (RFC 2308); that a name can't be looked up at the moment, for some seconds. Who asks what is being
asked already waits for the same answer.
"""

import asyncio
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

import dns.name
import dns.rcode
import dns.rdatatype

from stages.names.resolver import ANSWERS, Resolver, name_of, seen
from stages.names.wire import Reply
from trap.address import Address
from trap.backend import Backends, Broken, Dialect

MIN_TTL, MAX_TTL = 5.0, 3600.0
"""Seconds that an answer is kept at least and at most."""
SERVFAIL_TTL = 2.0
"""Seconds for which a name that can't be looked up is not asked for again: RFC 9520 wants one at least. Our
resolver keeps failures by itself, and what is well again should be known soon."""
MAX_KEPT = 4096
"""Bytes of records above which an answer is not kept: there are ten thousand."""
MAX_FLYING = 200
"""Questions under way at a time; each has a socket."""

MAX_PATIENCE = 1.0
"""Seconds without an answer after which a resolver has to show, in as many, that it is there."""
PORT = 53
HINT = "start it, or name another one; `dig @ADDRESS . NS` shows what it answers"

Key = tuple[dns.name.Name, str]
Status = Literal["ok", "nxdomain", "nodata", "servfail"]
Record = str | bytes | tuple[int, str]
_RESOLV_CONF = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name.

    Attributes:
        records: addresses (A, AAAA) and names (PTR, NS, CNAME; without the dot at the end) as str,
            texts (TXT) as bytes, put together from their pieces, MX as (preference, name), others as str.
        status: ok; nxdomain: there is no such name; nodata: there is, without such records; servfail: that
            can't be known now, whether its servers answer wrongly or too late.
    """

    records: list[Any] = field(default_factory=list)
    status: Status = "ok"


NOWHERE = Answer(status="nxdomain")
FAILED = Answer(status="servfail")


class Lookup:
    """Asks resolvers.

    Args:
        servers: their addresses: "127.0.0.1", "[::1]:5353"; the first that is there is asked. Those of
            /etc/resolv.conf when not given.
        timeout: seconds for one look-up, whatever happens meanwhile.
        cache: answers that are kept.
        probe: a name of which every resolver knows the name servers; see stages/names/resolver.py.

    Raises:
        ValueError: something is no address.
    """

    def __init__(
        self, servers: str | list[str] = "", timeout: float = 5.0, cache: int = 10_000, probe: str = "."
    ) -> None:
        self.timeout = timeout
        listed = [servers] if isinstance(servers, str) else servers
        listed = [server for server in listed if server] or servers_of_host()
        for server in listed:
            _refuse_names(server)
        proof = name_of(probe) or dns.name.root
        # Twice that, for all of them one after the other, and there is time left.
        patience = min(MAX_PATIENCE, timeout / len(listed) / 3)
        known: dict[Address, Resolver] = {}

        async def resolver(address: Address) -> Resolver:
            return known.setdefault(address, Resolver(address, proof, patience))

        dialect = Dialect("DNS", resolver, Resolver.prove, HINT)
        self.backends = Backends(dialect, listed, timeout, PORT)
        self._cache: OrderedDict[Key, tuple[float, Answer]] = OrderedDict()
        self._most = cache
        self._flying: dict[Key, asyncio.Task[Answer]] = {}
        self._room = asyncio.Semaphore(MAX_FLYING)

    async def query(self, name: str, rdtype: str) -> Answer:
        """Look up a name.

        Args:
            name: as mail has it; what can be no name exists nowhere, and nobody is asked.
            rdtype: "A", "TXT", …

        Raises:
            Unavailable: all resolvers are away.
        """
        asked = name_of(name)
        if asked is None:
            return NOWHERE
        key = (asked, rdtype)
        if answer := self._kept(key):
            return answer
        task = self._flying.get(key)
        if task is None:
            task = self._flying[key] = asyncio.ensure_future(self._fly(key))
            task.add_done_callback(seen)
        return await asyncio.shield(task)  # others may wait for it too

    def known(self, name: str, rdtype: str) -> Answer | None:
        """What `query` would answer without asking anybody; None when it would have to."""
        asked = name_of(name)
        return NOWHERE if asked is None else self._kept((asked, rdtype))

    def _kept(self, key: Key) -> Answer | None:
        until, answer = self._cache.get(key, (0.0, None))
        if time.monotonic() < until:
            self._cache.move_to_end(key)
            return answer
        self._cache.pop(key, None)
        return None

    async def _fly(self, key: Key) -> Answer:
        try:
            answer, ttl = await self._asked(*key)
            self._keep(key, answer, ttl)
            return answer
        finally:
            del self._flying[key]

    async def _asked(self, name: dns.name.Name, rdtype: str) -> tuple[Answer, float]:
        kind = dns.rdatatype.from_text(rdtype)
        try:
            async with asyncio.timeout(self.timeout), self._room:
                # Backends end when it is clear that somebody is there: a name may take longer.
                exchange = await self.backends.ask(lambda resolver: resolver.ask(name, kind))
                exchange.add_done_callback(seen)
                return told(await exchange)
        except (TimeoutError, OSError, Broken):
            return FAILED, SERVFAIL_TTL

    def _keep(self, key: Key, answer: Answer, ttl: float) -> None:
        if sum(len(record) for record in answer.records) > MAX_KEPT:
            return
        self._cache[key] = (time.monotonic() + ttl, answer)
        while len(self._cache) > self._most:
            self._cache.popitem(last=False)


def told(reply: Reply) -> tuple[Answer, float]:
    """What a resolver's reply says of a name, and for how many seconds that holds."""
    # Aliases without an end, records of what does not exist.
    absurd = reply.endless or (reply.records and reply.rcode == dns.rcode.NXDOMAIN)
    if absurd or reply.rcode not in ANSWERS:
        return FAILED, SERVFAIL_TTL
    ttl = min(max(float(reply.ttl or 0), MIN_TTL), MAX_TTL)
    if reply.records:
        return Answer([_record(data) for data in reply.records]), ttl
    return Answer(status="nxdomain" if reply.rcode == dns.rcode.NXDOMAIN else "nodata"), ttl


def _record(data: Any) -> Record:
    match data.rdtype:
        case dns.rdatatype.TXT | dns.rdatatype.SPF:
            return b"".join(data.strings)
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return str(data.address)
        case dns.rdatatype.PTR | dns.rdatatype.NS | dns.rdatatype.CNAME:
            return str(data.target.to_text(omit_final_dot=True))
        case dns.rdatatype.MX:
            return data.preference, str(data.exchange.to_text(omit_final_dot=True))
    return str(data.to_text())


def servers_of_host() -> list[str]:
    """The resolvers that this host uses; its own when it names none (resolv.conf(5))."""
    try:
        with open(_RESOLV_CONF, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        lines = []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"] or ["127.0.0.1"]


def _refuse_names(server: str) -> None:
    """A resolver is named by its address: who would look up its name?"""
    address = Address.parse(server, PORT)
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        expected = "192.0.2.1 or [2001:db8::1]:53"
        raise ValueError(f"{server!r} is not the address of a resolver; write {expected}") from None
    if address.tls:
        raise ValueError(f"{server!r}: resolvers are asked without TLS; put one on loopback that uses it")
