"""Which backends the faults are tried on: groups of scenes. Not a bench itself."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import faultrig
from faultscenes import TOO_LATE, Group, Scene, conversations, dropped, full, process, small_disk

from daemon import Daemon  # isort: skip
from daemons import clamd, postgres, redis, rspamd, spamd, unbound  # isort: skip
from databases import USER, Postgres  # isort: skip
from nametroubler import NameTroubler  # isort: skip
from troubler import Mode, Troubler  # isort: skip


READY = b"Z\0\0\0\5I"
"""PostgreSQL waits for a query."""


def spamd_over_tcp(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """SpamAssassin's daemon."""
    small_disk(stack, home / "tmp")
    daemon = stack.enter_context(spamd(home, max_children=5))
    trouble = stack.enter_context(Troubler(daemon.port))
    name, direct = "spamd, TCP", {"spamd": daemon.tcp}
    spamc = ["-d", "127.0.0.1", "-p", str(daemon.port)]
    yield from process(name, "spamd", daemon, direct, spamc)
    yield from dropped(name, "spamd", daemon.port, direct, spamc)
    yield from full(name, "spamd", home / "tmp", direct, spamc)
    around = ["-d", "127.0.0.1", "-p", str(trouble.port)]
    yield from conversations(name, "spamd", trouble, {"spamd": trouble.tcp}, around)


def spamd_over_unix(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """The same by its UNIX socket."""
    daemon = stack.enter_context(spamd(home, max_children=5))
    trouble = stack.enter_context(Troubler(daemon.socket, path=home / "trouble"))
    name = "spamd, UNIX socket"
    yield from process(name, "spamd", daemon, {"spamd": daemon.socket}, ["-U", daemon.socket])
    yield from conversations(name, "spamd", trouble, {"spamd": trouble.socket}, ["-U", trouble.socket])


def spamd_spares(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """Two of them, of which the second is well. (spamc wants the same port of all.)"""
    homes = [home / "first", home / "second"]
    for each in homes:
        each.mkdir()
    first, second = (stack.enter_context(spamd(each, max_children=5)) for each in homes)
    trouble = stack.enter_context(Troubler(first.port))
    settings = {"spamd": [trouble.tcp, second.tcp]}
    for mode, fault in (("refuse", "not running"), ("deaf", "accepts and never answers")):

        def on(mode: Mode = mode) -> None:  # type: ignore[assignment]
            trouble.mode = mode

        def off() -> None:
            trouble.mode = "pass"

        yield Scene("spamd, first of two", fault, "spamd", settings, on, off)


def spamd_with_database(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """Bayes and preferences in PostgreSQL."""
    for name in ("database", "spamd"):
        (home / name).mkdir()
    database = stack.enter_context(postgres(home / "database", max_connections=12))
    daemon = stack.enter_context(spamd(home / "spamd", max_children=5, sql_dsn=database.dsn, allow_tell=True))
    taught(daemon)
    held: list[Any] = []

    def lock() -> None:
        session = database.psql("--quiet", "--no-psqlrc")
        assert session.stdin and session.stdout
        session.stdin.write(
            "BEGIN; LOCK TABLE userpref, bayes_vars, bayes_token, bayes_seen; SELECT 'locked';\n"
        )
        session.stdin.flush()
        while "locked" not in session.stdout.readline():
            pass
        held.append(session)

    def unlock() -> None:
        held.pop().communicate("ROLLBACK;\n", timeout=30)

    def exhaust() -> None:
        held.extend(connections(database))

    def release() -> None:
        while held:
            held.pop().close()

    settings, spamc = {"spamd": daemon.socket}, ["-U", daemon.socket]
    for fault, on, off in (
        ("its database gone", database.kill, database.start),
        ("its database stopped in its tracks", database.freeze, database.thaw),
        ("its database locked", lock, unlock),
        ("its database out of connections", exhaust, release),
    ):
        yield Scene("spamd with PostgreSQL", fault, "spamd", settings, on, off, spamc=spamc)


def taught(daemon: Daemon) -> None:
    """Teach it enough that it asks Bayes about every message."""
    for number in range(4):
        for kind in ("spam", "ham"):
            words = " ".join(f"{kind}{word}" for word in range(60))
            mail = f"Message-ID: <{number}@{kind}>\r\n\r\n{number} {words}\r\n".encode()
            command = ["spamc", "-x", "-U", daemon.socket, "-L", kind]
            subprocess.run(command, input=mail, capture_output=True, timeout=30, check=False)


def connections(database: Postgres) -> Iterator[socket.socket]:
    """As many connections as PostgreSQL gives to those who are no superuser."""
    body = b"\0\x03\0\0user\0%s\0database\0scores\0\0" % USER.encode()
    while True:
        sock = socket.create_connection(("127.0.0.1", database.port), 10)
        sock.sendall((len(body) + 4).to_bytes(4, "big") + body)
        heard = b""
        # It says that we may come in before it finds that there is no room.
        while not heard.endswith(READY):
            more = sock.recv(4096)
            if not more:
                sock.close()
                return
            heard += more
        yield sock


def clamd_over_unix(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """ClamAV's daemon, which gets files passed."""
    daemon = stack.enter_context(clamd(home))
    trouble = stack.enter_context(Troubler(daemon.socket, path=home / "trouble"))
    name = "clamd, UNIX socket"
    yield from process(name, "virus", daemon, {"clamd": daemon.socket}, [])
    yield from conversations(name, "virus", trouble, {"clamd": trouble.socket}, [])


def clamd_over_tcp(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """The same, with streams, which it writes to a temporary file."""
    small_disk(stack, home / "tmp")
    daemon = stack.enter_context(clamd(home))
    trouble = stack.enter_context(Troubler(daemon.port, spare=1))
    name = "clamd, TCP"
    yield from dropped(name, "virus", daemon.port, {"clamd": daemon.tcp}, [])
    yield from full(name, "virus", home / "tmp", {"clamd": daemon.tcp}, [])
    yield from conversations(name, "virus", trouble, {"clamd": trouble.tcp}, [])


def rspamd_over_tcp(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """Rspamd with fuzzy hashes in Redis."""
    for each in ("redis", "rspamd"):
        (home / each).mkdir()
    store = stack.enter_context(redis(home / "redis"))
    small_disk(stack, home / "rspamd/tmp")
    daemon = stack.enter_context(rspamd(home / "rspamd", redis=store.tcp))
    trouble = stack.enter_context(Troubler(daemon.port))
    name, direct = "rspamd, TCP", {"rspamd": daemon.tcp}
    yield from process(name, "rspamd", daemon, direct, [])
    for fault, on, off in (
        ("its database gone", store.kill, store.start),
        ("its database stopped in its tracks", store.freeze, store.thaw),
    ):
        yield Scene(name, fault, "rspamd", direct, on, off)
    yield from dropped(name, "rspamd", daemon.port, direct, [])
    yield from full(name, "rspamd", home / "rspamd/tmp", direct, [])
    yield from conversations(name, "rspamd", trouble, {"rspamd": trouble.tcp}, [])


def complete(notes: Mapping[str, Any]) -> bool:
    """Whether nothing that was looked up had no answer."""
    return (
        faultrig.judged(notes)
        and not notes.get("missing")
        and "temperror" not in json.dumps(notes, default=str)
    )


def names(stage: str, more: Mapping[str, Any]) -> Group:
    """A stage that looks things up, and its resolvers."""

    def group(stack: ExitStack, home: Path) -> Iterator[Scene]:
        homes = [home / "first", home / "second"]
        for each in homes:
            each.mkdir()
        records = ["example.com. 300 TXT hello", "2.0.0.127.bl.example. A 127.0.0.2"]
        first, second = (stack.enter_context(unbound(each, records)) for each in homes)
        trouble = stack.enter_context(NameTroubler(first.port))
        trouble.delay = TOO_LATE
        one = {"servers": trouble.address, **more}

        def turned(mode: str) -> tuple[Callable[[], None], Callable[[], None]]:
            def on() -> None:
                trouble.mode = mode  # type: ignore[assignment]

            def off() -> None:
                trouble.mode = "pass"

            return on, off

        for fault, mode in (
            ("server dead", "refuse"),
            ("packets dropped", "drop"),
            ("SERVFAIL", "servfail"),
            ("truncated", "truncated"),
            ("truncated, and TCP silent", "truncated_twice"),
            ("answers after the deadline", "late"),
            ("wrong ids", "wrong_id"),
            ("forged before right", "forged"),
            ("garbage", "garbage"),
        ):
            yield Scene(f"DNS ({stage})", fault, stage, one, *turned(mode), scanned=complete)
        for fault, mode in (("first dead, second alive", "refuse"), ("first silent, second alive", "drop")):
            two = {**one, "servers": [trouble.address, second.tcp]}
            yield Scene(f"DNS ({stage})", fault, stage, two, *turned(mode), scanned=complete)
        direct = {**one, "servers": first.tcp}
        yield Scene(
            f"DNS ({stage})",
            "stopped in its tracks",
            stage,
            direct,
            first.freeze,
            first.thaw,
            scanned=complete,
        )

    return group


def command(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """A program a message."""
    program, manner = home / "program", home / "manner"
    program.write_text(
        f"#!/bin/sh\ncat >/dev/null\ncase $(cat {manner}) in\n75) exit 75;;\nhang) sleep 60;;\n"
        "garbage) while :; do echo nonsense; done;;\ncrash) kill -SEGV $$;;\nesac\n"
    )
    program.chmod(0o755)
    manner.write_text("ok\n")
    settings = {"argv": [str(program)]}

    def missing() -> None:
        program.rename(home / "away")

    def back() -> None:
        (home / "away").rename(program)

    yield Scene("external command", "not there", "command", settings, missing, back)
    for fault, manners in (
        ("says that it can't (75)", "75"),
        ("never ends", "hang"),
        ("writes without an end", "garbage"),
        ("crashes", "crash"),
    ):

        def on(manners: str = manners) -> None:
            manner.write_text(manners)

        def off() -> None:
            manner.write_text("ok\n")

        yield Scene("external command", fault, "command", settings, on, off)


def waiting(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """The same where jobs wait until the backend is back."""
    for each in ("spamd", "clamd"):
        (home / each).mkdir()
    daemon = stack.enter_context(spamd(home / "spamd", max_children=5))
    trouble = stack.enter_context(Troubler(daemon.port))
    wanted = {"not running", "accepts and never answers", "answers garbage", "resets midway"}
    scenes = [*process("spamd, TCP", "spamd", daemon, {"spamd": daemon.tcp}, [])]
    scenes += conversations("spamd, TCP", "spamd", trouble, {"spamd": trouble.tcp}, [])
    scanner = stack.enter_context(clamd(home / "clamd"))
    scenes += process("clamd, UNIX socket", "virus", scanner, {"clamd": scanner.socket}, [])
    for scene in scenes:
        if scene.fault in wanted:
            scene.mode = "wait"
            yield scene


def patient(stack: ExitStack, home: Path) -> Iterator[Scene]:
    """With the limit that is set where nothing is said: how long is it noticed that all is well again?"""
    daemon = stack.enter_context(spamd(home, max_children=5))
    trouble = stack.enter_context(Troubler(daemon.port))

    def on() -> None:
        trouble.mode = "deaf"

    def off() -> None:
        trouble.mode = "pass"

    name, settings = "spamd, limit 30 s", {"spamd": trouble.tcp}
    yield Scene(name, "accepts and never answers", "spamd", settings, on, off, lasts=40.0, timeout=30.0)

    def clinging() -> None:
        trouble.clings = True
        trouble.mode = "silent"

    fault = "the same, and what hangs stays so"
    yield Scene(name, fault, "spamd", settings, clinging, off, lasts=40.0, timeout=30.0)


GROUPS: dict[str, Group] = {
    "spamd": spamd_over_tcp,
    "spamd_unix": spamd_over_unix,
    "spamd_spares": spamd_spares,
    "spamd_sql": spamd_with_database,
    "clamd_unix": clamd_over_unix,
    "clamd": clamd_over_tcp,
    "rspamd": rspamd_over_tcp,
    "dns": names("dns", {"dnsbl": ["bl.example"]}),
    "auth": names("auth", {}),
    "command": command,
    "waiting": waiting,
    "patient": patient,
}
QUICK = {
    "not running",
    "accepts and never answers",
    "answers garbage",
    "SERVFAIL",
    "its database locked",
    "never ends",
}
"""Faults of a quick run."""
