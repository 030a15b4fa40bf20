"""The sink beside stock aiosmtpd, whose session, command set and behaviour are what ours began as.

Both hear the same well-formed sessions. Replies have the same code and the same is stored; where they
differ it is meant, and stands in a table with its reason.
"""

import asyncio
from typing import NamedTuple

import hypothesis
import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import given
from hypothesis import strategies as st
from sinkkit import run, settings, sink, until

MAX_SIZE = 2000

H, M, R, D = b"EHLO x", b"MAIL FROM:<a@x.example>", b"RCPT TO:<b@y.example>", b"DATA"
DIFFERENCES = {
    # (verb, code of aiosmtpd, code of ours): why, and a session in which it happens
    ("MAIL", "503", "250"): ("what would come next is what we want to hear", [M]),
    ("MAIL", "503", "501"): ("syntax is looked at first", [b"MAIL"]),
    ("MAIL", "503", "552"): ("and so is SIZE", [b"MAIL FROM:<a@x.example> SIZE=2001"]),
    ("MAIL", "501", "250"): (
        "parameters of extensions are understood after HELO too",
        [b"HELO x", b"MAIL FROM:<e@x.example> BODY=8BITMIME"],
    ),
    ("MAIL", "501", "552"): ("SIZE is one of them", [b"HELO x", b"MAIL FROM:<e@x.example> SIZE=2001"]),
    ("MAIL", "555", "250"): (
        "parameters nobody knows are recorded",
        [H, b"MAIL FROM:<f@x.example> RET=HDRS"],
    ),
    ("RCPT", "555", "250"): ("the same", [H, M, b"RCPT TO:<e@y.example> NOTIFY=NEVER"]),
    ("RCPT", "250", "452"): ("recipients have a limit", [H, M, R, R, R, R, R]),
    ("DATA", "354", "503"): ("a MAIL that is refused ends what was before", [H, M, R, b"MAIL", D]),
    ("RCPT", "250", "503"): ("the same", [H, M, b"MAIL", R]),
    ("EHLO", "501", "250"): ("a greeting without a name is one", [b"EHLO"]),
    ("HELO", "501", "250"): ("the same", [b"HELO"]),
    ("VRFY", "501", "252"): ("nobody is told anything", [b"VRFY"]),
    ("HELP", "250", "214"): ("RFC 5321, 4.2.2 has a code for it", [b"HELP"]),
    ("RSET", "501", "250"): ("an argument does no harm", [b"RSET now"]),
    ("STARTTLS", "454", "503"): ("it is not offered, which is not a state that passes", [b"STARTTLS"]),
}
"""What is different on purpose."""


class Said(NamedTuple):
    verb: str
    line: bytes
    message: bytes = b""
    """What comes after DATA."""


class Kept(NamedTuple):
    sender: str
    rcpts: list[str]
    message: bytes


class Oracle:
    """Keeps what a stock aiosmtpd was told."""

    def __init__(self) -> None:
        self.stored: list[Kept] = []

    async def handle_DATA(self, _server, _session, envelope) -> str:
        sender = envelope.mail_from.replace("<>", "")  # of the null sender it keeps the brackets
        self.stored.append(Kept(sender, envelope.rcpt_tos, envelope.original_content))
        return "250 OK"


class Client:
    """Says something, and tells the code of the answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hear(self) -> str:
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            if line[3:4] != "-":
                return line[:3]

    async def say(self, said: bytes) -> str:
        self.writer.write(said)
        return await self.hear()


async def beside(script: list[Said]) -> set[tuple[str, str, str]]:
    """Play one session at both; what differed, all of which the table names."""
    oracle, loop = Oracle(), asyncio.get_running_loop()

    def stock() -> SMTP:
        return SMTP(oracle, hostname="mx", data_size_limit=MAX_SIZE, enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(stock, "127.0.0.1", 0)
    config = settings(f"smtp: {{max_size: {MAX_SIZE}, max_recipients: 4}}\nlimits: {{errors: 0, junk: 0}}")
    async with server, sink(config) as inside:
        ports = server.sockets[0].getsockname()[1], inside.port
        theirs, ours = [Client(*await asyncio.open_connection("127.0.0.1", port)) for port in ports]
        assert await theirs.hear() == await ours.hear() == "220"
        differed = {found for said in script if (found := await _both(said, theirs, ours))}
        assert await theirs.say(b"QUIT\r\n") == await ours.say(b"QUIT\r\n") == "221"
        for client in (theirs, ours):
            assert await client.reader.read() == b""
            client.writer.close()
        kept = [
            Kept(one.envelope.mail_from, one.envelope.rcpt_tos, one.message) for one in inside.spool.stored
        ]
        assert kept == oracle.stored
        await until(lambda: not inside.door.wires)
    return differed


async def _both(said: Said, theirs: Client, ours: Client) -> tuple[str, str, str] | None:
    """One command, and what follows it, at both; the difference, if any, after which both begin anew."""
    codes = await theirs.say(said.line), await ours.say(said.line)
    if codes[0] != codes[1]:
        assert (said.verb, *codes) in DIFFERENCES, (said.line, codes)
        if "354" in codes:
            assert (await (theirs, ours)[codes.index("354")].say(TOO_LARGE)) == "552"
        assert await theirs.say(b"RSET\r\n") == await ours.say(b"RSET\r\n") == "250"
        return said.verb, *codes
    if codes[0] == "354":
        ends = await theirs.say(said.message), await ours.say(said.message)
        assert ends[0] == ends[1], said.message
    return None


# Sessions

TOO_LARGE = b"x" * 900 + b"\r\n" + b"x" * 900 + b"\r\n" + b"x" * 900 + b"\r\n.\r\n"
text = st.sampled_from([b"", b".", b"..", b".x", b"x.", b"Subject: x", b"\xff\0\x80", b"\t", b"x" * 900])
bare = st.sampled_from([b"a\nb", b"\n", b"a\rb"])  # no dots here: see "mixed" below
messages = st.lists(text | bare, max_size=12).map(
    lambda lines: b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines) + b".\r\n"
)
LINES = [
    b"EHLO client.example",
    b"HELO client.example",
    b"EHLO",
    b"HELO",
    b"MAIL FROM:<a@x.example>",
    b"MAIL FROM:<>",
    b"mail from:<b@x.example>",
    b"MAIL FROM: <c@x.example>",
    b"MAIL FROM:<d@x.example> SIZE=100",
    b"MAIL FROM:<d@x.example> SIZE=2001",
    b"MAIL FROM:<e@x.example> BODY=8BITMIME",
    b"MAIL FROM:<e@x.example> BODY=8BITMIME SMTPUTF8",
    b"MAIL FROM:<f@x.example> RET=HDRS",
    b'MAIL FROM:<"a b"@x.example>',
    b"MAIL",
    b"MAIL TO:<a@x.example>",
    b"RCPT TO:<b@y.example>",
    b"RCPT TO:<c@y.example>",
    b"RCPT TO: <d@y.example>",
    b"RCPT TO:<e@y.example> NOTIFY=NEVER",
    b"RCPT",
    b"RCPT FROM:<a@y.example>",
    b"RSET",
    b"RSET now",
    b"NOOP",
    b"NOOP whatever",
    b"VRFY",
    b"VRFY a@y.example",
    b"EXPN list",
    b"HELP",
    b"HELP MAIL",
]
BOGUS = [b"XYZZY", b"FOO bar", b"STARTTLS", b"GET / HTTP/1.0"]
USUAL = [
    Said("EHLO", b"EHLO client.example\r\n"),
    Said("MAIL", b"MAIL FROM:<a@x.example>\r\n"),
    Said("RCPT", b"RCPT TO:<b@y.example>\r\n"),
]


def said(line: bytes) -> Said:
    return Said(line.partition(b" ")[0].decode().upper(), line + b"\r\n")


commands = st.sampled_from(LINES).map(said) | st.sampled_from(USUAL)
data = messages.map(lambda message: Said("DATA", b"DATA\r\n", message))
transaction = st.builds(
    lambda before, more, message: [*USUAL[before:], *more, message],
    st.integers(0, 2),
    st.lists(commands, max_size=2),
    data,
)
parts = transaction | commands.map(lambda one: [one]) | data.map(lambda one: [one])
sessions = st.lists(parts, max_size=6).map(lambda parts: [one for part in parts for one in part])


@hypothesis.settings(deadline=None, max_examples=300)
@given(script=sessions, bogus=st.lists(st.tuples(st.sampled_from(BOGUS), st.integers(0, 20)), max_size=4))
def test_the_same_session_has_the_same_answers_and_leaves_the_same_messages(script, bogus):
    for line, at in bogus:
        script = [*script[:at], said(line), *script[at:]]
    run(_played(script))


async def _played(script: list[Said]) -> None:
    await beside(script)


@pytest.mark.parametrize(("difference", "lines"), [(key, lines) for key, (_, lines) in DIFFERENCES.items()])
def test_every_difference_of_the_table_is_one(difference, lines):
    async def test() -> None:
        assert difference in await beside([said(line)._replace(message=b".\r\n") for line in lines])

    run(test())


def test_what_stock_aiosmtpd_does_not_hear():
    """Kinds of spam software that it turns away or never answers; ours stores what they say."""
    end = b"RCPT TO:<b@y>\r\nDATA\r\nspam\r\n.\r\n"
    kinds = {
        "only LF": b"HELO x\nMAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\nspam\n.\n",
        "a long line": b"HELO x\r\nMAIL FROM:<a@x>\r\n" + end.replace(b"spam", b"x" * 1002),
        "MAIL's parameters": b"EHLO x\r\nMAIL FROM:<a@x> X=1\r\n" + end,
        "RCPT's parameters": b"EHLO x\r\nMAIL FROM:<a@x>\r\n" + end.replace(b"<b@y>", b"<b@y> X=1"),
        "8 bits": b"EHLO x\r\nMAIL FROM:<\xe4@x>\r\n" + end,
        "no greeting": b"MAIL FROM:<a@x>\r\n" + end,
        "BODY after HELO": b"HELO x\r\nMAIL FROM:<a@x> BODY=8BITMIME\r\n" + end,
    }

    async def test() -> None:
        oracle, loop = Oracle(), asyncio.get_running_loop()

        def stock() -> SMTP:
            return SMTP(oracle, hostname="mx", loop=loop)

        server = await loop.create_server(stock, "127.0.0.1", 0)
        async with server, sink() as inside:
            for number, (kind, script) in enumerate(kinds.items(), 1):
                for port in (server.sockets[0].getsockname()[1], inside.port):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(script)
                    writer.write_eof()
                    await asyncio.wait_for(reader.read(), 10)
                    writer.close()
                assert (oracle.stored, len(inside.spool.stored)) == ([], number), kind

    run(test())
