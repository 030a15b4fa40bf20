"""What stands between a client and a name server, over UDP and TCP, and behaves as badly as it is told to.

with unbound(home, records) as server, NameTroubler(server.port) as trouble:
    ... trouble.address is the one to ask ...
    trouble.mode = "servfail"
"""

import asyncio
import socket
from typing import Any, Literal, get_args

from daemon import LOOPBACK
from troubler import NOISE, Proxy

NameMode = Literal[
    "pass",
    "refuse",  # nobody listens
    "drop",  # questions vanish
    "servfail",
    "truncated",  # every answer over UDP is; TCP has them whole
    "truncated_twice",  # TCP is silent as well
    "late",  # answers `delay` seconds late
    "wrong_id",  # answers to something that was not asked
    "forged",  # the same, followed by the answer
    "garbage",
]
NAME_MODES: tuple[NameMode, ...] = get_args(NameMode)


class NameTroubler(Proxy):
    """A proxy for a name server, over UDP and TCP at the same port.

    Args:
        target: port of the real one on loopback.
        mode: to begin with.
    """

    def __init__(self, target: int, *, mode: NameMode = "pass") -> None:
        super().__init__(mode)
        self.delay = 2.0
        self.port = 0
        self._target = target
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, as settings write it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def mode(self) -> NameMode:
        """How it behaves."""
        return self._mode  # type: ignore[return-value]

    @mode.setter
    def mode(self, mode: NameMode) -> None:
        self._do(self._turn(mode))

    async def _turn(self, mode: str) -> None:
        self._mode = mode
        if mode == "refuse":
            if self._udp and self._tcp:
                self._udp.close()
                self._tcp.close()
                self._udp = self._tcp = None
        elif not self._udp:
            self._tcp = await asyncio.start_server(self._accept, LOOPBACK, self.port)
            self.port = self._tcp.sockets[0].getsockname()[1]
            # Not asyncio's own: its buffer is the usual one, and a thousand questions come at once.
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sock.bind((LOOPBACK, self.port))
            loop = asyncio.get_running_loop()
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Questions(self), sock=sock)

    def heard(self, question: bytes, asker: tuple[str, int]) -> None:
        """A question came over UDP."""
        self.keep(self._tell(question, asker))

    async def _tell(self, question: bytes, asker: tuple[str, int]) -> None:
        for answer in await self._answers(question, tcp=False):
            if self._udp:
                self._udp.sendto(answer, asker)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.keep(self._converse(reader, writer))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                question = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                for answer in await self._answers(question, tcp=True):
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # it hung up
        finally:
            writer.close()

    async def _answers(self, question: bytes, *, tcp: bool) -> list[bytes]:
        self.questions += 1
        match self._mode:
            case "drop" | "refuse":
                return []
            case "truncated_twice" if tcp:
                return []
            case "servfail":
                return [_failed(question)]
            case "truncated" | "truncated_twice" if not tcp:
                return [_truncated(question)]
            case "garbage":
                return [NOISE[: 20 + question[0] % 40]]
            case "late":
                await asyncio.sleep(self.delay)
        answer = await self._real(question, tcp=tcp)
        other = bytes([answer[0] ^ 0x55, answer[1] ^ 0xAA]) + answer[2:]
        return {"wrong_id": [other], "forged": [other, answer]}.get(self._mode, [answer])

    async def _real(self, question: bytes, *, tcp: bool) -> bytes:
        if tcp:
            reader, writer = await asyncio.open_connection(LOOPBACK, self._target)
            try:
                writer.write(len(question).to_bytes(2, "big") + question)
                return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            finally:
                writer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((LOOPBACK, self._target))
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, question)
            async with asyncio.timeout(30):
                return await loop.sock_recv(sock, 1 << 16)


class _Questions(asyncio.DatagramProtocol):
    def __init__(self, troubler: NameTroubler) -> None:
        self._troubler = troubler

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._troubler.heard(data, addr)


def _asked(question: bytes) -> bytes:
    """The question section alone, as every answer repeats it."""
    end = question.index(b"\0", 12) + 5
    return question[12:end]


def _failed(question: bytes) -> bytes:
    return question[:2] + bytes.fromhex("8182000100000000") + b"\0\0" + _asked(question)


def _truncated(question: bytes) -> bytes:
    return question[:2] + bytes.fromhex("8380000100000000") + b"\0\0" + _asked(question)
