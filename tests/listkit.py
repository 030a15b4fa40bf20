"""What the tests of published lists share: a stage, mail that hits it, and servers that answer from lists."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
from daemon import LOOPBACK, OPEN, PREFIX, Daemon, told
from support import free_port, need

from stages.dnsbl import Dnsbl
from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id
from trap.plugin import build

SOON = """lists:
      addresses: {min_score: 0.5, min_traps: 1}
      domains: {min_score: 0.5, min_traps: 1, min_networks: 1}
      files: {min_score: 0.5, min_traps: 1, min_networks: 1}
      backscatter: {min_score: 0.5, min_traps: 1}"""
"""Settings by which one hit is enough."""
SUM, MD5 = "ab" * 32, "cd" * 16
"""Check sums of the file that `letter` brings."""

UNBOUND = """\
server:
  interface: {loopback}@{port}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-daemonize: no
  num-threads: 1
  do-ip6: no
  module-config: "respip iterator"
{stubs}
{policies}
"""


def make(home: Path, settings: str = SOON, accept: str = "{domains: {trap.example: {}}}") -> Dnsbl:
    """A stage as the worker makes it; `settings` is YAML, in braces or line by line."""
    text = (
        f"pipeline: [dnsbl]\naccept: {accept}\nsmtp: {{hostname: mx.trap.example}}\n"
        f"paths: {{spool: {home}/spool, archive: {home}/archive, state: {home}/state}}\n"
        f"stages:\n  dnsbl:\n    {settings}\n"
    )
    stage: Dnsbl = build(parse(text), "dnsbl")
    return stage


def letter(
    client: str = "192.0.2.7",
    to: Iterable[str] = ("joe@trap.example",),
    *,
    notes: Mapping[str, Any] | None = None,
    links: Iterable[str] = (),
    file: bool = False,
    tag: str = "",
    at: float = 0.0,
    message: bytes = b"Subject: buy\r\n\r\nnow\r\n",
    protocol: str = "smtp",
) -> Job:
    """A message as it comes to the stage, behind extract when there are links or a file."""
    known: dict[str, Any] = dict(notes or {})
    if links or file:
        found: dict[str, Any] = {"links": [{"host": host, "from": "link"} for host in links], "urls": []}
        if file:
            found["attachments"] = [
                {"name": "a.zip", "type": "application/zip", "size": 9000, "sha256": SUM, "md5": MD5}
            ]
        known["extract"] = found
    envelope = Envelope(
        protocol=protocol,
        client_ip=client,
        mail_from="spammer@bad.example",
        rcpts=[Rcpt(address=address, tag=tag) for address in to],
        received_at=at,
    )
    return Job(new_id(at or None), envelope, known, message)


def published(stage: Dnsbl, name: str = "addresses") -> list[str]:
    """What is in a list's file."""
    path = stage._publisher.directory / f"{name}.json"
    if not path.exists():
        return []
    return [each.get("key") or each["sha256"] for each in json.loads(path.read_bytes())["entries"]]


@contextmanager
def shelf() -> Iterator[Path]:
    """A directory that servers come to, whoever they become."""
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=OPEN))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def rbldnsd(home: Path, zones: Iterable[str], port: int = 0) -> Daemon:
    """A name server for lists that looks every second whether they changed.

    Args:
        home: a directory of its own.
        zones: "bl.example:ip4trie:/path" and the like.
        port: where it listens; any when 0.
    """
    program, port = need("rbldnsd"), port or free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [program, "-n", "-c", "1s", *user, "-b", f"{LOOPBACK}/{port}", *zones]
    return Daemon("rbldnsd", home, command, lambda self: "started" in self.log, port=port)


def unbound(home: Path, stubs: Mapping[str, int], policies: Mapping[str, Path]) -> Daemon:
    """A resolver.

    Args:
        home: a directory of its own.
        stubs: zones, and the ports on loopback of who knows them.
        policies: response policy zones, and their files.
    """
    program, port = need("unbound"), free_port()
    zones = "".join(
        f"stub-zone:\n  name: {name}\n  stub-addr: {LOOPBACK}@{at}\n  stub-no-cache: yes\n"
        for name, at in stubs.items()
    )
    files = "".join(f"rpz:\n  name: {name}\n  zonefile: {path}\n" for name, path in policies.items())
    text = UNBOUND.format(loopback=LOOPBACK, port=port, home=home, stubs=zones, policies=files)
    (home / "unbound.conf").write_text(text)
    question = bytes.fromhex("beef01000001000000000000") + b"\x09localhost\x00\x00\x01\x00\x01"

    def answers(self: Daemon) -> bool:
        return b"\xbe\xef" in told(self.port, len(question).to_bytes(2, "big") + question, enough=b"\xbe\xef")

    return Daemon(
        "unbound", home, [program, "-d", "-p", "-c", str(home / "unbound.conf")], answers, port=port
    )


def asked(server: Daemon, name: str, kind: str = "A") -> list[str]:
    """What is answered: the records' texts; else "NXDOMAIN", "SERVFAIL" or the like alone."""
    query = dns.message.make_query(name, kind)
    answer = dns.query.udp(query, LOOPBACK, port=server.port, timeout=5)
    if answer.rcode() != dns.rcode.NOERROR:
        return [dns.rcode.to_text(answer.rcode())]
    return [record.to_text() for rrset in answer.answer for record in rrset]
