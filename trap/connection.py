"""One connection as a state machine, without a task and without a timer of its own.

What is received goes to what the connection listens for, which is a function that takes bytes and gives
back those that were not for it. Replies to what came in one packet leave in one packet (RFC 2920). Who has
been silent or slow for too long finds the patrol (trap/patrol.py). What is understood is in trap/smtp.py.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

from trap.door import Door
from trap.proxied import ProxyHeader
from trap.session import Session
from trap.sockets import address, shake_hands, taken_from, waiting
from trap.stress import Policy
from trap.transfer import Transfer

MAX_LINE = 12_288
"""Longest command; RFC 5321 asks for 512, RFC 4954 for this (section 4), clients send more."""
MAX_OUT = 1 << 14
"""Bytes of replies to one packet after which it is the turn of other connections."""
AT_ONCE = 1 << 14
"""Bytes of commands that are understood in one piece."""
HANDSHAKE_TIMEOUT = 60.0
LINGER = 5.0
"""Seconds a client has to hear our last words."""
GRACE = 10.0
"""Seconds before the rate of a message counts."""

UNREAD = 1 << 16
"""Bytes of replies that wait in memory when a client does not read; so uvloop has it."""

_TLS_HELLO = b"\x16\x03"

log = logging.getLogger("trap.sink")


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        door: what it has in common with others.
        loop: the running event loop.

    Attributes:
        heard_at: the loop's time of the client's last word.
    """

    __slots__ = (
        "_admitted",
        "_ahead",
        "_answered",
        "_began_at",
        "_came_at",
        "_door",
        "_eof",
        "_held",
        "_loop",
        "_out",
        "_over_at",
        "_stopping",
        "_take",
        "_task",
        "_transfer",
        "_unheard",
        "heard_at",
        "session",
        "transport",
    )

    # Life cycle

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self._take: Callable[[Any, bytes], bytes] = Connection._lines
        self._ahead = b""  # heard, not yet understood
        self._out = b""  # replies not yet sent
        self._transfer: Transfer | None = None  # of the message that is coming in
        self._task: asyncio.Task[None] | None = None
        self._held = 0  # bytes of it that the intake counts
        self._eof = False
        self._stopping = False
        self._unheard = False
        self._answered = True
        self._admitted = False
        self._over_at = 0.0
        self._began_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self.transport = cast(asyncio.Transport, transport)
        self._came_at = self.heard_at = self._loop.time()
        client = address(transport.get_extra_info("peername"))
        server = address(transport.get_extra_info("sockname"))
        self.session = Session(self._door, client, server)
        if self._door.balancers is not None and self._door.balancers.get(client[0]):
            self._door.wires.add(self)
            self._take = _proxy_header(ProxyHeader())
        else:
            self._admit()

    def _admit(self) -> None:
        """Let the client in, or turn it away at no cost."""
        door, session = self._door, self.session
        transport = cast(asyncio.Transport, self.transport)
        ip = session.client[0]
        if door.gate.admit(ip) is not None:
            self._take = Connection._ignore
            transport.write(door.face.hang_up(421, "busy"))  # not 521: it may come again, and we are there
            self._over_at = self.heard_at
            door.wires.add(self)
            transport.close()
            return
        self._admitted = True
        door.wires.add(self)
        delay = door.delay(ip) if door.delay else 0.0
        if delay:
            self._take = Connection._wait
            # What comes stays with the kernel. Not yet: reading begins once we return.
            self._loop.call_soon(self._pause_reading)
            self._loop.call_later(delay, self._greet)
        else:
            self._welcome()

    def _welcome(self) -> None:
        """Look whether the client has talked before its turn, and greet it."""
        door = self._door
        transport = cast(asyncio.Transport, self.transport)
        first = self._waiting()
        banner = door.banner()
        if not first:
            transport.write(banner)
            return
        self.session.saw("pregreet")
        if first == _TLS_HELLO and door.tls:
            self.session.saw("tls_first")
            self._start_tls(taken_from(transport))
        else:
            # It may have said everything and gone: a banner to a closed port would cost us what it said.
            self._out = banner

    def _waiting(self) -> bytes:
        """The first bytes of what the client has said before we read; empty when nothing."""
        return waiting(cast(asyncio.Transport, self.transport))

    def _pause_reading(self) -> None:
        if self.transport is not None and self._take is Connection._wait:
            self.transport.pause_reading()

    def _greet(self) -> None:
        """The time to wait for the banner is over."""
        if self.transport is None or self._over_at:
            return
        self._welcome()
        if self._take is Connection._wait:
            self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._door.wires.discard(self)
        if self._admitted:
            self._admitted = False
            self._door.gate.leave(self.session.client[0])
            if not self.session.messages and self._door.log is not None:
                self._door.log.record(self.session)
        self.transport = None
        self._drop_message()
        self._let_go()
        self._is_heard()

    def eof_received(self) -> bool:
        """The client will say nothing more. It may still listen."""
        self._eof = True
        # Else close, after the last reply. Over TLS there is no half of a connection.
        return self._take in _PATIENT and not self.session.tls_version

    def pause_writing(self) -> None:
        """The client does not listen: then we don't either."""
        if not self._unheard:
            self._unheard = True
            self._door.intake.memory.add(UNREAD)
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It listens again."""
        self._is_heard()
        if self._take is Connection._wait_for_turn:
            self._go_on()
        elif self.transport is not None and self._take is not Connection._wait:
            self.transport.resume_reading()

    def _is_heard(self) -> None:
        """No replies wait any more."""
        if self._unheard:
            self._unheard = False
            self._door.intake.memory.add(-UNREAD)

    def stop(self) -> None:
        """Say goodbye, at once or after the message that is coming in."""
        self._stopping = True
        if self._task is not None:
            self.abort()  # nothing can be said amid a handshake
        elif self._transfer is None and self._answered and not self._over_at:
            self.hang_up("shutdown", 421)

    def abort(self) -> None:
        """Close the connection, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()
        elif self._task is not None:
            self._task.cancel()

    def hang_up(self, cause: str, code: int = 0) -> None:
        """Say why, and close the connection.

        Args:
            cause: one of those that Face.hang_up knows.
            code: of the reply; the policy's when not given. In LMTP it is always 421: a mail server that
                hears 521 returns the message.
        """
        self._door.gate.refuse(cause)
        code = 421 if self._door.lmtp else code or self._door.stress.policy.hang_up
        self._out += self._door.face.hang_up(code, cause)
        self._close()

    def _close(self) -> None:
        self._over_at = self._loop.time()
        self._take = Connection._ignore
        self._flush()
        if self.transport is not None:
            self.transport.close()

    def visit(self, now: float, policy: Policy) -> None:
        """The patrol comes by: hang up on who is silent, slow, or here for too long."""
        if self._over_at:
            if now - self._over_at > LINGER:
                self.abort()  # it doesn't hear our last words
        elif not self._admitted:
            if now - self._came_at > policy.deadline:
                self._door.gate.refuse("proxy")
                self.abort()  # no balancer says its header so slowly
        elif self._task is not None or self._take is Connection._wait:
            return  # the handshake has its own time-out, and what is waited for is not the client's fault
        elif now - self.heard_at > (
            min(policy.timeout, policy.deadline) if self._unheard else policy.timeout
        ):
            self.hang_up("timeout")  # sooner for one who does not read: what it was told is in memory
        elif self._transfer is not None:
            spent = now - self._transfer.began_at
            if spent > GRACE and self._transfer.body.size < policy.min_rate * spent:
                self.hang_up("slow")
            elif spent > policy.duration:
                self.hang_up("duration")
        elif now - self._came_at > policy.duration:
            self.hang_up("duration")
        elif self._ahead and self._take not in _PATIENT and now - self._began_at > policy.deadline:
            self.hang_up("slow")

    # Hearing

    def data_received(self, data: bytes) -> None:
        """The client says something."""
        self.heard_at = self._loop.time()
        if data and not self.session.first_command_at:
            self.session.first_command_at = time.time()
        try:
            if len(data) > AT_ONCE and self._take is Connection._lines:
                data = self._bit_by_bit(data)
            while data:
                data = self._take(self, data)
        except Exception:  # a mistake of ours: told to the operator, and no reason to stop the sink
            log.exception("session with %s", self.session.client[0])
            self.hang_up("internal", 421)
            return
        if self._stopping and self._transfer is None and self._answered and not self._over_at:
            self.hang_up("shutdown", 421)
        elif self._out:
            self._flush()

    def _bit_by_bit(self, data: bytes) -> bytes:
        """Understand a large packet in pieces: at each end of a message what is left of one is copied."""
        for at in range(0, len(data), AT_ONCE):
            piece = data[at : at + AT_ONCE]
            while piece:
                piece = self._take(self, piece)
        return b""

    def _flush(self) -> None:
        out, self._out = self._out, b""
        if out and self.transport is not None:
            self.transport.write(out)

    def _lines(self, data: bytes) -> bytes:
        """Listen for commands."""
        if len(self._out) > MAX_OUT:
            self._let_others()
            return data
        begun = bool(self._ahead)
        if begun:
            data = self._ahead + data
            self._ahead = b""
        if not self.session.commands and data.startswith(_TLS_HELLO):
            self.session.saw("tls_first")  # but it was read, so there is no way back
        start, length = 0, len(data)
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            start = end + 1
            self._command(line, start < length)
            if len(self._out) > MAX_OUT and self._take is Connection._lines:
                self._let_others()
            if self._take is not Connection._lines:
                return data[start:]
        if start < length:
            self._ahead = cut(data[start:])
            if start or not begun:
                self._began_at = self.heard_at
        return b""

    def _ignore(self, _data: bytes) -> bytes:
        """Listen to nothing: the session is over, or becomes another one."""
        return b""

    def _wait(self, data: bytes) -> bytes:
        """Keep what comes before the banner, or while the disk is written to; not much of it."""
        if self._answered:
            self.session.saw("pregreet")
        self._hold(data)
        self._pause_reading()
        return b""

    def _hold(self, data: bytes) -> None:
        """Keep what can't be understood yet, and count it."""
        memory = self._door.intake.memory
        self._ahead += data
        self._held += len(data)
        memory.add(len(data))
        if 0 < memory.limit < memory.held:
            self.hang_up("busy", 421)

    def _let_go(self) -> bytes:
        """What was kept, which is not kept longer."""
        ahead, self._ahead = self._ahead, b""
        if self._held:
            self._door.intake.memory.add(-self._held)
            self._held = 0
        return ahead

    def _let_others(self) -> None:
        """Much was said in one packet: the rest of it waits for its turn, and until the client reads."""
        self._take = Connection._wait_for_turn
        self._flush()
        if not self._unheard and self.transport is not None:
            self.transport.pause_reading()
            self._loop.call_soon(self._turn)

    def _wait_for_turn(self, data: bytes) -> bytes:
        """Keep what came with commands that were answered."""
        self._hold(data)
        return b""

    def _turn(self) -> None:
        if self._take is Connection._wait_for_turn:
            self._go_on()

    def _go_on(self) -> None:
        """The wait is over: listen to commands, first to those that came meanwhile."""
        if self.transport is None:
            return
        self._take = Connection._lines
        if not self._unheard:
            self.transport.resume_reading()
        self.data_received(self._let_go())
        if self._eof and self._take not in _PATIENT and not self._over_at:
            self._close()

    # TLS

    def _start_tls(self, sock: socket.socket | None = None) -> None:
        """Begin TLS, on the transport or on a socket without one."""
        self._take = Connection._ignore  # what was said in the clear is nobody's word (RFC 3207, 6)
        self._drop_message()
        if sock is not None:
            self.transport = None
        self._task = self._loop.create_task(self._secure(sock or self.transport))

    async def _secure(self, plain: asyncio.Transport | socket.socket | None) -> None:
        """The handshake; after it the session begins anew."""
        patience = min(HANDSHAKE_TIMEOUT, self._door.stress.policy.timeout)
        transport = await shake_hands(self._loop, self, plain, cast(ssl.SSLContext, self._door.tls), patience)
        self._task = None
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        if transport is None or tls is None:
            self._door.gate.refuse("tls")
            self.abort()
            self.connection_lost(None)  # nobody else may tell us
        elif self not in self._door.wires or self._stopping:  # gone meanwhile
            transport.abort()
            self.connection_lost(None)
        else:
            self.transport = transport
            self._secured(tls)

    def _secured(self, tls: ssl.SSLObject) -> None:
        self.session.encrypted(str(tls.version()), (tls.cipher() or ("",))[0])
        self._take = Connection._lines
        self.heard_at = self._loop.time()
        if "tls_first" in (self.session.dialect or {}) and self.transport is not None:
            self.transport.write(self._door.banner())

    # What is understood

    def _command(self, line: bytes, more: bool) -> None:
        """Understand and answer one line.

        Args:
            line: without its LF.
            more: something followed it in the same packet.
        """
        raise NotImplementedError

    def _drop_message(self) -> None:
        """Forget the message that was coming in."""
        if self._transfer is not None:
            self._transfer.drop()
            self._transfer = None


_PATIENT = frozenset({Connection._wait, Connection._wait_for_turn})
"""What a connection that can't be listened to does: its client is kept, although it says nothing more."""


def _proxy_header(header: ProxyHeader) -> Callable[[Connection, bytes], bytes]:
    """Listen for the word of a load balancer about who its client is."""

    def take(wire: Connection, data: bytes) -> bytes:
        session = wire.session
        try:
            said = header.feed(data)
        except ValueError:
            wire._door.gate.refuse("proxy")
            wire.abort()
            return b""
        if said is None:
            return b""
        session.saw("proxy", session.client[0])
        session.client = said.client if said.client[0] else session.client
        session.server = said.server if said.server[0] else session.server
        wire._take = Connection._lines
        if said.rest:
            session.saw("pregreet")
        else:
            session.first_command_at = 0.0  # that was the balancer's word
        wire._admit()
        return said.rest

    return take


def cut(line: bytes) -> bytes:
    """A line that has not ended; of one that is too long just enough to see that, and its last byte."""
    return line if len(line) <= MAX_LINE + 2 else line[: MAX_LINE + 1] + line[-1:]
