"""The Postfix face beside a real Postfix, on loopback and with a directory of its own."""

import asyncio
import re
import socket
from collections.abc import Iterator

import pytest

from tests.postfixkit import running
from tests.sinkkit import MemorySpool, run, settings, sink
from tests.support import free_port
from trap.config import Config, Size, Smtp
from trap.face import Face
from trap.job import new_id

ERRORS = 30
MAIN = f"""
myhostname = mx.trap.example
alias_maps =
mydestination = trap.example
mynetworks = 192.0.2.1
local_recipient_maps = inline:{{{{ alice=x bob=x }}}}
smtpd_banner = $myhostname ESMTP $mail_name
smtpd_hard_error_limit = {ERRORS}
smtpd_recipient_limit = 1
message_size_limit = 1000
default_transport = discard
local_transport = discard
"""
FACE = Face(Config(smtp=Smtp(hostname="mx.trap.example", face="postfix", max_size=Size(1000))))


HASTY = free_port()
SERVICES = f"127.0.0.1:{HASTY} inet n - n - - smtpd -o smtpd_timeout=1s\n"
"""Where it soon hangs up on who says nothing."""


@pytest.fixture(scope="module")
def postfix() -> Iterator[int]:
    """The port of a Postfix of our own."""
    with running(MAIN, SERVICES) as own:
        yield own.port


class Talk:
    """One connection to it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self._socket.makefile("rb")
        self.banner = self.hear()

    def hear(self) -> bytes:
        """One reply, whole."""
        lines = [self._file.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(self._file.readline())
        return b"".join(lines)

    def say(self, line: bytes) -> bytes:
        self._socket.sendall(line + b"\r\n")
        return self.hear()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def talk(postfix: int) -> Iterator[Talk]:
    talk = Talk(postfix)
    yield talk
    talk.close()


def test_it_greets_as_we_do(talk):
    assert talk.banner == FACE.banner()
    assert talk.say(b"HELO client.example") == FACE.helo("client.example", "127.0.0.1")


def test_what_we_offer_is_what_it_offers_in_its_order(talk):
    theirs = talk.say(b"EHLO client.example").replace(b"250 ", b"250-").splitlines()
    ours = FACE.ehlo("client.example", "127.0.0.1", starttls=False).replace(b"250 ", b"250-").splitlines()
    assert [line for line in theirs if line in ours] == ours


DIALOGUE = [
    "HELO client.example",
    "RCPT TO:<alice@trap.example>",
    "DATA",
    "BDAT 3 LAST\r\nx",
    "MAIL",
    "MAIL FROMAGE",
    "NOOP",
    "NOOP whatever",
    "VRFY alice@trap.example",
    "EXPN list",
    "HELP",
    "FOO",
    "foo \1 bar",
    "LHLO client.example",
    "MAIL FROM:<a@example.com>",
    "RCPT",
    "RCPT TO:<>",
    "RCPT TO:<nobody@trap.example>",
    "RCPT TO:<alice@trap.example>",
    "RCPT TO:<bob@trap.example>",
    "RSET",
    "mail from:<a@example.com>",
    "rcpt to: alice@trap.example",
    "DATA",
    "..\r\n.",
    "MAIL FROM:<a@example.com>",
    "RCPT TO:<bob@trap.example>",
    "BDAT 4\r\nhi",
    "BDAT 4 LAST\r\nho",
    "MAIL FROM:<>",
    "RCPT TO:<alice@trap.example>",
    "DATA",
    "x" * 500 + "\r\n" + "x" * 600 + "\r\n.",
    "QUIT",
]


def told(port: int) -> list[bytes]:
    """What a server says to all of it, but for queue ids, and the size that it repeats after BDAT LAST."""
    talk = Talk(port)
    try:
        heard = [talk.banner, *(talk.say(said.encode()) for said in DIALOGUE)]
        assert talk.hear() == b""
        return [
            re.sub(rb"(\d+ bytes )?queued as [0-9A-F]{9,13}\r", b"queued as ID\r", reply) for reply in heard
        ]
    finally:
        talk.close()


class NamedSpool(MemorySpool):
    """Gives jobs their proper ids, which ours are made from."""

    def put(self, *arguments, **named) -> str:
        super().put(*arguments, **named)
        return new_id()


def test_a_client_that_talks_to_both_hears_the_same(postfix):
    async def both() -> None:
        config = settings(
            "smtp: {face: postfix, hostname: mx.trap.example, max_size: 1000, max_recipients: 1}\n"
            "accept: {addresses: [alice@trap.example, bob@trap.example]}"
        )
        async with sink(config, spool=NamedSpool()) as ours:
            heard = await asyncio.to_thread(told, ours.port)
        theirs = await asyncio.to_thread(told, postfix)
        for said, reply, expected in zip(["", *DIALOGUE], heard, theirs, strict=True):
            assert reply == expected, said

    run(both())


def test_some_replies_that_only_servers_give_who_turn_away_more(talk):
    said = [b"HELO x", b"AUTH PLAIN AGEAYg==", b"MAIL FROM:<a@example.com> SIZE=1001", b"RSET"]
    assert [talk.say(line) for line in said][1:3] == [FACE.not_offered(), FACE.declared_too_large()]
    said = [b"MAIL FROM:<a@example.com>", b"RCPT TO:<nobody@trap.example>", b"DATA"]
    assert [talk.say(line) for line in said][-1] == FACE.no_valid_recipients()


def test_chunks_are_not_followed_by_data(talk):
    for said in (b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<alice@trap.example>"):
        talk.say(said)
    assert talk.say(b"BDAT 3\r\nx") == FACE.bdat_ok(3)
    assert talk.say(b"DATA") == FACE.bdat_begun()
    assert talk.say(b"BDAT many") == FACE.bdat_syntax()


def test_its_queue_ids_look_like_ours(talk):
    for said in (b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<alice@trap.example>", b"DATA"):
        talk.say(said)
    shape = rb"250 2\.0\.0 Ok: queued as [0-9A-F]{9,13}\r\n"
    assert re.fullmatch(shape, talk.say(b"x\r\n."))
    assert re.fullmatch(shape, FACE.queued(new_id()))


def test_it_hangs_up_as_we_do(postfix):
    silent = Talk(HASTY)
    assert silent.hear() == FACE.hang_up(421, "timeout")
    silent.close()
    again = Talk(postfix)
    replies = [again.say(b"FOO") for _ in range(ERRORS)]
    assert replies[-1] == FACE.hang_up(421, "errors") or again.say(b"FOO") == FACE.hang_up(421, "errors")
    again.close()
