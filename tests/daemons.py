"""The scanners, name servers and stores that a trap leans on, as tests run them: real, small and our own.

Each is a context manager that gives a `Daemon` (daemon.py) which answers, and ends it with the block:

    with spamd(tmp_path) as scanner, unbound(other, ["example.com. MX 10 mx.example.com."]) as names:
        ... scanner.socket, scanner.tcp, names.port, scanner.frozen(), scanner.restart() ...

None of them asks anybody beyond loopback. A `home` is a directory that is there, with nothing in it; give
each its own. What a scanner finds is certain: its rules and signatures are written here, and one of them
hits MARKER in any of them.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from daemon import LOOPBACK, Daemon, open_to_all, told
from daemonconf import (
    BAYES_RULES,
    CLAMD,
    RSPAMD,
    RSPAMD_FUZZY,
    RSPAMD_PASSWORD,
    RSPAMD_RULES,
    SPAMD_PLUGINS,
    SPAMD_RULES,
    SPAMD_SQL,
    STOCK_RULES,
    UNBOUND,
)
from databases import postgres, redis
from support import free_port, need

__all__ = [
    "RSPAMD_PASSWORD",
    "SPAMD_RULES",
    "Daemon",
    "clamd",
    "dnsmasq",
    "postgres",
    "redis",
    "rspamd",
    "spamd",
    "unbound",
]

MARKER = b"spamtrap-test-marker-7d1f"
"""Every scanner finds this in a body."""
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR" + rb"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
STREAM_LIMIT = 1 << 20
"""Bytes that clamd takes over TCP."""


def spamd(
    home: Path,
    *,
    max_children: int = 2,
    allow_tell: bool = False,
    sql_dsn: str | None = None,
    tls: bool = False,
    rules: str | None = SPAMD_RULES,
    local: bool = True,
    environment: dict[str, str] | None = None,
) -> Daemon:
    """SpamAssassin's daemon, on TCP and on a UNIX socket.

    Args:
        home: a directory of its own.
        max_children: messages at a time.
        allow_tell: it learns when it is told to (TELL).
        sql_dsn: DBI's name of a PostgreSQL with Bayes and user preferences (`Postgres.dsn`).
        tls: it listens on a third socket, with TLS; see `tls` and `certificate`.
        rules: instead of those of the Debian package, which is None.
        local: no tests over the network.
        environment: beside our own.
    """
    program, home = need("spamd"), open_to_all(home)
    port, tmp, site = free_port(), _room(home, "tmp"), _room(home, "site")
    plugins = (Path("/etc/spamassassin").glob("*.pre")) if rules is None else ()
    for file in plugins:
        shutil.copy(file, site)
    if rules is not None:
        own = "".join(f"loadplugin Mail::SpamAssassin::Plugin::{name}\n" for name in SPAMD_PLUGINS)
        (site / "init.pre").write_text(own)
        (_room(home, "rules") / "10_trap.cf").write_text(rules + (BAYES_RULES if sql_dsn else ""))
    sql = SPAMD_SQL.format(dsn=sql_dsn, user="trap") if sql_dsn else ""
    (site / "local.cf").write_text(f"use_bayes {int(bool(sql_dsn))}\n{sql}")
    command = [
        program,
        f"--siteconfigpath={site}",
        f"--configpath={STOCK_RULES if rules is None else home / 'rules'}",
    ]
    command += ["--nouser-config", "--syslog=stderr", "--socketmode=0666", f"--max-children={max_children}"]
    command += ["--min-children=1", f"--listen={LOOPBACK}:{port}", f"--listen={home}/spamd.sock"]
    command += (
        ["--local"] * local
        + ["--allow-tell"] * allow_tell
        + ["--sql-config", f"--username={_user()}"] * bool(sql_dsn)
    )
    ssl_port = 0
    if tls:
        ssl_port = free_port()
        certify(home)
        command += [f"--listen=ssl:{LOOPBACK}:{ssl_port}"]
        command += [f"--server-key={home}/key.pem", f"--server-cert={home}/cert.pem"]
    return Daemon(
        "spamd",
        home,
        command,
        lambda self: told(self.socket, b"PING SPAMC/1.5\r\n\r\n").startswith(b"SPAMD/1.5 0 PONG"),
        port=port,
        ssl_port=ssl_port,
        socket=f"{home}/spamd.sock",
        environment={"TMPDIR": str(tmp), **(environment or {})},
    )


def rspamd(home: Path, *, dns: str = f"{LOOPBACK}:1", redis: str = "", extra: str = "") -> "Rspamd":
    """Rspamd with one worker and a controller, three rules of ours and no modules but regexp.

    Args:
        home: a directory of its own.
        dns: name server it asks; nobody, if not given.
        redis: address of a Redis: then there are fuzzy hashes, learned through the controller with flag 1
            and found as TRAP_FUZZY.
        extra: more of its configuration.
    """
    program = need("rspamd")
    for name in ("db", "tmp"):
        _room(home, name)
    port, controller, fuzzy = free_port(), free_port(), free_port()
    (home / "tlds").write_text("com\nnet\norg\nexample\ntest\ninvalid\n")
    (home / "rules.lua").write_text(RSPAMD_RULES)
    text = RSPAMD.format(
        home=home,
        loopback=LOOPBACK,
        port=port,
        controller=controller,
        password=RSPAMD_PASSWORD,
        dns=dns,
        extra=extra,
        fuzzy_filter=",fuzzy_check" if redis else "",
        fuzzy_symbol='"TRAP_FUZZY" { weight = 10.0; }' if redis else "",
        fuzzy=RSPAMD_FUZZY.format(loopback=LOOPBACK, port=fuzzy, redis=redis) if redis else "",
    )
    (home / "rspamd.conf").write_text(text)
    command = [program, "--no-fork", "--insecure", f"--config={home}/rspamd.conf"]
    ping = b"GET /ping HTTP/1.0\r\n\r\n"
    daemon = Rspamd(
        "rspamd",
        home,
        command,
        lambda self: all(b"pong" in told(at, ping) for at in (port, controller)),
        port=port,
        socket=f"{home}/rspamd.sock",
        environment={"TMPDIR": f"{home}/tmp"},
    )
    daemon.controller = f"{LOOPBACK}:{controller}"
    return daemon


class Rspamd(Daemon):
    """An rspamd.

    Attributes:
        controller: where its controller listens; the password is RSPAMD_PASSWORD.
    """

    controller = ""


def clamd(home: Path) -> Daemon:
    """ClamAV's daemon with a database of two: EICAR by the MD5 of the whole file, MARKER by its bytes."""
    program = need("clamd")
    signatures, _ = _room(home, "signatures"), _room(home, "tmp")
    digest = hashlib.md5(EICAR, usedforsecurity=False).hexdigest()
    (signatures / "test.hdb").write_text(f"{digest}:{len(EICAR)}:Eicar-Test-Signature\n")
    (signatures / "test.ndb").write_text(f"Spamtrap.Test.Marker:0:*:{MARKER.hex()}\n")
    port = free_port()
    (home / "clamd.conf").write_text(
        CLAMD.format(home=home, port=port, limit=STREAM_LIMIT, loopback=LOOPBACK)
    )
    return Daemon(
        "clamd",
        home,
        [program, "-c", str(home / "clamd.conf")],
        lambda self: told(self.socket, b"zPING\0") == b"PONG\0",
        port=port,
        socket=f"{home}/clamd.sock",
    )


def unbound(home: Path, records: Iterable[str]) -> Daemon:
    """A resolver that knows some records and says of all else that there is no such name.

    Args:
        home: a directory of its own.
        records: as in a zone's file, full names: 'example.com. 300 TXT "v=spf1 -all"'; any type.
    """
    program = need("unbound")
    port = free_port()
    data = "".join(f"  local-data: '{record}'\n" for record in records)
    (home / "unbound.conf").write_text(UNBOUND.format(loopback=LOOPBACK, port=port, home=home) + data)
    command = [program, "-d", "-p", "-c", str(home / "unbound.conf")]
    return Daemon("unbound", home, command, _resolves, port=port)


def dnsmasq(home: Path, settings: Iterable[str]) -> Daemon:
    """Dnsmasq by settings of its own ("address=/example.com/192.0.2.1", "txt-record=…"); no upstream."""
    program = need("dnsmasq")
    port = free_port()
    own = ["keep-in-foreground", "no-resolv", "no-hosts", "no-daemon", "bind-interfaces", f"port={port}"]
    own += [f"listen-address={LOOPBACK}", "pid-file=", "log-facility=-"]
    own += ["user=root"] if os.geteuid() == 0 else []
    (home / "dnsmasq.conf").write_text("\n".join([*own, *settings]) + "\n")
    return Daemon("dnsmasq", home, [program, f"--conf-file={home}/dnsmasq.conf"], _resolves, port=port)


def certify(home: Path) -> None:
    """Write key.pem and cert.pem for loopback, its own authority."""
    command = [
        need("openssl"),
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    command += [
        "-days",
        "3",
        "-subj",
        "/CN=localhost",
        "-addext",
        f"subjectAltName=IP:{LOOPBACK},DNS:localhost",
    ]
    command += ["-keyout", str(home / "key.pem"), "-out", str(home / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _resolves(daemon: Daemon) -> bool:
    """Whether it answers a question over TCP: for the name of its own that every resolver knows."""
    question = bytes.fromhex("beef01000001000000000000") + b"\x09localhost\x00\x00\x01\x00\x01"
    told_so = told(daemon.port, len(question).to_bytes(2, "big") + question, enough=b"\xbe\xef")
    return b"\xbe\xef" in told_so


def _user() -> str:
    """Who spamd runs as where it must be told; it refuses to be root."""
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _room(home: Path, name: str) -> Path:
    """A directory below it that everybody may write to: some change their user as they work."""
    path = home / name
    path.mkdir(exist_ok=True)
    path.chmod(0o1777)
    return path
