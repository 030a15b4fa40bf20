"""The envelope: everything the sink learnt about a session besides the message itself.

Strings are kept in the spelling the client used. Bytes that are not UTF-8 survive as surrogate
escapes (PEP 383), so `text.encode("utf-8", "surrogateescape")` gives back what was on the wire;
`printable` makes them safe for people, JSON and logs.
"""

from typing import Any

import msgspec


def printable(text: str) -> str:
    """Return `text` with surrogates and control characters written as escapes, fit for any output."""
    if text.isascii() and text.isprintable():
        return text
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte: JSON and MIME parsers make them
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def printable_all(thing: Any) -> Any:
    """Return plain data with every string in it, map keys included, made printable."""
    if isinstance(thing, str):
        return printable(thing)
    if isinstance(thing, dict):
        return {printable(str(key)): printable_all(value) for key, value in thing.items()}
    return [printable_all(item) for item in thing] if isinstance(thing, list | tuple) else thing


def plain(thing: Any) -> Any:
    """Data as JSON can hold it and a terminal may show it: bytes and odd characters are escaped."""
    if isinstance(thing, bytes):
        thing = thing.decode("utf-8", "surrogateescape")
    if isinstance(thing, str):
        return printable(thing)
    if isinstance(thing, dict):
        return {printable(str(key)): plain(value) for key, value in thing.items()}
    return [plain(item) for item in thing] if isinstance(thing, list | tuple) else thing


class Rcpt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted RCPT TO: address and parameters as said, and the tag the configuration gives it."""

    address: str
    params: list[str] = []
    tag: str = ""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One SMTP transaction as the sink saw it. Times are seconds since the epoch."""

    protocol: str = "smtp"
    """How it came in: smtp, lmtp or inject."""
    listener: str = ""
    client_ip: str = ""
    client_port: int = 0
    server_ip: str = ""
    server_port: int = 0
    helo: str | None = None
    """Argument of HELO, EHLO or LHLO as said; None when the client never greeted."""
    helo_verb: str = ""
    """The verb it greeted with, in the spelling used."""
    mail_from: str = ""
    """Reverse-path without angle brackets; empty is the null sender."""
    mail_params: list[str] = []
    rcpts: list[Rcpt] = []
    tls_version: str = ""
    tls_cipher: str = ""
    connected_at: float = 0.0
    first_command_at: float = 0.0
    received_at: float = 0.0
    """When the end of data was seen."""
    commands: int = 0
    """Commands said in the session up to and including this message's."""
    errors: list[str] = []
    """Replies of 4xx and 5xx given before this message, oldest first, at most 20."""
    dialect: dict[str, Any] = {}
    """Peculiarities of how the client spoke; keys are named by the sink. From `inject`: `queue_id`."""

    @property
    def rcpt_tos(self) -> list[str]:
        """The recipients' addresses, in the order they were said."""
        return [rcpt.address for rcpt in self.rcpts]

    @property
    def tags(self) -> list[str]:
        """The distinct tags of the recipients, sorted; untagged recipients add none."""
        return sorted({rcpt.tag for rcpt in self.rcpts if rcpt.tag})

    def to_map(self) -> dict[str, Any]:
        """The envelope as the map that is stored in a job file; defaults are left out."""
        built: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return built

    @classmethod
    def from_map(cls, data: dict[str, Any]) -> "Envelope":
        """Rebuild an envelope from a stored map; fields of a later version are ignored.

        Raises:
            ValueError: the map is not an envelope (msgspec.ValidationError is one).
        """
        return msgspec.convert(data, cls)
