"""A registry on loopback: answers questions over HTTP as it is told, and remembers them."""

import asyncio
import json
from contextlib import suppress
from typing import Any, Self

SILENT = object()
"""An answer that never comes."""


def network(first: str, last: str, *entities: Any, **more: Any) -> dict[str, Any]:
    """An answer about a network (RFC 9083, 5.4)."""
    return {
        "objectClassName": "ip network",
        "startAddress": first,
        "endAddress": last,
        "entities": list(entities),
        **more,
    }


def entity(*roles: str, mail: str = "", inner: list[Any] | None = None) -> dict[str, Any]:
    """One of its entities (RFC 9083, 5.1), with a jCard (RFC 7095)."""
    card = ["vcard", [["version", {}, "text", "4.0"], *([["email", {}, "text", mail]] if mail else [])]]
    return {"objectClassName": "entity", "roles": list(roles), "vcardArray": card, "entities": inner or []}


class Registry:
    """A server on loopback, in the running loop.

    Attributes:
        answers: by address that is asked about: JSON, bytes, a status, a redirection's target, or SILENT.
        asked: paths, in order.
        pause: what Retry-After says, if anything.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.accepts: list[str] = []
        self.pause = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports close in the next round

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                self.asked.append(path)
                self.accepts += [line for line in head.split("\r\n") if line.lower().startswith("accept:")]
                said = self.answers.get(path.rpartition("/")[2], 404)
                if said is SILENT:
                    await asyncio.sleep(3600)
                writer.write(self._text(said))
                await writer.drain()
        finally:
            writer.close()

    def _text(self, said: Any) -> bytes:
        status, fields, body = 200, ["Content-Type: application/rdap+json"], b""
        if isinstance(said, int):
            status = said
        elif isinstance(said, str):
            status, fields = 302, [f"Location: {said}"]
        else:
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
        if self.pause:
            fields.append(f"Retry-After: {self.pause}")
        lines = [f"HTTP/1.1 {status} said", f"Content-Length: {len(body)}", *fields, "", ""]
        return "\r\n".join(lines).encode() + body
