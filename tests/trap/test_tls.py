"""The certificate of our own making."""

import itertools
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from trap import tls

HOST = "mx.trap.example"


def test_processes_that_come_at_once_have_one_certificate(tmp_path, monkeypatch):
    """Threads stand for them: each opens the directory itself, so a flock keeps them apart too."""
    pairs = [tls._self_signed(HOST) for _ in range(2)]
    numbers = itertools.count()
    real = tls.fsio.rename

    def slow(source: str, target: str) -> None:
        time.sleep(0.02 * (1 + next(numbers) % 3))
        real(source, target)

    made: list[int] = []

    def self_signed(_: str) -> tuple[bytes, bytes]:
        made.append(1)
        return pairs[len(made) % 2]

    monkeypatch.setattr(tls, "_self_signed", self_signed)
    monkeypatch.setattr(tls.fsio, "rename", slow)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: tls.own_certificate(tmp_path / "tls", HOST, None), range(4)))
    assert len(made) == 1
    for cert, key in answers:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    assert sorted(path.name for path in (tmp_path / "tls").iterdir()) == ["cert.pem", "key.pem"]
