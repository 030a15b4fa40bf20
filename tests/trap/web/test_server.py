"""The server: how long it waits for people who say nothing."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support import eventually
from webkit import answers, config_at, served

from trap.configweb import Web
from trap.web import server

HEAD = b"Host: 127.0.0.1\r\n\r\n"


async def slow(request: Request) -> PlainTextResponse:
    await asyncio.sleep(0.5)
    return PlainTextResponse("at last")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHo", b""),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n" + HEAD + b"four", b""),
        (b"GET / HTTP/1.1\r\n" + HEAD, b"at last"),
        (b"GET / HTTP/1.1\r\n" + HEAD + b"GET / HT", b"at last"),
    ],
    ids=["nothing", "half a header", "half a body", "a request that takes long", "half a second one"],
)
async def test_who_does_not_finish_a_request_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, said: bytes, heard: bytes
) -> None:
    monkeypatch.setattr(server, "_IDLE", 0.15)

    async def read_all(request: Request) -> PlainTextResponse:
        await request.body()
        return await slow(request)

    app = Starlette(routes=[Route("/", read_all, methods=["GET", "POST"])])
    running = uvicorn.Server(
        uvicorn.Config(app, port=0, http=server.Impatient, log_config=None, timeout_keep_alive=60)
    )
    task = asyncio.ensure_future(running._serve())
    await asyncio.to_thread(eventually, lambda: running.started)
    port = running.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    answer = await asyncio.wait_for(reader.read(), 10)
    assert heard in answer
    writer.close()
    running.should_exit = True
    await task


def test_a_server_ends_well_when_told_to(tmp_path: Path) -> None:
    with served(tmp_path) as address:
        assert answers(int(address.rpartition(":")[2]))
    assert "web page at" in (tmp_path / "web.log").read_text()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of signals are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_port_that_is_taken_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = msgspec.structs.replace(config_at(tmp_path), web=Web(port=port))
        assert server.run(config) == os.EX_UNAVAILABLE
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in caplog.text
    assert "--port" in caplog.text
