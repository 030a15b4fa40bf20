"""Those whom reporters tell, as real as they can be had: killed, started again, and asked what they got.

    with letters(home) as postfix:
        ... postfix.stages are the settings of the reporters that tell it ...
        postfix.kill(); postfix.start(); postfix.got("arf")

What a counterpart got is told by the ids of reports, each with how often; or as a number, where it keeps no
more than that.
"""

import base64
import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from daemon import LOOPBACK, Daemon, open_to_all, told
from daemonconf import RSPAMD_PASSWORD
from daemons import rspamd, spamd
from databases import redis
from listkit import asked, rbldnsd, shelf
from mailboxkit import Delivered, mailbox
from pyzorkit import running_pyzord
from razorkit import razor_home
from receiver import entries
from support import free_port, need

from stages.reporting.mispevent import uuid

SPAMCOP = "submit.trap@spamcop.example"
REPORTER = "Spam reports <reports@reporter.example>"
SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()
BAYES = "use_bayes 1\nbayes_path {home}/tmp/bayes\nbayes_auto_learn 0\nbayes_auto_expire 0\n"
RAZOR = """
import asyncio, sys
sys.path[:0] = [{tests!r}]
from razorkit import RazorServer
class Kept(RazorServer):
    def _answered(self, first, lines):
        before = len(self.reports)
        answer = super()._answered(first, lines)
        with open({log!r}, "a") as log:
            log.writelines(f"{{each}}\\n" for each in self.reports[before:])
        return answer
async def main():
    await (await asyncio.start_server(Kept().talk, {host!r}, {port})).serve_forever()
asyncio.run(main())
"""

Got = Counter[str] | int


@dataclass
class Counterpart:
    """One of them.

    Attributes:
        name: of the program.
        stages: settings of the reporters that tell it, by queue.
        kill: ends it and its children as kill -9 does.
        start: starts it again where it was.
        got: what it has got from a queue: times by id, or how many.
        texts: the redacted texts that reached it, with the queue each came from.
        know: what an id of ours is called there.
    """

    name: str
    stages: dict[str, dict[str, Any]]
    kill: Callable[[], object]
    start: Callable[[], object]
    got: Callable[[str], Got]
    texts: Callable[[], Iterator[tuple[str, bytes]]] = field(default=lambda: iter(()))
    know: Callable[[str], str] = str
    asked: Callable[[], tuple[int, int]] | None = None
    """Of those that publish lists instead: how many are on them, and for how many that is answered."""


@contextmanager
def letters(home: Path) -> Iterator[Counterpart]:
    """Postfix, for all that goes by mail."""
    for queue in ("arf", "xarf"):
        (home / queue).write_text(f"0.0.0.0/0 {queue}@isp.example\n::/0 {queue}@isp.example\n")
    with mailbox() as box:
        mailed = {"smtp": box.address, "reporter": REPORTER}
        stages: dict[str, dict[str, Any]] = {
            "arf": {**mailed, "contacts": str(home / "arf")},
            "xarf": {**mailed, "contacts": str(home / "xarf")},
            "spamcop": {**mailed, "submit": SPAMCOP},
            "forward": {"smtp": box.address, "recipients": ["forward@peer.example"]},
            "forward-originals": {
                "use": "forward", "smtp": box.address, "recipients": ["forward-originals@peer.example"],
                "what": "original", "trusted": True,
            },
        }  # fmt: skip

        def got(queue: str) -> Counter[str]:
            return Counter(each for mail in box.delivered() if _queue(mail) == queue for each in _ids(mail))

        def texts() -> Iterator[tuple[str, bytes]]:
            for mail in box.delivered():
                if _queue(mail) != "forward-originals":
                    yield _queue(mail), mail.data

        yield Counterpart("Postfix", stages, box.kill, box.start, got, texts)


def _queue(mail: Delivered) -> str:
    """The reporter that wrote a mail: whom it writes to is called like it."""
    return "spamcop" if mail.to == SPAMCOP else mail.to.partition("@")[0]


def _ids(mail: Delivered) -> list[str]:
    """Of the reports in a mail."""
    if loop := mail.fields.get("x-loop"):
        return [loop.partition(".")[0]]
    several = re.findall(rb'(?m)^Content-Disposition: attachment; filename="([0-9a-f]{20})\.eml"', mail.data)
    if mail.to == SPAMCOP:
        return [each.decode() for each in several]
    return re.findall(r"<([0-9a-f]{20})@", mail.fields.get("message-id", ""))


@contextmanager
def web(home: Path, kind: str) -> Iterator[Counterpart]:
    """A web server: "webhook" or "misp"."""
    port, log, secret = free_port(), home / "got", home / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    program = str(Path(__file__).with_name("receiver.py"))
    command = [sys.executable, program, str(port), str(log), kind]

    def got(_: str) -> Counter[str]:
        return Counter(entry["id"] for entry in entries(log) if entry["new"])

    def texts() -> Iterator[tuple[str, bytes]]:
        for entry in entries(log):
            yield kind, base64.b64decode(entry["body"])

    stage = {"url": f"http://{LOOPBACK}:{port}/", "secret" if kind == "webhook" else "key": str(secret)}
    know = uuid if kind == "misp" else str
    with Daemon(
        kind, home, command, lambda _: bool(told(port, b"OPTIONS / HTTP/1.0\r\n\r\n")), port=port
    ) as daemon:
        yield Counterpart(kind, {kind: stage}, daemon.kill, daemon.start, got, texts, know)


@contextmanager
def digests(home: Path) -> Iterator[Counterpart]:
    """pyzord; its counts lie in a Redis, which stays."""
    with running_pyzord(home) as daemon:
        store: Any = pytest.importorskip("redis").Redis.from_url(_redis_of(daemon))

        def got(_: str) -> int:
            return sum(
                int(store.hget(key, "r_count") or 0)
                for key in store.scan_iter("*")
                if store.type(key) == b"hash"
            )

        yield Counterpart("pyzord", {"pyzor": {"pyzor": daemon.tcp}}, daemon.kill, daemon.start, got)


def _redis_of(daemon: Daemon) -> str:
    dsn = next(word for word in daemon.command if word.startswith("--dsn="))
    host, port, *_ = dsn.removeprefix("--dsn=").split(",")
    return f"redis://{host}:{port}/0"


@contextmanager
def nominations(home: Path) -> Iterator[Counterpart]:
    """What razor-report speaks with; the server is ours, as there is none to be had."""
    need("razor-report")
    port, log = free_port(), home / "got"
    log.touch()
    code = RAZOR.format(tests=str(Path(__file__).parent), log=str(log), host=LOOPBACK, port=port)
    stage = {"home": str(razor_home(home / "razor")), "server": f"{LOOPBACK}:{port}"}

    def got(_: str) -> int:
        return len(log.read_text().splitlines())

    command = [sys.executable, "-c", code]
    with Daemon(
        "razor", home, command, lambda _: told(port, b"", enough=b"\n").startswith(b"sn="), port=port
    ) as daemon:
        yield Counterpart("razor", {"razor": stage}, daemon.kill, daemon.start, got)


@contextmanager
def fuzzy_hashes(home: Path) -> Iterator[Counterpart]:
    """rspamd, with its fuzzy storage in a Redis, which stays."""
    client = pytest.importorskip("redis")
    (home / "redis").mkdir()
    (home / "rspamd").mkdir()
    with redis(home / "redis") as store, rspamd(home / "rspamd", redis=store.tcp) as daemon:
        stage = {"rspamd": daemon.controller, "password": RSPAMD_PASSWORD, "flag": 1, "weight": 1}
        kept: Any = client.Redis.from_url(f"redis://{store.tcp}/0")

        def got(_: str) -> int:
            return sum(
                int(kept.hget(key, "V") or 0) for key in kept.scan_iter("*") if kept.type(key) == b"hash"
            )

        yield Counterpart("rspamd", {"rspamd_learn": stage}, daemon.kill, daemon.start, got)


@contextmanager
def learnt(home: Path) -> Iterator[Counterpart]:
    """spamd, which learns."""
    room = open_to_all(home)
    daemon = spamd(room, allow_tell=True, max_children=3)
    (room / "site" / "local.cf").write_text(BAYES.format(home=room))

    def got(_: str) -> int:
        counted = re.search(rb"(\d+)\s+\d+\s+non-token data: nspam", _magic(room))
        return int(counted[1]) if counted else 0

    with daemon:
        yield Counterpart("spamd", {"spamd_learn": {"spamd": daemon.socket}}, daemon.kill, daemon.start, got)


def _magic(home: Path) -> bytes:
    """What sa-learn says of the Bayes database."""
    command = [
        need("sa-learn"),
        f"--siteconfigpath={home}/site",
        f"--configpath={home}/rules",
        "--dump",
        "magic",
    ]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).stdout


@contextmanager
def files(home: Path) -> Iterator[Counterpart]:
    """Nobody but a directory, from which others fetch; there is nothing to kill."""
    where = home / "files"

    def texts() -> Iterator[tuple[str, bytes]]:
        for path in sorted(where.glob("*-*.jsonl*")):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            yield from (("feed", line) for line in data.splitlines())

    def got(_: str) -> Counter[str]:
        return Counter(json.loads(line)["id"] for _, line in texts())

    stage = {"directory": str(where), "files": {"every": "1s"}}
    yield Counterpart("files", {"feed": stage}, lambda: None, lambda: None, got, texts)


@contextmanager
def lists(_: Path) -> Iterator[Counterpart]:
    """rbldnsd, which answers from what dnsbl publishes."""
    with shelf() as shown, tempfile.TemporaryDirectory(prefix="rbldnsd-") as home:
        Path(home).chmod(0o755)
        for name in ("addresses.ip4", "addresses.ip6"):
            (shown / name).write_text("")
        zones = ["bl.example:ip4trie:addresses.ip4"]

        def answered() -> tuple[int, int]:
            entries_ = json.loads((shown / "addresses.json").read_bytes())["entries"]
            names = [".".join(reversed(each["key"].split("."))) for each in entries_]
            told_ = [asked(daemon, f"{each}.bl.example") for each in names]
            return len(names), sum(each == ["127.0.0.2"] for each in told_)

        one = {"min_score": 0.5, "min_traps": 1}
        stage = {
            "lists": {"addresses": one},
            "publish": {"directory": str(shown), "every": "2s", "at_least": 100_000},
        }
        with rbldnsd(Path(home), ["-w", str(shown), *zones]) as daemon:
            yield Counterpart(
                "rbldnsd", {"dnsbl": stage}, daemon.kill, daemon.start, lambda _: 0, asked=answered
            )


ALL: dict[str, Callable[[Path], Any]] = {
    "letters": letters,
    "webhook": lambda home: web(home, "webhook"),
    "misp": lambda home: web(home, "misp"),
    "pyzor": digests,
    "razor": nominations,
    "rspamd": fuzzy_hashes,
    "spamd": learnt,
    "feed": files,
    "dnsbl": lists,
}
"""By name; each takes an empty directory."""


@contextmanager
def everybody(home: Path, names: list[str]) -> Iterator[list[Counterpart]]:
    """Several of them, each in a directory of its own."""
    with ExitStack() as stack:
        found = []
        for name in names:
            (home / name).mkdir()
            found.append(stack.enter_context(ALL[name](home / name)))
        yield found
