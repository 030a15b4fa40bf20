"""ledger.events_since: every event of a stretch of time, from a log that is being written and rotated."""

from pathlib import Path

import pytest

from trap import ledger
from trap.envelope import Envelope
from trap.job import new_id
from trap.ledger import events_since
from trap.maillog import MailLog, rotated


def accept(log: MailLog) -> str:
    job_id = new_id()
    log.accepted(job_id, "first", Envelope(), 1)
    return job_id


def test_events_of_all_files(tmp_path: Path) -> None:
    log = MailLog(tmp_path)
    ids = []
    for _ in range(3):
        ids.append(accept(log))
        log.rotate(0)
    ids.append(accept(log))
    assert [event.id for event in events_since(tmp_path, 0)] == ids


def test_events_that_are_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MailLog(tmp_path)
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    for now in (1_000_000.0, 1_000_010.0, 1_000_020.0):  # noqa: B007 - the clock reads it
        accept(log)
    assert [event.t for event in events_since(tmp_path, 1_000_010.0)] == [1_000_010.0, 1_000_020.0]


def test_no_log_yet(tmp_path: Path) -> None:
    assert list(events_since(tmp_path, 0)) == []


def test_events_since_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotated after the files were listed: what was the current file is under a name not in the list."""
    log = MailLog(tmp_path)
    ids = [accept(log), accept(log)]
    listings = 0

    def listing(directory: Path) -> list[Path]:
        nonlocal listings
        listings += 1
        found = rotated(directory)
        if listings == 1:
            log.rotate(0)
            ids.append(accept(log))
        return found

    monkeypatch.setattr(ledger, "rotated", listing)
    assert sorted(event.id for event in events_since(tmp_path, 0)) == sorted(ids)


def test_a_file_that_is_removed_while_we_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MailLog(tmp_path)
    accept(log)
    log.rotate(0)
    last = accept(log)

    def listing(directory: Path) -> list[Path]:
        found = rotated(directory)
        for path in found:
            path.unlink()
        return found

    monkeypatch.setattr(ledger, "rotated", listing)
    assert [event.id for event in events_since(tmp_path, 0)] == [last]
