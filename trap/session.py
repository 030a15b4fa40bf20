"""One SMTP or LMTP session without its wire: what was said so far, and what is answered to it.

Methods are commands and return the reply, ready to be sent. Whatever speaks the protocol calls them;
it is the wire's part to find lines, messages and time-outs. Everything a client can say is recorded in
the spelling used, and nothing that can be understood is refused for its form: what other servers turn
away is what a trap wants to hear.

The dialect, how the client spoke, goes into the envelope as a map. Its keys, each there only when seen:
`pregreet` (talked before the banner), `pipelining` ("offered", or "unasked": without a greeting that
offers it, or behind a command that must be waited for), `bare_lf` (lines without CR), `no_helo`,
`bad_path` (missing <>, blanks after the colon), `eight_bit` and `nul` (in commands), `bare_cr`,
`unknown_verbs` (the first few), `repeated` (MAIL amid a transaction), `after_data` (commands in the packet
of the end of data), `auth` (attempts), `http` (an open proxy's request), `tls_first` (TLS without STARTTLS),
`proxy` (address of the load balancer).
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trap.door import Door
from trap.draft import Draft
from trap.envelope import Envelope, Rcpt
from trap.recipients import MAX_RCPTS_SIZE

MAX_ERRORS = 20
"""Refusals kept for the envelope."""
MAX_NOTED = 10
"""Unknown verbs, and attempts to log in, kept for the envelope."""

_OURS = frozenset({"no_room", "rate"})
"""Causes that are no error of the client's."""

# "FROM:<path> parameters" with blanks anywhere, or without the brackets. A quoted string in the path
# may hold ">" and blanks (RFC 5321, 4.1.2).
_PATH = r"(?:\s*:\s*|\s+)(?:<((?:\"(?:[^\"\\]|\\.)*\"|[^\">])*)>|<([^>]*)>?|([^\s<>]*))\s*(.*)"
_FROM = re.compile("FROM" + _PATH, re.IGNORECASE | re.DOTALL)
_TO = re.compile("TO" + _PATH, re.IGNORECASE | re.DOTALL)
_PROPER = re.compile(r"<[^<>\"\s]*>(?: .*)?", re.DOTALL)
_SIZE = re.compile(r"SIZE=(\d{1,20})", re.IGNORECASE | re.ASCII)


class Session:
    """What one client said.

    Args:
        door: what the sessions of its listener have in common.
        client: its address and port; empty for a UNIX socket.
        server: ours.
    """

    __slots__ = (
        "_mail_from",
        "_mail_params",
        "_rcpts",
        "_rcpts_size",
        "_turned_away",
        "client",
        "commands",
        "connected_at",
        "dialect",
        "door",
        "errors",
        "extended",
        "first_command_at",
        "helo",
        "helo_verb",
        "messages",
        "refusals",
        "server",
        "tls_cipher",
        "tls_version",
    )

    def __init__(self, door: Door, client: tuple[str, int], server: tuple[str, int]) -> None:
        self.door = door
        self.client = client
        self.server = server
        self.tls_version = ""
        self.tls_cipher = ""
        self.helo: str | None = None
        self.helo_verb = ""
        self.extended = False
        self.connected_at = time.time()
        self.first_command_at = 0.0
        self.commands = 0
        self.refusals = 0
        self.messages = 0
        self.errors: list[str] | None = None
        self.dialect: dict[str, Any] | None = None
        self._mail_from: str | None = None
        self._mail_params: list[str] = []
        self._rcpts: list[tuple[Rcpt, str]] = []
        self._rcpts_size = 0
        self._turned_away = False

    def reset(self) -> None:
        """Forget the transaction, keep the session."""
        self._mail_from = None
        self._turned_away = False
        if self._rcpts:
            self._rcpts, self._rcpts_size = [], 0

    def saw(self, peculiarity: str, value: Any = True) -> None:
        """Note how the client speaks."""
        if self.dialect is None:
            self.dialect = {}
        self.dialect[peculiarity] = value

    def saw_also(self, peculiarity: str, value: Any) -> None:
        """Note one more of a kind of which there may be several; the first few are kept."""
        there = (self.dialect or {}).get(peculiarity, [])
        if len(there) < MAX_NOTED:
            self.saw(peculiarity, [*there, value])

    def encrypted(self, version: str, cipher: str) -> None:
        """TLS has begun, and with it the session anew (RFC 3207, 4.2); the old greeting is kept as a fact."""
        self.tls_version, self.tls_cipher = version, cipher
        self.reset()

    def refused(self, reply: bytes, cause: str) -> bytes:
        """A reply of 4xx or 5xx is given: count and keep it.

        Args:
            reply: what is said.
            cause: under which name it is counted.
        """
        if cause not in _OURS:
            self.refusals += 1
        self.door.gate.refuse(cause)
        if self.errors is None:
            self.errors = []
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(reply.decode("utf-8", "replace").rstrip())
        return reply

    def hello(self, verb: str, name: str, *, starttls: bool) -> bytes:
        """HELO, EHLO or LHLO, in whatever spelling.

        Args:
            verb: as said.
            name: what followed it, maybe nothing.
            starttls: whether STARTTLS is on offer.
        """
        face, upper = self.door.face, verb.upper()
        if (upper == "LHLO") != self.door.lmtp:
            return self.refused(face.wrong_protocol(self.door.lmtp), "protocol")
        self.reset()
        self.helo, self.helo_verb = name, verb
        self.extended = upper != "HELO"
        if self.extended:
            return face.ehlo(name, self.client[0], starttls=starttls)
        return face.helo(name, self.client[0])

    def mail(self, argument: str) -> bytes:
        """MAIL: begins a new transaction, also without a greeting or amid another one."""
        if self._mail_from is not None:
            self.saw("repeated")
        self.reset()
        face = self.door.face
        parsed = self._path("FROM:<", _FROM, argument)
        if parsed is None:
            return self.refused(face.mail_syntax(), "syntax")
        if parsed[1]:
            sizes = [int(size[1]) for param in parsed[1] if (size := _SIZE.fullmatch(param))]
            if max(sizes, default=0) > self.door.intake.max_size:
                return self.refused(face.declared_too_large(), "too_large")
        if self.helo is None:
            self.saw("no_helo")
        self._mail_from, self._mail_params = parsed
        return face.mail_ok(parsed[0])

    def rcpt(self, argument: str) -> bytes:
        """RCPT."""
        door = self.door
        face = door.face
        if self._mail_from is None:
            return self.refused(face.mail_first(), "order")
        parsed = self._path("TO:<", _TO, argument)
        if parsed is None:
            return self.refused(face.rcpt_syntax(), "syntax")
        address, params = parsed
        if not address:
            return self.refused(face.no_address(), "syntax")
        if len(self._rcpts) >= door.intake.max_recipients or self._rcpts_size > MAX_RCPTS_SIZE:
            return self.refused(face.too_many_recipients(), "recipients")
        accepted = door.intake.recipients.lookup(address, door.listener)
        if accepted is None and door.lmtp:
            # Who speaks LMTP has taken it already, and would return it to a forged sender.
            accepted = door.intake.recipients.anyhow
        if accepted is None:
            self._turned_away = True
            return self.refused(face.no_such_user(address), "unknown_user")
        self._rcpts.append((Rcpt(address=address, params=params, tag=accepted.tag), accepted.queue))
        self._rcpts_size += len(argument)
        return face.rcpt_ok(address)

    def aims(self) -> tuple[list[str], list[str]]:
        """Tags of the recipients, "" for one that has none, and the queues that they lead to."""
        return [rcpt.tag for rcpt, _ in self._rcpts], [queue for _, queue in self._rcpts]

    def refuse_data(self) -> bytes | None:
        """Why no message can be taken now; None when it can."""
        if not self._rcpts:
            face = self.door.face
            reply = face.no_valid_recipients() if self._turned_away else face.rcpt_first()
            return self.refused(reply, "order")
        if self.door.intake.policy(*self.aims()) == "tempfail":
            return self.refused(self.door.face.no_room(), "no_room")
        return None

    def store(self, message: "Sequence[bytes] | Draft", said: Callable[[list[bytes]], None]) -> None:
        """The end of the data, and of the transaction: store the message.

        Args:
            message: as it came.
            said: gets the reply, in LMTP one for each recipient, as soon as the message is stored.
        """
        rcpts, lmtp, door = self._rcpts, self.door.lmtp, self.door

        def reply_to(job_id: str | None) -> bytes:
            if job_id is None:
                return self.refused(door.face.no_room(), "no_room")
            return door.face.queued(job_id)

        def stored(jobs: dict[str, str | None]) -> None:
            if lmtp:
                said([reply_to(jobs[queue]) for _, queue in rcpts])
            else:
                # SMTP has one answer for all: if one queue failed, the client comes again with everything.
                said([reply_to(None if None in jobs.values() else next(iter(jobs.values())))])

        envelopes = list(self._envelopes())
        self.messages += 1
        self.reset()
        door.intake.store(envelopes, message, stored)

    def give_up(self, reply: bytes, *, whole: bool = True) -> list[bytes]:
        """The same, but the message is not stored; what to reply instead.

        Args:
            reply: the reason; in LMTP it is said for each recipient.
            whole: the client has said all of the message, and expects that.
        """
        replies = [reply] * (len(self._rcpts) if self.door.lmtp and self._rcpts and whole else 1)
        self.reset()
        return replies

    def _path(self, usual: str, syntax: re.Pattern[str], argument: str) -> tuple[str, list[str]] | None:
        """Address and parameters of MAIL or RCPT; None when it can't be understood.

        Args:
            usual: how the argument begins when it is written as most clients do.
            syntax: understands it however it is written.
            argument: what followed the verb.
        """
        if argument.startswith(usual) and argument.find(">") == len(argument) - 1:
            address = argument[len(usual) : -1]
            if '"' not in address and "<" not in address:
                return address, []  # as most clients say it: that needs no expression
            return _parse(syntax, argument) or (address, [])
        parsed = _parse(syntax, argument)
        if parsed is not None and not _PROPER.fullmatch(argument.partition(":")[2]):
            self.saw("bad_path")
        return parsed

    def _envelopes(self) -> Iterator[tuple[str, Envelope]]:
        """One envelope for each queue that the recipients lead to."""
        now = time.time()
        for queue in dict.fromkeys([queue for _, queue in self._rcpts]):
            yield (
                queue,
                Envelope(
                    protocol="lmtp" if self.door.lmtp else "smtp",
                    listener=self.door.listener,
                    client_ip=self.client[0],
                    client_port=self.client[1],
                    server_ip=self.server[0],
                    server_port=self.server[1],
                    helo=self.helo,
                    helo_verb=self.helo_verb,
                    mail_from=self._mail_from or "",
                    mail_params=self._mail_params,
                    rcpts=[rcpt for rcpt, leads_to in self._rcpts if leads_to == queue],
                    tls_version=self.tls_version,
                    tls_cipher=self.tls_cipher,
                    connected_at=self.connected_at,
                    first_command_at=self.first_command_at,
                    received_at=now,
                    commands=self.commands,
                    errors=self.errors.copy() if self.errors else [],
                    dialect=self.dialect.copy() if self.dialect else {},
                ),
            )


def _parse(syntax: re.Pattern[str], argument: str) -> tuple[str, list[str]] | None:
    """Address and parameters of a MAIL or RCPT argument, however it is written."""
    match = syntax.fullmatch(argument)
    if not match:
        return None
    return match[1] or match[2] or match[3] or "", match[4].split()
