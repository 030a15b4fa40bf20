"""SMTP and LMTP on the wire: aiosmtpd's protocol with the ways of a trap.

aiosmtpd gives the connection its life cycle. Ours is what decides about what is heard: lines of any
ending and nearly any length, messages in large pieces kept byte for byte, BDAT (RFC 3030), LMTP
(RFC 2033), and what a client said before it hung up. What is answered, and what is recorded, is in
trap/session.py.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP

from trap.body import Body
from trap.intake import Intake
from trap.session import TOO_LARGE, Session
from trap.talk import PIECE, Talk

MAX_NONSENSE = 100
"""Commands that mean nothing, after which we hang up."""
HANDSHAKE_TIMEOUT = 60.0
STOPPING = "421 4.3.2 Shutting down"

_BDAT = re.compile(r"(\d{1,18})(?:\s+(LAST))?", re.IGNORECASE | re.ASCII)

log = logging.getLogger("trap.sink")


@dataclass(frozen=True)
class Door:
    """What the connections of one listener have in common."""

    intake: Intake
    listener: str
    lmtp: bool = False
    tls: ssl.SSLContext | None = None
    wires: "set[Wire]" = field(default_factory=set)
    """The connections that are open."""


class Wire(SMTP):
    """One connection.

    Args:
        door: what it has in common with others.
        loop: the running event loop.
    """

    session: Session  # type: ignore[assignment]  # ours, in the place of aiosmtpd's

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        # aiosmtpd's own __init__ inspects handler and class for hooks, on every connection, and that
        # takes longer than a message. What the inherited methods need is set here instead.
        reader = asyncio.StreamReader(limit=PIECE // 2, loop=loop)
        asyncio.StreamReaderProtocol.__init__(self, reader, self._cb_client_connected, loop)
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self._original_transport = None
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._door = door
        self._chunks: bytearray | None = None  # what BDAT brought so far
        self._taking = False
        self._over = False
        self._stopping = False
        self._nonsense = 0

    # Life cycle

    def _create_session(self) -> Any:
        return Session(self._door.intake, self._door.listener, lmtp=self._door.lmtp)

    def _set_rset_state(self) -> None:
        self._chunks = None

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talk = Talk(reader, writer, self.loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        super().connection_made(transport)
        self._door.wires.add(self)
        self.session.client = _address(transport.get_extra_info("peername"))
        self.session.server = _address(transport.get_extra_info("sockname"))

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone. What it said before is still read, so no error is passed on."""
        asyncio.StreamReaderProtocol.connection_lost(self, None)
        self._leave()

    def eof_received(self) -> bool | None:
        """The client will say nothing more. It may still listen."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def stop(self) -> None:
        """Say goodbye, at once or after the message that is coming in."""
        self._stopping = True
        if not self._busy:
            self._hang_up(STOPPING)

    def abort(self) -> None:
        """Close the connection, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    @property
    def _busy(self) -> bool:
        return self._taking or self._chunks is not None

    def _leave(self) -> None:
        if self._timeout_handle:
            self._timeout_handle.cancel()
        self._door.wires.discard(self)
        self.transport = None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Arm the timer, once for the connection: it asks by itself when the client was last heard."""
        wait = self._door.intake.timeout if duration is None else duration
        self._timeout_handle = self.loop.call_later(wait, self._timeout_cb)

    def _timeout_cb(self) -> None:
        left = self._talk.heard_at + self._door.intake.timeout - self.loop.time()
        if left > 0:
            self._reset_timeout(left)
        else:
            self._hang_up("421 4.4.2 Nothing heard for too long")

    def _hang_up(self, reply: str) -> None:
        self._over = True
        self._say(reply)
        self._talk.flush()
        if self.transport is not None and not self.transport.is_closing():
            deaf = self.transport.get_write_buffer_size() > 0
            (self.transport.abort if deaf else self.transport.close)()

    async def _handle_client(self) -> None:
        try:
            self._say(f"220 {self._door.intake.hostname} ESMTP")
            while not self._over:
                await self._command(await self._talk.line())
                if self._stopping and not self._over and not self._busy:
                    self._hang_up(STOPPING)
        except EOFError:
            pass
        except Exception:  # a mistake of ours: told to the operator, and no reason to stop the sink
            log.exception("session with %s", self.session.client[0])
            self._say("421 4.3.0 Internal error")
        finally:
            self._talk.flush()
            if self.transport is not None:
                self.transport.close()
            self._chunks = None  # not left to the garbage collector, which comes when it likes
            self._leave()

    # Commands

    async def push(self, status: str | bytes) -> None:
        """Aiosmtpd's way to reply."""
        self._say(status if isinstance(status, str) else status.decode())

    def _say(self, *replies: str) -> None:
        for reply in replies:
            if reply[0] in "45":
                self.session.refused(reply)
            self._talk.say(reply)

    async def _command(self, line: bytes | None) -> None:
        self.session.count(bare_lf=self._talk.bare_lf)
        if line is None:
            self._say("500 5.5.2 Line too long")
            return
        words = line.decode("utf-8", "surrogateescape").split(None, 1)
        verb = words[0] if words else ""
        method = _COMMANDS.get(verb.upper())
        if method is not None:
            await method(self, verb, words[1].rstrip() if len(words) > 1 else "")
            return
        self._say("500 5.5.2 Command not understood")
        self._nonsense += 1
        if self._nonsense >= MAX_NONSENSE:
            self._hang_up("421 4.7.0 Too many errors")

    async def _hello(self, verb: str, argument: str) -> None:
        self._set_rset_state()
        self._say(self.session.hello(verb, argument, starttls=self._may_start_tls))

    async def _mail(self, _verb: str, argument: str) -> None:
        self._set_rset_state()
        self._say(self.session.mail(argument))

    async def _rcpt(self, _verb: str, argument: str) -> None:
        self._say(self.session.rcpt(argument))

    async def _rset(self, _verb: str, _argument: str) -> None:
        self._set_rset_state()
        self.session.reset()
        self._say("250 2.0.0 Ok")

    async def _noop(self, _verb: str, _argument: str) -> None:
        self._say("250 2.0.0 Ok")

    async def _vrfy(self, _verb: str, _argument: str) -> None:
        self._say("252 2.5.1 Send some mail, we will see")

    async def _help(self, _verb: str, _argument: str) -> None:
        self._say(f"214 2.0.0 {' '.join(_COMMANDS)}")

    async def _refuse(self, _verb: str, _argument: str) -> None:
        self._say("502 5.5.1 Not offered")

    async def _quit(self, _verb: str, _argument: str) -> None:
        self._say("221 2.0.0 Bye")
        self._over = True

    async def _starttls(self, _verb: str, argument: str) -> None:
        if argument or self._door.tls is None or not self._may_start_tls:
            self._say("501 5.5.4 STARTTLS has no argument" if argument else "503 5.5.1 Not offered now")
            return
        self._say("220 2.0.0 Ready")
        try:
            self.transport = await self._talk.start_tls(self._door.tls, HANDSHAKE_TIMEOUT)
        except (
            OSError,
            EOFError,
            RuntimeError,
        ):  # gone, or no TLS of ours; RuntimeError is uvloop's for gone
            self._over = True
            return
        tls = self.transport.get_extra_info("ssl_object")
        self._set_rset_state()
        self.session.encrypted(tls.version(), tls.cipher()[0])

    @property
    def _may_start_tls(self) -> bool:
        return self._door.tls is not None and not self.session.tls_version

    async def _data(self, _verb: str, _argument: str) -> None:
        refusal = self.session.refuse_data() if self._chunks is None else "503 5.5.1 BDAT was begun"
        if refusal:
            self._say(refusal)
            return
        self._say("354 End with <CR><LF>.<CR><LF>")
        self._taking = True
        body = Body(self._door.intake.max_size, bare_lf=not self._talk.crlf)
        while (rest := body.feed(await self._talk.hear())) is None:
            pass
        self._talk.unhear(rest)
        self._talk.crlf = not body.bare_lf
        await self._finish(body.message(), body.oversize)

    async def _bdat(self, _verb: str, argument: str) -> None:
        said = _BDAT.fullmatch(argument)
        if not said:
            self._hang_up("501 5.5.4 Syntax: BDAT size [LAST]")  # who knows where the next command begins
            return
        size = int(said[1])
        refusal = self.session.refuse_data() if self._chunks is None else None
        chunks = bytearray() if self._chunks is None else self._chunks
        oversize = len(chunks) + size > self._door.intake.max_size
        self._taking = True
        await self._talk.take(size, None if refusal or oversize else chunks)
        if refusal or oversize or said[2]:
            await self._finish(bytes(chunks), oversize, refusal)
        else:
            self._chunks, self._taking = chunks, False
            self._say(f"250 2.0.0 {size} bytes")

    async def _finish(self, message: bytes, oversize: bool, refusal: str | None = None) -> None:
        """The transaction ends: store the message, or say why not."""
        if oversize and not refusal:
            refusal = TOO_LARGE.format(self._door.intake.max_size)
        self._set_rset_state()
        self._say(*await self.session.finish(message, refusal))
        self._taking = False


_Command = Callable[[Wire, str, str], Awaitable[None]]
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
    "EXPN": Wire._refuse,
    "AUTH": Wire._refuse,
    "HELP": Wire._help,
    "STARTTLS": Wire._starttls,
    "QUIT": Wire._quit,
}


def _address(said: Any) -> tuple[str, int]:
    """Host and port of a socket address; empty for a UNIX socket."""
    if not isinstance(said, tuple):
        return "", 0
    return str(said[0]).removeprefix("::ffff:"), int(said[1])
