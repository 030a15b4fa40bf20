"""One YAML file, read once into frozen structures.

What a setting means stands beside it here and, for people, in deploy/spamtrap.yaml. Reading the
file, its errors with their lines, lives in trap/configfile.py.
"""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from trap.configlimits import Limits, StressSettings
from trap.configweb import Web
from trap.units import Base as Base
from trap.units import Duration as Duration
from trap.units import Room as Room
from trap.units import Share as Share
from trap.units import Size as Size


class Listener(Base, frozen=True):
    """One address the sink listens on. `lmtp: PATH` or `lmtp: HOST:PORT` stands for three of these."""

    host: str = "127.0.0.1"
    port: int = 2525
    """0 lets the kernel choose."""
    unix: str = ""
    """Path of a UNIX socket to listen on, instead of host and port."""
    name: str = ""
    """Recorded in the envelope; host:port when empty."""
    protocol: Literal["smtp", "lmtp"] = "smtp"
    mode: str = "0660"
    """Who may connect to a UNIX socket, as chmod(1) has it."""
    group: str = ""
    """Group that a UNIX socket shall belong to; the user's own when empty."""
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
    spill_above: Size = Size("384kB")
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
    protect: list[str] = []
    """Names, addresses and words that nobody may learn, besides those that the rest of this tells."""
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
    web: Web = Web()
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
        return self.smtp.hostname or os.uname().nodename


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
