"""address: where other programs listen, and connections there."""

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

import trap.address
from trap.address import Address

FOUND = socket.AF_INET, socket.SOCK_STREAM, 6, ""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/x.sock", Address(path="/run/x.sock")),
        ("tls:///run/x.sock", Address(path="/run/x.sock", tls=True)),
        ("mx.example:783", Address("mx.example", 783)),
        ("tls://mx.example:783", Address("mx.example", 783, tls=True)),
        ("[::1]:783", Address("::1", 783)),
        ("192.0.2.1:783", Address("192.0.2.1", 783)),
    ],
)
def test_addresses_are_read_and_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "host"),
    [("mx.example", "mx.example"), ("::1", "::1"), ("[::1]", "::1"), ("192.0.2.1", "192.0.2.1")],
)
def test_the_usual_port_need_not_be_said(text: str, host: str) -> None:
    assert Address.parse(text, 53) == Address(host, 53)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x:",
        ":783",
        "x:0",
        "x:65536",
        "x:-1",
        "x:smtp",
        "::1:783",
        "run/x",
        "tls://",
        "x:²",
        " x:783",
        "a@x:783",
        "x/y:783",
    ],
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a server; write /path"):
        Address.parse(text)


async def test_a_number_needs_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (await Address("127.0.0.1", listener.getsockname()[1]).connect()).close()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        (await Address("::1", listener.getsockname()[1]).connect()).close()


async def test_a_host_that_has_no_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(socket.gaierror):
        await Address("mx.example", 783).connect()


async def test_a_host_whose_name_can_be_none_is_an_error() -> None:
    with pytest.raises(OSError, match="no name of a host"):
        await Address("x" * 64 + ".example", 783).connect()


def test_a_resolver_that_hangs_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [(*FOUND, ("127.0.0.1", 1))]
    )

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Address("mx.example", 783).connect()

    async def main() -> None:
        await asyncio.gather(*(ask() for _ in range(40)))
        await asyncio.to_thread(bool)  # where the worker waits for mail

    begun = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - begun < 10
    over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("look "):
            thread.join(10)


async def test_an_address_that_is_silent_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket() as full,
        socket.socket() as first,
    ):
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())  # its queue of connections is full: what comes is not answered
        places = [full.getsockname(), listener.getsockname()]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(*FOUND, place) for place in places])
        monkeypatch.setattr(trap.address, "CONNECT", 1.0)
        with await Address("mx.example", 783).connect() as made:
            assert made.getpeername() == listener.getsockname()


async def test_datagrams_go_there_and_are_heard_from_there_only() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as there, socket.socket(type=socket.SOCK_DGRAM) as other:
        there.bind(("127.0.0.1", 0))
        with await Address("127.0.0.1", there.getsockname()[1]).datagrams() as sock:
            await loop.sock_sendall(sock, b"question")
            heard, asker = there.recvfrom(100)
            assert heard == b"question"
            other.sendto(b"forged", asker)
            there.sendto(b"answer", asker)
            assert await loop.sock_recv(sock, 100) == b"answer"


async def test_a_unix_socket_hears_no_datagrams_of_ours() -> None:
    with pytest.raises(OSError, match="a host and a port"):
        await Address(path="/run/x.sock").datagrams()


async def test_datagrams_to_a_host_that_nobody_finds_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> Any:
        time.sleep(0.3)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(trap.address, "CONNECT", 0.05)
    with pytest.raises(TimeoutError, match=r"no address of slow\.example within 0\.05 s"):
        await Address("slow.example", 9).datagrams()
