"""Where scanners keep things, as tests run it: Redis, and PostgreSQL with SpamAssassin's tables."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from daemon import LOOPBACK, Daemon, open_to_all, told
from support import free_port, need

USER = "trap"
"""Who spamd connects as, who owns the tables."""
ADMIN = "admin"
"""Who we connect as: connections are kept for it when all others are used up."""
DATABASE = "scores"
UNPRIVILEGED = ("postgres", "nobody")
"""Who PostgreSQL runs as when we are root, which it refuses: the first there is."""

TABLES = Path(__file__).parent / "bayes.sql"
"""The tables of Mail::SpamAssassin::BayesStore::PgSQL and of user preferences."""


def redis(home: Path) -> Daemon:
    """Redis, which writes nothing to disk."""
    port = free_port()
    command = [
        need("redis-server"),
        "--bind",
        LOOPBACK,
        "--port",
        str(port),
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    command += ["--dir", str(home), "--unixsocket", f"{home}/redis.sock"]
    return Daemon(
        "redis-server",
        home,
        command,
        lambda self: told(port, b"PING\r\n", enough=b"\r\n") == b"+PONG\r\n",
        port=port,
        socket=f"{home}/redis.sock",
    )


class Postgres(Daemon):
    """A PostgreSQL with the tables of SpamAssassin."""

    def __enter__(self) -> Self:
        """Make the cluster and the tables, and start it."""
        _initdb(self.home, self.user)
        super().__enter__()
        try:
            self.sql(f"CREATE ROLE {USER} LOGIN", "postgres")
            self.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}", "postgres")
            self.sql(f"SET ROLE {USER}; {TABLES.read_text()}")
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def dsn(self) -> str:
        """As DBI names it."""
        return f"DBI:Pg:dbname={DATABASE};host={LOOPBACK};port={self.port}"

    def sql(self, statement: str, database: str = DATABASE) -> str:
        """Run statements; what they select, a row a line, columns between "|"."""
        words = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        done = self.psql(*words, "--command", statement, database=database)
        out, err = done.communicate(timeout=60)
        assert done.returncode == 0, err
        return out.strip()

    def psql(self, *words: str, database: str = DATABASE) -> subprocess.Popen[str]:
        """Psql, connected, its input and output pipes: to hold a transaction open."""
        where = [f"--host={LOOPBACK}", f"--port={self.port}", f"--username={ADMIN}", database]
        return subprocess.Popen(
            [_program("psql"), *where, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def postgres(home: Path, *, max_connections: int = 30) -> Postgres:
    """PostgreSQL with a database for SpamAssassin, and no fsync.

    Args:
        home: a directory of its own.
        max_connections: at a time, of which three are kept for superusers, as we are and spamd is not.
    """
    user = next((name for name in UNPRIVILEGED if _known(name)), "") if os.geteuid() == 0 else ""
    home = open_to_all(home)
    if user:
        shutil.chown(home, user)
    port = free_port()
    settings = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": home,
        "fsync": "off",
        "dynamic_shared_memory_type": "mmap",  # in its directory: in /dev/shm it would outlive a kill
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "shared_buffers": "16MB",
        "max_connections": max_connections,
        "max_wal_senders": 0,
        "wal_level": "minimal",
        "autovacuum": "off",
    }
    command = [_program("postgres"), "-D", f"{home}/data"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return Postgres("postgres", home, command, _is_open, port=port, user=user, stops=signal.SIGINT)


def _initdb(home: Path, user: str) -> None:
    words = [
        f"--username={ADMIN}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    subprocess.run(
        [_program("initdb"), "-D", f"{home}/data", *words],
        check=True,
        capture_output=True,
        timeout=120,
        cwd=home,
        user=user or None,
        group=user or None,
        extra_groups=[] if user else None,
    )


def _is_open(daemon: Daemon) -> bool:
    done = subprocess.run(
        [_program("pg_isready"), "--host", LOOPBACK, "--port", str(daemon.port)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _program(name: str) -> str:
    """Debian keeps PostgreSQL's programs by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else need(name)


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
