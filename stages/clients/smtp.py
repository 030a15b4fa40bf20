"""A client of an SMTP server: one message after the other over a connection.

A message is taken by all its recipients or by none: as soon as one of them is refused the transaction is
given up. So a report is never half sent, and one that is tried again reaches nobody twice.

The message arrives as it is, but for what SMTP itself can't carry (RFC 5321, 2.3.8 and 4.1.1.4): CR and LF
that stand alone become CRLF, and the last line gets an end. A server that offers BINARYMIME (RFC 3030)
gets every byte as it is. Nothing is ever encoded anew: a server that does not offer what a message needs
(8BITMIME, room for its size, SMTPUTF8 for an address) is told nothing of it, and it counts as refused.

Conversation, TLS and authentication are aiosmtplib's. Nothing here has a time limit of its own: the caller
puts one deadline around all of it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponseException
from aiosmtplib.protocol import normalize_message_line_endings

from stages.clients.manner import Manner, is_near, literal
from trap.address import Address
from trap.backend import Broken
from trap.envelope import printable
from trap.reports import Later, Refused

PORT = 25
MAX_WORDS = 300
"""Characters of an answer that are kept."""
OURS = frozenset({530, 534, 535, 538})
"""Replies that want TLS or a password of us (RFC 3207, RFC 4954): no message is to blame for them."""

_MAILBOX = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,320}")
_DOT = re.compile(rb"^\.", re.MULTILINE)

Commit = Callable[[], None]
"""Is called right before the first byte that can't be taken back; what it raises ends the connection."""


class Session:
    """A connection to an SMTP server that has greeted, and to which we have.

    Attributes:
        address: where it leads.
    """

    def __init__(self, client: SMTP, address: Address) -> None:
        self.address = address
        self._client = client
        self._between = True

    @classmethod
    async def open(cls, address: Address, manner: Manner, shun: frozenset[str] = frozenset()) -> Self:
        """Connect, greet, and do what `manner` asks for.

        Args:
            address: where; in TLS from the start if it says so.
            manner: how.
            shun: names by which the server must not greet, in lower case.

        Raises:
            OSError, Broken: nobody there, or it does not work so.
        """
        sock = await address.connect()
        client = SMTP(
            sock=sock,
            hostname=address.host or "localhost",
            local_hostname=manner.helo or literal(sock.getsockname()),
            timeout=None,
            use_tls=address.tls,
            start_tls=False,
            tls_context=manner.context(address),
        )
        session = cls(client, address)
        try:
            with _plain_errors():
                await client.connect()
                await session._greet(shun)
                await session._secure(manner, shun)
        except BaseException:  # cancelled at the deadline, too
            session._between = False
            session.close()
            sock.close()
            raise
        return session

    @property
    def reusable(self) -> bool:
        """Whether the next message can go over it."""
        return self._between and self._client.is_connected

    async def send(self, mail_from: str, rcpts: Sequence[str], message: bytes, commit: Commit) -> str:
        """Send a message to all of its recipients, or to none.

        Args:
            mail_from: the sender; "" is the null sender.
            rcpts: at least one.
            message: its bytes.
            commit: called after the server asked for the message, right before its first byte.

        Returns:
            What the server answered to the message.

        Raises:
            Later: a 4xx reply; it is not taken.
            Refused: a 5xx reply, or the server does not offer what the message needs.
            OSError, Broken: the conversation broke; after commit nobody knows what became of the message.
        """
        self._between = False
        if not self._client.is_connected:
            raise Broken("hung up")  # and what it had offered is forgotten
        binary = self._takes_binary() and message != normalize_message_line_endings(message)
        wire = message if binary else normalize_message_line_endings(message)
        with _plain_errors():
            try:
                await self._announce(mail_from, rcpts, self._parameters(mail_from, rcpts, wire, binary))
                if not binary:
                    await self._say("DATA", good=354)
            except (Later, Refused):
                await self._begin_anew()
                raise
            commit()
            head, end = (b"BDAT %d LAST\r\n" % len(wire), b"") if binary else (b"", b".\r\n")
            return await self._pour(b"".join((head, wire if binary else _DOT.sub(b"..", wire), end)))

    async def probe(self) -> str:
        """Ask whether it is in order; what it calls itself is returned.

        Raises:
            OSError, Broken: it is not.
        """
        with _plain_errors():
            response = await self._client.noop()
        greeting = self._client.last_ehlo_response or self._client.last_helo_response or response
        return printable(greeting.message.partition("\n")[0])[:MAX_WORDS]

    def close(self) -> None:
        """Hang up at once, politely if nothing is under way."""
        transport: Any = self._client.transport
        if transport and not transport.is_closing():
            if self._between:
                transport.write(b"QUIT\r\n")
            transport.abort()  # a server that has stopped reading would hold for good what is under way to it
        self._client.close()

    # -- greetings -------------------------------------------------------------------------------------

    async def _greet(self, shun: frozenset[str]) -> None:
        """EHLO, or HELO where that is not known."""
        try:
            said = await self._client.ehlo()
        except SMTPHeloError:
            if not self._client.is_connected:
                raise
            said = await self._client.helo()
        name = said.message.split(maxsplit=1)[0] if said.message.strip() else ""
        if within(name, shun):
            raise Broken(
                f"calls itself {printable(name)[:255]}, and would write this name of the trap's into what it "
                "passes on; have it use another one (Postfix: myhostname)"
            )

    async def _secure(self, manner: Manner, shun: frozenset[str]) -> None:
        """TLS and a password, where they are to be."""
        client = self._client
        wanted = manner.starttls == "required" or (
            manner.starttls == "offered" and client.supports_extension("starttls")
        )
        if wanted and not self.address.tls:
            if not client.supports_extension("starttls"):
                raise Broken("does not offer STARTTLS, which is required")
            await client.starttls()
            await self._greet(shun)
        try:
            login = manner.login()
        except ValueError as error:
            raise Broken(str(error)) from None
        if login:
            if not (client.get_transport_info("sslcontext") or is_near(self.address)):
                raise Broken("does not speak TLS, so it is not told the password")
            await client.login(*login)

    # -- one transaction -------------------------------------------------------------------------------

    def _takes_binary(self) -> bool:
        return self._client.supports_extension("binarymime") and self._client.supports_extension("chunking")

    def _parameters(self, mail_from: str, rcpts: Sequence[str], wire: bytes, binary: bool) -> list[str]:
        """What MAIL says of the message (RFC 1870, 6152, 3030 and 6531)."""
        offers = self._client.esmtp_extensions
        found = []
        if "size" in offers:
            most = offers["size"].strip()
            if most.isascii() and most.isdecimal() and 0 < int(most[:20]) < len(wire):
                raise Refused(f"takes {most[:20]} bytes at most, and these are {len(wire)}")
            found.append(f"SIZE={len(wire)}")
        if binary:
            found.append("BODY=BINARYMIME")
        elif not wire.isascii():
            if "8bitmime" not in offers:
                raise Refused("takes no 8-bit mail, and its encoding is not changed here")
            found.append("BODY=8BITMIME")
        if not all(address.isascii() for address in (mail_from, *rcpts)):
            if "smtputf8" not in offers:
                raise Refused("takes no addresses with other than ASCII characters")
            found.append("SMTPUTF8")
        return found

    async def _announce(self, mail_from: str, rcpts: Sequence[str], parameters: list[str]) -> None:
        for address in [*rcpts, *[mail_from] * bool(mail_from)]:
            if not _MAILBOX.fullmatch(address):
                raise Refused(f"{printable(address)[:100]!r} is no address")
        await self._say(" ".join([f"MAIL FROM:<{mail_from}>", *parameters]))
        for rcpt in rcpts:
            await self._say(f"RCPT TO:<{rcpt}>")

    async def _say(self, command: str, good: int = 250) -> None:
        response = await self._client.execute_command(command.encode("utf-8", "surrogateescape"))
        _judged(response.code, response.message, good)

    async def _pour(self, wire: bytes) -> str:
        """The message itself, and what is answered."""
        protocol = self._client.protocol
        if protocol is None:
            raise Broken("hung up")
        protocol.write(wire)
        response = await protocol.read_response()
        self._between = response.code // 100 in (2, 4, 5)  # whatever it was, it ends the transaction
        return _judged(response.code, response.message, 250)

    async def _begin_anew(self) -> None:
        """After a refusal: what was announced is void. A server that can't do even that is hung up on."""
        with suppress(SMTPException):
            response = await self._client.execute_command(b"RSET")
            self._between = response.code == 250


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What aiosmtplib raises, as Backends know it."""
    try:
        yield
    except SMTPResponseException as error:
        raise Broken(f"answers {error.code} {_words(error.message)}") from None
    except SMTPException as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, SMTPException):
            raise cause from None
        raise Broken(_words(error.message)) from None


def _judged(code: int, message: str, good: int) -> str:
    """A reply in one line, if it is a good one."""
    text = f"{code} {_words(message)}"
    if code // 100 == good // 100:
        return text
    if 400 <= code < 500:
        raise Later(text)
    if 500 <= code < 600 and code not in OURS:
        raise Refused(text)
    raise Broken(f"answers {text}")


def _words(message: str) -> str:
    return printable(" ".join(message.split()))[:MAX_WORDS]


def within(name: str, names: Collection[str]) -> bool:
    """Whether a host is one of these, or lies below."""
    plain = name.lower().strip("[].")
    return any(plain == other or plain.endswith(f".{other}") for other in names)
