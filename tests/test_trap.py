"""The whole trap, from port to archive: on real mail, and with every process killed at random moments."""

import hashlib
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support import eventually
from trapkit import Trap, digests, hurt

MESSAGES = {
    "plain.eml": b"From: a@example.org\r\nTo: t@trap.example\r\nSubject: plain words\r\n\r\nOne line.\r\n",
    "no-newline.eml": b"Subject: cut\r\n\r\nno newline at the end",
    "bare-lf.eml": b"Subject: bare\nFrom: b@example.org\n\n.\n..dots\n.\nand more\n",
    "bare-cr.eml": b"Subject: cr\r\n\r\none\rtwo\r\r\nthree\r\n",
    "nul.eml": b"Subject: nul\r\n\r\nbefore\x00after\r\n",
    "eight-bit.eml": "Subject: Grüße aus der Falle\r\n\r\nSchöne Grüße\r\n".encode("latin-1"),
    "long-line.eml": b"Subject: long\r\n\r\n" + b"x" * 100_000 + b"\r\n",
    "empty.eml": b"\r\n",
}


WORDS = b"From: w@example.org\r\nTo: t@trap.example\r\nSubject: magic words\r\n\r\nAbracadabra.\r\n"


@contextmanager
def running(directory: Path) -> Iterator[Trap]:
    """A trap with the built-in stages; its audit must balance whatever a test did to it."""
    trap = Trap(directory)
    trap.start()
    yield trap
    trap.stop()
    account = trap.json("audit")
    assert account["balanced"], account
    assert not account["missing"]


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    with running(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of messages of our own."""
    folder = tmp_path_factory.mktemp("mail")
    for name, message in MESSAGES.items():
        (folder / name).write_bytes(message)
    return folder


@pytest.fixture(scope="module")
def mailed(tmp_path_factory: pytest.TempPathFactory, mail: Path) -> Iterator[Trap]:
    """A trap that the folder was sent to, and a message to one recipient, for tests that only look."""
    with running(tmp_path_factory.mktemp("mailed")) as trap:
        with replay(trap, mail) as sent:
            out, _ = sent.communicate(timeout=60)
        assert sent.returncode == 0, out
        with smtplib.SMTP("127.0.0.1", trap.port) as client:
            client.sendmail("wizard@example.org", ["trap@example.com"], WORDS)
        trap.settled()
        yield trap


@pytest.fixture
def sample(corpus: Path, tmp_path: Path) -> Path:
    """Every twentieth message of the corpus, as links."""
    folder = tmp_path / "sample"
    folder.mkdir()
    for at, file in enumerate(sorted(corpus.glob("*/*.eml"))):
        if at % 20 == 0:
            (folder / file.name).symlink_to(file)
    return folder


@contextmanager
def replay(trap: Trap, folder: Path, connections: int = 10) -> Iterator["subprocess.Popen[str]"]:
    """Mail is sent to the trap meanwhile."""
    line = trap.command(
        "replay", str(folder), "--to", f"127.0.0.1:{trap.port}", "--connections", str(connections)
    )
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sent:
        try:
            yield sent
        finally:
            sent.kill()


def test_from_port_to_archive(mailed: Trap, tmp_path: Path) -> None:
    messages = [*MESSAGES.values(), WORDS]
    status = mailed.json("status")
    assert status["accepted"] == len(messages)
    assert status["archived"] + sum(status["drops"].values()) == len(messages)
    rows = mailed.archived()
    for message in messages:
        assert rows[hashlib.sha256(message).hexdigest()]["size"] == len(message)
    mailed.run("archive", "export", "--format", "eml", "--output", str(tmp_path / "eml"))
    assert sorted(file.read_bytes() for file in (tmp_path / "eml").iterdir()) == sorted(messages)
    mailed.run("archive", "verify")


def test_the_archive_is_searched_by_word_sender_and_date(mailed: Trap) -> None:
    row = mailed.archived()[hashlib.sha256(WORDS).hexdigest()]
    day = time.strftime("%Y-%m-%d", time.gmtime(row["received_at"]))
    assert row["mail_from"] == "wizard@example.org"
    assert row["rcpt_tos"] == ["trap@example.com"]
    assert row["client_ip"] == "127.0.0.1"
    assert row["subject"] == "magic words"
    assert {"id", "sha256", "received_at", "helo", "campaign"} <= set(row)
    queries = ("abracadabra", "subject:magic", "from:wizard@example.org", f"date:{day}..", "ip:127.0.0.1")
    for query in queries:
        assert row["id"] in mailed.run("archive", "search", query, "--json"), query
    assert row["id"] not in mailed.run("archive", "search", "absent", "--json")
    assert row["id"] not in mailed.run("archive", "search", "date:..2001-01-01", "--json")


def test_a_stop_finishes_what_is_in_hand(trap: Trap, mail: Path) -> None:
    with replay(trap, mail) as sent:
        sent.communicate(timeout=60)
    assert trap.stop() == 0
    status = trap.json("status")
    assert not any(queue["claimed"] or queue["workers"] for queue in status["queues"])
    trap.start()
    trap.settled()
    assert trap.json("status")["accepted"] == len(MESSAGES)


def test_real_mail_with_every_process_killed(trap: Trap, sample: Path) -> None:
    files = sorted(sample.iterdir())
    with replay(trap, sample) as sent:
        killed = hurt(trap, rounds=3, pause=0.15)
        out, _ = sent.communicate(timeout=60)
    assert sent.returncode == 0, out
    assert len(killed) >= 8, killed
    trap.settled()
    account = trap.json("audit")
    assert account["balanced"], account
    assert account["accepted"] >= len(files), "a message whose 250 was lost comes twice, never not at all"
    assert account["accepted"] == account["archived"] + sum(account["dropped"].values()) + account["bad"]
    trap.run("archive", "verify")
    rows = trap.archived()
    assert len(rows) <= account["archived"]
    assert set(rows) <= digests(files)


def test_the_supervisor_killed_and_started_again(trap: Trap, sample: Path) -> None:
    with replay(trap, sample) as sent:
        for _ in range(2):
            eventually(lambda: trap.json("status")["accepted"] > 20)
            assert trap.process is not None
            children = [Path(f"/proc/{pid}") for pid in trap.children()]
            trap.kill(trap.process.pid)
            trap.process.wait(10)
            eventually(partial(_gone, children), 60, "the children stopped")
            trap.start()
        out, _ = sent.communicate(timeout=60)
    assert sent.returncode == 0, out
    trap.settled()
    assert trap.json("audit")["accepted"] >= len(list(sample.iterdir()))


def _gone(processes: list[Path]) -> bool:
    return not any(process.exists() for process in processes)
