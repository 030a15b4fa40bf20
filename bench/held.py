"""Ten thousand sessions held open after RCPT: what each takes, and what a new client notices.

    python bench/held.py [--sessions 10000] [--quick] [--json FILE]

Clients from a thousand addresses of 127/8 open their sessions, name a recipient and wait (herd.c).
While they do, a client at a time comes for its banner and delivers; smtp-source measures throughput, in
turns with another sink of the kind that holds nothing. Then all who waited deliver at once, and the
files are counted.

Postfix's smtp-sink is let throw its messages away: with -d each session of it takes two files, and ten
thousand are more than a process may open in many places.

`--sessions 100000` works where a process may open so many files. Where it may not, and can't be
allowed to, as many processes as are needed share the port.
"""

import math
import socket
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import kit

SHARE = 0.55
"""Of the files that a process may open: with more connections than that, a sink is under stress."""
SIZE = 4096
AIMS = {
    "resident KiB a session": "<= 6",
    "banner, p99 ms": "<= 2",
    "250 after data, p99 ms": "<= 5",
    "throughput while held": ">= 0.95",
    "lost": "= 0",
}
MESSAGE = b"Subject: probe\r\n\r\n" + b"x" * 70 + b"\r\n.\r\n"


def main() -> None:
    options = kit.options(__doc__, sessions=(int, 10_000, "held at once"))
    report = kit.Report("held")
    sessions = min(options.sessions, 2000) if options.quick else options.sessions
    allowed = kit.files_allowed(int(sessions / SHARE))
    processes = math.ceil(sessions / (allowed * SHARE))
    if processes > 1:
        report.note(
            f"a process may open {allowed:,} files here and can't be allowed more: "
            f"{processes} processes share the port"
        )
    subjects = [kit.OURS] if options.quick or processes > 1 else [kit.OURS, "smtp-sink", "stock aiosmtpd"]
    for subject in subjects:
        try:
            with (
                kit.running(subject, processes=processes) as sink,
                kit.running(subject, processes=processes) as free,
            ):
                measure(report, sink, free, sessions, 3 if options.quick else 7)
        except kit.Missing as missing:
            report.note(f"left out: {missing}")
    report.write(options.json)


def measure(report: kit.Report, sink: kit.Sink, free: kit.Sink, sessions: int, rounds: int) -> None:
    """All about one sink; `free` is its like, which holds nothing."""

    def row(what: str, samples: list[float], peer: list[float] | None = None) -> None:
        aim = {"aim": AIMS[what]} if what in AIMS and sink.subject == kit.OURS else {}
        against = {"peer": peer, "to": "without them"} if peer else {}
        report.add(f"{what}, {sessions:,} held", sink.subject, samples, **against, **aim)

    for either in (sink, free):
        throughput(either)  # warms up
    idle, kernel = sink.memory(), kit.kernel_memory()
    with ExitStack() as stack:
        herds = [kit.Herd(sink.port) for _ in sink.pids]
        for herd in herds:
            stack.callback(herd.close)
        held = hold(herds, sessions)
        if not sink.alive():
            report.note(f"{sink.subject} ended at less than {sessions:,} sessions")
            return
        if held < sessions:
            report.note(f"{sink.subject} holds {held:,} of {sessions:,} sessions")
        row("resident KiB a session", [(sink.memory() - idle) / held])
        row("kernel KiB a session, both ends", [(kit.kernel_memory() - kernel) / held])
        probes = 200 if rounds < 5 else 1000
        banners, delivered = probe(sink.port, probes)
        row("banner, p50 ms", [statistics.median(banners)])
        row("banner, p99 ms", [kit.percentile(banners, 0.99)])
        row("250 after data, p50 ms", [statistics.median(delivered)])
        row("250 after data, p99 ms", [kit.percentile(delivered, 0.99)])
        turns = [(throughput(sink), throughput(free)) for _ in range(rounds)]
        loaded, unloaded = zip(*turns, strict=True)
        row("throughput while held", [rate for rate, _ in loaded], [rate for rate, _ in unloaded])
        row("CPU ms a message while held", [cpu for _, cpu in loaded], [cpu for _, cpu in unloaded])
        before, waiting = sink.messages(), sum(herd()["waiting"] for herd in herds)
        if waiting < held:
            report.note(f"{sink.subject} ended {held - waiting:,} sessions that waited")
        answered, seconds = all_at_once(herds)
        row("messages/s, all at once", [answered / seconds])
        if sink.subject != "smtp-sink":  # which keeps nothing
            row("lost", [float(answered - (sink.messages() - before))])
        row("unanswered", [float(waiting - answered)])


def hold(herds: list[kit.Herd], sessions: int) -> int:
    """Open the sessions; how many there are in the end."""
    share = math.ceil(sessions / len(herds))
    held = 0
    for at, herd in enumerate(herds):
        wanted = min(share, sessions - at * share)
        herd(f"keep {wanted}")
        held += herd.until(enough(wanted))["waiting"]
    time.sleep(0.5)
    return held


def enough(wanted: int) -> Callable[[dict[str, int]], bool]:
    return lambda said: said["waiting"] >= wanted


def all_at_once(herds: list[kit.Herd]) -> tuple[int, float]:
    """Let all deliver; how many heard 250, and in how many seconds."""
    started = time.perf_counter()
    for herd in herds:
        herd(f"deliver {10**6} {SIZE}")
    answered = sum(herd.until(lambda said: not said["open"])["delivered"] for herd in herds)
    return answered, time.perf_counter() - started


def throughput(sink: kit.Sink) -> tuple[float, float]:
    """Messages a second, over about a second, and CPU milliseconds a message."""
    count = 200
    while True:
        before = sink.cpu()
        seconds = kit.load(sink.port, count, SIZE, "reuse")
        spent = sink.cpu() - before
        sink.empty()
        if seconds > 0.4:
            return count / seconds, spent / count * 1000
        count = int(count * min(20, max(2, 0.7 / seconds)))


def probe(port: int, count: int) -> tuple[list[float], list[float]]:
    """Clients one after the other: milliseconds until the banner, and from the end of the data to 250."""
    banners, delivered = [], []
    for _ in range(count):
        started = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            heard(client, b"220")
            banners.append((time.perf_counter() - started) * 1000)
            for line, reply in (
                (b"HELO probe.example\r\n", b"250"),
                (b"MAIL FROM:<a@probe.example>\r\n", b"250"),
                (b"RCPT TO:<b@trap.example>\r\n", b"250"),
                (b"DATA\r\n", b"354"),
            ):
                client.sendall(line)
                heard(client, reply)
            started = time.perf_counter()
            client.sendall(MESSAGE)
            heard(client, b"250")
            delivered.append((time.perf_counter() - started) * 1000)
            client.sendall(b"QUIT\r\n")
    return banners, delivered


def heard(client: socket.socket, reply: bytes) -> None:
    said = client.recv(1000)
    if not said.startswith(reply):
        sys.exit(f"a probe heard {said!r} instead of {reply.decode()}")


if __name__ == "__main__":
    main()
