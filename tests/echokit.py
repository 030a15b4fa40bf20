"""A small server that misbehaves on purpose, and a client of its protocol: a line is answered by a line."""

import asyncio
from collections.abc import Awaitable, Callable

from trap.address import Address
from trap.backend import Broken, Dialect

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Manner = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Echo:
    """Client of a protocol in which a line is answered by a line."""

    reusable = True

    def __init__(self, streams: Stream) -> None:
        self.reader, self.writer = streams

    @classmethod
    async def open(cls, address: Address) -> "Echo":
        return cls(await address.streams())

    async def say(self, word: str) -> str:
        self.writer.write(word.encode() + b"\n")
        answer = await self.reader.readline()
        if answer != b"you said " + word.encode() + b"\n":
            raise Broken(f"answers {answer!r}" if answer else "hung up")
        return answer.decode().strip()

    def close(self) -> None:
        self.writer.close()


async def probe(session: Echo) -> str:
    await session.say("hello")
    return "Echo 1.0"


DIALECT = Dialect("echod", Echo.open, probe, "start it: systemctl start echod")


class Server:
    """It behaves as `manner` says, from one line to the next."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.manner: Manner = well
        self.connections = 0
        self.heard: list[str] = []
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        if self.where.startswith("/"):
            self._server = await asyncio.start_unix_server(self._talk, self.where)
        else:
            self._server = await asyncio.start_server(self._talk, *self.where.rsplit(":", 1))

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._talks.add(task)
        self.connections += 1
        try:
            while line := await reader.readline():
                self.heard.append(line.decode().strip())
                await self.manner(line.decode().strip(), writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._talks.discard(task)
            writer.close()


async def well(line: str, writer: asyncio.StreamWriter) -> None:
    writer.write(f"you said {line}\n".encode())


async def never(line: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def half(line: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"you sa")
    await asyncio.sleep(3600)


async def garbage(line: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\0\xff\n")


async def reset(line: str, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def late(line: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1.5)
    await well(line, writer)


async def only_mail_breaks(line: str, writer: asyncio.StreamWriter) -> None:
    await (well if line == "hello" else reset)(line, writer)
