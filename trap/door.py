"""What the sessions of one listener have in common."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trap.face import Face
from trap.intake import Intake
from trap.limits import Gate
from trap.networks import Networks
from trap.sessionlog import SessionLog
from trap.stress import Stress

if TYPE_CHECKING:
    from trap.connection import Connection


@dataclass(slots=True, kw_only=True)
class Door:
    """One listener, seen from inside."""

    intake: Intake
    face: Face
    gate: Gate
    stress: Stress
    listener: str
    """Its name, as envelopes record it."""
    lmtp: bool = False
    tls: ssl.SSLContext | None = None
    auth: str = "record"
    """What becomes of AUTH: off, record, offer, accept."""
    auth_key: bytes = b""
    """Passwords are kept hashed with it."""
    delay: Callable[[str], float] | None = None
    """Seconds that a client of an address waits for its banner; None when nobody waits."""
    balancers: Networks[bool] | None = None
    """Who speaks the PROXY protocol to us."""
    log: SessionLog | None = None
    """Where sessions without a message are noted."""
    wires: "set[Connection]" = field(default_factory=set)
    """The connections that are open."""

    def banner(self) -> bytes:
        """What a client is greeted with now."""
        return self.face.banner(self.stress.policy.hint)
