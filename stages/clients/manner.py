"""How SMTP servers are spoken to: by which name, with how much TLS, with which password."""

import ipaddress
import ssl
from functools import cache
from pathlib import Path
from typing import Any, Literal

from trap.address import Address
from trap.units import Base


class Manner(Base, frozen=True):
    """How servers are spoken to: the setting `session:` of stages that send mail."""

    helo: str = ""
    """Name we greet with; the address of our side of the connection when empty, which the server sees
    anyway. The name of this host would tell every reader of a Received field where the trap is."""
    starttls: Literal["offered", "required", "never"] = "offered"
    """Whether plain connections become TLS. With "offered" no certificate is looked at: whoever could forge
    it could take away the offer, too."""
    verify: bool = True
    """Whether a certificate has to be in order where TLS is required, or spoken from the start (tls://)."""
    ca_file: str = ""
    """File of the authorities that are believed; the system's when empty."""
    password_file: str = ""
    """File with "user:password" in its first line, when the server wants us to log in."""

    def check(self) -> None:
        """Whether it can be spoken so.

        Raises:
            ValueError: it can't.
        """
        if self.helo and (not self.helo.isascii() or not self.helo.isprintable() or " " in self.helo):
            raise ValueError(f"session: helo: {self.helo!r} is no name of a host")
        try:
            _context(self.ca_file, self.verify)
        except OSError as error:
            raise ValueError(f"session: ca_file: {self.ca_file}: {error.strerror or error}") from error
        self.login()

    def login(self) -> tuple[str, str] | None:
        """User and password; None when there are none.

        Raises:
            ValueError: the file can't be read, or holds none.
        """
        if not self.password_file:
            return None
        try:
            with Path(self.password_file).open(encoding="utf-8") as file:
                user, colon, password = file.readline(1000).rstrip("\r\n").partition(":")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"session: password_file: {self.password_file}: {error}") from error
        if not (user and colon and password):
            raise ValueError(
                f"session: password_file: {self.password_file}: its first line is not user:password"
            )
        return user, password

    def context(self, address: Address) -> ssl.SSLContext:
        """What TLS to a server is spoken by."""
        return _context(self.ca_file, self.verify and (address.tls or self.starttls == "required"))


def literal(sockname: Any) -> str:
    """Our side of a connection as EHLO tells it of hosts without a name (RFC 5321, 4.1.3)."""
    if not isinstance(sockname, tuple):
        return "localhost"  # a UNIX socket
    ip = ipaddress.ip_address(sockname[0].partition("%")[0])
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"


def is_near(address: Address) -> bool:
    """Whether what is said to a server stays on this host."""
    try:
        return bool(address.path) or ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"


@cache
def _context(ca_file: str, verify: bool) -> ssl.SSLContext:
    """What TLS is spoken by; to read all authorities takes 17 ms.

    Raises:
        OSError: there is no such file, or no certificate in it.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
