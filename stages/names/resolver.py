"""One resolver, asked over UDP, and over TCP when its answer was cut off.

Whoever writes mail chooses names, and with them who answers: how slow, how wrong, how long. So nothing
that is said about a name speaks against the resolver. When a name has no answer in time, or only an
error such as SERVFAIL, the resolver is asked for a name that always has one. If that is answered, the
name is to blame; if not, the resolver is away.

Sockets are connected: the kernel then tells at once that nobody listens, and keeps answers from anyone
else away. Each question has a socket, and with it a port, and an id of its own (RFC 5452).
"""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from stages.names.wire import NoReply, Reply, read
from trap.address import Address
from trap.backend import Broken

PAYLOAD = 1232
"""Bytes of the longest answer that is taken over UDP: none of this size is ever cut in pieces (RFC 9715)."""
MAX_NAME = 253
MAX_LABEL = 63

AGAIN = 3.0
"""Seconds after which a question is sent again at the latest, and a connection without an answer given up
for another: what was silent may have come back, and what was lost never will."""

_MAX_DATAGRAM = 65535
ANSWERS = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
"""What says something of a name; the other codes say something of those who were asked."""

Exchange = asyncio.Task[Reply]
"""A question under way, or answered."""


def name_of(text: str) -> dns.name.Name | None:
    """The name that a text stands for; None when it can be none, and needn't be asked for.

    Names come from mail. What DNS can't hold, or only with escapes, exists nowhere: empty labels,
    long ones, control characters, backslashes.

    >>> str(name_of("Bücher.Example.")), name_of("a..example"), name_of("a\\\\.example")
    ('xn--bcher-kva.example.', None, None)
    """
    text = text.removesuffix(".") if len(text) <= MAX_NAME + 1 else ""
    labels = text.lower().split(".")
    try:
        if not text.isascii():  # after which there may be more labels: IDNA knows other dots
            labels = [label if label.isascii() else label.encode("idna").decode("ascii") for label in labels]
            labels = ".".join(labels).split(".")
        raw = [label.encode("ascii") for label in labels]
    except UnicodeError:
        return None
    wrong = any(not 0 < len(label) <= MAX_LABEL or not _visible(label) for label in raw)
    if wrong or sum(map(len, raw)) + len(raw) > MAX_NAME + 1:
        return None
    return dns.name.Name((*raw, b""))


def _visible(label: bytes) -> bool:
    return all(0x20 < byte < 0x7F and byte != 0x5C for byte in label)


class Resolver:
    """One resolver, which is a session of its own: there is nothing to connect for.

    Args:
        address: where it is.
        proof: a name that it always knows something of; its name servers (NS) are asked for.
        patience: seconds after which a question is sent again, and the resolver has to show that it is
            there; and seconds that it has for that.
    """

    reusable = False

    def __init__(self, address: Address, proof: dns.name.Name = dns.name.root, patience: float = 1.0) -> None:
        self._address = address
        self._proof = proof
        self._patience = patience
        self._answered = -1.0
        self._proving: asyncio.Task[str] | None = None

    def close(self) -> None:
        """Nothing is kept open between questions."""

    async def ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Exchange:
        """Ask it. What this returns has to be awaited, or cancelled.

        Returns:
            An answer to this question, or what may become one in time, of a resolver that is there.

        Raises:
            OSError: nobody listens there, or it can't be reached.
            Broken: it doesn't answer this, nor what it should know.
        """
        begun = time.monotonic()
        exchange = asyncio.ensure_future(self._exchange(name, kind))
        try:
            await asyncio.wait([exchange], timeout=self._patience)
            if not exchange.done() or exchange.result().rcode not in ANSWERS:
                await self._prove(begun)
        except BaseException:
            exchange.cancel()
            raise
        return exchange

    async def prove(self) -> str:
        """Have it show that it is there, by its answer to a question that has one.

        Returns:
            Words for people.

        Raises:
            OSError, Broken: as for `ask`.
        """
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._exchange(self._proof, dns.rdatatype.NS)
        except TimeoutError:
            raise Broken(f"no answer within {self._patience:.2g} s") from None
        if answer.rcode not in ANSWERS:
            raise Broken(f"answers {dns.rcode.to_text(answer.rcode)} even to NS of {self._proof}")
        return "answers"

    async def _prove(self, since: float) -> None:
        """Unless it answered anything since, have it prove that it is there; once for all who ask."""
        if self._answered >= since:
            return
        if self._proving is None or self._proving.done():
            self._proving = asyncio.ensure_future(self.prove())
            self._proving.add_done_callback(seen)
        await asyncio.shield(self._proving)

    async def _exchange(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Reply:
        query = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD)
        with self._socket() as sock:
            answer = await _again_and_again(lambda: _over_udp(sock, query), self._patience)
        if answer.rcode in ANSWERS:
            self._answered = time.monotonic()
        if answer.truncated:
            try:
                return await _again_and_again(lambda: self._over_tcp(query), AGAIN)
            except (OSError, EOFError, NoReply):  # what there is of it is of no use
                return Reply(dns.rcode.SERVFAIL)
        return answer

    async def _over_tcp(self, query: dns.message.Message) -> Reply:
        reader, writer = await self._address.streams()
        with closing(writer):
            writer.write(query.to_wire(prepend_length=True))
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = read(await reader.readexactly(length), query)
        if answer.truncated:
            raise NoReply("cut off once more")
        return answer

    @contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        family, _, _, _, target = socket.getaddrinfo(
            self._address.host, self._address.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(target)
            yield sock


def seen(task: asyncio.Task[Any]) -> None:
    """Look at how a task ended: whoever waited for it may be gone, and nobody else does."""
    if not task.cancelled():
        task.exception()


async def _again_and_again(question: Callable[[], Awaitable[Reply]], patience: float) -> Reply:
    """Ask until there is an answer, or whoever waits for it does so no longer.

    Args:
        question: sends it, and reads the answer.
        patience: seconds for the first answer; then twice that, and so on, up to AGAIN.
    """
    while True:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(patience):
                return await question()
        except TimeoutError:
            if time.monotonic() - begun < patience:  # the kernel's word for it
                raise
        patience = min(2 * patience, AGAIN)


async def _over_udp(sock: socket.socket, query: dns.message.Message) -> Reply:
    """Send a question, and read until its answer comes: what is none may be anybody's."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, query.to_wire())
    while True:
        data = await loop.sock_recv(sock, _MAX_DATAGRAM)
        with suppress(NoReply):
            return read(data, query)
