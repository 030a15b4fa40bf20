"""A connection without a socket: what the kernel, the loop and the disk do for it is played, also badly.

A script is a list of steps. Bytes are what the client says in one packet; words are what happens:

    eof       the client will say nothing more       lost      the connection is gone
    deaf      it stops to read                       hears     it reads again
    slow      the disk takes its time from now on    stored    what was waiting for it is done
    wait      half a minute passes, and the patrol comes by
    stop      the sink is asked to stop              tls, notls   a handshake succeeds, or fails
    full      there is no room for messages          room      there is again

In the end the client reads, the disk is done, handshakes fail and the client is gone; whatever was said,
nothing may be left then.
"""

import asyncio
import errno
import os
import tempfile
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sinkkit import MemorySpool, Stored, door_of, settings

from trap.config import Config, paths_below
from trap.door import Door
from trap.intake import Intake
from trap.smtp import Wire

STEPS = ("eof", "lost", "deaf", "hears", "slow", "stored", "wait", "stop", "tls", "notls", "full", "room")
HIGH_WATER = 1 << 16
PAUSE = 30.0
PATIENCE = 100
"""Rounds in which everything that a connection waits for happens once."""

Step = bytes | str


class Watched(Wire):
    """A connection that can be looked for when it should be gone, and whose client may be early."""

    early = b""

    def __init__(self, door: Door, loop: Any) -> None:
        super().__init__(door, loop)
        alive.add(self)

    def _waiting(self) -> bytes:
        return self.early


alive: "weakref.WeakSet[Watched]" = weakref.WeakSet()
"""All that are in memory."""


class SlowIntake(Intake):
    """An intake whose disk may take its time."""

    slow = False

    def __init__(self, config: Config, spool: Any) -> None:
        super().__init__(config, spool)
        self.waiting: list[Callable[[], None]] = []

    def store(self, envelopes: Any, message: Any, done: Any) -> None:
        if self.slow:
            self.waiting.append(lambda: Intake.store(self, envelopes, message, done))
        else:
            super().store(envelopes, message, done)

    def finish(self) -> None:
        """The disk is done with all that waits."""
        while self.waiting:
            self.waiting.pop(0)()


class Secret:
    """Stands for what is known of TLS."""

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return "AES", "", 256


class _Task(NamedTuple):
    """A handshake that goes on."""

    loop: "Loop"
    handshake: Any

    def cancel(self) -> None:
        self.loop.cancel(self.handshake)


class Loop:
    """An event loop as far as a connection needs one."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.soon: list[Callable[[], None]] = []
        self.handshakes: list[tuple[Coroutine[Any, Any, None], asyncio.Future[Any]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.due.append((self.now + delay, call))

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def create_task(self, task: Coroutine[Any, Any, None]) -> "_Task":
        handshake = (task, task.send(None))
        self.handshakes.append(handshake)  # type: ignore[arg-type]
        return _Task(self, handshake)

    async def start_tls(self, *_: Any, **__: Any) -> Any:
        return await _Handshake()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [call for at, call in self.due if at <= self.now]
        self.due = [(at, call) for at, call in self.due if at > self.now]
        for call in due:
            call()

    def cancel(self, handshake: Any) -> None:
        if handshake in self.handshakes:
            self.handshakes.remove(handshake)
            with suppress(StopIteration):
                handshake[0].throw(asyncio.CancelledError())

    def shake(self, transport: "Transport | None") -> None:
        """All handshakes end, well if there is a transport."""
        while self.handshakes:
            task, _ = self.handshakes.pop()
            try:
                if transport:
                    task.send(transport)
                else:
                    task.throw(ConnectionResetError())
            except StopIteration:
                pass


class _Handshake:
    def __await__(self) -> Any:
        return (yield self)


class Transport:
    """The kernel's side of a connection."""

    def __init__(self, wire: Wire, ip: str, loop: Loop) -> None:
        self.wire: Wire | None = wire
        self.loop = loop
        self.ip = ip
        self.inbox: list[bytes | None] = []
        self.said = bytearray()
        self.reading = True
        self.deaf = False
        self.unread = 0
        self.paused = False
        self.closing = False

    def get_extra_info(self, name: str) -> Any:
        return {"peername": (self.ip, 4711), "sockname": ("127.0.0.2", 25), "ssl_object": Secret()}[name]

    def write(self, data: bytes) -> None:
        assert self.wire is not None, "written to a connection that is gone"
        assert data
        if self.closing and not self.unread:
            return
        self.said += data
        if self.deaf:
            self.unread += len(data)
            if self.unread > HIGH_WATER and not self.paused:
                self.paused = True
                self.wire.pause_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True
        self.deaf = False

    def pump(self) -> None:
        """Hand over what came, as far as it is wanted, and let the loop do what it has to."""
        while True:
            if self.loop.soon:
                self.loop.soon.pop(0)()
            elif not self.hand_over():
                return

    def hand_over(self) -> bool:
        """One packet, or the end of the connection; False when there is nothing to be done."""
        if self.wire is None:
            return False
        if self.closing:
            if not (self.deaf and self.unread):
                self.lose()
            return self.wire is None
        if not (self.reading and self.inbox):
            return False
        data = self.inbox.pop(0)
        if data is not None:
            self.wire.data_received(data)
        elif not self.wire.eof_received():
            self.closing = True
        return True

    def hears(self) -> None:
        self.deaf, self.unread = False, 0
        if self.paused and self.wire is not None:
            self.paused = False
            self.wire.resume_writing()

    def lose(self) -> None:
        if self.wire is not None:
            wire, self.wire = self.wire, None
            wire.connection_lost(None)


class Outcome(NamedTuple):
    """What came of a session."""

    said: bytes
    """By the sink."""
    stored: list[Stored]


class Sessions:
    """Plays one session after the other at one door.

    Args:
        text: settings in YAML.
        lmtp, tls, delay, balancers: as for a Door; TLS is only played.
    """

    def __init__(
        self,
        text: str = "",
        *,
        lmtp: bool = False,
        tls: bool = False,
        delay: float = 0.0,
        balancers: list[str] | None = None,
    ) -> None:
        self._home = tempfile.TemporaryDirectory(dir="/dev/shm", prefix="wirekit-")
        config = msgspec.structs.replace(settings(text), paths=paths_below(Path(self._home.name)))
        self.spool = MemorySpool()
        self.intake = SlowIntake(config, self.spool)
        self.door = door_of(config, self.spool, lmtp=lmtp, balancers=balancers)
        self.door.intake = self.intake
        self.door.tls = Secret() if tls else None  # type: ignore[assignment]
        self.door.delay = (lambda _: delay) if delay else None
        self._ip = "10.0.0.1"

    def play(self, script: Sequence[Step], early: bytes = b"") -> Outcome:
        """Play one session to its end, and see that nothing is left of it.

        Args:
            script: see above.
            early: the two bytes that wait before the banner, if any.
        """
        loop = Loop()
        wire = Watched(self.door, loop)
        wire.early = early
        transport = Transport(wire, self._ip, loop)
        wire.connection_made(transport)  # type: ignore[arg-type]
        for step in script:
            self._step(step, wire, transport, loop)
            transport.pump()
        self._end(wire, transport, loop)
        stored, self.spool.stored = self.spool.stored, []
        return Outcome(bytes(transport.said), stored)

    def _step(self, step: Step, wire: Wire, transport: Transport, loop: Loop) -> None:
        """One step; those that concern the sink alone are below."""
        if isinstance(step, bytes):
            transport.inbox.append(step)
        elif step == "eof":
            transport.inbox.append(None)
        elif step == "lost":
            transport.lose()
        elif step == "deaf":
            transport.deaf = True
        elif step == "hears":
            transport.hears()
        elif step in {"tls", "notls"}:
            loop.shake(transport if step == "tls" and transport.wire is not None else None)
        elif step == "wait":
            loop.pass_time(PAUSE)
            if wire in self.door.wires:
                wire.visit(loop.now, self.door.stress.policy)
        else:
            self._inside(step, wire)

    def _inside(self, step: str, wire: Wire) -> None:
        if step == "slow":
            self.intake.slow = True
        elif step == "stored":
            self.intake.finish()
        elif step == "stop":
            wire.stop()
        elif step == "full":
            self.spool.fail["first"] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        else:
            assert step == "room", step
            self.spool.fail.clear()

    def _end(self, wire: Wire, transport: Transport, loop: Loop) -> None:
        transport.inbox.append(None)
        for _ in range(PATIENCE):
            transport.hears()
            transport.pump()
            self.intake.finish()
            transport.pump()
            loop.shake(None)
            transport.pump()
            loop.pass_time(PAUSE)
            transport.pump()
            if not (transport.wire or loop.due or loop.handshakes or self.intake.waiting):
                break
        assert transport.wire is None, f"still there, and listens with {wire._take}"
        self.intake.slow = False
        self.spool.fail.clear()
        assert self.door.gate.open == 0
        assert not self.door.wires
        assert self.intake.memory.held == 0
        assert wire._transfer is None

    def close(self) -> None:
        """Nothing more is played."""
        self.intake.close()
        self._home.cleanup()
