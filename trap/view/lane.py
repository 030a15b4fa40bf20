"""Children that read messages for us, and the line of those who wait for one."""

import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from trap import spawn
from trap.view import wire

MAX_WAITING = 100
"""Requests that wait for a child of one lane; more are refused."""
_LEAST = 0.2
"""Seconds that must be left when a child is asked: else it would be killed for what others took."""

T = TypeVar("T")


class Unviewable(Exception):
    """There is no answer, and this is why: too slow, too large, or too much else is being read."""


class Child:
    """One child process, and the socket it hears us by."""

    def __init__(self, memory: int) -> None:
        self._ready = False
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

    def is_ready(self, deadline: float) -> bool:
        """Wait until it has begun; that is no work of ours, so it is not killed for taking long.

        Raises:
            OSError: it is dead.
        """
        if not self._ready:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                self._ready = self._socket.recv(1) == wire.READY
            except TimeoutError:
                return False
            if not self._ready:
                raise wire.Cut("it ended before it began")
        return True

    def is_dead(self) -> bool:
        """Whether it ended while nothing was asked, as when the system was out of memory."""
        return self._process.poll() is not None

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


class Lane:
    """Some children, each with a thread that speaks to it.

    Args:
        processes: children, and so requests that are answered at the same time.
        memory: bytes of address space of one child.
    """

    def __init__(self, processes: int, memory: int) -> None:
        self._memory = memory
        self._threads = ThreadPoolExecutor(processes, "view")
        self._idle: queue.Queue[Child] = queue.Queue()  # one that just began comes last
        self._waiting = threading.BoundedSemaphore(MAX_WAITING + processes)
        for _ in range(processes):
            self._idle.put(Child(memory))

    def close(self) -> None:
        """End all children, once they are done with what they are at."""
        self._threads.shutdown(cancel_futures=True)
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have a thread do what asks a child; what is cancelled before it began leaves the line.

        Raises:
            Unviewable: too many wait.
        """
        if not self._waiting.acquire(blocking=False):
            raise Unviewable("too many messages are being read at the same time")
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._waiting.release())
        return future

    def ask(
        self, request: wire.Request, messages: list[bytes], deadline: float, take: Callable[[Any], None]
    ) -> None:
        """Ask some child, unless it is too late, and replace it if it can't answer; for `submit`ted work.

        Args:
            request: what is asked.
            messages: what it is about.
            deadline: of `time.monotonic()`.
            take: called with each section of the answer that came in time.
        """
        if time.monotonic() > deadline - _LEAST:
            return
        child = self._idle.get()  # there are as many as threads
        try:
            if child.is_dead():
                child.close()
                child = Child(self._memory)
            if child.is_ready(deadline - _LEAST):
                child.ask(request, messages, deadline, take)
        except (OSError, msgspec.MsgspecError):
            child.kill()
            child = Child(self._memory)
        finally:
            self._idle.put(child)
