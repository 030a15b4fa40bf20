"""A wave of spam: open connections from 4 to 301 in five minutes, but 33 times larger and faster.

    python bench/wave.py [--seconds 30] [--times 33] [--quick] [--json FILE]

The growth is the one that Penz saw (2009) on a server that forks, which died of it at 300 connections
and 1 GB. Here bots from a thousand networks (herd.c) say RCPT and are silent; some deliver after a
while, all others stay until they are put out, and then are back at once. The sink may have as many
connections as the wave brings, so that it has to pass through all levels of stress; a level is held
for three seconds instead of 1,000.

Meanwhile a well-behaved client comes every 50 ms with a message: told 421 or put out, it tries again a
second later, as a real server does after minutes. All of them must get through. A monitor asks every
50 ms as well, and must never see what monitors call "not reachable": no connection, or no greeting
within ten seconds. At the end the files are counted against the 250s.
"""

import asyncio
import os
import time
from contextlib import suppress

import kit

from trap.config import Config, Paths
from trap.live import read

FIRST, LAST, REAL_SECONDS = 4, 301, 300
EVERY = 0.05
RATE = 2000
"""Connections a second that the bots make at most."""
DELIVERING = 0.15
"""Share of the waiting bots that deliver in a second."""
PATIENCE = 10.0
"""Seconds until a monitor gives up."""
TRIES = 20
MESSAGE = b"Subject: order\r\n\r\n" + b"hello\r\n" * 100 + b".\r\n"


class Watch:
    """What clients and monitor see.

    Args:
        port: of the sink.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.through: list[float] = []
        """Milliseconds from the first attempt to 250, of each client that got through."""
        self.attempts = self.given_up = 0
        self.greetings: list[float] = []
        self.busy = self.unreachable = 0

    async def client(self) -> None:
        """A well-behaved one: tries until it has its 250."""
        started = time.perf_counter()
        for _ in range(TRIES):
            self.attempts += 1
            with suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                if await asyncio.wait_for(self._deliver(), 60):
                    self.through.append((time.perf_counter() - started) * 1000)
                    return
            await asyncio.sleep(1)
        self.given_up += 1

    async def _deliver(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=("127.0.0.1", 0))
        try:
            for said, reply in (
                (b"", b"220"),
                (b"EHLO mail.example\r\n", b"250"),
                (b"MAIL FROM:<a@mail.example>\r\n", b"250"),
                (b"RCPT TO:<b@trap.example>\r\n", b"250"),
                (b"DATA\r\n", b"354"),
                (MESSAGE, b"250"),
            ):
                writer.write(said)
                while (line := await reader.readuntil(b"\n"))[3:4] == b"-":
                    pass
                if not line.startswith(reply):
                    return False
            writer.write(b"QUIT\r\n")
            return True
        finally:
            writer.close()

    async def monitor(self) -> None:
        """Is it there?"""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                line = await reader.readuntil(b"\n")
                writer.write(b"QUIT\r\n")
                writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.unreachable += 1
            return
        self.busy += not line.startswith(b"220")
        self.greetings.append((time.perf_counter() - started) * 1000)


async def wave(
    sink: kit.Sink, herd: kit.Herd, peak: int, seconds: float, watch: Watch
) -> list[dict[str, object]]:
    """Let it rise, stay half as long, and go; what was seen every half second."""
    timeline: list[dict[str, object]] = []
    config = Config(paths=Paths(state=sink.base / "state"))
    tasks: set[asyncio.Task[None]] = set()
    started = looked = delivered = time.monotonic()
    herd("again 1")
    while (now := time.monotonic()) - started < seconds * 1.5:
        for what in (watch.client, watch.monitor):
            task = asyncio.create_task(what())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        share = min(1.0, (now - started) / seconds)
        herd(f"keep {int(peak / LAST * FIRST * (LAST / FIRST) ** share)}")
        if now - delivered >= 0.5:
            herd(f"deliver {int(herd()['waiting'] * DELIVERING / 2)} 4096")
            delivered = now
        if now - looked >= 0.5:
            looked = now
            said, live = herd(), read(config)
            timeline.append(
                {
                    "seconds": now - started,
                    "open": said["open"],
                    "kib": sink.memory(),
                    "level": live[0].level if live else "",
                    "refused": live[0].refused if live else {},
                }
            )
        await asyncio.sleep(EVERY)
    herd("again 0")
    if tasks:
        await asyncio.wait(tasks, timeout=120)
    return timeline


def main() -> None:
    options = kit.options(
        __doc__,
        seconds=(float, 30.0, "that it rises, instead of 300"),
        times=(int, 33, "larger than in 2009"),
    )
    seconds = min(options.seconds, 8.0) if options.quick else options.seconds
    report = kit.Report("wave")
    peak = LAST * (min(options.times, 8) if options.quick else options.times)
    kit.files_allowed(peak * 2)
    os.sched_setaffinity(0, {kit.LOAD_CORE})
    with kit.running(kit.OURS, limits=kit.LIMITS | {"connections": peak}, stress={"hold": 3}) as sink:
        idle = sink.memory()
        watch, herd = Watch(sink.port), kit.Herd(sink.port, width=200, rate=RATE)
        try:
            timeline = asyncio.run(wave(sink, herd, peak, seconds, watch))
            herd(f"deliver {peak} 4096")
            said = herd.until(lambda said: not said["open"])
        finally:
            herd.close()
        time.sleep(1)
        describe(report, watch, timeline, idle)
        answered = len(watch.through) + said["delivered"]
        report.add(
            "answered 250 and not stored", kit.OURS, [float(max(0, answered - sink.messages()))], aim="= 0"
        )
        report.add("messages of bots", kit.OURS, [float(said["delivered"])])
        report.note(
            f"bots: {said['ended']:,} put out while they waited, {said['refused']:,} refused at the door, "
            f"{said['failed']:,} without a greeting"
        )
    report.write(options.json)


def describe(report: kit.Report, watch: Watch, timeline: list[dict[str, object]], idle: int) -> None:
    """The rows."""
    most = max(int(str(point["open"])) for point in timeline)
    memory = max(int(str(point["kib"])) for point in timeline)
    report.add("connections at the crest", kit.OURS, [float(most)])
    report.add("clients that did not get through", kit.OURS, [float(watch.given_up)], aim="= 0")
    report.add("clients that did", kit.OURS, [float(len(watch.through))])
    report.add("attempts of each", kit.OURS, [watch.attempts / (len(watch.through) + watch.given_up)])
    report.add("first attempt to 250, ms", kit.OURS, watch.through)
    report.add("the same, p99 ms", kit.OURS, [kit.percentile(watch.through, 0.99)])
    report.add("monitor: not reachable", kit.OURS, [float(watch.unreachable)], aim="= 0")
    report.add("monitor: heard 421 instead of 220", kit.OURS, [float(watch.busy)])
    report.add("monitor: greeting, p99 ms", kit.OURS, [kit.percentile(watch.greetings, 0.99)])
    report.add("resident MiB at most", kit.OURS, [memory / 1024])
    report.add("of these KiB a connection", kit.OURS, [(memory - idle) / most])
    report.rows[-1]["timeline"] = timeline
    levels = [(f"{point['seconds']:.0f} s", point["level"]) for point in timeline]
    changes = [
        f"{level} from {at}"
        for (_, before), (at, level) in zip([("", None), *levels], levels, strict=False)
        if level != before
    ]
    report.note(f"stress: {', '.join(changes)}")


if __name__ == "__main__":
    main()
