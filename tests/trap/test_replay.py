"""Old mail is found, sent exactly, sent again when it has to be, and only to this machine."""

import asyncio
import errno
import mailbox
import os

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sinkkit import MemorySpool, run, settings, sink
from support import free_port

from trap.cli.replay import replay as command
from trap.replay import Outcome, Plan, addresses, envelope, replay
from trap.smtpclient import _stuffed, _with_crlf
from trap.sources import Letter, letters

ODD = [
    b"",
    b"no line end",
    b"Subject: LF\n\n.dot\n..two\n",
    b"Subject: CRLF\r\n\r\n.dot\r\n..two\r\n.\r\n",
    b"Subject: mixed\r\n\n.\n.\r\n\r\r\n\0\xff",
    b".\r\n",
    b"\r\n.\r",
    b"x" * 100_000,
]


@pytest.fixture
def mail(tmp_path):
    """A folder with the odd messages as .eml files, in some order."""
    for at, message in enumerate(ODD):
        (tmp_path / f"{at}.eml").write_bytes(message)
    return tmp_path


async def send(port: int, found: list[Letter], **plan) -> Outcome:
    return await replay(Plan("127.0.0.1", port, **plan), found)


def test_folders_of_eml_files_at_any_depth(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/2.eml").write_bytes(b"From me to you: not a mbox\n")
    (tmp_path / "a/1.eml").write_bytes(b"one")
    (tmp_path / "a/MANIFEST.md").write_text("no mail")
    (tmp_path / "index.jsonl").write_text("{}")
    assert [letter.read() for letter in letters(tmp_path)] == [b"one", b"From me to you: not a mbox\n"]
    assert [letter.read() for letter in letters(tmp_path / "index.jsonl")] == [b"{}"]  # named: taken


def test_maildirs(tmp_path):
    box = mailbox.Maildir(tmp_path / "Maildir")
    box.add(b"in new\n")
    sub = box.add_folder("Spam")
    name = sub.add(b"in cur\n")
    (tmp_path / f"Maildir/.Spam/new/{name}").rename(tmp_path / f"Maildir/.Spam/cur/{name}:2,S")
    (tmp_path / "Maildir/tmp/half").write_bytes(b"half")
    (tmp_path / "Maildir/dovecot-uidlist").write_text("no mail")
    assert sorted(letter.read() for letter in letters(tmp_path)) == [b"in cur\n", b"in new\n"]


def test_mboxes(tmp_path):
    first = b"From a@example.com Thu Jan  1 00:00:00 1970\n"
    (tmp_path / "box").write_bytes(
        first + b"Subject: one\n\nFrom the start it was\n>From x\n\n"
        b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nSubject: two\n\nend\n"
    )
    found = list(letters(tmp_path))
    assert [letter.read() for letter in found] == [
        b"Subject: one\n\nFrom the start it was\n>From x\n",
        b"Subject: two\n\nend\n",
    ]
    assert [letter.sender for letter in found] == ["a@example.com", None]
    assert found[0].name == f"{tmp_path}/box:{len(first)}"


def test_sender_and_recipients_are_those_of_the_first_delivery():
    def of(text: str, sender: str | None = None) -> tuple[str, list[str]]:
        return envelope(Letter("x", sender=sender), text.encode(), Plan("h", 1))

    assert of("Return-Path: <b@x>\nFrom: A <a@x>\nTo: c@x, D <d@x>\n") == ("b@x", ["c@x", "d@x"])
    assert of("Return-Path: <>\nFrom: a@x\nDelivered-To: e@x\nTo: c@x\n") == ("", ["e@x"])
    assert of('From: "x@y, z" <a@x>\nTo: <c@x>\n', "mbox@x") == ("mbox@x", ["c@x"])
    assert of("Subject: nothing\n") == ("replay@localhost", ["trap@localhost"])
    assert of("From: ü@x\nTo: undisclosed-recipients:;\n") == ("replay@localhost", ["trap@localhost"])
    assert len(of("To: " + ", ".join(f"{n}@x" for n in range(100)))[1]) == 20
    given = Plan("h", 1, sender="", rcpts=("r@x",))
    assert envelope(Letter("x"), b"From: a@x\nTo: c@x\n", given) == ("", ["r@x"])


@given(st.text(max_size=200))
def test_no_header_can_smuggle_a_command(value):
    for address in addresses(value):
        assert address.isascii() and address.isprintable() and not set(address) & set("<> ")


def test_every_byte_arrives(mail):
    async def test():
        async with sink() as inside:
            outcome = await send(inside.port, list(letters(mail)), connections=3)
            assert (outcome.sent, outcome.altered, outcome.failed) == (len(ODD), 0, [])
            assert sorted(stored.message for stored in inside.spool.stored) == sorted(ODD)

    run(test())


@given(st.binary(max_size=60) | st.lists(st.sampled_from([b"\r\n", b"\n", b".", b"x"])).map(b"".join))
def test_without_bdat_lines_end_with_crlf_and_dots_are_stuffed(message):
    wire = _with_crlf(message)
    assert wire.endswith(b"\r\n")
    assert wire.count(b"\n") == wire.count(b"\r") == wire.count(b"\r\n")
    assert b"\r\n.\r\n" not in b"\r\n" + _stuffed(wire)


def test_what_is_refused_for_good_is_told_and_the_rest_goes_on(mail):
    async def test():
        async with sink(settings("smtp: {max_size: 1000}\naccept: {domains: [localhost]}")) as inside:
            (mail / "9.eml").write_bytes(b"To: nobody@elsewhere.example\r\n")
            (mail / "a.eml").write_bytes(b"To: nobody@elsewhere.example, trap@localhost\r\n")
            outcome = await send(inside.port, list(letters(mail)))
            assert outcome.sent == len(ODD)
            assert sorted(outcome.failed) == [
                (f"{mail}/7.eml", "552 5.3.4 Message is larger than 1000 bytes"),
                (f"{mail}/9.eml", "550 5.1.1 No such user here"),
            ]

    run(test())


def test_what_is_refused_for_now_is_tried_again(mail):
    async def test():
        spool = MemorySpool()
        spool.fail["first"] = OSError(errno.ENOSPC, "full")
        async with sink(spool=spool) as inside:
            asyncio.get_running_loop().call_later(0.3, spool.fail.clear)
            outcome = await send(inside.port, list(letters(mail)))
            assert (outcome.sent, outcome.failed) == (len(ODD), [])
            assert sorted(stored.message for stored in spool.stored) == sorted(ODD)

    run(test())


def test_connections_that_die_are_made_again(mail):
    async def test():
        async with sink() as inside:
            put, calls = inside.spool.put, iter(range(100))

            def dying(*args):
                if next(calls) in {1, 3, 4}:
                    for wire in tuple(inside.door.wires):
                        wire.abort()
                return put(*args)

            inside.spool.put = dying
            outcome = await send(inside.port, list(letters(mail)), connections=2)
            assert (outcome.sent, outcome.failed) == (len(ODD), [])
            assert {stored.message for stored in inside.spool.stored} == set(ODD)

    run(test())


def test_a_file_that_is_gone_is_told_and_the_rest_goes_on(mail):
    async def test():
        async with sink() as inside:
            found = [Letter(str(mail / "gone.eml")), *letters(mail)]
            outcome = await send(inside.port, found)
            assert outcome.sent == len(ODD)
            assert "No such file" in outcome.failed[0][1]

    run(test())


def test_without_any_success_it_gives_up(mail):
    async def test():
        outcome = await send(free_port(), list(letters(mail)), patience=0.3)
        assert outcome.sent == 0
        assert len(outcome.failed) == len(ODD)

    run(test())


def test_a_server_of_another_kind_gets_the_same_message_as_far_as_it_can(mail):
    """No EHLO, no pipelining, no BDAT."""
    heard: list[bytes] = []

    async def old_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = {b"EHLO": b"500 what?", b"DATA": b"354 go on", b"QUIT": b"221 bye"}
        writer.write(b"220-old\r\n220 server\r\n")
        while line := await reader.readline():
            writer.write(answers.get(line[:4], b"250 ok") + b"\r\n")
            if line.startswith(b"DATA"):
                heard.append((await reader.readuntil(b"\r\n.\r\n"))[:-3])
                writer.write(b"250 ok\r\n")
        writer.close()

    async def test():
        server = await asyncio.start_server(old_server, "127.0.0.1", 0)
        found = [Letter(str(mail / name)) for name in ("2.eml", "3.eml")]
        outcome = await send(server.sockets[0].getsockname()[1], found, connections=1)
        assert (outcome.sent, outcome.altered, outcome.failed) == (2, 1, [])
        server.close()

    run(test())
    assert heard == [
        b"Subject: LF\r\n\r\n..dot\r\n...two\r\n",
        b"Subject: CRLF\r\n\r\n..dot\r\n...two\r\n..\r\n",
    ]


def test_something_else_than_smtp_is_an_error_and_not_a_hang(mail):
    async def test():
        async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(web_server, "127.0.0.1", 0)
        outcome = await send(server.sockets[0].getsockname()[1], [Letter(str(mail / "0.eml"))], patience=0.1)
        assert "that is no SMTP" in outcome.failed[0][1]
        server.close()

    run(test())


def test_the_rate_is_kept(mail):
    async def test():
        async with sink() as inside:
            outcome = await send(inside.port, list(letters(mail))[:5], rate=50)
            assert outcome.sent == 5
            assert outcome.seconds >= 4 / 50

    run(test())


def test_no_other_host_by_mistake(mail):
    for host in ("192.0.2.1:25", "[2001:db8::1]:25", "0.0.0.0:25"):
        refused = CliRunner().invoke(command, [str(mail), "--to", host])
        assert refused.exit_code != 0
        assert "--any-host allows it" in refused.output


def test_nothing_to_send_is_an_error(tmp_path):
    result = CliRunner().invoke(command, [str(tmp_path), "--to", "127.0.0.1:25"])
    assert result.exit_code == os.EX_NOINPUT
