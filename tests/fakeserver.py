"""A server of our own that says what a test wants: a scanner gone wrong, or a relay that counts."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from support import free_port

Opened = Callable[..., Any]
"""The fixture `opened`: a stage's class and its settings, and what that makes."""
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


class Fake:
    """One that runs.

    Attributes:
        address: of its socket, as settings write it.
        accepted: connections so far.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.accepted = 0


def others_are_answered(stage: Any) -> None:
    """As if its servers had judged other mail just now: without, no message is to blame for what it broke."""
    for server in stage.backends._servers:
        server.answers += 1


@asynccontextmanager
async def fake(directory: Path | None, talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Fake]:
    """Something that behaves as `talk` does, and hangs up then.

    Args:
        directory: its UNIX socket is below that; None for TCP, on loopback.
        talk: is called for every connection.
        tls: what TCP is spoken in.
    """
    made = Fake(f"{directory}/s" if directory else f"127.0.0.1:{free_port()}")
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.accepted += 1
        task = asyncio.current_task()
        assert task
        talking.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            talking.discard(task)
            writer.close()

    if directory:
        server = await asyncio.start_unix_server(serve, made.address)
    else:
        server = await asyncio.start_server(serve, *made.address.split(":"), ssl=tls)
    async with server:
        yield made
        for task in list(talking):
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


def says(reply: bytes, *, after: bytes = b"") -> Talk:
    """One that hears everything that comes at once, or up to `after`, and answers `reply`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (reader.readuntil(after) if after else reader.read(1 << 16))
        writer.write(reply)
        await writer.drain()

    return talk


def relay(host: str, port: int) -> Talk:
    """One that hands on what it hears, both ways."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            far_writer.close()

    return talk


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class Mute:
    """A writer that nobody reads."""

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes) -> None: ...

    def writelines(self, pieces: object) -> None: ...

    def write_eof(self) -> None: ...

    async def drain(self) -> None: ...
