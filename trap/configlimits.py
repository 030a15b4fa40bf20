"""The parts `limits:` and `stress:` of the configuration."""

from typing import Literal

from trap.units import Base, Duration, Share, Size


class Limits(Base, frozen=True):
    """What clients may take of one sink process. 0: no limit."""

    connections: int = 20_000
    """Open at once; fewer where the process may not open so many files."""
    per_address: int = 1_000
    per_network: int = 4_000
    """Open at once from one /24, or /48 of IPv6."""
    connection_rate: int = 0
    """New connections a minute from one address."""
    message_rate: int = 0
    """Messages a minute from one address."""
    memory: Size = Size("256MB")
    """Of messages on their way in, over all sessions; above it they go into the spool as they come."""
    duration: Duration = Duration("1h")
    """Longest session."""
    deadline: Duration = Duration("2m")
    """Longest time from the first to the last byte of a command."""
    min_rate: Size = Size(100)
    """Bytes a second that a message comes in with at least."""
    commands: int = 0
    """Most commands in a session."""
    errors: int = 20
    """Most commands in a session that were answered by an error."""
    junk: int = 100
    """Most commands in a session that lead to no message."""


class Level(Base, frozen=True):
    """How patient the sink is at one level of stress. What is not set is as at the level below it."""

    timeout: Duration | None = None
    deadline: Duration | None = None
    duration: Duration | None = None
    min_rate: Size | None = None
    commands: int | None = None
    errors: int | None = None
    junk: int | None = None
    hang_up: Literal[421, 521] = 421
    """What a client hears when its connection is ended: 421 invites it to come back, 521 does not."""
    hint: str = ""
    """Said at the end of the banner."""


class Raised(Level, frozen=True):
    """A level that something leads to: any of these, when it is reached."""

    connections: Share = Share("60%")
    """Share of `limits.connections` that is open."""
    lag: Duration = Duration("500ms")
    """How late the event loop comes to what is due."""
    spool: Share = Share("85%")
    """Share of the spool's file system in use, bytes or inodes."""


class Yellow(Raised, frozen=True):
    """Somewhat impatient."""

    timeout: Duration | None = Duration("60s")
    deadline: Duration | None = Duration("30s")
    duration: Duration | None = Duration("10m")
    min_rate: Size | None = Size(500)
    errors: int | None = 5
    junk: int | None = 20


class Red(Raised, frozen=True):
    """Whoever has something to say may say it, at once."""

    connections: Share = Share("85%")
    lag: Duration = Duration("2s")
    spool: Share = Share("93%")
    timeout: Duration | None = Duration("10s")
    deadline: Duration | None = Duration("10s")
    duration: Duration | None = Duration("2m")
    min_rate: Size | None = Size("1kB")
    errors: int | None = 1
    junk: int | None = 1
    hang_up: Literal[421, 521] = 521


class StressSettings(Base, frozen=True):
    """How the sink changes its ways when many come at once."""

    hold: Duration = Duration(1000)
    """A level stays for so long after what led to it."""
    green: Level = Level()
    yellow: Yellow = Yellow()
    red: Red = Red()
