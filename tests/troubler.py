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
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from daemon import LOOPBACK
from line import Line

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

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it in a task, which ends when this ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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

    Attributes:
        clings: conversations that hang stay so, whatever the mode is then.
    """

    def __init__(
        self, target: int | str, *, path: str | Path = "", mode: Mode = "pass", spare: int = 0
    ) -> None:
        super().__init__(mode)
        self.socket = str(path)
        self.port = 0
        self.spare = spare
        self.clings = False
        self._target = target
        self._listener: socket.socket | None = None
        self._spoilt: dict[Line, asyncio.Event] = {}
        self._open: dict[Line, asyncio.Task[None]] = {}

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
        for event in () if self.clings else self._spoilt.values():
            event.set()
        if mode == "refuse":
            for line, task in self._open.items():
                line.resets()
                task.cancel()
            self._close()
        elif not self._listener:
            self._listen()

    def _close(self) -> None:
        if self._listener:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            if self.socket:
                os.unlink(self.socket)

    def _listen(self) -> None:
        listener = self._listener = socket.socket(socket.AF_UNIX if self.socket else socket.AF_INET)
        listener.setblocking(False)
        if self.socket:
            listener.bind(self.socket)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, self.port))
            self.port = listener.getsockname()[1]
        listener.listen(512)
        # Not loop.sock_accept(): a connection that comes as it is cancelled gets lost.
        self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            sock, _ = listener.accept()
            self.questions += 1
            client = Line(sock)
            self._open[client] = self.keep(self._serve(client))

    async def _serve(self, client: Line) -> None:
        server = None
        try:
            if self._mode == "silent":
                await self._hang(client)
            server = await Line.to(self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(client, server))
                group.create_task(self._answer(server, client))
        except* _Over:
            pass
        except* OSError:
            client.resets()
        finally:
            self._open.pop(client, None)
            self._spoilt.pop(client, None)
            client.close()
            if server:
                server.close()

    async def _ask(self, client: Line, server: Line) -> None:
        while piece := await client.read():
            if self._mode in {"silent", "deaf"}:
                await self._hang(client)
            if self._mode in {"close", "garbage", "endless"}:
                await self._misspeak(client)
            await server.write(piece, client.files())
        server.finish()

    async def _answer(self, server: Line, client: Line) -> None:
        spare = self.spare
        while piece := await server.read():
            if spare:
                spare -= 1
            elif self._mode in {"half", "reset"}:
                await client.write(piece[: len(piece) // 2])
                if self._mode == "reset":
                    raise ConnectionResetError
                await self._hang(client)
            elif self._mode in {"silent", "deaf"}:
                await self._hang(client)
            elif self._mode == "late":
                await asyncio.sleep(self.delay)
            elif self._mode == "drip":
                for at in range(len(piece)):
                    await client.write(piece[at : at + 1])
                    await asyncio.sleep(self.delay)
                continue
            await client.write(piece, server.files())
        raise _Over  # the daemon hung up, so do we

    async def _misspeak(self, client: Line) -> None:
        """Say what is no answer, and go."""
        while self._mode == "endless":
            await client.write(NOISE * 32)
            await asyncio.sleep(0)
        if self._mode == "garbage":
            await client.write(NOISE)
        raise _Over

    async def _hang(self, client: Line) -> None:
        """Say nothing more, until we are turned."""
        await self._spoilt.setdefault(client, asyncio.Event()).wait()
        raise ConnectionResetError


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
