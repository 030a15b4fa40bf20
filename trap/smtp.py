"""SMTP and LMTP on the wire: one connection as a state machine without a task and without a timer.

What is received goes to what the connection is listening for: command lines of any ending, a message,
a chunk (RFC 3030), an answer to AUTH, an open proxy's header. Replies to what came in one packet leave
in one packet (RFC 2920). What is answered, and what is recorded, is in trap/session.py; who has been silent
or slow for too long finds the patrol (trap/patrol.py).
"""

import asyncio
import fcntl
import logging
import os
import re
import socket
import ssl
import termios
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import Any, cast

from trap.auth import attempt, harmless
from trap.body import Body, Chunks, Collected
from trap.door import Door
from trap.draft import Draft
from trap.proxied import ProxyHeader
from trap.session import Session
from trap.stress import Policy

MAX_LINE = 12_288
"""Longest command; RFC 5321 asks for 512, RFC 4954 for this (section 4), clients send more."""
MAX_OUT = 1 << 16
"""Bytes of replies to one packet that are sent before more of it is understood."""
MAX_WAITING = 1 << 16
"""Bytes taken off a client that has to wait; more stay with the kernel."""
HANDSHAKE_TIMEOUT = 60.0
LINGER = 5.0
"""Seconds a client has to hear our last words."""
GRACE = 10.0
"""Seconds before the rate of a message counts."""

_BDAT = re.compile(r"(\d{1,18})(?:\s+(LAST))?", re.IGNORECASE | re.ASCII)
_WAITED_FOR = frozenset({"EHLO", "HELO", "LHLO", "DATA", "VRFY", "EXPN", "NOOP", "QUIT", "STARTTLS", "AUTH"})
"""Commands that end a group (RFC 2920, 3.1; RFC 3207, 4; RFC 4954, 4)."""
_TLS_HELLO = b"\x16\x03"
_NONE_WAITING = b"\0\0\0\0"

log = logging.getLogger("trap.sink")


class Wire(asyncio.Protocol):
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
        "_asking",
        "_began_at",
        "_body",
        "_came_at",
        "_crlf",
        "_door",
        "_draft",
        "_eof",
        "_junk",
        "_loop",
        "_no_room",
        "_out",
        "_over_at",
        "_stopping",
        "_take",
        "_task",
        "_tried_auth",
        "_unheard",
        "_weight",
        "heard_at",
        "session",
        "transport",
    )

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self._take: Callable[[Wire, bytes], bytes] = Wire._lines
        self._ahead = b""  # heard, not yet understood
        self._out = b""  # replies not yet sent
        self._body: Collected | None = None
        self._draft: Draft | None = None
        self._weight = 0  # bytes of the message that are in memory, as the intake counts them
        self._no_room = False
        self._asking: Generator[bytes, bytes, tuple[bytes, dict[str, Any]]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._junk = 0  # commands that lead to no message, since the last one
        self._crlf = False
        self._tried_auth = False
        self._eof = False
        self._stopping = False
        self._unheard = False
        self._answered = True
        self._admitted = False
        self._over_at = 0.0
        self._began_at = 0.0

    # Life cycle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self.transport = cast(asyncio.Transport, transport)
        self._came_at = self.heard_at = self._loop.time()
        client = _address(transport.get_extra_info("peername"))
        server = _address(transport.get_extra_info("sockname"))
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
            self._take = Wire._ignore
            transport.write(door.face.hang_up(421, "busy"))  # not 521: it may come again, and we are there
            self._over_at = self.heard_at
            door.wires.add(self)
            transport.close()
            return
        self._admitted = True
        door.wires.add(self)
        first = self._waiting()
        if first:
            session.saw("pregreet")
            if first == _TLS_HELLO and door.tls:
                session.saw("tls_first")
                self._take = Wire._ignore
                self._task = self._loop.create_task(self._secure(self._unread()))
                return
        delay = door.delay(ip) if door.delay else 0.0
        if delay:
            self._take = Wire._wait
            self._loop.call_later(delay, self._greet)
        elif first:
            # It may have said everything and gone: a banner to a closed port would cost us what it said.
            self._out = door.face.banner(door.stress.policy.hint)
        else:
            transport.write(door.face.banner(door.stress.policy.hint))

    def _waiting(self) -> bytes:
        """The first bytes of what the client has said before we read; empty when nothing."""
        sock = cast(asyncio.Transport, self.transport).get_extra_info("socket")
        if fcntl.ioctl(sock.fileno(), termios.FIONREAD, _NONE_WAITING) == _NONE_WAITING:
            return b""
        return _peek(sock.fileno(), sock.family)

    def _greet(self) -> None:
        """The time to wait for the banner is over."""
        if self.transport is None or self._over_at:
            return
        self._out = self._door.face.banner(self._door.stress.policy.hint)
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
        self._ahead = b""
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def eof_received(self) -> bool:
        """The client will say nothing more. It may still listen."""
        self._eof = True
        # Else close, after the last reply. Over TLS there is no half of a connection.
        return self._take in _PATIENT and not self.session.tls_version

    def pause_writing(self) -> None:
        """The client does not listen: then we don't either."""
        self._unheard = True
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It listens again."""
        self._unheard = False
        if self._take is Wire._wait_to_be_heard:
            self._go_on()
        elif self.transport is not None and self._take is not Wire._wait:
            self.transport.resume_reading()

    def stop(self) -> None:
        """Say goodbye, at once or after the message that is coming in."""
        self._stopping = True
        if self._body is None and self._answered and not self._over_at:
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
            code: of the reply; the policy's when not given.
        """
        self._door.gate.refuse(cause)
        self._out += self._door.face.hang_up(code or self._door.stress.policy.hang_up, cause)
        self._close()

    def _close(self) -> None:
        self._over_at = self._loop.time()
        self._take = Wire._ignore
        self._flush()
        if self.transport is not None:
            self.transport.close()

    def visit(self, now: float, policy: Policy) -> None:
        """The patrol comes by: hang up on who is silent, slow, or here for too long."""
        if self._over_at:
            if now - self._over_at > LINGER:
                self.abort()  # it doesn't hear our last words
        elif self._task is not None or self._take is Wire._wait:
            return  # the handshake has its own time-out, and what is waited for is not the client's fault
        elif now - self.heard_at > policy.timeout:
            self.hang_up("timeout")
        elif self._body is not None:
            spent = now - self._began_at
            if spent > GRACE and self._body.size < policy.min_rate * spent:
                self.hang_up("slow")
            elif spent > policy.duration:
                self.hang_up("duration")
        elif now - self._came_at > policy.duration:
            self.hang_up("duration")
        elif self._ahead and now - self._began_at > policy.deadline:
            self.hang_up("slow")

    # Hearing

    def data_received(self, data: bytes) -> None:
        """The client says something."""
        self.heard_at = self._loop.time()
        if not self.session.first_command_at:
            self.session.first_command_at = time.time()
        try:
            while data:
                data = self._take(self, data)
        except Exception:  # a mistake of ours: told to the operator, and no reason to stop the sink
            log.exception("session with %s", self.session.client[0])
            self.hang_up("internal", 421)
            return
        if self._stopping and self._body is None and self._answered and not self._over_at:
            self.hang_up("shutdown", 421)
        elif self._out:
            self._flush()

    def _flush(self) -> None:
        out, self._out = self._out, b""
        if out and self.transport is not None:
            self.transport.write(out)

    def _lines(self, data: bytes) -> bytes:
        """Listen for commands."""
        begun = bool(self._ahead)
        if begun:
            data = self._ahead + data
            self._ahead = b""
        start, length = 0, len(data)
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            start = end + 1
            self._command(line, start < length)
            if len(self._out) > MAX_OUT:
                self._flush()
                if self._unheard and self._take is Wire._lines:
                    self._take = Wire._wait_to_be_heard
            if self._take is not Wire._lines:
                return data[start:]
        if start < length:
            self._ahead = _cut(data[start:])
            if start or not begun:
                self._began_at = self.heard_at
        return b""

    def _ignore(self, _data: bytes) -> bytes:
        """Listen to nothing: the session is over, or becomes another one."""
        return b""

    def _wait(self, data: bytes) -> bytes:
        """Keep what comes before the banner, or while the disk is written to."""
        if self._answered:
            self.session.saw("pregreet")
        self._ahead += data
        if len(self._ahead) > MAX_WAITING and self.transport is not None:
            self.transport.pause_reading()
        return b""

    def _wait_to_be_heard(self, data: bytes) -> bytes:
        """Keep what came with commands whose replies the client does not read."""
        self._ahead += data
        return b""

    def _go_on(self) -> None:
        """The wait is over: listen to commands, first to those that came meanwhile."""
        if self.transport is None:
            return
        self._take = Wire._lines
        if not self._unheard:
            self.transport.resume_reading()
        ahead, self._ahead = self._ahead, b""
        self.data_received(ahead)
        if self._eof and self._take not in _PATIENT and not self._over_at:
            self._close()

    # Commands

    def _command(self, line: bytes, more: bool) -> None:
        """Understand and answer one line.

        Args:
            line: without its LF.
            more: something followed it in the same packet.
        """
        session = self.session
        session.commands += 1
        if line.endswith(b"\r"):
            line = line[:-1]
            self._crlf = True
        else:
            session.saw("bare_lf")
        if self._asking is not None:
            self._out += self._ask(line)
            self._after_trouble()
            return
        if len(line) > MAX_LINE:
            self._out += session.refused(self._door.face.line_too_long(), "syntax")
            self._after_trouble()
            return
        text = line.decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        method = _COMMANDS.get(verb)
        if method is None:  # not in the spelling of most
            verb, argument = (*text.split(None, 1), "", "")[:2]
            method = _COMMANDS.get(verb.upper())
        if more:
            self._pipelined(verb.upper())
        if not (text.isascii() and text.isprintable()):
            self._odd(text)
        before = session.refusals + self._junk
        if method is not None:
            reply = method(self, verb, argument.strip())
        else:
            self._junk += 1
            kept = harmless(text[:64], after_auth=self._tried_auth)
            session.saw_also("unknown_verbs", kept)
            reply = session.refused(self._door.face.unknown_verb(kept), "junk")
        self._out += reply  # not in one line with the call: the method may have said something itself
        if session.refusals + self._junk != before or session.commands >= self._door.stress.policy.commands:
            self._after_trouble()

    def _pipelined(self, verb: str) -> None:
        there = (self.session.dialect or {}).get("pipelining")
        if verb in _WAITED_FOR or not self.session.extended:
            self.session.saw("pipelining", "unasked")
        elif there is None:
            self.session.saw("pipelining", "offered")

    def _odd(self, text: str) -> None:
        for name, seen in (
            ("eight_bit", not text.isascii()),
            ("nul", "\0" in text),
            ("bare_cr", "\r" in text),
        ):
            if seen:
                self.session.saw(name)

    def _after_trouble(self) -> None:
        """Hang up on who makes too many errors, says too much that means nothing, or goes on for ever."""
        if self._over_at:
            return
        policy, session = self._door.stress.policy, self.session
        if session.refusals >= policy.errors or self._junk >= policy.junk:
            self.hang_up("errors")
        elif session.commands >= policy.commands:
            self.hang_up("commands")

    def _hello(self, verb: str, argument: str) -> bytes:
        self._drop_message()
        return self.session.hello(verb, argument, starttls=self._may_start_tls)

    def _mail(self, _verb: str, argument: str) -> bytes:
        self._drop_message()
        return self.session.mail(argument)

    def _rcpt(self, _verb: str, argument: str) -> bytes:
        return self.session.rcpt(argument)

    def _rset(self, _verb: str, _argument: str) -> bytes:
        self._junk += 1
        self._drop_message()
        self.session.reset()
        return self._door.face.rset()

    def _noop(self, _verb: str, _argument: str) -> bytes:
        self._junk += 1
        return self._door.face.noop()

    def _vrfy(self, _verb: str, argument: str) -> bytes:
        self._junk += 1
        return self._door.face.vrfy(argument)

    def _expn(self, _verb: str, _argument: str) -> bytes:
        return self.session.refused(self._door.face.expn(), "not_offered")

    def _help(self, _verb: str, _argument: str) -> bytes:
        self._junk += 1
        return self._door.face.help()

    def _quit(self, _verb: str, _argument: str) -> bytes:
        self._out += self._door.face.quit()
        self._close()
        return b""

    def _auth(self, _verb: str, argument: str) -> bytes:
        door = self._door
        self._tried_auth = True
        if door.auth == "off":
            return self.session.refused(door.face.not_offered(), "not_offered")
        self._asking = attempt(argument, door.face, door.auth_key, accept=door.auth == "accept")
        return self._ask(None)

    def _ask(self, line: bytes | None) -> bytes:
        """Go on with AUTH: the next challenge, or its end."""
        assert self._asking is not None
        try:
            return self._asking.send(cast(bytes, line))
        except StopIteration as end:
            self._asking = None
            reply, record = end.value
            self.session.saw_also("auth", record)
            return reply if reply[:1] == b"2" else self.session.refused(reply, "auth")

    def _http(self, verb: str, argument: str) -> bytes:
        """It takes us for an open proxy, which tells who sends spam through others' machines."""
        self.session.saw("http", f"{verb} {argument}"[:200])
        self._take = Wire._http_header
        return b""

    def _http_header(self, data: bytes) -> bytes:
        """Listen for the empty line that ends an HTTP header, then for SMTP."""
        if self._ahead:
            data = self._ahead + data
            self._ahead = b""
        else:
            self._began_at = self.heard_at
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end].rstrip(b"\r")
            start = end + 1
            self.session.commands += 1
            if not line or self.session.commands >= self._door.stress.policy.commands:
                self._take = Wire._lines
                if str((self.session.dialect or {}).get("http")).upper().startswith("CONNECT"):
                    self._out += b"HTTP/1.0 200 Connection established\r\n\r\n"
                    self._out += self._door.face.banner(self._door.stress.policy.hint)
                self._after_trouble()
                return data[start:]
        self._ahead = _cut(data[start:])
        return b""

    # TLS

    @property
    def _may_start_tls(self) -> bool:
        return self._door.tls is not None and not self.session.tls_version

    def _starttls(self, _verb: str, argument: str) -> bytes:
        face = self._door.face
        if argument:
            return self.session.refused(face.starttls_argument(), "syntax")
        if not self._may_start_tls:
            return self.session.refused(face.starttls_not_now(), "not_offered")
        self._out += face.starttls_ready()
        self._flush()
        self._start_tls()
        return b""

    def _start_tls(self) -> None:
        self._take = Wire._ignore  # what was said in the clear is nobody's word (RFC 3207, 6)
        self._drop_message()
        self._task = self._loop.create_task(self._secure())

    def _unread(self) -> socket.socket:
        """The connection without its transport, which would take from it what TLS is to read."""
        transport = cast(asyncio.Transport, self.transport)
        sock = transport.get_extra_info("socket")
        copy = socket.socket(sock.family, socket.SOCK_STREAM, fileno=os.dup(sock.fileno()))
        transport.set_protocol(asyncio.Protocol())  # its end is not ours
        transport.abort()
        self.transport = None
        return copy

    async def _secure(self, sock: socket.socket | None = None) -> None:
        """The handshake; after it the session begins anew.

        Args:
            sock: the connection, where there is no transport yet.
        """
        context = cast(ssl.SSLContext, self._door.tls)
        patience = min(HANDSHAKE_TIMEOUT, self._door.stress.policy.timeout)
        plain, transport = self.transport, None
        try:
            if sock is not None:
                transport, _ = await self._loop.connect_accepted_socket(
                    asyncio.Protocol, sock, ssl=context, ssl_handshake_timeout=patience
                )
                transport.set_protocol(self)
            elif plain is not None:
                transport = await self._loop.start_tls(
                    plain, self, context, server_side=True, ssl_handshake_timeout=patience
                )
        except (OSError, RuntimeError, asyncio.CancelledError):
            pass  # gone, or no TLS of ours (RuntimeError is uvloop's for gone), or aborted
        finally:
            self._task = None
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        if transport is None or tls is None:
            self._door.gate.refuse("tls")
            self.abort()
            self.connection_lost(None)  # nobody else may tell us
        elif self not in self._door.wires:  # gone meanwhile
            transport.abort()
        else:
            self.transport = transport
            self._secured(tls)

    def _secured(self, tls: ssl.SSLObject) -> None:
        self.session.encrypted(str(tls.version()), (tls.cipher() or ("",))[0])
        self._take = Wire._lines
        self.heard_at = self._loop.time()
        if "tls_first" in (self.session.dialect or {}) and self.transport is not None:
            self.transport.write(self._door.face.banner(self._door.stress.policy.hint))

    # Messages

    def _refuse_data(self) -> bytes | None:
        """Why no message can be taken now."""
        if self._door.gate.message(self.session.client[0]) is not None:
            self.hang_up("rate")  # counted as message_rate too: there are other reasons to hang up
            return b""
        return self.session.refuse_data()

    def _data(self, _verb: str, _argument: str) -> bytes:
        if self._body is not None:
            return self.session.refused(self._door.face.bdat_begun(), "order")
        refusal = self._refuse_data()
        if refusal is not None:
            return refusal
        self._body = Body(self._door.intake.max_size, bare_lf=not self._crlf)
        self._began_at = self.heard_at
        self._take = Wire._message
        return self._door.face.data_go()

    def _message(self, data: bytes) -> bytes:
        """Listen for the end of the data."""
        body = cast(Body, self._body)
        rest = body.feed(data)
        if rest is None:
            self._weigh(body)
            return b""
        self._crlf = not body.bare_lf
        if rest:
            self.session.saw("after_data")
        self._take = Wire._lines
        self._finish(body)
        return rest

    def _bdat(self, _verb: str, argument: str) -> bytes:
        said = _BDAT.fullmatch(argument)
        if not said:  # who knows where the next command begins
            self._out += self.session.refused(self._door.face.bdat_syntax(), "syntax")
            self._close()
            return b""
        if self._body is None:
            refusal = self._refuse_data()
            if self._over_at:
                return b""
            self._body = Chunks(self._door.intake.max_size, refusal)
            self._began_at = self.heard_at
        cast(Chunks, self._body).expect(int(said[1]), last=bool(said[2]))
        self._take = Wire._chunk
        if said[1].strip("0") == "":
            self._chunk(b"")
        return b""

    def _chunk(self, data: bytes) -> bytes:
        """Listen for the end of a chunk. It is taken off the wire also when it is refused."""
        chunks = cast(Chunks, self._body)
        rest = chunks.feed(data)
        if rest is None:
            self._weigh(chunks)
            return b""
        self._take = Wire._lines
        if chunks.refusal is not None:
            self._drop_message()
            self._out += b"".join(self.session.give_up(chunks.refusal))
        elif chunks.last or chunks.oversize:
            if rest:
                self.session.saw("after_data")
            self._finish(chunks)
        else:
            self._weigh(chunks)
            self._out += self._door.face.bdat_ok(chunks.announced)
        return rest

    def _weigh(self, body: Collected) -> None:
        """Count what is in memory; what is too much for it goes to the spool."""
        intake = self._door.intake
        intake.memory.add(body.kept - self._weight)
        self._weight = body.kept
        if body.oversize and self._draft is not None:
            self._draft.abandon()
            self._draft = None
        if body.kept and intake.must_spill(body.kept):
            try:
                if self._draft is None:
                    self._draft = intake.draft(*self.session.aims())
                self._draft.write(body.take())
            except OSError:  # the intake has told the operator
                self._no_room = True
                body.give_up()
            intake.memory.add(-self._weight)
            self._weight = 0

    def _drop_message(self) -> None:
        """Forget the message that was coming in."""
        self._body, self._no_room = None, False
        if self._weight:
            self._door.intake.memory.add(-self._weight)
            self._weight = 0
        if self._draft is not None:
            self._draft.abandon()
            self._draft = None

    def _finish(self, body: Collected) -> None:
        """The transaction ends: store the message, or say why not."""
        session, face = self.session, self._door.face
        if self._draft is not None and not body.oversize:
            try:
                self._draft.write(body.take())
            except OSError:
                self._no_room = True
        refusal = b""
        if self._no_room:
            refusal = session.refused(face.no_room(), "no_room")
        elif body.oversize:
            refusal = session.refused(face.too_large(), "too_large")
        if refusal:
            self._drop_message()
            self._out += b"".join(session.give_up(refusal))
            self._after_trouble()
            return
        self._junk = 0
        message, self._draft = self._draft or body.take(), None
        self._drop_message()
        self._answered = False
        session.store(message, self._stored)
        if not self._answered:
            self._take = Wire._wait

    def _stored(self, replies: list[bytes]) -> None:
        """The message is stored, or could not be; called at once, or from the loop when the disk is slow."""
        self._answered = True
        self._out += b"".join(replies)
        if self._take is Wire._wait:
            self._go_on()


_PATIENT = frozenset({Wire._wait, Wire._wait_to_be_heard})
"""What a connection that can't be listened to does: its client is kept, although it says nothing more."""

_Command = Callable[[Wire, str, str], bytes]
_COMMANDS: dict[str, _Command] = {
    "HELO": Wire._hello,
    "EHLO": Wire._hello,
    "LHLO": Wire._hello,
    "MAIL": Wire._mail,
    "RCPT": Wire._rcpt,
    "DATA": Wire._data,
    "BDAT": Wire._bdat,
    "RSET": Wire._rset,
    "NOOP": Wire._noop,
    "VRFY": Wire._vrfy,
    "EXPN": Wire._expn,
    "AUTH": Wire._auth,
    "HELP": Wire._help,
    "STARTTLS": Wire._starttls,
    "QUIT": Wire._quit,
    "CONNECT": Wire._http,
    "POST": Wire._http,
    "PUT": Wire._http,
}


def _proxy_header(header: ProxyHeader) -> Callable[[Wire, bytes], bytes]:
    """Listen for the word of a load balancer about who its client is."""

    def take(wire: Wire, data: bytes) -> bytes:
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
        wire._take = Wire._lines
        if said.rest:
            session.saw("pregreet")
        wire._admit()
        return said.rest

    return take


def _cut(line: bytes) -> bytes:
    """A line that has not ended; of one that is too long just enough to see that, and its last byte."""
    return line if len(line) <= MAX_LINE + 2 else line[: MAX_LINE + 1] + line[-1:]


def _peek(fd: int, family: int) -> bytes:
    """The first two bytes that wait at a socket, left there."""
    with closing(socket.socket(family, fileno=os.dup(fd))) as copy, suppress(BlockingIOError):
        return copy.recv(2, socket.MSG_PEEK)
    return b""


def _address(said: Any) -> tuple[str, int]:
    """Host and port of a socket address; empty for a UNIX socket."""
    if type(said) is not tuple:
        return "", 0
    host = said[0]
    return (host[7:] if host.startswith("::ffff:") else host), said[1]
