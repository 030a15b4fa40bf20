"""A name server of our own for tests, in the test's own event loop, that does whatever is wanted of it."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Said = bytes | dns.message.Message
Reply = Said | Sequence[Said] | None
Mood = Callable[["NameServer", dns.message.Message, bool], Awaitable[Reply]]
"""How it answers a question, over UDP or (True) over TCP; None: it does not;
several: it says them one after the other."""

SOA = "ns.invalid. nobody.invalid. 1 3600 600 86400 {ttl}"


class NameServer:
    """It knows some records, and that there are no others.

    Args:
        records: "a.example. 60 A 192.0.2.1", full names, any type.
        ttl: of answers that there is none.

    Attributes:
        mood: how it answers, `truthfully` at first.
        asked: how often for which name and type, over UDP or TCP.
    """

    def __init__(self, records: Iterable[str], ttl: int = 60) -> None:
        self.mood: Mood = truthfully
        self.asked: Counter[str] = Counter()
        self.port = 0
        self.soa = SOA.format(ttl=ttl)
        self._known: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
        for record in records:
            name, ttl_, kind, data = record.split(" ", 3)
            made = dns.rrset.from_text(name, int(ttl_), "IN", kind, data)
            held = self._known.setdefault((made.name, made.rdtype), made)
            held.update(made)

    @property
    def address(self) -> str:
        """As settings write it."""
        return f"127.0.0.1:{self.port}"

    def truth(self, query: dns.message.Message) -> dns.message.Message:
        """What there is of a name; aliases are followed."""
        answer = dns.message.make_response(query)
        name, kind = query.question[0].name, query.question[0].rdtype
        for _ in range(20):
            if found := self._known.get((name, kind)):
                answer.answer.append(found)
                return answer
            alias = self._known.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            answer.answer.append(alias)
            name = alias[0].target
        if not any(known == name for known, _ in self._known):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        answer.authority.append(dns.rrset.from_text(".", 3600, "IN", "SOA", self.soa))
        return answer

    async def reply(self, wire: bytes, tcp: bool) -> list[bytes]:
        """What is said to a question."""
        query = dns.message.from_wire(wire)
        asked = query.question[0]
        self.asked[f"{asked.name} {dns.rdatatype.to_text(asked.rdtype)}"] += 1
        said = await self.mood(self, query, tcp)
        every = [said] if isinstance(said, Said) else said or []
        return [each if isinstance(each, bytes) else each.to_wire(max_size=65535) for each in every]


async def truthfully(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
    """As a name server should."""
    return server.truth(query)


async def silently(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
    """As one whose packets get lost."""
    return None


def saying(rcode: dns.rcode.Rcode) -> Mood:
    """Answers everything with a code."""

    async def mood(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        answer = dns.message.make_response(query)
        answer.set_rcode(rcode)
        return answer

    return mood


def except_for(word: str, other: Mood) -> Mood:
    """Truthful but about names with a word in them."""

    async def mood(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        concerned = word in str(query.question[0].name)
        return await (other if concerned else truthfully)(server, query, tcp)

    return mood


def late(seconds: float) -> Mood:
    """Truthful, after a while."""

    async def mood(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        await asyncio.sleep(seconds)
        return server.truth(query)

    return mood


async def cut_off(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
    """Truthful over TCP, and over UDP only that it is more than fits."""
    answer = server.truth(query)
    if not tcp:
        answer.answer.clear()
        answer.flags |= dns.flags.TC
    return answer


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        for answer in await self._server.reply(data, False):
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def name_server(*records: str, ttl: int = 60) -> AsyncIterator[NameServer]:
    """One that listens on loopback, over UDP and TCP."""
    server = NameServer(records, ttl)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            for answer in await server.reply(await reader.readexactly(length), True):
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()

    loop = asyncio.get_running_loop()
    streams = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = streams.sockets[0].getsockname()[1]
    datagrams, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(server), local_addr=("127.0.0.1", server.port)
    )
    async with streams:
        try:
            yield server
        finally:
            datagrams.close()
