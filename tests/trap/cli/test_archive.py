"""The `archive` commands: what they print for people, for machines, and how they fail."""

import contextlib
import errno
import json
import mailbox
import os
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from archived import NOVEMBER, job, mail, mixed_message
from clikit import Run

from trap.archive import indexer
from trap.archive.segment import Reader
from trap.archive.store import Store, segments
from trap.cli import message
from trap.job import Job


@pytest.fixture
def jobs(home: Path) -> list[Job]:
    """What is in the archive: three messages, oldest first."""
    made = [
        job(1, message=mail(1, "You won the prize", "Claim your lottery money")),
        job(
            2, message=mixed_message(2), mail_from="", dialect={"pregreet": True, "unknown_verbs": ["X\x1b"]}
        ),
        job(3, message=b"Subject: \x1b]0;evil\x07\r\n\r\n\xff\x00money\x1b[2J\r\n", mail_from="x\x1b@y"),
    ]
    store = Store(home / "archive")
    store.put(made[:2])
    store.seal()
    store.put(made[2:])
    store.close()
    return made


def test_ls(run: Run, jobs: list[Job]) -> None:
    result = run("archive", "ls")
    assert result.code == 0 and not result.err
    assert [line.split()[0] for line in result.out.splitlines()[1:]] == [each.id for each in reversed(jobs)]
    assert "2026-11-01 00:00:02" in result.out and "\x1b" not in result.out
    assert len(run("archive", "ls", "--limit", "1").out.splitlines()) == 2
    after = run("archive", "ls", "--before", jobs[1].id, "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in after] == [jobs[0].id]


def test_ls_for_machines(run: Run, jobs: list[Job]) -> None:
    rows = [json.loads(line) for line in run("archive", "ls", "--json").out.splitlines()]
    assert rows[-1] == {
        "id": jobs[0].id,
        "sha256": rows[-1]["sha256"],
        "size": jobs[0].size,
        "received_at": NOVEMBER + 1,
        "client_ip": "192.0.2.7",
        "helo": "mail.a.example",
        "mail_from": "bounce@a.example",
        "rcpt_tos": ["trap@trap.example"],
        "subject": "You won the prize",
        "campaign": None,
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["money"], [3, 1]),
        (["lottery money"], [1]),
        (["lottery money", "prize"], [1]),
        (["money lottery", "prize"], []),
        (["lottery", "money", "prize"], [1]),
        (["money", "-prize"], [3]),
        (["-money"], [2]),
        (["subject:the prize", "money"], [1]),
        (["from:<>", "date:2026-11-01"], [2]),
        (["date:2026-11-02.."], []),
        (["(lottery or prüfen)", "-prize"], [2]),
    ],
)
def test_search(run: Run, jobs: list[Job], words: list[str], found: list[int]) -> None:
    """Quotes that the shell took away are put back where there is more than one word."""
    result = run("archive", "search", "--json", *words)
    assert [json.loads(line)["id"] for line in result.out.splitlines()] == [jobs[n - 1].id for n in found]
    assert result.code == 0


@pytest.mark.parametrize("words", [["--limti", "3"], []])
def test_what_is_no_query(run: Run, jobs: list[Job], words: list[str]) -> None:
    result = run("archive", "search", *words)
    assert (result.code, result.out) == (os.EX_USAGE, "")
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("prize form:joe", ["  prize form:joe", "        ^^^^^"]),
        ("中文 -\x1b)", ["  中文 -\\x1b)", "       ^^^^^"]),
        ("prize or", ["  prize or", "          ^"]),
        ("x" * 70 + ' "open', ["  …" + "x" * 59 + ' "open', "   " + " " * 60 + "^^^^^"]),
    ],
)
def test_what_is_wrong_with_a_query_is_pointed_at(
    run: Run, jobs: list[Job], text: str, shown: list[str]
) -> None:
    result = run("archive", "search", text)
    assert (result.code, result.out) == (os.EX_USAGE, "")
    message, *place = result.err.splitlines()
    assert message.startswith("spamtrap: ")
    assert place == shown


def test_who_finds_nothing_is_told_so(run: Run, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    search = ["archive", "search", "nosuchword"]
    assert (run(*search).code, run(*search).err) == (0, "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "nothing matches" in run(*search).err
    assert "nothing matches" not in run(*search, "--json").err


def test_show(run: Run, jobs: list[Job]) -> None:
    out = run("archive", "show", jobs[1].id).out
    for fact in (
        "Überweisung",
        "Jörg <j@b.example>",
        "invoice2.pdf",
        "192.0.2.7",
        "Bitte prüfen",
        '{"pregreet":true,"unknown_verbs":["X\\\\x1b"]}',
        jobs[1].id,
    ):
        assert fact in out
    assert "\x1b" not in run("archive", "show", jobs[2].id).out


def test_show_headers_and_parts(run: Run, jobs: list[Job]) -> None:
    out = run("archive", "show", jobs[1].id, "--headers").out
    assert out.splitlines()[0] == "From: =?utf-8?q?J=C3=B6rg?= <j@b.example>" and "Bitte" not in out
    assert "\\x1b]0;evil" in run("archive", "show", jobs[2].id, "--headers").out
    parts = run("archive", "show", jobs[1].id, "--parts").out.splitlines()
    assert [line.split()[1] for line in parts[1:]] == [
        "multipart/mixed",
        "text/plain",
        "text/html",
        "application/pdf",
    ]


@pytest.mark.parametrize(
    "trouble", [sqlite3.OperationalError("disk is full"), OSError(errno.ENOSPC, "No space")]
)
def test_a_full_disk_can_be_read(
    run: Run, jobs: list[Job], monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def no_room(*_: object, **__: object) -> int:
        raise trouble

    assert len(run("archive", "ls").out.splitlines()) == 4
    monkeypatch.setattr(indexer, "settle", no_room)
    result = run("archive", "ls")
    assert result.code == 0 and len(result.out.splitlines()) == 4
    assert result.err.startswith("spamtrap: the newest mail can't be indexed: ")


def test_parts_that_take_too_long_are_left_out(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message, "_MAX_SECONDS", 0.2)
    hostile = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: text/plain; "
    )
    archived = job(1, message=hostile + b"name*0=a; " * 200_000 + b"\r\n\r\nx\r\n")
    store = Store(home / "archive")
    store.put([archived])
    store.close()
    result = run("archive", "show", archived.id, "--parts")
    assert result.code == 0 and result.out.splitlines()[0].startswith("part")
    assert result.err == "spamtrap: the other parts can't be read: it takes more than 0.2 s\n"


def test_show_for_machines(run: Run, jobs: list[Job]) -> None:
    found = json.loads(run("archive", "show", jobs[1].id, "--json").out)
    assert found["envelope"]["client_ip"] == "192.0.2.7"
    assert found["fields"]["attachments"][0]["name"] == "invoice2.pdf"


def test_show_raw_is_the_message_to_the_byte(home: Path, jobs: list[Job]) -> None:
    for each in jobs:
        command = [sys.executable, "-m", "trap", "archive", "show", each.id, "--raw"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == each.message


def test_no_such_message(run: Run, jobs: list[Job]) -> None:
    ids = ("1" * 24, "nonsense", "9" * 16 + "f" * 8, "1" * 16 + "f" * 5000, "-" + "1" * 23)
    for arguments in (*(["show", "--", each] for each in ids), ["ls", "--before", "9" * 24]):
        result = run("archive", *arguments)
        assert result.code == os.EX_NOINPUT and len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "command", [["ls"], ["search", "x"], ["verify"], ["stats"], ["reindex"], ["show", "1"]]
)
def test_no_archive_yet(run: Run, home: Path, command: list[str]) -> None:
    result = run("archive", *command)
    assert result.code == os.EX_NOINPUT and "no archive here yet" in result.err
    assert not (home / "archive").exists()


def test_export(run: Run, home: Path, jobs: list[Job]) -> None:
    assert "1 messages" in run("archive", "export", "--output", str(home / "a.mbox"), "prize").err
    with contextlib.closing(mailbox.mbox(home / "a.mbox", create=False)) as found:
        assert [each["subject"] for each in found] == ["You won the prize"]
    lines = run("archive", "export", "--format", "jsonl", "-prize").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [jobs[2].id, jobs[1].id]
    run("archive", "export", "--format", "eml", "--output", str(home / "eml"))
    assert (home / "eml" / f"{jobs[2].id}.eml").read_bytes() == jobs[2].message
    run("archive", "export", "--format", "eml", "--output", str(home / "a.zip"))
    with zipfile.ZipFile(home / "a.zip") as packed:
        assert len(packed.namelist()) == 3
    run("archive", "export", "--format", "maildir", "--output", str(home / "Maildir"))
    assert len(mailbox.Maildir(home / "Maildir", create=False)) == 3
    assert run("archive", "export", "--format", "maildir").code == os.EX_USAGE


@pytest.mark.parametrize(("form", "name"), [("mbox", "a.mbox"), ("jsonl", "a.jsonl"), ("eml", "a.zip")])
def test_export_writes_over_no_file(run: Run, home: Path, jobs: list[Job], form: str, name: str) -> None:
    there = home / name
    there.write_text("mine")
    refused = run("archive", "export", "--format", form, "--output", str(there))
    assert refused.code != 0
    assert "exists" in refused.err
    assert there.read_text() == "mine"
    if form != "eml":
        assert run("archive", "export", "--format", form, "--output", os.devnull).code == 0


def test_stats(run: Run, jobs: list[Job]) -> None:
    found = json.loads(run("archive", "stats", "--json").out)
    assert (found["messages"], found["segments"], found["segments_open"]) == (3, 2, 1)
    assert found["message_bytes"] == sum(each.size for each in jobs)
    assert (found["oldest"], found["newest"]) == (jobs[0].received_at, jobs[2].received_at)
    assert found["index_words_bytes"] > 0 and found["index_rows_bytes"] > 0
    shown = run("archive", "stats").out
    assert "2026-11-01 00:00:03" in shown
    assert "words and facts" in shown


def test_one_is_one(run: Run, home: Path) -> None:
    store = Store(home / "archive")
    store.put([job(1)])
    store.close()
    assert "1 segment, 1 open" in run("archive", "stats").out
    assert "in 1 segment:" in run("archive", "verify").out


def test_verify(run: Run, home: Path, jobs: list[Job]) -> None:
    assert run("archive", "verify").code == 0
    path = segments(home / "archive")[0]
    with Reader(path) as reader:
        frame = next(iter(reader.frames()))
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[frame.offset + 80] ^= 4
    path.write_bytes(data)
    result = run("archive", "verify")
    assert result.code == os.EX_DATAERR
    *faults, verdict = result.out.splitlines()
    assert faults and all(path.stem in line for line in faults)
    assert f"{len(faults)} fault" in verdict
    found = json.loads(run("archive", "verify", "--json").out)
    assert found["faults"] == faults and found["records"] == 2
    damaged = run("archive", "show", frame.id, "--raw")
    assert (damaged.code, damaged.out) == (os.EX_DATAERR, "")


def test_reindex(run: Run, home: Path, jobs: list[Job]) -> None:
    before = run("archive", "ls", "--json").out
    for path in (home / "archive").glob("index-*"):
        path.write_bytes(b"no database")
    damaged = run("archive", "ls")
    assert damaged.code == os.EX_DATAERR and "spamtrap archive reindex" in damaged.err
    assert "3 messages indexed" in run("archive", "reindex").err
    assert run("archive", "ls", "--json").out == before
