"""The mail log: one line an event, there when the call returns, in order, whoever writes and rotates."""

import errno
import fcntl
import json
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from faultkit import at_once, die, fail_with, faulty, in_child, short_write
from hypothesis import given
from hypothesis import strategies as st
from support import eventually

from trap.envelope import Envelope, Rcpt
from trap.ledger import events
from trap.maillog import CURRENT, MailLog, rotated, sequence

ID = "1700000000000000deadbeef"


@pytest.fixture
def log(tmp_path):
    log = MailLog(tmp_path)
    yield log
    log.close()


def lines(directory: Path) -> list[dict]:
    """Every line of the log, rotated files first."""
    files = [*rotated(directory), *[path for path in [directory / CURRENT] if path.exists()]]
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


# What stands in a line


def test_accepted_says_who_and_how_much(log, tmp_path):
    rcpts = [Rcpt(address="x@y", tag="typo"), Rcpt(address="z@y", tag="pristine")]
    log.accepted(ID, "dedup", Envelope(client_ip="192.0.2.1", helo="h", mail_from="a@b", rcpts=rcpts), 321)
    (line,) = lines(tmp_path)
    assert abs(line.pop("t") - time.time()) < 60
    assert line == {
        "e": "accepted",
        "id": ID,
        "q": "dedup",
        "ip": "192.0.2.1",
        "helo": "h",
        "mail_from": "a@b",
        "rcpts": 2,
        "tags": ["pristine", "typo"],
        "size": 321,
    }


def test_every_event_has_its_line(log, tmp_path):
    log.accepted(ID, "a", Envelope(), 1)
    log.passed(ID, "a", ["b", "c"], 0.5)
    log.passed(ID, "b", ["c"], 0.5, "archived")
    log.done(ID, "c", 0.5, "reported")
    log.dropped(ID, "c", "duplicate", 0.5, {"of": "x"})
    log.requeued(ID, "c", "no luck", 1)
    log.bad(ID, "c", "no luck", 3)
    log.shed(ID, "c", "too old")
    log.purged(ID, "c", "by request")
    found = lines(tmp_path)
    assert [line["e"] for line in found] == [
        *["accepted", "passed", "archived", "done", "dropped", "requeued", "bad", "shed", "purged"]
    ]
    assert found[1]["to"] == ["b", "c"]
    assert found[3]["did"] == "reported"
    assert (found[4]["reason"], found[4]["notes"]) == ("duplicate", {"of": "x"})
    assert (found[6]["reason"], found[6]["attempt"]) == ("no luck", 3)
    assert all(line["id"] == ID and abs(line["t"] - time.time()) < 60 for line in found)
    assert found[1]["age"] == pytest.approx(time.time() - 1_700_000_000, abs=60)


@given(text=st.text(st.characters(), max_size=80), raw=st.binary(max_size=20))
def test_a_line_is_one_line_whatever_a_client_or_a_stage_says(tmp_path_factory, text, raw):
    directory = tmp_path_factory.mktemp("log")
    log = MailLog(directory)
    wire = raw.decode("utf-8", "surrogateescape")
    log.accepted(ID, "a", Envelope(helo=wire, mail_from=wire), 1)
    log.dropped(ID, "a", text, 0.1, {text: [text, raw, None, {"deep": (1, 2.5)}], "n": {1: "int key"}})
    log.bad(ID, "a", text, 3)
    log.close()
    assert (directory / CURRENT).read_bytes().count(b"\n") == 3
    assert [event.e for event in events(directory / CURRENT)] == ["accepted", "dropped", "bad"]


def test_long_reasons_are_cut(log, tmp_path):
    log.requeued(ID, "a", "x" * 100_000, 1)
    assert len(lines(tmp_path)[0]["reason"]) == 500


def test_notes_that_cannot_be_written_are_refused_before_anything_is(log, tmp_path):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        log.dropped(ID, "a", "x", 0.1, {"deep": deep})
    assert lines(tmp_path) == []
    log.shed(ID, "a", "x")
    assert len(lines(tmp_path)) == 1


def test_counts_are_of_this_process_by_event_queue_and_reason(log):
    for reason in ("duplicate", "duplicate", "virus"):
        log.dropped(ID, "a", reason, 0.1, {})
    for number in range(50):
        log.requeued(ID, "a", f"ValueError: {number}", 1)
        log.bad(ID, "b", f"ValueError: {number}", 3)
    assert log.counts == {
        ("dropped", "a", "duplicate"): 2,
        ("dropped", "a", "virus"): 1,
        ("requeued", "a", ""): 50,  # what exceptions say is without bound
        ("bad", "b", ""): 50,
    }


# When it is there


def test_a_line_survives_the_process_that_wrote_it(tmp_path):
    def write_and_die() -> None:
        MailLog(tmp_path).shed(ID, "a", "too old")
        die()

    assert in_child(write_and_die) == -signal.SIGKILL
    assert [line["e"] for line in lines(tmp_path)] == ["shed"]


def test_a_line_that_did_not_fit_is_an_error_and_the_next_begins_afresh(log, tmp_path):
    with faulty(1, short_write, frozenset({"write"})), pytest.raises(OSError, match="No space") as raised:
        log.shed(ID, "a", "too old")
    assert raised.value.errno == errno.ENOSPC
    assert not log.counts
    log.purged(ID, "a", "by request")
    assert [event.e for event in events(tmp_path / CURRENT)] == ["purged"]


def test_a_line_that_lacks_its_newline_alone_was_never_said(log, tmp_path):
    """The caller was told so, and undoes what the line tells."""

    def all_but_the_last(call, name, args):
        return call(args[0], bytes(args[1])[:-1])

    for another in (log, MailLog(tmp_path)):  # who goes on behind it
        with faulty(1, all_but_the_last, frozenset({"write"})), pytest.raises(OSError, match="No space"):
            log.shed(ID, "a", "refused")
        assert "refused" not in {event.reason for event in events(tmp_path / CURRENT)}
        another.shed(ID, "a", "said")
        assert "refused" not in {event.reason for event in events(tmp_path / CURRENT)}
    assert [event.reason for event in events(tmp_path / CURRENT)] == ["said", "said"]


@pytest.mark.parametrize("call", ["open", "write"])
def test_a_log_that_cannot_be_written_is_an_error(log, call):
    with faulty(1, fail_with(errno.EIO), frozenset({call})), pytest.raises(OSError, match="Input/output"):
        log.shed(ID, "a", "too old")
    log.shed(ID, "a", "too old")


# Rotation


def test_rotate_begins_a_new_file_when_the_old_one_is_large(log, tmp_path):
    assert log.rotate(0) is False, "there is none"
    log.shed(ID, "a", "1")
    assert log.rotate(10_000) is False
    assert log.rotate(10) is True
    log.shed(ID, "a", "2")
    assert log.rotate(10) is True
    log.shed(ID, "a", "3")
    assert [sequence(path) for path in rotated(tmp_path)] == [1, 2]
    assert [line["reason"] for line in lines(tmp_path)] == ["1", "2", "3"]


def test_numbers_go_on_though_old_files_are_gone(log, tmp_path):
    log.shed(ID, "a", "1")
    log.rotate(0, above=41)
    assert [sequence(path) for path in rotated(tmp_path)] == [42]


def test_numbers_sort_as_numbers(tmp_path):
    for number in (99_999_999, 100_000_000, 3):
        (tmp_path / f"{CURRENT}.{number:08d}").touch()
    assert [sequence(path) for path in rotated(tmp_path)] == [3, 99_999_999, 100_000_000]


def test_while_somebody_opens_the_log_nothing_is_rotated(log, tmp_path):
    log.shed(ID, "a", "1")
    with open(tmp_path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert log.rotate(0) is False
    assert log.rotate(0) is True


def test_the_operator_is_told_when_nothing_is_rotated_for_long(log, tmp_path, caplog, monkeypatch):
    """A process that was stopped as it opened the log stops all rotation."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    log.shed(ID, "a", "1")
    with open(tmp_path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for _ in range(19):
            log.rotate(10_000)
        assert not caplog.records, "there is nothing to rotate yet"
        for _ in range(19):
            assert log.rotate(0) is False
    assert log.rotate(0) is True
    (record,) = caplog.records
    assert "not rotated for the 10. time" in record.getMessage()
    assert str(tmp_path / "lock") in record.getMessage()


def test_a_line_that_met_a_rotation_is_in_the_new_file(log, tmp_path, monkeypatch):
    """The old file may have been read for the last time, so the line comes again where it will be read."""
    log.shed(ID, "a", "1")
    real, other = log._append, MailLog(tmp_path)

    def append(data: bytes) -> None:
        monkeypatch.setattr(log, "_append", real)
        assert other.rotate(0) is True
        real(data)

    monkeypatch.setattr(log, "_append", append)
    log.shed(ID, "a", "2")
    assert json.loads((tmp_path / CURRENT).read_text())["reason"] == "2"
    assert [line["reason"] for line in lines(tmp_path)] == ["1", "2", "2"]
    assert log.counts["shed", "a", "2"] == 1


@pytest.mark.parametrize(("rotations", "call"), [(1, "open"), (1, "write"), (2, "open"), (2, "write")])
def test_a_line_that_cannot_be_said_again_was_said_once(log, tmp_path, monkeypatch, rotations, call):
    """The newest finished file is read before it is settled; an older one may have been."""
    log.shed(ID, "a", "1")
    real, other = log._append, MailLog(tmp_path)
    fault = faulty(1, fail_with(errno.ENOSPC), frozenset({call}))

    def append(data: bytes) -> None:
        monkeypatch.setattr(log, "_append", real)
        for _ in range(rotations):
            assert other.rotate(0) is True
            if rotations > 1:
                other.shed(ID, "a", "x")
        real(data)
        fault.__enter__()

    monkeypatch.setattr(log, "_append", append)
    try:
        if rotations == 1:
            log.shed(ID, "a", "2")
        else:
            with pytest.raises(OSError, match="No space"):
                log.shed(ID, "a", "2")
    finally:
        fault.__exit__(None, None, None)
    log.shed(ID, "a", "3")
    found = [event.reason for path in [*rotated(tmp_path), tmp_path / CURRENT] for event in events(path)]
    assert [reason for reason in found if reason != "x"] == ["1", "2", "3"]
    assert log.counts["shed", "a", "2"] == (rotations == 1)


def test_a_rotation_that_dies_halfway_is_none(log, tmp_path):
    """The turn has changed, the name has not: writers look, find the log they have, and go on."""
    log.shed(ID, "a", "1")
    with faulty(1, fail_with(errno.EIO), frozenset({"rename"})), pytest.raises(OSError, match="Input/output"):
        log.rotate(0)
    log.shed(ID, "a", "2")
    assert [line["reason"] for line in lines(tmp_path)] == ["1", "2"]
    assert log.rotate(0) is True


@pytest.mark.parametrize("left", [b"", b"\0\0\0", b"another file's words"])
def test_whatever_becomes_of_the_lock_file_lines_are_written_and_rotations_noticed(tmp_path, left):
    """Somebody empties every file of the log, or copies another over it, while the trap runs."""

    def go_on() -> None:
        log, other = MailLog(tmp_path), MailLog(tmp_path)
        log.shed(ID, "a", "1")
        (tmp_path / "lock").write_bytes(left)
        log.shed(ID, "a", "2")
        for number in range(3, 7):
            assert other.rotate(0) is True
            log.shed(ID, "a", str(number))

    assert in_child(go_on) == 0
    assert [[event.reason for event in events(path)] for path in rotated(tmp_path)] == [
        ["1", "2"],
        *[["3"], ["4"], ["5"]],
    ]


def test_a_turn_is_never_one_that_was_before(log, tmp_path, monkeypatch):
    """The lock file is emptied and the log rotated between a line's write and the look at the turn."""
    other = MailLog(tmp_path)
    for number in range(3):
        log.shed(ID, "a", str(number))
        assert other.rotate(0) is True
    real = log._append

    def append(data: bytes) -> None:
        monkeypatch.setattr(log, "_append", real)
        real(data)
        (tmp_path / "lock").write_bytes(b"")
        for _ in range(3):
            assert other.rotate(0) is True
            other.shed(ID, "a", "x")

    monkeypatch.setattr(log, "_append", append)
    log.shed(ID, "a", "3")
    assert [event.reason for event in events(tmp_path / CURRENT)] == ["x", "3"]


def test_a_turn_that_cannot_be_read_makes_no_line_come_to_nothing(log, tmp_path):
    """The line is in the file: an error would make its writer undo what it tells."""
    log.shed(ID, "a", "1")
    with faulty(2, fail_with(errno.EIO), frozenset({"pread"})):
        log.shed(ID, "a", "2")
    log.shed(ID, "a", "3")
    assert list(dict.fromkeys(line["reason"] for line in lines(tmp_path))) == ["1", "2", "3"]


def test_a_writer_follows_the_log(log, tmp_path):
    """Another process rotates it: the next line is where people look."""
    log.shed(ID, "a", "1")
    MailLog(tmp_path).rotate(0)
    log.shed(ID, "a", "2")
    assert json.loads((tmp_path / CURRENT).read_text())["reason"] == "2"


def test_a_writer_finds_out_that_a_person_removed_the_log(log, tmp_path):
    log.shed(ID, "a", "1")
    (tmp_path / CURRENT).unlink()

    def written_again() -> bool:
        log.shed(ID, "a", "2")
        return (tmp_path / CURRENT).exists()

    eventually(written_again)
    assert {line["reason"] for line in lines(tmp_path)} == {"2"}


def test_no_line_is_lost_and_the_order_is_kept_while_many_write_and_rotate(tmp_path):
    """Three processes write as fast as they can while another rotates: in the files, read one after
    the other, each writer's lines are all there, and stand as they were written. One that met a
    rotation is there twice."""

    def write(writer: int) -> None:
        log, count = MailLog(tmp_path), 0
        while count < 400 or (count < 20_000 and len(rotated(tmp_path)) < 5):
            log.requeued(f"{writer:016d}{count:08x}", "a", "x", 0)
            count += 1
            if count % 50 == 0:
                time.sleep(0.001)
        (tmp_path / f"{writer}.count").write_text(str(count))

    def rotate() -> None:
        log = MailLog(tmp_path)
        while len(list(tmp_path.glob("*.count"))) < 3:
            log.rotate(2000)

    assert at_once(rotate, *[partial(write, writer) for writer in range(3)]) == [0] * 4
    assert len(rotated(tmp_path)) >= 5
    found = [line["id"] for line in lines(tmp_path)]
    for writer in range(3):
        mine = [job_id for job_id in found if job_id.startswith(f"{writer:016d}")]
        assert mine == sorted(mine)
        assert len(set(mine)) == int((tmp_path / f"{writer}.count").read_text())
