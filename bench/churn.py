"""A million connections that come and go: what stays of them.

    python bench/churn.py [--connections 1000000] [--quick] [--json FILE]

Clients connect, hear the banner and go, one with QUIT, the next without a word (herd.c), a hundred at
a time from a thousand addresses. The first tenth fills the pools that every allocator keeps; memory
after it is what the rest is held against.
"""

import time

import kit

STEPS = 10
PEERS = ("smtp-sink -d", "stock aiosmtpd")


def main() -> None:
    options = kit.options(__doc__, connections=(int, 1_000_000, "in all; peers get a tenth"))
    connections = min(options.connections, 20_000) if options.quick else options.connections
    report = kit.Report("churn")
    for subject in (kit.OURS,) if options.quick else (kit.OURS, *PEERS):
        try:
            with kit.running(subject) as sink:
                measure(report, sink, connections if subject == kit.OURS else connections // STEPS)
        except kit.Missing as missing:
            report.note(f"left out: {missing}")
    report.write(options.json)


def measure(report: kit.Report, sink: kit.Sink, connections: int) -> None:
    """Let them come and go by one sink."""
    ours = sink.subject == kit.OURS
    step = connections // STEPS
    memory, files, rates, costs = [sink.memory()], [kit.descriptors(sink.pids[0])], [], []
    herd = kit.Herd(sink.port, width=100)
    try:
        for at in range(STEPS):
            before, started = sink.cpu(), time.perf_counter()
            herd(f"pass {step}")
            said = herd.until(lambda said: not said["passing"])
            rates.append(step / (time.perf_counter() - started))
            costs.append((sink.cpu() - before) / step * 1000)
            if said["passed"] != step * (at + 1):
                report.note(f"{sink.subject}: only {said['passed']:,} of {step * (at + 1):,} were greeted")
            time.sleep(0.3)  # until the last is forgotten
            memory.append(sink.memory())
            files.append(kit.descriptors(sink.pids[0]))
    finally:
        herd.close()
    what = f"{connections:,} connections: "
    report.add(f"{what}connections/s", sink.subject, rates)
    report.add(f"{what}CPU ms each", sink.subject, costs)
    aim = {"aim": "<= 1.02"} if ours else {}
    report.add(
        f"{what}KiB at the end", sink.subject, memory[-1:], peer=memory[1:2], to="after a tenth", **aim
    )
    grown = files[-1] - files[0]
    report.add(
        f"{what}files that stay open", sink.subject, [float(grown)], **({"aim": "<= 0"} if ours else {})
    )
    report.rows[-1]["timeline_kib"] = memory


if __name__ == "__main__":
    main()
