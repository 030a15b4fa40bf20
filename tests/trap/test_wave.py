"""A spam wave breaks over a sink: from 4 to 301 open connections (Penz, 2009), and 33 times larger.

The sink is a process of its own, so that its memory is its own. Among the clients are some that say
nothing and only take a place. There are fewer places than clients, so some are told to come back. In the
end everybody who behaves has delivered, once, and a monitor that knocked all along was always answered.
"""

import asyncio
import itertools
import random
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import uvloop
from support import free_port, lack

from trap import live
from trap.config import paths_below
from trap.configfile import parse
from trap.job import Job, split_name

WAVE = [4, 12, 21, 44, 88, 131, 170, 203, 255, 301]
"""Connections open at once, one look after the other."""
PLACES = 0.9
"""Connections the sink has, as a share of the crest."""
SILENT = 10
"""One client in so many says nothing."""
KIB_A_SESSION = 32
"""What a session may cost the sink at most, generously; bench/ measures what it does cost."""
PATIENCE = 90.0
AT_ONCE = 200
"""Clients that connect at the same moment: a backlog is not what is tested here."""

SETTINGS = """
pipeline: [first]
stages: {{first: {{workers: 0}}}}
spool: {{reserve: 0}}
limits: {{connections: {places}, per_address: 100, per_network: 0}}
stress:
  hold: 1s
  yellow: {{connections: 40%, lag: 1h, spool: 100%, timeout: 60s}}
  red: {{connections: 80%, lag: 1h, spool: 100%, timeout: 3s}}
"""


@dataclass
class Wave:
    """What the clients of a wave share."""

    port: int
    crest: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    said: Counter[str] = field(default_factory=Counter)
    """First words of the sink's answers to a connection."""


async def answer(reader: asyncio.StreamReader) -> str:
    """One reply, of however many lines; empty when the sink has hung up."""
    while True:
        line = (await reader.readline()).decode()
        if line[3:4] != "-":
            return line


def address(number: int) -> str:
    """Where a client comes from: 50 have one address in common."""
    return f"127.{1 + number // 10_000}.{number // 50 % 200}.1"


async def attempt(wave: Wave, number: int) -> bool:
    """Connect once and try to deliver. Up to the crest clients linger after RCPT."""
    async with wave.gate:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", wave.port, local_addr=(address(number), 0)
        )
        banner = await answer(reader)
    wave.said[banner[:3]] += 1
    try:
        if number % SILENT == 0 and not wave.crest.is_set():
            await wave.crest.wait()  # says nothing, though it is hung up on
            return False
        lines = [f"EHLO c{number}.example", f"MAIL FROM:<{number}@bot.example>", "RCPT TO:<a@trap.example>"]
        if not banner.startswith("220"):
            return False
        for line in lines:
            writer.write(line.encode() + b"\r\n")
            if not (await answer(reader)).startswith("250"):
                return False
        await wave.crest.wait()
        writer.write(b"DATA\r\n")
        if not (await answer(reader)).startswith("354"):
            return False
        writer.write(b"Subject: %d\r\n\r\n%s\r\n.\r\n" % (number, b"buy " * 200))
        stored = (await answer(reader)).startswith("250")
        writer.write(b"QUIT\r\n")
        return stored
    finally:
        writer.close()


async def client(wave: Wave, number: int) -> None:
    """Come back until the message is stored, as real mail servers do."""
    while True:
        with suppress(ConnectionError):
            if await attempt(wave, number):
                return
        await asyncio.sleep(random.uniform(0.2, 1.0))


async def monitor(wave: Wave, seen: Counter[str]) -> None:
    """Knock again and again; no answer, or a refused connection, is an error."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", wave.port, local_addr=("127.9.9.9", 0))
        with closing(writer):
            banner = await asyncio.wait_for(answer(reader), PATIENCE)
            seen[banner[:3]] += 1
            with suppress(ConnectionError):
                writer.write(b"QUIT\r\n")
                await reader.read()
        await asyncio.sleep(0.05)


class Sink:
    """A sink in a process of its own."""

    def __init__(self, directory: Path, settings: str) -> None:
        (directory / "spamtrap.yaml").write_text(settings)
        self.port = free_port()
        self.config = msgspec.structs.replace(parse(settings), paths=paths_below(directory))
        self.log = directory / "sink.log"
        line = [sys.executable, "-m", "trap", "--dir", str(directory), "sink", "--listen"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*line, f"127.0.0.1:{self.port}"], stdout=log, stderr=log)

    def now(self) -> live.Live | None:
        """What it tells of itself."""
        return live.together(live.read(self.config))

    def refused(self) -> set[str]:
        """Why it turned somebody away so far."""
        now = self.now()
        return {reason for reason, times in now.refused.items() if times} if now else set()

    def levels(self) -> list[str]:
        """The levels it went through, as its log tells."""
        return ["green", *re.findall(r"stress: \w+ -> (\w+)", self.log.read_text())]

    def memory(self) -> int:
        """KiB in use."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def stored(self) -> list[int]:
        """The number of each message in the queue."""
        queue = self.config.paths.spool / "first/new"
        jobs = (Job.decode(name, (queue / name).read_bytes()) for name in map(str, _names(queue)))
        return sorted(int(job.envelope.mail_from.partition("@")[0]) for job in jobs)


def _names(queue: Path) -> Iterator[str]:
    return (path.name for path in queue.iterdir() if split_name(path.name))


@asynccontextmanager
async def running(directory: Path, settings: str) -> AsyncIterator[Sink]:
    sink = Sink(directory, settings)
    try:
        await until(sink.now, "the sink to start")
        yield sink
    finally:
        sink.process.terminate()
        await asyncio.to_thread(sink.process.wait, 30)


async def until(check: Callable[[], object], what: str) -> None:
    """Let others go on until `check()` is true."""
    for _ in range(round(PATIENCE / 0.1)):
        if check():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"waited in vain for {what}")


@contextmanager
def files(number: int) -> Iterator[None]:
    """Let this process, and those it starts, open so many files; skip where that may not be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        lack(f"{number} open files are needed; RLIMIT_NOFILE allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def break_over(sink: Sink, times: int) -> tuple[Counter[str], Counter[str]]:
    """Let the wave rise, hold it at its crest until the silent are put out, and let it break.

    Returns:
        What clients and the monitor heard first on their connections.
    """
    wave, seen, idle = Wave(sink.port), Counter[str](), sink.memory()
    async with asyncio.TaskGroup() as people:
        knocking = people.create_task(monitor(wave, seen))
        clients: list[asyncio.Task[None]] = []
        for goal in WAVE:
            numbers = range(len(clients), goal * times)
            clients += [people.create_task(client(wave, number)) for number in numbers]
            await until(lambda goal=goal: _met(wave) >= goal * times, f"{goal * times} clients")  # type: ignore[misc]
            if 0.4 * PLACES < goal / WAVE[-1] < 0.8 * PLACES:
                await until(lambda: "yellow" in sink.levels(), "yellow")
        await until(lambda: "red" in sink.levels(), "red")
        await until(lambda: sink.refused() >= {"connections", "timeout"}, "the silent to be put out")
        now = sink.now()
        assert now is not None
        assert now.peak <= now.limit
        assert sink.memory() - idle <= KIB_A_SESSION * now.peak + 8192
        wave.crest.set()
        await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)
        await until(lambda: sink.levels()[-1] == "green", "green")
        assert not knocking.done()
        knocking.cancel()
    return wave.said, seen


def _met(wave: Wave) -> int:
    return wave.said.total()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("times", [1, 33])
def test_everybody_who_behaves_gets_through(times, tmp_path):
    """Levels rise and fall; nothing is lost, nothing is stored twice; the monitor is always answered."""
    number = WAVE[-1] * times
    settings = SETTINGS.format(places=round(number * PLACES))

    async def test() -> None:
        async with running(tmp_path, settings) as sink:
            said, seen = await break_over(sink, times)
            assert sink.stored() == list(range(number))
            assert said["220"] >= number
            assert set(said) <= {"220", "421"}
            assert set(seen) <= {"220", "421"}
            assert seen["220"] > 0
            assert sink.levels()[0] == sink.levels()[-1] == "green"
            assert all(one != other for one, other in itertools.pairwise(sink.levels()))
            assert "Traceback" not in sink.log.read_text()

    with files(number + 1500), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())
