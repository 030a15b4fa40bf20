"""One YAML file, read once into frozen structures.

What a setting means stands beside it here and, for people, in deploy/spamtrap.yaml. Reading the
file, its errors with their lines, lives in trap/configfile.py.
"""

import math
import os
import re
import socket
from pathlib import Path
from typing import Any, Literal

import msgspec

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Duration(float):
    """A time span in seconds, written as a number or like "90s", "15m", "24h", "7d", "2w"."""

    def __new__(cls, value: str | float) -> "Duration":
        """Raise ValueError when `value` can't be read as a time span."""
        if isinstance(value, str):
            match = _DURATION.fullmatch(value.strip())
            if not match:
                raise ValueError(f"{value!r} is not a time span; write it like 90s, 15m, 24h or 7d")
            value = float(match[1]) * _SECONDS[match[2] or "s"]
        if not 0 <= value < math.inf:
            raise ValueError(f"{value!r} is not a time span: it should be 0 or more")
        return super().__new__(cls, value)


class Size(int):
    """A number of bytes, written as a number or like "500kB", "30MB", "2GB" (powers of 1024)."""

    def __new__(cls, value: str | int) -> "Size":
        """Raise ValueError when `value` can't be read as a size."""
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip())
            if not match:
                raise ValueError(f"{value!r} is not a size; write it like 500kB, 30MB or 2GB")
            value = int(float(match[1]) * 1024 ** _POWER[match[2].lower()])
        if value < 0:
            raise ValueError(f"{value!r} is not a size: it should be 0 or more")
        return super().__new__(cls, value)


class Share(float):
    """A part of a whole, written like "70%" or 0.7."""

    def __new__(cls, value: str | float) -> "Share":
        """Raise ValueError when `value` can't be read as a share."""
        said = value
        if isinstance(value, str):
            match = _SHARE.fullmatch(value.strip())
            value = float(match[1]) / 100 if match else -1.0
        if not 0 <= value <= 1:
            raise ValueError(f"{said!r} is not a share; write it like 75%")
        return super().__new__(cls, value)


class Room:
    """An amount of a file system: a share of it ("75%") or a size ("2GB")."""

    def __init__(self, value: str | int) -> None:
        self.text = str(value)
        self.share: float | None = None
        self.size = 0
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                self.share = float(value.strip()[:-1]) / 100
            except ValueError:
                self.share = -1.0
            if not 0 <= self.share <= 1:
                raise ValueError(f"{value!r} is not a share; write it like 75%")
        else:
            self.size = Size(value)

    def of(self, total: int) -> int:
        """The amount in bytes on a file system of `total` bytes."""
        return self.size if self.share is None else int(total * self.share)

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Room) and (self.share, self.size) == (other.share, other.size)

    def __hash__(self) -> int:
        return hash((self.share, self.size))


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of the configuration has in common."""


class Listener(Base, frozen=True):
    """One address the sink listens on."""

    host: str = "127.0.0.1"
    port: int = 2525
    """0 lets the kernel choose."""
    unix: str = ""
    """Path of a UNIX socket to listen on, instead of host and port."""
    name: str = ""
    """Recorded in the envelope; host:port when empty."""
    protocol: Literal["smtp", "lmtp"] = "smtp"
    proxy: list[str] = []
    """Networks of load balancers that begin each connection with a PROXY header (v1 or v2)."""

    @property
    def label(self) -> str:
        """Its name as recorded in envelopes and shown to people."""
        return (
            self.name
            or self.unix
            or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")
        )


class Tagged(Base, frozen=True):
    """What is said of an accepted domain, address or pattern."""

    tag: str = ""
    """Kind of trap: pristine, recycled, typo, or any word of yours."""


class Accept(Base, frozen=True):
    """Which recipients are accepted. All of it empty: everything is."""

    domains: dict[str, Tagged] = {}
    """Domains; a leading dot takes their subdomains too."""
    addresses: dict[str, Tagged] = {}
    """Addresses; * and ? stand for any characters."""
    patterns: dict[str, Tagged] = {}
    """Regular expressions over the whole address in lower case."""
    refuse_unknown: Share = Share(0)
    """Share of local parts refused among those that only a domain, or nothing at all, speaks for."""


class Route(Base, frozen=True):
    """Recipients or listeners whose mail begins its way in another queue."""

    to: str
    """A queue of the configuration."""
    rcpt: str = "*"
    """Address with * and ?."""
    listener: str = "*"
    """Name of a listener with * and ?."""


class Smtp(Base, frozen=True):
    """How the sink talks."""

    hostname: str = ""
    """Name in the banner; the host's own when empty."""
    max_size: Size = Size("30MB")
    max_recipients: int = 1000
    timeout: Duration = Duration("5m")
    """Longest silence of a client."""
    face: Literal["plain", "postfix", "exim", "sendmail", "exchange", "qmail"] = "postfix"
    """Server whose words the sink uses."""
    auth: Literal["record", "offer", "accept", "off"] = "record"
    """What becomes of AUTH; whatever it is, `off` apart, attempts are recorded."""
    banner_delay: Duration = Duration(0)
    """Time between a connection and the banner."""
    banner_delays: dict[str, Duration] = {}
    """The same for networks; the most precise one counts."""
    processes: int = 1
    """Sink processes that share the ports; each has limits of its own."""


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


class Tls(Base, frozen=True):
    """STARTTLS."""

    enabled: bool = True
    cert: Path | None = None
    """PEM file with the certificate and its chain; self-signed at first start when not set."""
    key: Path | None = None


class Paths(Base, frozen=True):
    """Where things are kept. --dir and SPAMTRAP_DIR put all three below one directory."""

    spool: Path = Path("/run/spamtrap")
    archive: Path = Path("/var/lib/spamtrap/archive")
    state: Path = Path("/var/lib/spamtrap/state")
    plugins: Path | None = None
    """Folder with your own stages, one NAME.py each."""

    @property
    def maillog(self) -> Path:
        """Directory of the mail log."""
        return self.state / "maillog"


WhenFull = Literal["tempfail", "shed", "accept-and-drop"]
"""What becomes of mail when there is no room for it."""


class SpoolSettings(Base, frozen=True):
    """The spool."""

    fsync: bool = False
    """Sync every file and directory before 250 is said; for a spool on a disk."""
    reserve: Room = Room("5%")
    """There is no room for mail when less than this is free, so that workers can go on."""
    max_waiting: int = 0
    """Nor when more jobs than this wait in the queue that mail begins in; 0: no limit."""
    when_full: dict[str, WhenFull] = msgspec.field(default_factory=lambda: {"default": "tempfail"})
    """What is done when there is no room, by tag of the recipient; one word stands for all of them."""
    spill_above: Size = Size("64kB")
    """Larger messages are written into the spool as they come."""


class Stage(Base, frozen=True):
    """What the worker does with one stage; all other keys are the stage's own settings."""

    use: str = ""
    """Dotted path "package.module:Class", file "name.py" in the plugin folder, or entry point."""
    workers: int = 1
    concurrency: int = 20
    """Jobs in flight at once in one worker, for stages with an asynchronous process."""
    batch: int = 64
    """Jobs handed over at once, for stages with process_batch."""
    deadline: Duration = Duration("60s")
    """Longest time for one job, or for one batch; past it the attempt counts as failed."""
    when_unavailable: Literal["wait", "pass"] | None = None
    """What becomes of jobs while its backend is away; when not set, the stage's own choice, or wait."""
    max_age: Duration | None = None
    """Jobs older than this are shed from its queue; when not set, as the reaper is told. Queues without
    workers only hold what is put there: nothing is shed from them by age unless this is set."""
    next: list[str] | None = None
    """Queues a passed job goes to, for stages outside the pipeline; in it, the pipeline decides."""
    settings: dict[str, Any] = {}
    """Collected from the keys that are not named above."""


class Reaper(Base, frozen=True):
    """What is thrown away, and when."""

    interval: Duration = Duration("10s")
    max_age: Duration = Duration("6h")
    """Jobs older than this are shed."""
    max_count: int = 1_000_000
    """More jobs than this in one queue: the oldest are shed."""
    max_bytes: Room = Room("75%")
    """A spool fuller than this: the oldest jobs are shed, whatever their queue."""
    max_inodes: Room = Room("75%")
    bad_max_age: Duration = Duration("14d")
    """Bad jobs older than this are purged."""
    purge: str = ""
    """Cron expression ("15 3 * * *"): empty every queue at these times, local time."""


class MailLogSettings(Base, frozen=True):
    """The mail log."""

    rotate: Size = Size("16MB")
    """Begin a new file when the current one is larger; finished ones are settled into totals."""
    keep: int = 30
    """Rotated files kept for people to read; `audit` does not need them."""


class Config(Base, frozen=True):
    """The whole configuration, defaults filled in."""

    listen: list[Listener] = msgspec.field(default_factory=lambda: [Listener()])
    accept: Accept = Accept()
    route: list[Route] = []
    smtp: Smtp = Smtp()
    limits: Limits = Limits()
    stress: StressSettings = StressSettings()
    tls: Tls = Tls()
    paths: Paths = Paths()
    spool: SpoolSettings = SpoolSettings()
    pipeline: list[str | list[str]] = msgspec.field(
        default_factory=lambda: ["dedup", "virus", "backscatter", "archive", ["report"]]
    )
    """Stage after stage; a list at the end holds stages that run in parallel."""
    stages: dict[str, Stage] = {}
    """Every stage of the pipeline and every queue beside it, by name."""
    reaper: Reaper = Reaper()
    maillog: MailLogSettings = MailLogSettings()
    user: str = ""
    """The sink drops its privileges to this user once its ports are bound."""

    @property
    def pipeline_stages(self) -> list[str]:
        """The stages of the pipeline in its order, parallel ones last."""
        return self.trunk + self.branches

    @property
    def queues(self) -> list[str]:
        """Every queue: those of the pipeline in its order, then those beside it."""
        order = self.pipeline_stages
        return order + [name for name in self.stages if name not in order]

    @property
    def trunk(self) -> list[str]:
        """The stages that every message takes one after the other."""
        return [step for step in self.pipeline if isinstance(step, str)]

    @property
    def branches(self) -> list[str]:
        """The stages that run in parallel at the end of the pipeline."""
        last = self.pipeline[-1] if self.pipeline else []
        return last if isinstance(last, list) else []

    @property
    def first(self) -> str:
        """The queue a message begins in when no route says otherwise."""
        return self.trunk[0]

    def stage(self, name: str) -> Stage:
        """What is configured for a stage; the defaults when nothing is."""
        return self.stages.get(name, Stage())

    def after(self, stage: str) -> list[str]:
        """The queues a job goes to when `stage` lets it pass; none: its way ends."""
        trunk = self.trunk
        if stage not in trunk:
            return [] if stage in self.branches else self.stage(stage).next or []
        at = trunk.index(stage) + 1
        return [trunk[at]] if at < len(trunk) else self.branches

    @property
    def hostname(self) -> str:
        """The name this trap calls itself."""
        return self.smtp.hostname or socket.gethostname()


def default_paths() -> Paths:
    """Where a trap without a configuration keeps its things: the system's places for root, else one's own."""
    if os.geteuid() == 0:
        return Paths()
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "spamtrap"
    return Paths(
        spool=Path("/dev/shm", f"spamtrap-{os.geteuid()}"), archive=data / "archive", state=data / "state"
    )


def paths_below(directory: Path, plugins: Path | None = None) -> Paths:
    """Spool, archive and state below one directory, as --dir asks for."""
    root = directory.absolute()
    return Paths(spool=root / "spool", archive=root / "archive", state=root / "state", plugins=plugins)
