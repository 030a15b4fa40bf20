"""Makes messages readable without reading them: children do, each within limits, and may die of it.

A child is started before it is needed, gets one message at a time, and answers section by section. One
that is not done in time is killed and replaced; what it had sent by then is the answer. So no message
holds up anything for longer than the deadline, and what it does to its parser it does to the child.

    with closing(Viewer()) as viewer:
        view = viewer.view_now(record)
"""

import asyncio
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from trap import spawn
from trap.archive.record import Record
from trap.envelope import printable
from trap.view import wire
from trap.view.view import SECTIONS, DiffLine, Part, View

DOWNLOAD_SECONDS = 15.0
"""Longest time for a part or a zip, which may be as large as a message."""
_MAX_SPENT = 0.7
"""Share of the time for a message that may be spent before it is read."""
MAX_WAITING = 100
"""Requests that wait for a child; more are answered with nothing but what is missing."""

T = TypeVar("T")


class Unviewable(Exception):
    """There is no answer, and this is why: too slow, too large, or too much else is being read."""


class _Child:
    """One child process, and the socket it hears us by."""

    def __init__(self, memory: int) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                spawn.command("trap.view.child", str(fd), str(memory)),
                cwd="/",
                env=spawn.environment({}),
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def ask(
        self, request: wire.Request, messages: list[bytes], deadline: float, take: Callable[[Any], None]
    ) -> None:
        """Have `take` called with each section of the answer.

        Raises:
            OSError: it is too late, or the child is dead (TimeoutError and Cut are such).
            msgspec.MsgspecError: it says what makes no sense.
        """
        wire.send(self._socket, msgspec.msgpack.encode(request), deadline)
        for message in messages:
            wire.send(self._socket, message, deadline)
        while True:
            answer = msgspec.msgpack.decode(wire.receive(self._socket, deadline), type=wire.Answer)
            if answer.section == "done":
                return
            take(answer)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Let it end: it does when nobody can speak to it any more."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
            return
        self._process.kill()
        self._process.wait()


class Viewer:
    """A few children that read messages. Usable from any thread and any event loop.

    Args:
        processes: children, and so messages that are read at the same time.
        seconds: longest time for one message, waiting included.
        memory: bytes of address space of one child.
    """

    def __init__(self, processes: int = 2, seconds: float = 1.5, memory: int = 1 << 30) -> None:
        self._seconds = seconds
        self._memory = memory
        self._threads = ThreadPoolExecutor(processes, "view")
        self._idle: queue.Queue[_Child] = queue.Queue()  # one that just began comes last
        self._waiting = threading.BoundedSemaphore(MAX_WAITING + processes)
        for _ in range(processes):
            self._idle.put(_Child(memory))

    def close(self) -> None:
        """End all children, once they are done with what they are at."""
        self._threads.shutdown(cancel_futures=True)
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    async def view(self, record: Record, images: bool = False, spent: float = 0.0) -> View:
        """All there is to see of a message; `View.missing` names what could not be had in time.

        Args:
            record: from the archive.
            images: whether the HTML has the pictures that came with the message.
            spent: seconds that its reader waited before, and will not wait here; a part is left in any case.
        """
        try:
            return await self._soon(self._view, record, images, spent)
        except Unviewable as error:
            return View(missing=list(SECTIONS), defects=[str(error)])

    async def part(self, record: Record, number: int) -> Part:
        """One part, decoded.

        Raises:
            LookupError: it has no such part.
            Unviewable: it can't be had.
        """
        return await self._soon(self._part, record, number)

    async def packed(self, record: Record, number: int | None = None) -> bytes:
        """A zip with the password "infected" of one part, or of the whole message.

        Raises:
            LookupError: it has no such part.
            Unviewable: it can't be had.
        """
        return await self._soon(self._packed, record, number)

    async def difference(self, left: Record, right: Record) -> list[DiffLine]:
        """Two messages side by side: headers, then text.

        Raises:
            Unviewable: it can't be had.
        """
        return await self._soon(self._difference, left, right)

    def view_now(self, record: Record, images: bool = False) -> View:
        """As `view`, for those who can wait."""
        return self._threads.submit(self._view, record, images, 0.0, time.monotonic()).result()

    def part_now(self, record: Record, number: int) -> Part:
        """As `part`, for those who can wait."""
        return self._threads.submit(self._part, record, number, time.monotonic()).result()

    def packed_now(self, record: Record, number: int | None = None) -> bytes:
        """As `packed`, for those who can wait."""
        return self._threads.submit(self._packed, record, number, time.monotonic()).result()

    def difference_now(self, left: Record, right: Record) -> list[DiffLine]:
        """As `difference`, for those who can wait."""
        return self._threads.submit(self._difference, left, right, time.monotonic()).result()

    async def _soon(self, work: Callable[..., T], *arguments: Any) -> T:
        if not self._waiting.acquire(blocking=False):
            raise Unviewable("too many messages are being read at the same time")
        future = self._threads.submit(work, *arguments, time.monotonic())
        future.add_done_callback(lambda _: self._waiting.release())
        return await asyncio.wrap_future(future)

    def _view(self, record: Record, images: bool, spent: float, asked: float) -> View:
        seconds = self._seconds - min(spent, _MAX_SPENT * self._seconds)
        found: dict[str, Any] = {}
        missing = set(SECTIONS)

        def take(answer: wire.Answer) -> None:
            if not answer.error:
                found.update(msgspec.msgpack.decode(answer.found))
                missing.discard(answer.section)

        request = wire.Request("view", [_source(record)], images=images, seconds=seconds)
        self._ask(request, [record.message], asked + seconds, take)
        found["missing"] = [section for section in SECTIONS if section in missing]
        return msgspec.convert(found, View)

    def _part(self, record: Record, number: int, asked: float) -> Part:
        request = wire.Request("part", [_source(record)], number=number)
        return self._one(request, [record.message], asked, Part)

    def _packed(self, record: Record, number: int | None, asked: float) -> bytes:
        request = wire.Request("packed", [_source(record)], number=number)
        return self._one(request, [record.message], asked, bytes)

    def _difference(self, left: Record, right: Record, asked: float) -> list[DiffLine]:
        request = wire.Request("difference", [_source(left), _source(right)], seconds=self._seconds)
        return self._one(request, [left.message, right.message], asked, list[DiffLine])

    def _one(self, request: wire.Request, messages: list[bytes], asked: float, kind: type[T]) -> T:
        """An answer of one section."""
        if request.what != "difference":
            request.seconds = DOWNLOAD_SECONDS
        answers: list[wire.Answer] = []
        self._ask(request, messages, asked + request.seconds, answers.append)
        if not answers:
            raise Unviewable("it took too long")
        if answers[0].error == wire.NO_PART:
            raise LookupError(f"no part {request.number}")
        if answers[0].error:
            raise Unviewable(answers[0].error)
        return msgspec.msgpack.decode(answers[0].found, type=kind)

    def _ask(
        self, request: wire.Request, messages: list[bytes], deadline: float, take: Callable[[Any], None]
    ) -> None:
        """Ask some child; it is replaced if it can't answer."""
        child = self._idle.get()  # there are as many as threads
        try:
            child.ask(request, messages, deadline, take)
        except (OSError, msgspec.MsgspecError):
            child.kill()
            child = _Child(self._memory)
        finally:
            self._idle.put(child)


def _source(record: Record) -> wire.Source:
    said = record.envelope
    return wire.Source(
        record.id,
        len(record.message),
        said.received_at or record.received_at,
        printable(said.client_ip),
        printable(said.helo or ""),
        printable(said.server_ip),
        printable(said.protocol) + (f" {printable(said.tls_version)}" if said.tls_version else ""),
        [printable(address) for address in said.rcpt_tos],
    )
