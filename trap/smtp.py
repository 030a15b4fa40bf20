"""SMTP and LMTP: what a client says on a connection, command by command.

What is answered, and what is recorded, is in trap/session.py; how a connection lives, in trap/connection.py.
"""

import asyncio
import re
from collections.abc import Callable, Generator
from typing import Any, cast

from trap.auth import attempt, harmless
from trap.body import Body, Chunks
from trap.connection import MAX_LINE, Connection, cut
from trap.door import Door
from trap.transfer import NO_ROOM, Transfer

_BDAT = re.compile(r"(\d{1,18})(?:\s+(LAST))?", re.IGNORECASE | re.ASCII)
_EMPTY_LINE = re.compile(rb"\n\r*\n").search
_WAITED_FOR = frozenset({"EHLO", "HELO", "LHLO", "DATA", "VRFY", "EXPN", "NOOP", "QUIT", "STARTTLS", "AUTH"})
"""Commands that end a group (RFC 2920, 3.1; RFC 3207, 4; RFC 4954, 4)."""


class Wire(Connection):
    """One connection that speaks SMTP or LMTP.

    Args:
        door: what it has in common with others.
        loop: the running event loop.
    """

    __slots__ = ("_asking", "_crlf", "_junk", "_tried_auth")

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(door, loop)
        self._asking: Generator[bytes, bytes, tuple[bytes, dict[str, Any]]] | None = None
        self._junk = 0  # commands that lead to no message, since the last one
        self._crlf = False  # some line ended with CRLF
        self._tried_auth = False

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        if self._asking is not None:
            self._asking.close()
            self._asking = None
        super().connection_lost(error)

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
            # After AUTH, or in what a proxy passes on, it may be a password.
            doubtful = self._tried_auth or "http" in (session.dialect or {})
            kept = harmless(text[:64], after_auth=doubtful)
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
        if self._over_at or not self._answered:  # a message that is being stored has its answer first
            return
        policy, session = self._door.stress.policy, self.session
        if session.refusals >= policy.errors or self._junk >= policy.junk:
            self.hang_up("errors")
        elif session.commands >= policy.commands:
            self.hang_up("commands")

    def _hello(self, verb: str, argument: str) -> bytes:
        reply = self.session.hello(verb, argument, starttls=self._may_start_tls)
        if reply.startswith(b"2"):  # else the transaction goes on, with the chunks it has
            self._drop_message()
        return reply

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
        empty = _EMPTY_LINE(b"\n" + data)
        start = empty.end() - 1 if empty else data.rfind(b"\n") + 1
        self.session.commands += data.count(b"\n", 0, start)
        if empty or self.session.commands >= self._door.stress.policy.commands:
            self._take = Wire._lines
            if str((self.session.dialect or {}).get("http")).upper().startswith("CONNECT"):
                self._out += b"HTTP/1.0 200 Connection established\r\n\r\n"
                self._out += self._door.banner()
            self._after_trouble()
            return data[start:]
        self._ahead = cut(data[start:])
        return b""

    @property
    def _may_start_tls(self) -> bool:
        return self._door.tls is not None and not self.session.tls_version

    def _starttls(self, _verb: str, argument: str) -> bytes:
        face = self._door.face
        if argument:
            return self.session.refused(face.starttls_argument(), "syntax")
        if not self._may_start_tls:
            refusal = face.starttls_not_now() if self._door.tls else face.starttls_unknown()
            return self.session.refused(refusal, "not_offered")
        self._out += face.starttls_ready()
        self._flush()
        self._start_tls()
        return b""

    # Messages

    def _refuse_data(self) -> bytes | None:
        """Why no message can be taken now."""
        refusal = self.session.refuse_data()
        if refusal is None and self._door.gate.message(self.session.client[0]) is not None:
            self.hang_up("rate")  # counted as message_rate too: there are other reasons to hang up
            return b""
        return refusal

    def _begin(self, body: Body | Chunks) -> None:
        self._transfer = Transfer(self._door.intake, body, self.session.aims, self.heard_at)

    def _data(self, _verb: str, _argument: str) -> bytes:
        if self._transfer is not None:
            return self.session.refused(self._door.face.bdat_begun(), "order")
        refusal = self._refuse_data()
        if refusal is not None:
            return refusal
        self._begin(Body(self._door.intake.max_size, bare_lf=not self._crlf))
        self._take = Wire._message
        return self._door.face.data_go()

    def _message(self, data: bytes) -> bytes:
        """Listen for the end of the data."""
        transfer = cast(Transfer, self._transfer)
        body = cast(Body, transfer.body)
        rest = body.feed(data)
        if rest is None:
            transfer.weigh()
            return b""
        self._crlf = not body.bare_lf
        if rest:
            self.session.saw("after_data")
        self._take = Wire._lines
        self._finish(transfer)
        return rest

    def _bdat(self, _verb: str, argument: str) -> bytes:
        said = _BDAT.fullmatch(argument)
        if not said:  # who knows where the next command begins
            self._out += self.session.refused(self._door.face.bdat_syntax(), "syntax")
            self._close()
            return b""
        if self._transfer is None:
            refusal = self._refuse_data()
            if self._over_at:
                return b""
            self._begin(Chunks(self._door.intake.max_size, refusal))
        chunks = cast(Chunks, cast(Transfer, self._transfer).body)
        chunks.expect(int(said[1]), last=bool(said[2]))
        self._take = Wire._chunk
        if not chunks.announced:
            self._chunk(b"")
        return b""

    def _chunk(self, data: bytes) -> bytes:
        """Listen for the end of a chunk. It is taken off the wire also when it is refused."""
        transfer = cast(Transfer, self._transfer)
        chunks = cast(Chunks, transfer.body)
        rest = chunks.feed(data)
        if rest is None:
            transfer.weigh()
            return b""
        self._take = Wire._lines
        if chunks.refusal is not None:
            self._drop_message()
            self._out += b"".join(self.session.give_up(chunks.refusal, whole=chunks.last))
        elif chunks.last or chunks.oversize:
            if rest:
                self.session.saw("after_data")
            self._finish(transfer)
        else:
            transfer.weigh()
            self._out += self._door.face.bdat_ok(chunks.announced)
        return rest

    def _finish(self, transfer: Transfer) -> None:
        """The transaction ends: store the message, or say why not."""
        session, face = self.session, self._door.face
        self._transfer = None
        message = transfer.end()
        if isinstance(message, str):
            refusal = face.no_room() if message == NO_ROOM else face.too_large()
            whole = not isinstance(transfer.body, Chunks) or transfer.body.last
            self._out += b"".join(session.give_up(session.refused(refusal, message), whole=whole))
            self._after_trouble()
            return
        self._junk = 0
        self._answered = False
        session.store(message, self._stored)
        if not self._answered:
            self._take = Wire._wait

    def _stored(self, replies: list[bytes]) -> None:
        """The message is stored, or could not be; called at once, or from the loop when the disk is slow."""
        self._answered = True
        self._out += b"".join(replies)
        if self._take is Wire._wait:
            self._after_trouble()
            if not self._over_at:
                self._go_on()


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
