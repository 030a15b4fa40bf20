"""What a message costs the sink, against other sinks in the same run.

    python bench/sink.py [--rounds 5] [--quick] [--json FILE]

Every sink writes each message to a file on tmpfs before it answers 250; ours is the product, with
envelope, ledger and every limit. The load comes from Postfix's smtp-source, 20 sessions, one
recipient, a connection for each message ("new") or connections that stay ("reuse"). All sinks run
from the start, on one core; the generator has another; they are loaded in turns, so that what else
the machine does hits all alike. Ratios travel, milliseconds don't.

Last come two processes of ours on one port against one. Two cores can't hold two sinks and a generator
that needs as much as they, so each sink is let run a fixed share of the time, all at the same instants
(SIGSTOP, SIGCONT): they get in each other's way as on a machine with cores to spare, and what is left
over feeds them.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import kit

SIZES = {"4 KiB": 4096, "30 KiB": 30 * 1024, "300 KiB": 300 * 1024}
MESSAGES = {"4 KiB": 4000, "30 KiB": 2000, "300 KiB": 400}
"""A round."""
KINDS = ("new", "reuse")
FAST = ("smtp-sink -d", kit.OURS, "bare epoll in C")
SLOW = ("nodemailer", "stock aiosmtpd", "Haraka")
"""The slow ones are sent a quarter of the messages."""
QUICK = ("smtp-sink -d", kit.OURS, "stock aiosmtpd")
AIMS = {"4 KiB": "<= 1.0", "30 KiB": "<= 0.7", "300 KiB": "<= 0.7"}
REST = 0.03
"""Seconds that a sink is given to close what it has open."""
RUN, STOP = 0.003, 0.007
"""Seconds that each of several sinks is let run, and made to wait, in turns."""
GENERATORS, SESSIONS = 4, 200
"""In that case, and the sessions of each: enough that the sinks have work all the time they run."""

Sample = tuple[float, float]
"""CPU milliseconds a message, messages a second."""


def main() -> None:
    options = kit.options(__doc__, rounds=(int, 5, "for each cell"))
    rounds = 2 if options.quick else options.rounds
    report = kit.Report("sink")
    with ExitStack() as stack:
        sinks = {}
        for subject in QUICK if options.quick else FAST + SLOW:
            try:
                sinks[subject] = stack.enter_context(kit.running(subject))
            except kit.Missing as missing:
                report.note(f"left out: {missing}")
        if kit.OURS not in sinks:
            sys.exit("the sink does not start")
        for size in SIZES:
            for kind in KINDS:
                describe(report, f"{size} {kind}", in_turns(sinks, size, kind, rounds, options.quick))
    if "nodemailer" in sinks:
        report.note(
            "nodemailer holds its banner back for 100 ms: with 20 sessions, "
            "new connections end at 200 messages a second"
        )
    several(report, rounds)
    report.write(options.json)


def in_turns(
    sinks: dict[str, kit.Sink], size: str, kind: str, rounds: int, quick: bool
) -> dict[str, list[Sample]]:
    """Samples of each sink under one load; the first round warms up and is forgotten."""
    samples: dict[str, list[Sample]] = {subject: [] for subject in sinks}
    order = list(sinks)
    for at in range(rounds + 1):
        for subject in order:
            count = MESSAGES[size] // (1 if subject in FAST else 4) // (2 if quick else 1)
            if subject == "nodemailer" and kind == "new":
                count = min(count, 200)
            sample = one(sinks[subject], count if at else count // 4, SIZES[size], kind)
            if at:
                samples[subject].append(sample)
        order = order[1:] + order[:1]
    return samples


def one(sink: kit.Sink, count: int, size: int, kind: str) -> Sample:
    """One load on one sink."""
    before = sink.cpu()
    seconds = kit.load(sink.port, count, size, kind)
    time.sleep(REST)
    spent = sink.cpu() - before
    stored = sink.messages()
    sink.empty()
    if stored != count:
        sys.exit(f"{sink.subject} stored {stored} of {count} messages")
    return spent / count * 1000, count / seconds


def describe(report: kit.Report, cell: str, samples: dict[str, list[Sample]]) -> None:
    """The rows of one cell."""
    cost = {subject: [cpu for cpu, _ in taken] for subject, taken in samples.items()}
    speed = {subject: [rate for _, rate in taken] for subject, taken in samples.items()}
    peer = "smtp-sink -d"
    against = {"peer": cost.get(peer, ()), "to": peer} if peer in cost else {}
    for subject, taken in cost.items():
        aim = {"aim": AIMS[cell.rsplit(" ", 1)[0]]} if subject == kit.OURS and against else {}
        report.add(f"CPU ms a message, {cell}", subject, taken, **against, **aim)
    for other in ("stock aiosmtpd", "Haraka"):
        if other in cost:
            mine = cost[kit.OURS]
            report.add(f"CPU ms a message, {cell}", kit.OURS, mine, peer=cost[other], to=other, aim="<= 0.25")
    against = {"peer": speed[peer], "to": peer} if peer in speed else {}
    for subject, rates in speed.items():
        aim = {"aim": ">= 1.0"} if subject == kit.OURS and against else {}
        report.add(f"messages/s, {cell}", subject, rates, **against, **aim)


def several(report: kit.Report, rounds: int) -> None:
    """Two processes on one port against one."""
    count = 4000
    cost: dict[int, list[float]] = {1: [], 2: []}
    speed: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        sinks = {number: stack.enter_context(kit.running(kit.OURS, None, number)) for number in (1, 2)}
        for at in range(rounds + 1):
            for number, sink in sinks.items():
                before = sink.cpu()
                with rationed(sink.pids):
                    seconds = crowd(sink.port, count)
                if at:
                    cost[number].append((sink.cpu() - before) / count * 1000)
                    speed[number].append(count / seconds)
                sink.empty()
    share = f"{RUN / (RUN + STOP):.0%} of a core each"
    report.add(f"messages/s, 4 KiB new, {share}", "one process", speed[1])
    report.add(
        f"messages/s, 4 KiB new, {share}", "two on one port", speed[2], peer=speed[1], to="one", aim=">= 1.8"
    )
    able = {number: [number / cpu * 1000 for cpu in taken] for number, taken in cost.items()}
    report.add("messages in a CPU second of each, 4 KiB new", "one process", able[1])
    report.add(
        "messages in a CPU second of each, 4 KiB new",
        "two on one port",
        able[2],
        peer=able[1],
        to="one",
        aim=">= 1.8",
    )


def crowd(port: int, count: int) -> float:
    """Several generators at once; seconds it took."""
    started = time.perf_counter()
    with ThreadPoolExecutor(GENERATORS) as pool:
        for _ in range(GENERATORS):
            pool.submit(kit.load, port, count // GENERATORS, 4096, "new", SESSIONS, None)
    return time.perf_counter() - started


@contextmanager
def rationed(pids: list[int]) -> Iterator[None]:
    """Let processes run a share of the time only, all at the same instants."""
    over = threading.Event()

    def ration() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15) if os.geteuid() == 0 else None
        while not over.is_set():
            for number, seconds in ((signal.SIGCONT, RUN), (signal.SIGSTOP, STOP)):
                for pid in pids:
                    os.kill(pid, number)
                time.sleep(seconds)

    thread = threading.Thread(target=ration)
    thread.start()
    try:
        with suppress(PermissionError):  # only root may put itself first
            for pid in pids:
                os.setpriority(os.PRIO_PROCESS, pid, -10)
        yield
    finally:
        over.set()
        thread.join()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
