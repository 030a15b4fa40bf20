"""The part `web:` of the configuration."""

import re
from ipaddress import ip_address

from trap.units import Base

PASSWORD = re.compile(r"scrypt:(15):([0-9a-f]{32}):([0-9a-f]{64})")
"""A hashed password: scrypt (RFC 7914) with N = 2**15, r = 8, p = 1; salt; key. One cost for all:
the time of an answer must not tell who has a password."""
TOKEN = re.compile(r"sha256:([0-9a-f]{64})")
"""A hashed token. It is random and long, so one fast hash will do."""


class Web(Base, frozen=True):
    """The web interface."""

    enabled: bool = True
    """Whether `spamtrap up` runs it."""
    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback it starts only when there are users."""
    port: int = 8025
    """0 lets the kernel choose."""
    names: list[str] = []
    """Host names by which browsers reach it, besides localhost and addresses."""
    users: dict[str, str] = {}
    """Who may log in: name, and what `spamtrap web-password` prints."""
    tokens: dict[str, str] = {}
    """Programs that may use the API: name, and what `spamtrap web-token` prints."""
    proxies: list[str] = []
    """Addresses of reverse proxies whose X-Forwarded-For and -Proto are believed."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
