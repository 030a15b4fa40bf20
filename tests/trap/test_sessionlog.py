"""Sessions that left no message are noted: who said what, bounded in lines a second and in bytes."""

import asyncio
import json
from pathlib import Path

import pytest
from sinkkit import run, sink, until

from trap import sessionlog
from trap.sessionlog import SessionLog


def lines(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "sessions-1.log").read_text().splitlines()]


async def say(port: int, text: bytes) -> None:
    """Connect, say it, hear everything, and go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    writer.write_eof()
    await reader.read()
    writer.close()


def visited(log: SessionLog, *sessions: bytes) -> None:
    """Clients come one after the other, each says its words and goes."""

    async def test() -> None:
        async with sink() as inside:
            inside.door.log = log
            for words in sessions:
                await say(inside.port, words)
            await until(lambda: not inside.door.wires)

    run(test())


def test_who_guesses_a_password_is_noted_and_the_password_is_not(tmp_path):
    log = SessionLog(tmp_path)

    visited(log, b"EHLO bot\r\nAUTH PLAIN AGJvYgBzM2NyZXQ=\r\nQUIT\r\n")
    (line,) = lines(tmp_path)
    assert (line["ip"], line["helo"], line["commands"]) == ("127.0.0.1", "bot", 3)
    assert line["dialect"]["auth"][0]["user"] == "bob"
    assert "s3cret" not in json.dumps(line)
    assert "AGJvYgBzM2NyZXQ=" not in json.dumps(line)
    log.close()


def test_who_leaves_a_message_is_in_the_ledger_and_not_here(tmp_path):
    log = SessionLog(tmp_path)

    visited(log, b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nbuy\r\n.\r\n")
    assert lines(tmp_path) == []
    log.close()


def test_who_only_looks_whether_somebody_is_at_home_is_noted(tmp_path):
    log = SessionLog(tmp_path)

    visited(log, b"")
    (line,) = lines(tmp_path)
    assert line["ip"] == "127.0.0.1"
    assert "commands" not in line
    log.close()


def test_under_a_flood_lines_are_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(sessionlog, "MOST", 2)
    now = [1000.0]
    monkeypatch.setattr(sessionlog.time, "time", lambda: now[0])
    log = SessionLog(tmp_path)

    async def test():
        async with sink() as inside:
            inside.door.log = log
            for _ in range(5):
                await say(inside.port, b"QUIT\r\n")
            await until(lambda: not inside.door.wires)
            now[0] += 1
            await say(inside.port, b"QUIT\r\n")
            await until(lambda: not inside.door.wires)

    run(test())
    written = lines(tmp_path)
    assert len(written) == 3
    assert written[-1]["skipped"] == 3
    log.close()


def test_the_log_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(sessionlog, "FILE_BYTES", 300)
    log = SessionLog(tmp_path)

    visited(log, *[b"HELO somebody\r\nQUIT\r\n"] * 40)
    assert 1 < len(list(tmp_path.iterdir())) <= sessionlog.FILES + 1
    log.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_full_disk_stops_nothing(tmp_path, capsys):
    log = SessionLog(tmp_path)
    log._handler.stream.close()
    log._handler.stream = open("/dev/full", "w")  # noqa: SIM115 - the handler closes it

    async def test():
        async with sink() as inside:
            inside.door.log = log
            await say(inside.port, b"QUIT\r\n")
            await until(lambda: not inside.door.wires)
            await say(inside.port, b"QUIT\r\n")

    run(test())
    assert capsys.readouterr().err == ""


def test_a_scan_does_not_crowd_out_who_says_something(tmp_path, monkeypatch):
    monkeypatch.setattr(sessionlog.time, "time", lambda: 1000.0)
    log = SessionLog(tmp_path)

    visited(log, *[b""] * sessionlog.MOST, b"HELO bot\r\nQUIT\r\n")
    assert len(lines(tmp_path)) == sessionlog.MOST_SILENT + 1
    assert lines(tmp_path)[-1]["helo"] == "bot"
    log.close()
