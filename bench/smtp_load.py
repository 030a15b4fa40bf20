"""A lean sender of real mail for benches: many connections, one process, as little CPU as Python allows.

It shares the machine with what it measures, so it costs a tenth of what `spamtrap replay` does: the
mail is made ready for the wire beforehand, and no reply is looked at beyond its first digit. Not a
bench itself.
"""

import asyncio
import multiprocessing
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import uvloop

from trap.replay import Plan, envelope
from trap.sources import Letter

CONNECTIONS = 20
_BODY = re.compile(rb"\r\n\r\n")
_WORD = re.compile(
    rb"^(?:--|[\w-]+:|[ \t]+[\w-]+=).*$"  # lines of MIME
    rb"|<[^>]*>|&\w+;|=[0-9A-Fa-f]{2}|\S{30,}"  # tags, entities, escapes; links and base64
    rb"|\b([A-Za-z]{4,20})\b",
    re.MULTILINE,
)


class Sent(NamedTuple):
    """What came of a load."""

    seconds: float
    cpu_seconds: float
    refused: int


def varied(message: bytes, mark: bytes) -> bytes:
    """The same message in other words: `mark` ends every word of its text, so no shingle stays.

    Tags, links, MIME lines and what is in base64 stay. Messages varied with the same mark are as
    alike as they were before; with another mark they are nothing to each other, for dedup.
    """
    end = _BODY.search(message)
    if not end:
        return message
    text = _WORD.sub(lambda word: word[1] + mark if word[1] else word[0], message[end.end() :])
    return message[: end.end()] + text


def stream(files: list[Path], count: int, *, unlike: bool) -> Iterator[tuple[bytes, bytes]]:
    """Endless mail: `count` messages, the files again and again, each round in other words.

    Args:
        files: to be repeated.
        count: how many.
        unlike: each message in words of its own, so that dedup finds nothing; else each round, so
            that it finds in each what it finds in the files.

    Yields:
        Envelope commands and message, both ready for the wire.
    """
    plan = Plan("", 0)
    for number in range(count):
        at = number % len(files)
        letter = Letter(str(files[at]))
        message = re.sub(rb"\r?\n", b"\r\n", letter.read())
        sender, rcpts = envelope(letter, message, plan)
        mark = number if unlike else number // len(files)
        message = varied(message, _letters(mark)).removesuffix(b"\r\n") + b"\r\n"
        commands = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{rcpt}>" for rcpt in rcpts), "DATA", ""]
        yield "\r\n".join(commands).encode("utf-8", "replace"), _stuffed(message) + b".\r\n"


def _letters(number: int) -> bytes:
    """A number in letters; empty for 0."""
    made = b""
    while number:
        number, digit = divmod(number, 26)
        made += bytes([97 + digit])
    return made


def _stuffed(message: bytes) -> bytes:
    message = message.replace(b"\r\n.", b"\r\n..")
    return b"." + message if message.startswith(b".") else message


def write(path: Path, mail: Iterable[tuple[bytes, bytes]]) -> None:
    """Keep mail for `send`."""
    with path.open("wb") as file:
        for item in mail:
            file.write(msgpack.packb(item))


def send(path: Path, port: int, rate: float = 0.0, first: int = 0, count: int = 0) -> Sent:
    """Send mail that was written, in a process of its own.

    Args:
        path: where it was written.
        port: of 127.0.0.1.
        rate: messages a second; 0: as fast as they are taken.
        first: how many to leave out at the beginning.
        count: how many to send; 0: all.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(theirs, path, port, rate, first, count))
    process.start()
    theirs.close()
    try:
        return Sent(*ours.recv())
    finally:
        process.join()


def _run(answer: Any, path: Path, port: int, rate: float, first: int, count: int) -> None:
    with path.open("rb") as file:
        mail = [tuple(item) for number, item in enumerate(msgpack.Unpacker(file)) if number >= first]
    mail = mail[: count or None]
    begun, cpu = time.perf_counter(), time.process_time()
    refused = uvloop.run(_all(mail, port, rate))
    answer.send((time.perf_counter() - begun, time.process_time() - cpu, refused))


async def _all(mail: list[tuple[bytes, bytes]], port: int, rate: float) -> int:
    loop = asyncio.get_running_loop()
    load = _Load(iter(mail), rate, loop)
    made = [loop.create_connection(lambda: _Sender(load), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*[sender.done for _, sender in await asyncio.gather(*made)])
    return load.refused


class _Load:
    """What is left to be sent, and when."""

    def __init__(
        self, mail: Iterator[tuple[bytes, bytes]], rate: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.mail = mail
        self.loop = loop
        self.refused = 0
        self._pause = 1 / rate if rate else 0.0
        self._slot = loop.time()

    def slot(self) -> float:
        """When the next message is due, on the loop's clock."""
        self._slot += self._pause
        return self._slot


class _Sender(asyncio.Protocol):
    """One connection: greets, then sends as long as there is mail."""

    def __init__(self, load: _Load) -> None:
        self.load = load
        self.done: asyncio.Future[None] = load.loop.create_future()
        self._awaited = 1
        self._next: Callable[[bytes], None] = self._greet
        self._message = b""
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self._awaited -= 1
                if not self._awaited:
                    self._next(line)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _say(self, words: bytes, replies: int, then: Callable[[bytes], None]) -> None:
        self._awaited, self._next = replies, then
        self._transport.write(words)

    def _greet(self, _: bytes) -> None:
        self._say(b"EHLO bench.example\r\n", 1, self._ready)

    def _ready(self, reply: bytes) -> None:
        self.load.refused += not reply.startswith(b"2")
        if item := next(self.load.mail, None):
            self.load.loop.call_at(self.load.slot(), self._begin, *item)
        else:
            self._transport.close()

    def _begin(self, commands: bytes, message: bytes) -> None:
        self._message = message
        self._say(commands, commands.count(b"\r\n"), self._body)

    def _body(self, reply: bytes) -> None:
        if reply.startswith(b"3"):
            self._say(self._message, 1, self._ready)
        else:
            self.load.refused += 1
            self._say(b"RSET\r\n", 1, self._ready)
