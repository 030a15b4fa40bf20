"""One SMTP or LMTP session without its wire: what was said so far, and what is answered to it.

Methods are commands and return the reply, without its line end. Whatever speaks the protocol calls
them; it is the wire's part to find lines, messages and time-outs. Everything a client can say is
recorded in the spelling used, and nothing that can be understood is refused for its form: what
other servers turn away is what a trap wants to hear.
"""

import re
import time
from collections.abc import Iterator
from typing import Any

from trap.envelope import Envelope, Rcpt
from trap.intake import Intake

MAX_ERRORS = 20
"""Refusals kept for the envelope."""

# "FROM:<path> parameters" with blanks anywhere, or without the brackets. A quoted string in the path
# may hold ">" and blanks (RFC 5321, 4.1.2).
_PATH = r"(?:\s*:\s*|\s+)(?:<((?:\"(?:[^\"\\]|\\.)*+\"|[^\">])*+)>|<([^>]*)>?|([^\s<>]*))\s*(.*)"
_FROM = re.compile("FROM" + _PATH, re.IGNORECASE | re.DOTALL)
_TO = re.compile("TO" + _PATH, re.IGNORECASE | re.DOTALL)
_SIZE = re.compile(r"SIZE=(\d{1,20})", re.IGNORECASE | re.ASCII)

NO_ROOM = "452 4.3.1 Insufficient system storage"
TOO_LARGE = "552 5.3.4 Message is larger than {} bytes"


class Session:
    """What one client said.

    Args:
        intake: what all sessions share.
        listener: name of where it came in.
        lmtp: it speaks LMTP (RFC 2033).
    """

    def __init__(self, intake: Intake, listener: str, *, lmtp: bool = False) -> None:
        self.intake = intake
        self.listener = listener
        self.lmtp = lmtp
        self.client: tuple[str, int] = ("", 0)
        self.server: tuple[str, int] = ("", 0)
        self.tls_version = ""
        self.tls_cipher = ""
        self.helo: str | None = None
        self.helo_verb = ""
        self.connected_at = time.time()
        self.first_command_at = 0.0
        self.commands = 0
        self.errors: list[str] = []
        self.dialect: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the transaction, keep the session."""
        self._mail_from: str | None = None
        self._mail_params: list[str] = []
        self._rcpts: list[tuple[Rcpt, str]] = []

    def count(self, *, bare_lf: bool = False) -> None:
        """A command was said, in a line that ended with CRLF or a bare LF."""
        self.commands += 1
        if self.commands == 1:
            self.first_command_at = time.time()
        if bare_lf:
            self.dialect["bare_lf"] = True

    def encrypted(self, version: str, cipher: str) -> None:
        """TLS has begun, and with it the session anew (RFC 3207, 4.2); the old greeting is kept as a fact."""
        self.tls_version, self.tls_cipher = version, cipher
        self.reset()

    def refused(self, reply: str) -> None:
        """A reply of 4xx or 5xx was given."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(reply)

    def hello(self, verb: str, name: str, *, starttls: bool) -> str:
        """HELO, EHLO or LHLO, in whatever spelling.

        Args:
            verb: as said.
            name: what followed it, maybe nothing.
            starttls: whether STARTTLS is on offer.
        """
        if (verb.upper() == "LHLO") != self.lmtp:
            return f"500 5.5.1 This is {'LMTP, say LHLO' if self.lmtp else 'SMTP, say EHLO'}"
        self.reset()
        self.helo, self.helo_verb = name, verb
        if verb.upper() == "HELO":
            return f"250 {self.intake.hostname}"
        offers = [self.intake.hostname, "PIPELINING", f"SIZE {self.intake.max_size}", "8BITMIME", "SMTPUTF8"]
        offers += ["ENHANCEDSTATUSCODES", "CHUNKING", *(["STARTTLS"] if starttls else [])]
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    def mail(self, argument: str) -> str:
        """MAIL: begins a new transaction, also without a greeting or amid another one."""
        self.reset()
        parsed = _parse(_FROM, argument)
        if parsed is None:
            return "501 5.5.4 Syntax: MAIL FROM:<address>"
        sizes = [int(size[1]) for param in parsed[1] if (size := _SIZE.fullmatch(param))]
        if max(sizes, default=0) > self.intake.max_size:
            return TOO_LARGE.format(self.intake.max_size)
        self._mail_from, self._mail_params = parsed
        return "250 2.1.0 Ok"

    def rcpt(self, argument: str) -> str:
        """RCPT."""
        if self._mail_from is None:
            return "503 5.5.1 MAIL first"
        parsed = _parse(_TO, argument)
        if parsed is None:
            return "501 5.5.4 Syntax: RCPT TO:<address>"
        address, params = parsed
        if not address:
            return "501 5.1.3 No address"
        if len(self._rcpts) >= self.intake.max_recipients:
            return "452 4.5.3 Too many recipients"
        accepted = self.intake.recipients.lookup(address, self.listener)
        if accepted is None:
            return "550 5.1.1 No such user here"
        self._rcpts.append((Rcpt(address=address, params=params, tag=accepted.tag), accepted.queue))
        return "250 2.1.5 Ok"

    def refuse_data(self) -> str | None:
        """Why no message can be taken now; None when it can."""
        if not self._rcpts:
            return "503 5.5.1 RCPT first"
        return None if self.intake.has_room() else NO_ROOM

    async def finish(self, message: bytes, refusal: str | None = None) -> list[str]:
        """The end of the data, and of the transaction: store the message.

        Args:
            message: as it came.
            refusal: what to answer instead of storing it.

        Returns:
            One reply; in LMTP one for each recipient.
        """
        rcpts = self._rcpts
        replies: dict[str, str] = {}
        for queue, envelope in () if refusal else self._envelopes():
            try:
                replies[queue] = f"250 2.0.0 Ok: queued as {await self.intake.put(queue, envelope, message)}"
            except OSError:  # the intake has told the operator
                replies[queue] = NO_ROOM
        self.reset()
        if self.lmtp and rcpts:
            return [refusal or replies[queue] for _, queue in rcpts]
        # SMTP has one answer for all: if one queue failed, the client comes again with everything.
        return [refusal or max(replies.values())]

    def _envelopes(self) -> Iterator[tuple[str, Envelope]]:
        """One envelope for each queue that the recipients lead to."""
        now = time.time()
        for queue in dict.fromkeys(queue for _, queue in self._rcpts):
            yield (
                queue,
                Envelope(
                    protocol="lmtp" if self.lmtp else "smtp",
                    listener=self.listener,
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
                    errors=self.errors.copy(),
                    dialect=self.dialect.copy(),
                ),
            )


def _parse(syntax: re.Pattern[str], argument: str) -> tuple[str, list[str]] | None:
    """Address and parameters of a MAIL or RCPT argument, however it is written."""
    match = syntax.fullmatch(argument)
    if not match:
        return None
    return match[1] or match[2] or match[3] or "", match[4].split()
