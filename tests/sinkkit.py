"""A sink inside the test's own process, and a player for dialogues that are written down as data.

A dialogue (tests/dialogs/*.txt) opens with settings in YAML, besides them `protocol: lmtp` and
`balancers: [network]`, and `---`. Then, a line each:

    C! text      what the client says, exactly, before it is let in; only at the beginning
    c: text      the client says text and CRLF
    C: text      the client says exactly text; \\r \\n \\0 \\xff are escapes
    C- text      the same, and will say nothing more
    s: text      the sink answers a line that begins with text; `s: <eof>`: it hangs up
    s~ regex     the sink answers a line that matches
    = n          so many messages are stored by now (one for each queue they went to)
    = key: value of the last stored envelope; `message` (with escapes) and `queue` are keys too
    = refused: {cause: number} what the sink counted so far
    # comment
"""

import asyncio
import re
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvloop
import yaml

from trap.config import Config, paths_below
from trap.configfile import parse
from trap.door import Door
from trap.draft import Draft
from trap.envelope import Envelope
from trap.face import Face
from trap.intake import Intake
from trap.job import Job, encode_head, new_id
from trap.limits import Gate
from trap.networks import Delay, Networks
from trap.patrol import Patrol
from trap.smtp import Wire
from trap.stress import Stress
from trap.writer import Item, Message

PATIENCE = 10.0


class Stored(NamedTuple):
    queue: str
    envelope: Envelope
    message: bytes


class MemorySpool:
    """Takes what a Spool takes, and can be told to fail."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.sync = False
        self.stored: list[Stored] = []
        self.fail: dict[str, OSError] = {}
        self.real_ids = False

    def put(
        self, queue: str, envelope: Envelope, message: Message, notes: object = None, copy: bool = False
    ) -> str:
        if queue in self.fail:
            raise OSError(*self.fail[queue].args)  # a new one: it remembers who raised it
        if isinstance(message, Draft):
            message.finish(encode_head(envelope, {}, message.size))
            message = Job.decode("1", Path(message.path).read_bytes()).message
        self.stored.append(
            Stored(queue, envelope, message if isinstance(message, bytes) else b"".join(message))
        )
        return new_id() if self.real_ids else f"id{len(self.stored)}"

    def put_all(self, items: list[Item]) -> list[str | OSError]:
        return [self.put(*item) for item in items]

    def draft(self, make: Callable[[str], Draft]) -> Draft:
        return make(tempfile.mktemp())


class Inside(NamedTuple):
    """A sink that runs in this event loop."""

    port: int
    spool: MemorySpool
    door: Door
    intake: Intake


def settings(text: str = "") -> Config:
    """Settings for a sink that speaks plainly, unless they say otherwise."""
    given = yaml.safe_load(text) or {}
    given["smtp"] = {"face": "plain"} | given.get("smtp", {})
    given["spool"] = {"reserve": 0} | given.get("spool", {})
    return parse("pipeline: [first]\nstages: {other: }\n" + yaml.safe_dump(given))


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test on the event loop that the sink uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


async def until(check: Callable[[], object]) -> None:
    """Let others go on until `check()` is true."""
    while not check():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.002)


def door_of(
    config: Config,
    spool: MemorySpool,
    *,
    lmtp: bool = False,
    tls: ssl.SSLContext | None = None,
    balancers: list[str] | None = None,
) -> Door:
    """What the connections of one listener share, for a spool in memory."""
    spool.real_ids = config.smtp.face != "plain"  # other faces make ids of their own from them
    return Door(
        intake=Intake(config, spool),  # type: ignore[arg-type]
        face=Face(config),
        gate=Gate(config.limits),
        stress=Stress(config),
        listener="mx",
        lmtp=lmtp,
        tls=tls,
        auth=config.smtp.auth,
        auth_key=b"key",
        delay=Delay(config).of if config.smtp.banner_delay or config.smtp.banner_delays else None,
        balancers=Networks(dict.fromkeys(balancers, True)) if balancers else None,
    )


@asynccontextmanager
async def sink(
    config: Config | None = None,
    *,
    spool: MemorySpool | None = None,
    lmtp: bool = False,
    tls: ssl.SSLContext | None = None,
    balancers: list[str] | None = None,
) -> AsyncIterator[Inside]:
    """A sink on a port of its own, with its patrol, in the loop that runs."""
    loop = asyncio.get_running_loop()
    spool = spool or MemorySpool()
    with tempfile.TemporaryDirectory() as home:
        config = msgspec.structs.replace(config or settings(), paths=paths_below(Path(home)))
        door = door_of(config, spool, lmtp=lmtp, tls=tls, balancers=balancers)
        server = await loop.create_server(lambda: Wire(door, loop), "127.0.0.1", 0)
        patrol = loop.create_task(Patrol([door]).walk())
        try:
            yield Inside(server.sockets[0].getsockname()[1], spool, door, door.intake)
        finally:
            server.close()
            patrol.cancel()
            for wire in tuple(door.wires):
                wire.abort()
            await until(lambda: not door.wires)
            door.intake.close()


async def play(text: str) -> None:
    """Play one dialogue; an AssertionError names the line that went otherwise."""
    head, _, body = text.partition("\n---\n")
    given = yaml.safe_load(head) or {}
    lmtp = given.pop("protocol", "smtp") == "lmtp"
    balancers = given.pop("balancers", None)
    config = settings(yaml.safe_dump(given) if given else "")
    async with sink(config, lmtp=lmtp, balancers=balancers) as inside:
        reader, writer = await asyncio.open_connection(sock=_early(inside.port, body))
        try:
            for number, line in enumerate(body.splitlines(), head.count("\n") + 3):
                try:
                    await asyncio.wait_for(_step(line, reader, writer, inside), PATIENCE)
                except (AssertionError, TimeoutError) as error:
                    raise AssertionError(f"line {number}: {line!r}: {error or 'no answer'}") from None
        finally:
            writer.close()


def _early(port: int, body: str) -> socket.socket:
    """A connection; the sink, which shares our thread, sees it only after what is said here."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(b"".join(_unescaped(line[3:]) for line in body.splitlines() if line.startswith("C!")))
    return sock


async def _step(
    line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inside: Inside
) -> None:
    kind, said = line[:2], line[3:]
    if kind == "c:":
        writer.write(said.encode() + b"\r\n")
    elif kind in {"C:", "C-"}:
        writer.write(_unescaped(said))
        if kind == "C-":
            writer.write_eof()
    elif kind in {"s:", "s~"}:
        heard = (await reader.readline()).decode().removesuffix("\r\n") or "<eof>"
        matches = heard.startswith(said) if kind == "s:" else re.fullmatch(said, heard)
        assert matches, f"the sink said {heard!r}"
    elif kind == "= ":
        await _expect(line[2:], inside)
    else:
        assert not line.strip() or line.startswith(("#", "C!")), "what is this?"


async def _expect(fact: str, inside: Inside) -> None:
    stored = inside.spool.stored
    if fact.isdigit():
        await until(lambda: len(stored) >= int(fact))
        assert len(stored) == int(fact), f"{len(stored)} stored"
        return
    key, _, value = fact.partition(": ")
    if key == "refused":
        assert inside.door.gate.refused == yaml.safe_load(value), f"it is {inside.door.gate.refused}"
        return
    last = stored[-1]
    if key in {"message", "queue"}:
        there = getattr(last, key)
        assert there == (_unescaped(value) if key == "message" else value), f"it is {there!r}"
    else:
        there = msgspec.to_builtins(getattr(last.envelope, key))
        assert there == yaml.safe_load(value), f"it is {there!r}"


def _unescaped(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")
