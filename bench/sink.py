"""CPU time of the sink a message, against Postfix's smtp-sink -d and stock aiosmtpd, in one run.

    python bench/sink.py [--rounds 3] [--messages 4000] [--json FILE]

Every sink writes each message to a file on tmpfs before it answers. The load comes from Postfix's
smtp-source, 20 sessions, one recipient, a connection for each message ("new") or connections kept
("reuse"). Sinks run on one core, the load on another, in turns, so that noise hits all alike. Ratios
travel, milliseconds don't.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = {"4 KiB": 4096, "30 KiB": 30 * 1024, "300 KiB": 300 * 1024}
KINDS = {"new": [], "reuse": ["-d"]}
SHARE = {"4 KiB": 1.0, "30 KiB": 0.5, "300 KiB": 0.1}
"""Of --messages, so that every cell takes about as long."""

OURS = """
import sys, pathlib
from trap.configfile import parse
from trap.sink import run
base, port = sys.argv[1:]
run(parse(f"pipeline: [first]\\nlisten: [{{port: {port}}}]\\n"
          f"paths: {{spool: {base}/spool, archive: {base}/archive, state: {base}/state}}"))
"""
STOCK = """
import asyncio, os, sys, uuid
from aiosmtpd.smtp import SMTP
base, port = sys.argv[1:]
class Handler:
    async def handle_DATA(self, server, session, envelope):
        name = uuid.uuid4().hex
        with open(f"{base}/{name}.tmp", "wb") as file:
            file.write(envelope.content)
        os.rename(f"{base}/{name}.tmp", f"{base}/{name}")
        return "250 OK"
async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), hostname="mx", loop=asyncio.get_running_loop()), "127.0.0.1", int(port))
    await server.serve_forever()
asyncio.run(main())
"""


def ours(base: str, port: int) -> list[str]:
    return [sys.executable, "-c", OURS, base, str(port)]


def stock(base: str, port: int) -> list[str]:
    return [sys.executable, "-c", STOCK, base, str(port)]


def smtp_sink(base: str, port: int) -> list[str]:
    user = ["-u", "root"] if os.geteuid() == 0 else []
    return [program("smtp-sink"), *user, "-d", f"{base}/%M.", f"127.0.0.1:{port}", "1000"]


SINKS: dict[str, Callable[[str, int], list[str]]] = {
    "smtp-sink -d": smtp_sink,
    "spamtrap": ours,
    "stock aiosmtpd": stock,
}


def program(name: str) -> str:
    """Where a program of Postfix is; Debian keeps them out of a user's path."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    if found := shutil.which(name, path=path):
        return found
    sys.exit(f"{name} is missing; it comes with Postfix")


def cpu_seconds(pid: int) -> float:
    """CPU time of another process, to the nanosecond (the clock of clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("the sink did not start")


def load(port: int, count: int, size: int, kind: str) -> float:
    """Send `count` messages; seconds it took."""
    arguments = ["-s", "20", "-m", str(count), "-l", str(size), "-f", "a@example.com", "-t", "b@trap.example"]
    command = ["taskset", "-c", last_cpu(), program("smtp-source"), *arguments, *KINDS[kind]]
    started = time.perf_counter()
    subprocess.run([*command, f"127.0.0.1:{port}"], check=True, timeout=300)
    return time.perf_counter() - started


def last_cpu() -> str:
    return str(max(os.sched_getaffinity(0)))


def measure(name: str, size: str, kind: str, count: int) -> tuple[float, float]:
    """CPU milliseconds a message, and messages a second, of one sink under one load."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="bench-sink-") as base:
        port = free_port()
        command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *SINKS[name](base, port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            load(port, max(20, count // 10), SIZES[size], kind)
            before = cpu_seconds(process.pid)
            seconds = load(port, count, SIZES[size], kind)
            spent = cpu_seconds(process.pid) - before
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
    return spent / count * 1000, count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=4000, help="of 4 KiB; fewer of the larger ones")
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    results: dict[str, dict[str, dict[str, float]]] = {}
    print(
        f"{'CPU ms a message':16}"
        + "".join(f"{name:>16}" for name in SINKS)
        + f"{'ratio to C':>12}{'to stock':>10}"
    )
    for size in SIZES:
        for kind in KINDS:
            runs: dict[str, list[tuple[float, float]]] = {name: [] for name in SINKS}
            for _ in range(options.rounds):
                for name in SINKS:
                    runs[name].append(measure(name, size, kind, int(options.messages * SHARE[size])))
            cell = {name: statistics.median(cpu for cpu, _ in run) for name, run in runs.items()}
            speed = {name: statistics.median(rate for _, rate in run) for name, run in runs.items()}
            results[f"{size} {kind}"] = {"cpu_ms": cell, "messages_s": speed}  # type: ignore[dict-item]
            to_c, to_stock = (cell["spamtrap"] / cell[name] for name in ("smtp-sink -d", "stock aiosmtpd"))
            columns = "".join(f"{cell[name]:16.3f}" for name in SINKS)
            print(f"{size + ' ' + kind:16}{columns}{to_c:12.2f}{to_stock:10.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
