"""Real clients: each delivers mail that is hard to carry, over TLS where it can."""

import asyncio
import os
import shutil
import smtplib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
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


def check(stored: list[Stored], *, tls: tuple[bool, ...], body: bytes = BODY) -> None:
    """One message for each delivery, over TLS or not; its lines as they were, in order."""
    assert [bool(one.envelope.tls_version) for one in stored] == list(tls)
    for one in stored:
        head, _, rest = one.message.partition(b"\r\n\r\n")
        assert rest == body
        assert b"Subject: hard to carry" in head
        assert one.envelope.mail_from == "a@x.example"
        assert one.envelope.rcpt_tos == ["b@y.example"]


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
compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
maillog_file = {0}/log
maillog_file_prefixes = {0}
myhostname = client.example
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
relayhost = [127.0.0.1]:{1}
smtp_tls_security_level = {2}
smtp_line_length_limit = 0
smtp_tls_loglevel = 1
authorized_submit_users = static:all
"""
MASTER = """
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
smtp unix - - n - - smtp
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
"""


@pytest.fixture
def postfix_home() -> Iterator[Path]:
    """A directory that the user Postfix becomes may enter, which tmp_path is not."""
    if os.geteuid():
        pytest.skip("only root can start Postfix")
    need("postfix")
    base = Path(tempfile.mkdtemp(prefix="spamtrap-postfix-"))
    base.chmod(0o755)
    for name in ("etc", "queue", "data"):
        (base / name).mkdir()
    shutil.chown(base / "data", "postfix")
    (base / "etc/master.cf").write_text(MASTER)
    yield base
    shutil.rmtree(base)


@asynccontextmanager
async def relaying(base: Path) -> AsyncIterator[None]:
    """A Postfix of our own runs."""
    command = [need("postfix"), "-c", base / "etc"]
    await call(*command, "start")
    try:
        yield
    finally:
        await call(*command, "stop")


@pytest.mark.parametrize("security", ["none", "encrypt"])
def test_postfix(tmp_path, postfix_home, security):
    """A real mail server hands on what it was given, several at once, in groups of commands."""
    etc = postfix_home / "etc"
    sendmail = [need("sendmail"), "-C", etc, "-i", "-f", "a@x.example", "b@y.example"]
    message = MESSAGE.replace(b"\r\n", b"\n")  # as programs hand it over

    async def test() -> None:
        async with listening(tmp_path) as inside:
            (etc / "main.cf").write_text(MAIN.format(postfix_home, inside.port, security))
            async with relaying(postfix_home):
                await asyncio.gather(*(call(*sendmail, said=message) for _ in range(3)))
                await asyncio.wait_for(until(lambda: len(inside.spool.stored) == 3), 60)
            check(inside.spool.stored, tls=(security == "encrypt",) * 3)
            for one in inside.spool.stored:
                assert one.envelope.helo == "client.example"
                assert one.envelope.dialect.get("pipelining") in {None, "offered"}
                assert one.message.startswith(b"Received: ")

    run(test())
