"""The daemons that other tests lean on do what they are there for, and end with their block."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon import Daemon, told, tree, trusting
from daemons import MARKER, RSPAMD_PASSWORD, clamd, dnsmasq, postgres, redis, rspamd, spamd, unbound
from support import eventually, need

WORDS = " ".join(f"word{number}" for number in range(80)).encode()
MAIL = b"Subject: cheap pills\r\nMessage-ID: <%d@example>\r\n\r\n" + WORDS + b" " + MARKER + b"\r\n"


def check(daemon: Daemon, number: int = 0) -> str:
    """What spamd says of a mail."""
    mail = MAIL % number
    question = b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail)
    return told(daemon.socket, question, seconds=10).decode()


def test_spamd_finds_what_it_is_to_find_and_stops_with_all_its_children(tmp_path: Path) -> None:
    with spamd(tmp_path) as daemon:
        assert "Spam: True ; 8.2 / 5.0" in check(daemon)
        assert "TRAP_MARKER,TRAP_SEEN,TRAP_SUBJECT" in check(daemon)
        everybody = tree(daemon.pid)
        assert len(everybody) > 1
        daemon.restart()
        assert "True" in check(daemon)
        everybody += tree(daemon.pid)
        with daemon.frozen():
            assert told(daemon.socket, b"PING SPAMC/1.5\r\n\r\n", seconds=0.1) == b""
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everybody))


def test_spamd_speaks_tls(tmp_path: Path) -> None:
    with spamd(tmp_path, tls=True) as daemon:
        sock = socket.create_connection(("127.0.0.1", daemon.ssl_port), 10)
        with trusting(daemon.certificate).wrap_socket(sock, server_hostname="127.0.0.1") as secured:
            secured.sendall(b"PING SPAMC/1.5\r\n\r\n")
            assert secured.recv(100) == b"SPAMD/1.5 0 PONG\r\n"


def test_spamd_by_the_rules_of_the_package(tmp_path: Path) -> None:
    with spamd(tmp_path, rules=None) as daemon:
        assert "MISSING_FROM" in check(daemon)


def test_spamd_keeps_bayes_and_preferences_in_a_database(tmp_path: Path) -> None:
    need("spamd")
    homes = [tmp_path / "postgres", tmp_path / "spamd"]
    for home in homes:
        home.mkdir()
    with postgres(homes[0]) as database, spamd(homes[1], sql_dsn=database.dsn, allow_tell=True) as daemon:
        for number in range(4):
            for kind, words in (("spam", WORDS), ("ham", WORDS[::-1])):
                mail = b"Message-ID: <%d@%s>\r\n\r\n%d %s\r\n" % (number, kind.encode(), number, words)
                head = f"TELL SPAMC/1.5\r\nMessage-class: {kind}\r\nSet: local\r\nContent-length: {len(mail)}"
                assert b"DidSet: local" in told(daemon.socket, head.encode() + b"\r\n\r\n" + mail, seconds=10)
        assert database.sql("SELECT username, spam_count, ham_count FROM bayes_vars") == "trap|4|4"
        assert int(database.sql("SELECT count(*) FROM bayes_token")) > 100
        assert "BAYES_99" in check(daemon)
        database.sql("INSERT INTO userpref VALUES ('@GLOBAL', 'required_score', '3.25')")
        assert "/ 3.2" in check(daemon)
        database.stop()
        assert "TRAP_MARKER" not in check(daemon)
        database.start()
        assert "BAYES_99" in check(daemon)


def test_rspamd_finds_what_it_is_to_find_and_what_it_was_taught(tmp_path: Path) -> None:
    homes = [tmp_path / "redis", tmp_path / "rspamd"]
    for home in homes:
        home.mkdir()
    with redis(homes[0]) as store, rspamd(homes[1], redis=store.tcp) as daemon:

        def ask(path: str, where: str | int, *headers: str) -> str:
            mail = MAIL % 1
            head = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(mail)}"))
            return told(where, f"POST /{path} HTTP/1.0\r\n{head}\r\n".encode() + mail, seconds=10).decode()

        assert '"TRAP_MARKER"' in ask("checkv2", daemon.socket)
        controller = int(daemon.controller.rpartition(":")[2])
        assert "success" in ask(
            "fuzzyadd", controller, f"Password: {RSPAMD_PASSWORD}", "Flag: 1", "Weight: 10"
        )
        eventually(lambda: "TRAP_FUZZY" in ask("checkv2", daemon.port))


def test_clamd_finds_what_it_is_to_find(tmp_path: Path) -> None:
    with clamd(tmp_path) as daemon:
        stream = len(MARKER).to_bytes(4, "big") + MARKER + bytes(4)
        assert (
            told(daemon.port, b"zINSTREAM\0" + stream) == b"stream: Spamtrap.Test.Marker.UNOFFICIAL FOUND\0"
        )


@pytest.mark.parametrize(
    ("program", "settings"),
    [(unbound, ['example.com. TXT "hello"']), (dnsmasq, ["txt-record=example.com,hello"])],
)
def test_name_servers_know_what_they_are_told(
    program: Callable[[Path, list[str]], Daemon], settings: list[str], tmp_path: Path
) -> None:
    with program(tmp_path, settings) as daemon:
        question = bytes.fromhex("beef01000001000000000000") + b"\x07example\x03com\x00\x00\x10\x00\x01"
        answer = told(daemon.port, len(question).to_bytes(2, "big") + question, enough=b"hello")
        assert b"\x05hello" in answer


def test_what_does_not_come_up_says_why(tmp_path: Path) -> None:
    daemon = unbound(tmp_path, ["this is no record"])
    begun = time.monotonic()
    with pytest.raises(AssertionError, match=r"unbound has ended(?s:.)*this is no record"), daemon:
        pass
    assert time.monotonic() - begun < 30
    assert daemon.process is None


def test_nothing_of_them_is_left_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), redis(tmp_path) as daemon:
        pid = daemon.pid
        1 / 0  # noqa: B018 - it is to fail
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
