"""Real clients: each delivers mail that is hard to carry, over TLS where it can."""

import asyncio
import os
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from postfixkit import running
from sinkkit import Inside, Stored, run, settings, sink, until
from support import lack, need

from trap.config import paths_below
from trap.tls import server_context

HEAD = b"From: a@x.example\r\nTo: b@y.example\r\nSubject: hard to carry\r\n\r\n"
BODY = b"\r\n".join([b".", b"..", b".dot", b"\xc3\xa4 \xff 8-bit", b"x" * 5000, b"", b"end", b""])
MESSAGE = HEAD + BODY


@asynccontextmanager
async def listening(tmp_path: Path, text: str = "") -> AsyncIterator[Inside]:
    """A sink that offers STARTTLS."""
    config = msgspec.structs.replace(settings(text), paths=paths_below(tmp_path))
    async with sink(config, tls=server_context(config)) as inside:
        yield inside


async def call(*words: str | Path, env: dict[str, str] | None = None, said: bytes = b"") -> bytes:
    """Run a program to its good end; what it said."""
    process = await asyncio.create_subprocess_exec(
        *map(str, words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    heard, _ = await asyncio.wait_for(process.communicate(said), 60)
    assert process.returncode == 0, heard.decode(errors="replace")
    return heard


def check(
    stored: list[Stored], *, tls: tuple[bool, ...], body: bytes = BODY, rcpt: str = "b@y.example"
) -> None:
    """One message for each delivery, over TLS or not; its lines as they were, in order."""
    assert [bool(one.envelope.tls_version) for one in stored] == list(tls)
    for one in stored:
        head, _, rest = one.message.partition(b"\r\n\r\n")
        assert rest == body
        assert b"Subject: hard to carry" in head
        assert one.envelope.mail_from == "a@x.example"
        assert one.envelope.rcpt_tos == [rcpt]


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.eml"
    path.write_bytes(MESSAGE)
    return path


def test_swaks(tmp_path, mail):
    """It ends the message with an empty line."""
    swaks = need("swaks")

    async def test() -> None:
        async with listening(tmp_path, "smtp: {auth: accept}") as inside:
            at = ["--server", f"127.0.0.1:{inside.port}", "--data", f"@{mail}"]
            who = ["--from", "a@x.example", "--to", "b@y.example"]
            auth = ["--auth", "LOGIN", "--auth-user", "bob", "--auth-password", "hunter2"]
            for more in ([], ["-tls"], ["--pipeline"], ["--protocol", "SMTP"], auth):
                await call(swaks, *at, *who, *more)
            stored = inside.spool.stored
            check(stored, tls=(False, True, False, False, False), body=BODY + b"\r\n")
            assert [one.envelope.helo_verb for one in stored] == ["EHLO"] * 3 + ["HELO", "EHLO"]
            assert stored[2].envelope.dialect == {"pipelining": "offered"}
            (attempt,) = stored[4].envelope.dialect["auth"]
            assert attempt["user"] == "bob"
            assert "hunter2" not in repr(stored)

    run(test())


def test_curl(tmp_path, mail):
    curl = need("curl")

    async def test() -> None:
        async with listening(tmp_path) as inside:
            who = ["--mail-from", "a@x.example", "--mail-rcpt", "b@y.example", "-T", str(mail)]
            for more in ([], ["--ssl-reqd", "-k"]):
                await call(curl, "-sS", *who, *more, f"smtp://127.0.0.1:{inside.port}/client.example")
            check(inside.spool.stored, tls=(False, True))
            assert inside.spool.stored[0].envelope.helo == "client.example"

    run(test())


def test_smtp_source(tmp_path):
    source = need("smtp-source")

    async def test() -> None:
        async with listening(tmp_path) as inside:
            for more in ([], ["-d"]):  # a connection each, and connections kept
                words = ["-s", "5", "-m", "50", "-l", "10000", "-f", "a@x.example", "-t", "b@y.example"]
                await call(source, *words, *more, f"127.0.0.1:{inside.port}")
            assert len(inside.spool.stored) == 100
            assert {one.envelope.mail_from for one in inside.spool.stored} == {"a@x.example"}
            assert all(10_000 <= len(one.message) < 10_400 for one in inside.spool.stored)

    run(test())


def test_smtplib(tmp_path):
    def send(port: int) -> None:
        for tls in (False, True):
            with smtplib.SMTP("127.0.0.1", port) as client:
                if tls:
                    client.starttls(context=ssl._create_unverified_context())
                client.sendmail("a@x.example", "b@y.example", MESSAGE)

    async def test() -> None:
        async with listening(tmp_path) as inside:
            await asyncio.to_thread(send, inside.port)
            check(inside.spool.stored, tls=(False, True))

    run(test())


NODEMAILER = """
const nodemailer = require("nodemailer");
const [port, file] = process.argv.slice(2);
const raw = require("fs").readFileSync(file);
const envelope = { from: "a@x.example", to: ["b@y.example"] };
(async () => {
  for (const options of [{ ignoreTLS: true }, { requireTLS: true, tls: { rejectUnauthorized: false } }]) {
    const client = nodemailer.createTransport({ host: "127.0.0.1", port, ...options });
    await client.sendMail({ envelope, raw });
    client.close();
  }
})();
"""


def test_nodemailer(tmp_path, mail):
    node = need("node", "nodejs")
    if not Path("/usr/share/nodejs/nodemailer").exists():
        lack("node-nodemailer is not installed")
    (tmp_path / "send.js").write_text(NODEMAILER)

    async def test() -> None:
        async with listening(tmp_path) as inside:
            env = {"NODE_PATH": "/usr/share/nodejs"}
            await call(node, tmp_path / "send.js", str(inside.port), mail, env=env)
            check(inside.spool.stored, tls=(False, True))

    run(test())


MAIN = """
myhostname = client.example
mydestination =
alias_maps =
relayhost = [127.0.0.1]:{port}
transport_maps = inline:{{{{{{{{ secret.example=secretly:[127.0.0.1]:{port} }}}}}}}}
smtp_tls_security_level = none
smtp_line_length_limit = 0
smtp_tls_loglevel = 1
authorized_submit_users = static:all
"""
MASTER = """
smtp unix - - n - - smtp
secretly unix - - n - - smtp -o smtp_tls_security_level=encrypt
tlsmgr unix - - n 1000? 1 tlsmgr
"""


def test_postfix(tmp_path):
    """A real mail server hands on what it was given, many at once, in groups of commands; with TLS or not."""
    message = MESSAGE.replace(b"\r\n", b"\n")  # as programs hand it over
    rcpts = ["b@y.example", "b@secret.example"]

    async def test() -> None:
        async with listening(tmp_path) as inside:
            with running(MAIN.format(port=inside.port), MASTER) as postfix:
                sendmail = [need("sendmail"), "-C", postfix.directory / "etc", "-i", "-f", "a@x.example"]
                await asyncio.gather(*(call(*sendmail, rcpt, said=message) for rcpt in 3 * rcpts))
                await asyncio.wait_for(until(lambda: len(inside.spool.stored) == 6), 60)
            for rcpt, secret in zip(rcpts, (False, True), strict=True):
                stored = [one for one in inside.spool.stored if one.envelope.rcpt_tos == [rcpt]]
                check(stored, tls=(secret,) * 3, rcpt=rcpt)
                for one in stored:
                    assert one.envelope.helo == "client.example"
                    assert one.envelope.dialect.get("pipelining") in {None, "offered"}
                    assert one.message.startswith(b"Received: ")

    run(test())
