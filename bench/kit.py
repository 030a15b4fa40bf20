"""What the benches share: cores, processes, sinks to compare, and figures. Not a bench itself.

A bench starts its subjects with `running`, measures them in turns, and gives its samples to a
`Report`, which prints a table, writes it as JSON and holds each figure against its aim.
"""

import argparse
import json
import operator
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
PEERS = HERE / "peers"
CACHE = HERE / ".peers"
"""What is compiled and downloaded for benches; not part of the tree."""
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
CORES = sorted(os.sched_getaffinity(0))
SINK_CORE, LOAD_CORE = CORES[0], CORES[-1]
OURS = "spamtrap"

LIMITS = {
    "connections": 1_000_000,
    "per_address": 1_000_000,
    "per_network": 1_000_000,
    "connection_rate": 100_000_000,
    "message_rate": 100_000_000,
    "commands": 100_000_000,
}
"""Every limit counts, none is reached: a load of one address is no spammer."""


class Missing(Exception):
    """Something that is not installed, and where it comes from."""


# Programs


def program(name: str, package: str) -> str:
    """Where a program is; Debian keeps some out of a user's path.

    Raises:
        Missing: it is not installed.
    """
    if found := shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin"):
        return found
    raise Missing(f"{name} (Debian: {package})")


def compiled(source: Path) -> str:
    """A C program of ours, compiled when its source is newer."""
    target = CACHE / source.stem
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(exist_ok=True)
        subprocess.run([program("gcc", "gcc libc6-dev"), "-O2", "-o", target, source], check=True)
    return str(target)


def node_modules() -> Path:
    """The peers from npm, downloaded once."""
    wanted = (PEERS / "package.json").read_bytes()
    modules, done = CACHE / "node_modules", CACHE / "package.json"
    npm = program("npm", "npm")
    program("node", "nodejs")
    if not modules.exists() or not done.exists() or done.read_bytes() != wanted:
        CACHE.mkdir(exist_ok=True)
        done.write_bytes(wanted)
        words = [
            "install",
            "--silent",
            "--omit=dev",
            "--omit=optional",
            "--ignore-scripts",
            "--prefix",
            CACHE,
        ]
        if subprocess.run([npm, *words], capture_output=True, timeout=300, check=False).returncode:
            done.unlink()
            raise Missing("Haraka and smtp-server (npm: the registry was not reached)")
    return modules


# Processes


def cpu_seconds(pid: int) -> float:
    """CPU time of another process, to the nanosecond (the clock of clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def resident(pid: int) -> int:
    """Resident KiB of a process, counted page by page where the kernel does that."""
    for name, key in (("smaps_rollup", "Rss"), ("status", "VmRSS")):
        with suppress(OSError), open(f"/proc/{pid}/{name}") as file:
            if found := re.search(rf"^{key}:\s+(\d+)", file.read(), re.MULTILINE):
                return int(found[1])
    raise ProcessLookupError(pid)


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def kernel_memory() -> int:
    """KiB of the kernel's own memory: slab, and what sockets hold of pages."""
    with open("/proc/meminfo") as file:
        slab = int(re.search(r"^Slab:\s+(\d+)", file.read(), re.MULTILINE)[1])  # type: ignore[index]
    with open("/proc/net/sockstat") as file:
        pages = int(re.search(r"^TCP:.* mem (\d+)", file.read(), re.MULTILINE)[1])  # type: ignore[index]
    return slab + pages * resource.getpagesize() // 1024


def files_allowed(wanted: int) -> int:
    """Open files that one process may have, after an attempt to be allowed `wanted` of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def greeted(subject: str, port: int, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    """Wait until a sink greets.

    Raises:
        Missing: it does not.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            if probe.recv(100).startswith(b"2"):
                probe.sendall(b"QUIT\r\n")
                probe.recv(100)
                return
        time.sleep(0.05)
    raise Missing(f"{subject}, which does not greet")


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command] if core is not None else list(command)


# Sinks


@dataclass
class Sink:
    """A sink that runs.

    Args:
        subject: its name.
        base: its directory on tmpfs.
        port: where it listens.
        processes: usually one.
        stored: the directory that has one file for each message.
    """

    subject: str
    base: Path
    port: int
    processes: "list[subprocess.Popen[bytes]]"
    stored: Path

    @property
    def pids(self) -> list[int]:
        """Of its processes."""
        return [process.pid for process in self.processes]

    def cpu(self) -> float:
        """CPU seconds so far."""
        return sum(map(cpu_seconds, self.pids))

    def memory(self) -> int:
        """KiB."""
        return sum(map(resident, self.pids))

    def alive(self) -> bool:
        """Whether all of it still runs."""
        return all(process.poll() is None for process in self.processes)

    def messages(self) -> int:
        """How many it has stored."""
        return sum(1 for _ in os.scandir(self.stored))

    def empty(self) -> None:
        """Throw away what it has stored."""
        with os.scandir(self.stored) as entries:
            for entry in entries:
                os.unlink(entry.path)


def ours(base: Path, _port: int) -> tuple[list[str], Path]:
    """Spamtrap as it is run for mail: envelope, ledger and every limit."""
    return [sys.executable, "-m", "trap", "--dir", str(base), "sink"], base / "spool/first/new"


def smtp_sink_d(base: Path, port: int) -> tuple[list[str], Path]:
    """Postfix's test sink, a file for each message."""
    return smtp_sink(base, port, "-d", f"{base}/mail/%M.")


def smtp_sink(base: Path, port: int, *more: str) -> tuple[list[str], Path]:
    """Postfix's test sink, which throws everything away."""
    user = ["-u", "root"] if os.geteuid() == 0 else []
    command = [program("smtp-sink", "postfix"), *user, "-m", "100000", *more]
    return [*command, f"127.0.0.1:{port}", "4096"], base / "mail"


def stock(base: Path, port: int) -> tuple[list[str], Path]:
    """Aiosmtpd as it comes."""
    return [sys.executable, str(PEERS / "stock.py"), f"{base}/mail", str(port)], base / "mail"


def nodemailer(base: Path, port: int) -> tuple[list[str], Path]:
    """Nodemailer's smtp-server."""
    words = [str(PEERS / "nodemailer.js"), str(node_modules()), f"{base}/mail", str(port)]
    return [program("node", "nodejs"), *words], base / "mail"


def haraka(base: Path, port: int) -> tuple[list[str], Path]:
    """Haraka with one plugin, which streams to a file."""
    home = node_modules() / "Haraka"
    shutil.copytree(home / "config", base / "haraka/config")
    shutil.copytree(PEERS / "haraka", base / "haraka", dirs_exist_ok=True)
    (base / "haraka/config/smtp.ini").write_text(f"listen=127.0.0.1:{port}\nnodes=0\n")
    words = [program("node", "nodejs"), f"{home}/bin/haraka", "-c", f"{base}/haraka"]
    return ["env", f"STORE={base}/mail", *words], base / "mail"


def epoll(base: Path, port: int) -> tuple[list[str], Path]:
    """The least there is to do, in C."""
    return [compiled(PEERS / "epoll.c"), f"{base}/mail", str(port)], base / "mail"


SUBJECTS: dict[str, Callable[[Path, int], tuple[list[str], Path]]] = {
    "smtp-sink -d": smtp_sink_d,
    "smtp-sink": smtp_sink,
    OURS: ours,
    "bare epoll in C": epoll,
    "nodemailer": nodemailer,
    "stock aiosmtpd": stock,
    "Haraka": haraka,
}


@contextmanager
def running(
    subject: str, core: int | None = SINK_CORE, processes: int = 1, **settings: object
) -> Iterator[Sink]:
    """A sink of that name, until the end of the block.

    Args:
        subject: one of SUBJECTS.
        core: where it runs; None: wherever.
        processes: more than one share a port; only ours can.
        settings: of ours, beside the usual.

    Raises:
        Missing: it can't be had here.
    """
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY, prefix="bench-")))
        (base / "mail").mkdir()
        port = free_port()
        usual = {
            "pipeline": ["first"],
            "listen": [{"port": port}],
            "smtp": {"processes": processes},
            "limits": LIMITS,
        }
        (base / "spamtrap.yaml").write_bytes(msgspec.yaml.encode(usual | settings))
        command, stored = SUBJECTS[subject](base, port)
        started: list[subprocess.Popen[bytes]] = []
        for at in range(processes):
            own_core = CORES[at % len(CORES)] if core is None and processes > 1 else core
            process = _start(pinned(own_core, command))
            stack.callback(stop, process)
            started.append(process)
            greeted(subject, port, process)
        yield Sink(subject, base, port, started, stored)


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=HERE.parent)


def stop(process: "subprocess.Popen[bytes]", patience: float = 15) -> None:
    """End a process; by force if it has not ended after so many seconds."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def load(
    port: int, count: int, size: int, kind: str, sessions: int = 20, core: int | None = LOAD_CORE
) -> float:
    """Send messages by Postfix's smtp-source.

    Args:
        port: where the sink is.
        count: of messages.
        size: bytes of each.
        kind: "new" for a connection a message, "reuse" for connections that stay.
        sessions: at a time.
        core: where the generator runs.

    Returns:
        Seconds it took.
    """
    command = [program("smtp-source", "postfix"), "-s", str(sessions), "-m", str(count), "-l", str(size)]
    command += ["-f", "a@example.com", "-t", "b@trap.example", *(["-d"] if kind == "reuse" else [])]
    started = time.perf_counter()
    subprocess.run([*pinned(core, command), f"127.0.0.1:{port}"], check=True, timeout=300)
    return time.perf_counter() - started


class Herd:
    """Many clients from one process: see herd.c. Ended by `close`.

    Args:
        port: of the sink.
        sources: addresses they come from.
        width: how many are on their way to RCPT at a time.
        rate: connections a second at most; 0 for no limit.
    """

    def __init__(self, port: int, sources: int = 1000, width: int = 400, rate: float = 0) -> None:
        words = [compiled(HERE / "herd.c"), str(port), str(sources), str(width), str(rate)]
        self._process = subprocess.Popen(
            pinned(LOAD_CORE, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, order: str = "state") -> dict[str, int]:
        """Give an order, hear the state of things."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())  # type: ignore[no-any-return]

    def until(self, done: Callable[[dict[str, int]], bool], patience: float = 20) -> dict[str, int]:
        """Wait until it is done, or nothing has changed for `patience` seconds."""
        said, changed = self(), time.monotonic()
        while not done(said) and time.monotonic() - changed < patience:
            time.sleep(0.05)
            before, said = said, self()
            if said != before:
                changed = time.monotonic()
        return said

    def close(self) -> None:
        """End it, and its sessions."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


# Figures


@dataclass
class Report:
    """The figures of one bench.

    Args:
        name: of the bench.
        rows: each a measure of a subject.
        notes: what else is to be known, in sentences.
        tables: figures that are looked at side by side, each with title, columns and rows.
    """

    name: str
    rows: list[dict[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[dict[str, object]] = field(default_factory=list)

    def add(
        self, what: str, subject: str, samples: Sequence[float], *, peer: Sequence[float] = (), **more: object
    ) -> None:
        """A row.

        Args:
            what: is measured, with its unit.
            subject: whose it is.
            samples: one a round.
            peer: the samples of whom it is compared to, of the same rounds; the ratio is the median of
                the rounds' ratios.
            more: `to`, the name of that peer; `aim`, like "<= 0.7", for the ratio if there is one, else
                for the median.
        """
        low, median, high = spread(samples)
        row: dict[str, object] = {
            "what": what,
            "subject": subject,
            "median": median,
            "low": low,
            "high": high,
        }
        if peer:
            ratios = [mine / theirs for mine, theirs in zip(samples, peer, strict=True) if theirs]
            row["ratio_low"], row["ratio"], row["ratio_high"] = spread(ratios)
        row.update(more)
        if "aim" in row:
            row["met"] = holds(float(row.get("ratio", median)), str(row["aim"]))  # type: ignore[arg-type]
        self.rows.append(row)
        print(line(row), flush=True)

    def note(self, text: str) -> None:
        """Something that a reader must know, or what could not be measured."""
        self.notes.append(text)
        print(f"  ({text})", flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Figures to be looked at side by side."""
        self.tables.append({"title": title, "columns": columns, "rows": rows})
        texts = [columns, *([cell(value) for value in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        print(f"{title}:")
        for text in texts:
            padded = (word.ljust(width) for word, width in zip(text, widths, strict=True))
            print("  " + "  ".join(padded).rstrip(), flush=True)

    def write(self, path: Path | None) -> None:
        """As JSON."""
        if path:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def spread(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(samples) < 2:
        return (samples[0],) * 3
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, median, high


def percentile(samples: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the samples don't exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def holds(value: float, aim: str) -> bool:
    """Whether a value meets an aim like "<= 0.7"."""
    relation, bound = aim.split()
    compare = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq}
    return bool(compare[relation](round(value, 6), float(bound)))


def line(row: dict[str, object]) -> str:
    """A row for people."""
    quartiles = f"{number(row['low'])}..{number(row['high'])}"
    text = f"{row['what']:44} {row['subject']:16} {number(row['median']):>9} {quartiles:>19}"
    if "ratio" in row:
        text += f"  {number(row['ratio']):>6} of {row.get('to', '')}"
    if "aim" in row:
        text += f"  aim {row['aim']}: {'met' if row['met'] else 'NOT MET'}"
    return text.rstrip()


def cell(value: object) -> str:
    """A word or a figure of a table."""
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else number(value)


def number(value: object) -> str:
    """Three digits that count."""
    size = abs(float(value))  # type: ignore[arg-type]
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 1
        else f"{value:.3f}"
    )


def options(doc: str | None, **more: tuple[type, object, str]) -> argparse.Namespace:
    """The options all benches have, and a bench's own: name=(type, default, help)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="few rounds, for a first look")
    for name, (kind, default, explained) in more.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=explained)
    return parser.parse_args()
