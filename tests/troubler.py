"""What stands between a client and a real daemon, and behaves as badly as it is told to.

`Troubler` is a proxy for TCP and UNIX sockets; one for DNS is in nametroubler.py. Both run in a thread of
their own, so that one process can be client, daemon's guardian and trouble at once, and may be turned at
any time, for conversations that are under way too:

    with spamd(home) as daemon, Troubler(daemon.port) as trouble:
        ... trouble.tcp is the address to ask ...
        trouble.mode = "silent"

Conversations that met a trouble stay spoilt, and are cut off when the mode is turned again.
"""

import asyncio
import os
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from daemon import LOOPBACK

T = TypeVar("T")
Mode = Literal[
    "pass",  # as if nobody stood between
    "refuse",  # nobody listens
    "silent",  # accepts, reads nothing, answers nothing
    "deaf",  # reads all, answers nothing
    "half",  # half of an answer, then nothing
    "reset",  # half of an answer, then the connection is gone
    "close",  # reads the question and hangs up
    "late",  # the answer, `delay` seconds late
    "drip",  # the answer in single bytes, each `delay` seconds after the other
    "garbage",  # bytes that are no answer, then it hangs up
    "endless",  # bytes that are no answer, and never an end of them
]
MODES: tuple[Mode, ...] = get_args(Mode)
NOISE = b"\x00\xff\r\n\x80HTTP/9.9 999\r\n: \xfe=\r\n\r\n" + bytes(range(256))
_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: close sends a reset."""


class Proxy(ABC):
    """A server in a thread of its own.

    Attributes:
        delay: seconds, for the modes that are slow.
        questions: conversations begun, or questions heard over UDP, since it runs.
    """

    def __init__(self, mode: str) -> None:
        self.delay = 5.0
        self.questions = 0
        self._mode = mode
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._turn(self._mode))
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in a task, which ends when this ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _shut(self) -> None:
        await self._turn("refuse")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round

    @abstractmethod
    async def _turn(self, mode: str) -> None:
        """Behave so from now on."""


class _Over(Exception):
    """A conversation has ended as conversations do."""


class Troubler(Proxy):
    """A proxy for conversations.

    Args:
        target: of the real daemon: a port on loopback, or the path of its UNIX socket.
        path: of a UNIX socket to listen at, instead of a port on loopback.
        mode: to begin with.
        spare: pieces of an answer (greetings) that get through whole before a trouble begins.
    """

    def __init__(
        self, target: int | str, *, path: str | Path = "", mode: Mode = "pass", spare: int = 0
    ) -> None:
        super().__init__(mode)
        self.socket = str(path)
        self.port = 0
        self.spare = spare
        self._target = target
        self._server: asyncio.Server | None = None
        self._spoilt: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def tcp(self) -> str:
        """Where it listens, as settings write it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def mode(self) -> Mode:
        """How it behaves."""
        return self._mode  # type: ignore[return-value]

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._do(self._turn(mode))

    async def _turn(self, mode: str) -> None:
        self._mode = mode
        for writer in self._open if mode == "refuse" else self._spoilt:
            _cut(writer)
        self._spoilt.clear()
        if mode == "refuse":
            if self._server:
                self._server.close()
                self._server = None
            if self.socket:
                with suppress(FileNotFoundError):
                    os.unlink(self.socket)
        elif not self._server:
            await self._listen()

    async def _listen(self) -> None:
        if self.socket:
            self._server = await asyncio.start_unix_server(self._accept, self.socket, backlog=512)
            return
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.keep(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.questions += 1
        self._open.add(writer)
        target = None
        try:
            if self._mode == "silent":
                await self._hang(writer)
            answers, target = await connection(self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(reader, writer, target))
                group.create_task(self._answer(answers, writer))
        except* _Over:
            pass
        except* OSError:
            _cut(writer)
        finally:
            self._open.discard(writer)
            self._spoilt.discard(writer)
            for each in (writer, target):
                if each:
                    each.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(1 << 16):
            if self._mode in {"silent", "deaf"}:
                await self._hang(writer)
            if self._mode in {"close", "garbage", "endless"}:
                await self._misspeak(writer)
            target.write(piece)
            await target.drain()
        with suppress(OSError):
            target.write_eof()

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spare = self.spare
        while piece := await answers.read(1 << 16):
            if spare and self._mode != "pass":
                spare -= 1
            elif self._mode in {"half", "reset"}:
                writer.write(piece[: len(piece) // 2])
                await writer.drain()
                if self._mode == "reset":
                    raise ConnectionResetError
                await self._hang(writer)
            elif self._mode in {"silent", "deaf"}:
                await self._hang(writer)
            elif self._mode == "late":
                await asyncio.sleep(self.delay)
            elif self._mode == "drip":
                for at in range(len(piece)):
                    writer.write(piece[at : at + 1])
                    await asyncio.sleep(self.delay)
                continue
            writer.write(piece)
            await writer.drain()
        raise _Over  # the daemon hung up, so do we

    async def _misspeak(self, writer: asyncio.StreamWriter) -> None:
        """Say what is no answer, and go."""
        while self._mode == "endless":
            writer.write(NOISE * 32)
            await writer.drain()
        if self._mode == "garbage":
            writer.write(NOISE)
            await writer.drain()
        raise _Over

    async def _hang(self, writer: asyncio.StreamWriter) -> None:
        """Say nothing more, until somebody hangs up."""
        self._spoilt.add(writer)
        await asyncio.Event().wait()


async def connection(target: int | str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, int):
        return await asyncio.open_connection(LOOPBACK, target)
    return await asyncio.open_unix_connection(target)


def _cut(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, with a reset where there is such a thing."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Hole:
    """An address that takes connections up to a few and answers none: its packets are as good as dropped.

    The queue of a listener that nobody serves is full; the kernel then drops what else comes.
    """

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._fillers: list[socket.socket] = []

    def __enter__(self) -> str:
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)
        return f"{LOOPBACK}:{self._listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()
