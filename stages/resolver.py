"""One resolver, asked over UDP, and over TCP when its answer was cut off.

Whoever writes mail chooses names, and with them who answers: how slow, how wrong, how long. So nothing
that is said about a name speaks against the resolver. When a name has no answer in time, or only
SERVFAIL (RFC 2308), the resolver is asked for a name that always has one. If that is answered, the name
is to blame; if not, the resolver is away.

Sockets are connected: the kernel then tells at once that nobody listens, and keeps answers from anyone
else away. Each question has a socket, and with it a port, and an id of its own (RFC 5452).
"""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

PATIENCE = 1.0
"""Seconds without an answer after which a question is sent again, and the resolver shows that it is there."""
PROOF = 1.0
"""Seconds that it has for that."""
PAYLOAD = 1232
"""Bytes of the longest answer that is taken over UDP: none of this size is ever cut in pieces (RFC 9715)."""
MAX_NAME = 253
MAX_LABEL = 63

_MAX_DATAGRAM = 65535
_ANSWERS = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)


class Silent(Exception):
    """The resolver does not answer, or is of no use; str() of it says what it did."""


def name_of(text: str) -> dns.name.Name | None:
    """The name that a text stands for; None when it can be none, and needn't be asked for.

    Names come from mail. What DNS can't hold, or only with escapes, exists nowhere: empty labels,
    long ones, control characters, backslashes.

    >>> str(name_of("Bücher.Example.")), name_of("a..example"), name_of("a\\\\.example")
    ('xn--bcher-kva.example.', None, None)
    """
    labels = text.removesuffix(".").split(".") if len(text) <= MAX_NAME + 1 else [""]
    try:
        raw = [label.encode("ascii" if label.isascii() else "idna") for label in labels]
    except UnicodeError:
        return None
    wrong = any(not 0 < len(label) <= MAX_LABEL or not _visible(label) for label in raw)
    if wrong or sum(map(len, raw)) + len(raw) > MAX_NAME + 1:
        return None
    return dns.name.Name((*raw, b""))


def _visible(label: bytes) -> bool:
    return all(0x20 < byte < 0x7F and byte != 0x5C for byte in label)


@dataclass
class Resolver:
    """One resolver.

    Args:
        host: its address, IPv4 or IPv6, perhaps with a scope.
        port: usually 53.
        proof: a name that it always knows something of; its name servers (NS) are asked for.
    """

    host: str
    port: int
    proof: dns.name.Name
    answered: float = field(default=0.0, init=False)
    """When it gave its last proper answer (monotonic clock)."""
    _proving: asyncio.Task[None] | None = field(default=None, init=False, repr=False)

    async def ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        """Ask it; takes as long as it takes.

        Returns:
            An answer to this question whose code is NOERROR, NXDOMAIN, or SERVFAIL if that is the name's.

        Raises:
            OSError: nobody listens there, or it can't be reached.
            Silent: it doesn't answer this, nor what it should know.
        """
        begun = time.monotonic()
        query = dns.message.make_query(name, kind, use_edns=0, payload=PAYLOAD)
        with self._socket() as sock:
            answer = await self._patiently(sock, query, begun)
        if answer.flags & dns.flags.TC:
            answer = await self._over_tcp(query)
        code = answer.rcode()
        if code in _ANSWERS:
            self.answered = time.monotonic()
        elif code != dns.rcode.SERVFAIL:
            raise Silent(f"answers {dns.rcode.to_text(code)}")
        else:
            await self._prove(begun)
        return answer

    async def prove(self) -> None:
        """Have it show that it is there, by its answer to a question that has one.

        Raises:
            OSError, Silent: as for `ask`.
        """
        query = dns.message.make_query(self.proof, dns.rdatatype.NS, use_edns=0, payload=PAYLOAD)
        with self._socket() as sock:
            try:
                async with asyncio.timeout(PROOF):
                    answer = await _exchange(sock, query)
            except TimeoutError:
                raise Silent(f"no answer within {PROOF:g} s") from None
        if answer.rcode() not in _ANSWERS:
            raise Silent(f"answers {dns.rcode.to_text(answer.rcode())} to everything")
        self.answered = time.monotonic()

    async def _patiently(
        self, sock: socket.socket, query: dns.message.Message, begun: float
    ) -> dns.message.Message:
        answer = asyncio.ensure_future(_exchange(sock, query))
        try:
            done, _ = await asyncio.wait([answer], timeout=PATIENCE)
            if not done:
                await self._prove(begun)
                await asyncio.get_running_loop().sock_sendall(sock, query.to_wire())  # it may have got lost
            return await answer
        finally:
            answer.cancel()

    async def _prove(self, since: float) -> None:
        """Unless it answered something else since, have it prove that it is there; once for all who ask."""
        if self.answered >= since:
            return
        if self._proving is None or self._proving.done():
            self._proving = asyncio.ensure_future(self.prove())
        await asyncio.shield(self._proving)

    async def _over_tcp(self, query: dns.message.Message) -> dns.message.Message:
        try:
            return await dns.asyncquery.tcp(query, self.host, port=self.port, ignore_trailing=True)
        except EOFError:
            raise Silent("hangs up over TCP") from None
        except dns.exception.DNSException as error:
            raise Silent(f"no DNS over TCP: {type(error).__name__}") from None

    @contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        family, _, _, _, target = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(target)
            yield sock


async def _exchange(sock: socket.socket, query: dns.message.Message) -> dns.message.Message:
    """Send a question, and read until its answer comes: what is none may be anybody's."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, query.to_wire())
    while True:
        data = await loop.sock_recv(sock, _MAX_DATAGRAM)
        try:
            answer = dns.message.from_wire(data, ignore_trailing=True)
        except dns.exception.DNSException:
            continue
        if query.is_response(answer):
            return answer
