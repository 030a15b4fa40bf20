"""What stands between a client and a daemon misbehaves as it is told to, and no worse."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from daemon import told
from nametroubler import NAME_MODES, NameTroubler
from troubler import MODES, Hole, Troubler

ANSWER = b"answer to all questions\n"


class _Parrot(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for _ in self.rfile:
            self.wfile.write(ANSWER)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """Something that answers every line."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Parrot) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def hear(address: int | str, seconds: float = 0.3) -> bytes | str:
    """What is heard, up to a whole answer; the name of the error when there was one."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    heard = b""
    with socket.socket(family) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(address if isinstance(address, str) else ("127.0.0.1", address))
            sock.sendall(b"question\n")
            while ANSWER not in heard and len(heard) < 1 << 20:
                if not (more := sock.recv(65536)):
                    break
                heard += more
        except OSError as error:
            return heard or type(error).__name__
    return heard


@pytest.mark.parametrize("unix", [False, True])
def test_modes(server: int, tmp_path: Path, unix: bool) -> None:
    with Troubler(server, path=tmp_path / "s" if unix else "") as trouble:
        trouble.delay = 0.01
        at = trouble.socket or trouble.port
        found = {}
        for mode in MODES:
            trouble.mode = mode
            found[mode] = hear(at)
        trouble.mode = "pass"
        assert hear(at) == ANSWER
    assert found["pass"] == found["late"] == found["drip"] == ANSWER
    assert found["refuse"] == ("FileNotFoundError" if unix else "ConnectionRefusedError")
    assert found["silent"] == found["deaf"] == "TimeoutError"
    assert found["half"] == found["reset"] == ANSWER[:12]
    assert found["close"] == b""
    assert b"HTTP/9.9" in found["garbage"] and len(found["garbage"]) < 1000
    assert len(found["endless"]) >= 1 << 20


def test_a_conversation_under_way_is_troubled_too_and_cut_off_afterwards(server: int) -> None:
    with Troubler(server) as trouble, socket.create_connection(("127.0.0.1", trouble.port), 5) as sock:
        sock.sendall(b"question\n")
        assert sock.recv(100) == ANSWER
        trouble.mode = "silent"
        sock.sendall(b"question\n")
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(100)
        trouble.mode = "pass"
        sock.settimeout(5)
        with suppress(ConnectionResetError):
            assert sock.recv(100) == b""


def test_the_daemon_is_let_go_of_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as daemon:
        daemon.settimeout(5)
        with Troubler(daemon.getsockname()[1]) as trouble:
            trouble.mode = "deaf"
            with socket.create_connection(("127.0.0.1", trouble.port), 5) as sock:
                sock.sendall(b"question\n")
                asked, _ = daemon.accept()
                time.sleep(0.05)
                trouble.mode = "pass"
                asked.settimeout(5)
                with asked:
                    assert asked.recv(100) == b""


def test_a_greeting_may_be_spared(server: int) -> None:
    with Troubler(server, mode="close", spare=1) as trouble:
        trouble.mode = "half"
        with socket.create_connection(("127.0.0.1", trouble.port), 5) as sock:
            sock.sendall(b"question\n")
            assert sock.recv(100) == ANSWER
            sock.sendall(b"question\n")
            assert sock.recv(100) == ANSWER[:12]


def test_a_daemon_that_is_not_there_is_not_there_through_it(tmp_path: Path) -> None:
    with Troubler(str(tmp_path / "nobody")) as trouble:
        assert hear(trouble.port) == "ConnectionResetError"


def test_nobody_comes_through_a_hole() -> None:
    with Hole() as address:
        begun = time.monotonic()
        assert told(int(address.rpartition(":")[2]), b"?", seconds=0.3) == b""
        assert time.monotonic() - begun >= 0.3


class _Names(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        question, sock = self.request
        sock.sendto(question[:2] + b"\x81\x80" + question[4:] + b"answer", self.client_address)


@pytest.fixture(scope="module")
def names() -> Iterator[int]:
    """Something that answers over UDP."""
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Names) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_modes_of_names(names: int) -> None:
    question = bytes.fromhex("beef01000001000000000000") + b"\x07example\x00\x00\x10\x00\x01"
    found: dict[str, list[bytes]] = {}
    with NameTroubler(names) as trouble:
        trouble.delay = 0.05
        for mode in NAME_MODES:
            trouble.mode = mode
            heard = found.setdefault(mode, [])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
                sock.settimeout(0.3)
                sock.connect(("127.0.0.1", trouble.port))
                sock.send(question)
                for _ in range(2 if mode == "forged" else 1):
                    heard.append(sock.recv(1000))
    answer = found["pass"]
    assert answer[0].startswith(b"\xbe\xef\x81\x80") and answer[0].endswith(b"answer")
    assert found["late"] == answer
    assert found["refuse"] == found["drop"] == []
    assert found["servfail"][0][3] & 15 == 2
    assert found["truncated"][0][2] & 2 and found["truncated_twice"][0][2] & 2
    assert found["wrong_id"][0][:2] != b"\xbe\xef" and found["wrong_id"][0][2:] == answer[0][2:]
    assert found["forged"] == [found["wrong_id"][0], answer[0]]
    assert found["garbage"][0] != answer[0]
