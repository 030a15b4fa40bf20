"""The client of web servers: it goes where it shall, and whatever is answered there ends."""

import asyncio
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from fakeserver import fake
from hypothesis import given
from hypothesis import strategies as st
from receiverkit import Receiver
from starlette.responses import Response

from stages.clients.http import MAX_PAUSE, MAX_SAID, Answer, Endpoint, Session, trust
from trap.address import Address
from trap.backend import Broken
from trap.tls import own_certificate

BLANK = b"\r\n\r\n"


async def asked(url: str, ca: Path | None = None, method: str = "POST", **more: Any) -> Answer:
    """Ask what a URL answers."""
    to = Endpoint.parse(url)
    session = await Session.open(to.address, to.host, trust(ca) if to.address.tls else None)
    try:
        return await session.ask(method, to.target, **more)
    finally:
        session.close()


# Where a URL leads


@pytest.mark.parametrize(
    ("url", "address", "target", "host"),
    [
        ("https://soc.example.com", "tls://soc.example.com:443", "/", "soc.example.com"),
        ("https://Soc.example:8443/a/b?c=d#e", "tls://soc.example:8443", "/a/b?c=d", "soc.example:8443"),
        ("http://127.0.0.1:8000/x", "127.0.0.1:8000", "/x", "127.0.0.1:8000"),
        ("http://[::1]/x", "[::1]:80", "/x", "[::1]"),
        ("http://localhost/", "localhost:80", "/", "localhost"),
    ],
)  # fmt: skip
def test_a_url_names_a_server_and_a_page_there(url: str, address: str, target: str, host: str):
    made = Endpoint.parse(url)
    assert (str(made.address), made.target, made.host) == (address, target, host)
    assert Address.parse(str(made.address)) == made.address


def test_pages_beside_it():
    assert Endpoint.parse("https://misp.example/").beside("events/add") == "/events/add"
    assert Endpoint.parse("https://x.example/misp?a=b").beside("events/add") == "/misp/events/add"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://soc.example.com/", "read by all on its way"),
        ("http://10.0.0.1/", "read by all on its way"),
        ("https://user:secret@soc.example.com/", "use a file"),
        ("ftp://soc.example.com/", "write https://host/path"),
        ("soc.example.com", "write https://host/path"),
        ("https:///x", "write https://host/path"),
        ("https://söc.example/", "ASCII"),
        ("https://soc.example/ü", "ASCII"),
        ("https://soc.example/a b", "ASCII"),
        ("https://soc.example:99999/", "no URL"),
        ("https://[::1/", "no URL"),
    ],
)
def test_mistakes_are_told(url: str, why: str):
    with pytest.raises(ValueError, match=why) as told:
        Endpoint.parse(url)
    assert "secret" not in str(told.value)


def test_without_tls_only_if_that_is_wanted():
    assert not Endpoint.parse("http://soc.example.com/", plain=True).address.tls


# What goes there


async def test_a_request_and_its_answer(server: Receiver):
    committed: list[int] = []
    answer = await asked(
        f"{server.url}/hook?x=1",
        server.ca,
        fields=[("X-Mine", "yes")],
        body=b'{"a": 1}',
        commit=lambda: committed.append(len(server.taken)),
    )
    assert (answer.status, answer.said, answer.whole) == (200, "200 OK thank you", True)
    assert committed == [0]  # once, before it was there
    (taken,) = server.taken
    assert (taken.method, taken.target, taken.body) == ("POST", "/hook?x=1", b'{"a": 1}')
    assert taken.fields["x-mine"] == "yes"
    assert taken.fields["user-agent"] == "spamtrap"
    assert f"https://{taken.fields['host']}" == server.url


async def test_a_megabyte(server: Receiver):
    assert (await asked(server.url, server.ca, body=b"x" * (1 << 20))).status == 200
    assert len(server.taken[0].body) == 1 << 20


async def test_a_redirect_is_an_answer(server: Receiver):
    server.answer = lambda _: Response(status_code=307, headers={"location": f"{server.url}/else"})
    answer = await asked(server.url, server.ca, body=b"{}")
    assert (answer.status, answer.field("location")) == (307, f"{server.url}/else")
    assert len(server.taken) == 1


async def test_the_environment_names_no_proxy_and_cookies_do_not_come_back(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answer = lambda _: Response(headers={"set-cookie": "a=b"})
    await asked(server.url, server.ca)
    await asked(server.url, server.ca)
    assert "cookie" not in server.taken[1].fields


# Whom it trusts


async def test_a_stranger_with_a_certificate_of_his_own_gets_nothing(server: Receiver):
    with pytest.raises(ssl.SSLCertVerificationError):
        await asked(server.url, None, body=b"secret")
    assert server.taken == []


async def test_nor_does_one_with_the_certificate_of_another_name(server: Receiver, tmp_path: Path):
    certificate, key = own_certificate(tmp_path, "elsewhere.example", None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))

    async with fake(None, talk, context) as stranger:
        port = stranger.address.rpartition(":")[2]
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(f"https://localhost:{port}/", certificate, body=b"secret")
    assert not any(heard)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_of_authorities_that_is_none_is_told(tmp_path: Path, content: bytes | None):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ca: .*ca\.pem"):
        trust(path)


# Whatever is answered


async def said(*pieces: bytes, hold: bool = False, most: int = 1000) -> Answer:
    """What is made of bytes that a server says."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BLANK)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hold:
            await reader.read()

    async with fake(None, talk) as server:
        return await asked(f"http://{server.address}/", most=most)


async def test_a_body_without_an_end_is_cut():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BLANK)
        writer.write(b"HTTP/1.1 200 OK" + BLANK)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with fake(None, talk) as server:
        answer = await asked(f"http://{server.address}/", most=1000)
    assert (answer.status, len(answer.body), answer.whole) == (200, 1000, False)


async def test_the_status_counts_also_when_the_rest_never_comes():
    answer = await said(b"HTTP/1.1 201 Created\r\nContent-Length: 99" + BLANK + b"half")
    assert (answer.status, answer.body, answer.whole) == (201, b"half", False)


async def test_interim_answers_are_not_the_answer():
    assert (await said(b"HTTP/1.1 103 Early" + BLANK, b"HTTP/1.1 204 No Content" + BLANK)).status == 204


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"", "hung up"),
        (b"HTTP/1.1 2", "hung up after"),
        (b"SSH-2.0-OpenSSH\r\n", "hung up after"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "no good HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "without an end"),
        (b"\0" * 100_000, "no good HTTP"),
        (b"HTTP/1.1 99999 what" + BLANK, "no good HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2" + BLANK, "no good HTTP"),
    ],
)
async def test_what_is_no_answer(reply: bytes, why: str):
    with pytest.raises(Broken, match=why):
        await said(reply)


async def test_silence_lasts_as_long_as_the_caller_lets_it(tmp_path: Path):
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await said(b"HTTP/1.1 200 OK\r\nContent-Length: 5" + BLANK + b"a", hold=True)
    assert time.monotonic() - begun < 3


async def test_who_answers_before_all_is_said_is_heard():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BLANK)
        writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0" + BLANK)
        while await reader.read(65536):
            pass

    async with fake(None, talk) as server:
        answer = await asked(f"http://{server.address}/", body=b"x" * (4 << 20))
    assert answer.status == 413


@given(st.binary(max_size=200), st.text(max_size=50))
def test_words_of_an_answer_are_few_and_fit_to_be_shown(body: bytes, reason: str):
    words = Answer(500, reason, {}, body * 20).said
    assert words.isprintable() and len(words) < 3 * MAX_SAID * 4 + 10


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("", 0), ("120", 120), ("99999999999999999999", MAX_PAUSE), ("-1", 0), ("soon", 0), ("²", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 9999 07:28:00 GMT", MAX_PAUSE),
    ],
)  # fmt: skip
def test_how_long_it_wants_to_be_left_alone(field: str, seconds: float):
    assert Answer(503, fields={"retry-after": field}).pause == seconds


def test_as_a_date_too():
    pause = Answer(503, fields={"retry-after": formatdate(time.time() + 100, usegmt=True)}).pause
    assert 90 < pause <= 100
