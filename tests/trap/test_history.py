"""What was accepted and dropped, and when: counted from the mail log, each line once."""

import json
import os
import time
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trap import history as module
from trap.config import Config, paths_below
from trap.envelope import Envelope
from trap.history import FILE, LEFT, MOST_KEYS, OTHER, History
from trap.job import new_id
from trap.maillog import CURRENT, MailLog, rotated
from trap.queue import Spool
from trap.reaper import Reaper

NOW = time.time


def log_of(config: Config) -> MailLog:
    return MailLog(config.paths.maillog)


def drop(log: MailLog, number: int = 1, reason: str = "duplicate", at: float | None = None) -> None:
    """Say that jobs were dropped, now or at another time."""
    with mock.patch("time.time", lambda: at or NOW()):
        for _ in range(number):
            log.dropped(new_id(at), "first", reason, 0.001, {})


def total(history: History, span: str = "hour") -> dict[str, int]:
    """All counts of a span, without what left the queues."""
    found: dict[str, int] = {}
    for point in history.points(span):
        for key, number in point.counts.items():
            if not key.startswith(LEFT):
                found[key] = found.get(key, 0) + number
    return found


def test_what_is_counted(config: Config) -> None:
    log, job_id = log_of(config), new_id()
    log.accepted(job_id, "first", Envelope(), 100)
    log.passed(job_id, "first", ["second"], 0.1)
    log.requeued(job_id, "second", "it failed", 1)
    log.passed(job_id, "second", ["report"], 0.1, "archived")
    log.done(job_id, "report", 0.1, "reported")
    log.dropped(new_id(), "first", "duplicate", 0.1, {})
    log.shed(new_id(), "first", "too old")
    log.purged(new_id(), "first", "by command")
    log.bad(new_id(), "second", "its worker died", 3)
    history = History(config)
    assert history.update() == 9
    each = [
        "accepted",
        "archived",
        "reported",
        "dropped first duplicate",
        "shed first too old",
        "purged",
        "bad",
    ]
    for span in ("hour", "day", "week"):
        assert total(history, span) == dict.fromkeys(each, 1)
    *_, last = history.points("hour")
    assert {key for key in last.counts if key.startswith(LEFT)} <= {
        "left first",
        "left second",
        "left report",
    }


def test_a_trap_without_mail_has_no_history(config: Config) -> None:
    history = History(config)
    assert history.update() == 0
    assert [len(history.points(span)) for span in ("hour", "day", "week")] == [60, 288, 168]
    assert total(history) == {}
    history.save()
    assert not (config.paths.state / FILE).exists()


def test_reading_forward_counts_nothing_twice(config: Config) -> None:
    log, history = log_of(config), History(config)
    for _ in range(5):
        drop(log)
        assert history.update() == 1
    assert history.update() == 0
    assert total(history) == {"dropped first duplicate": 5}


def test_whoever_begins_later_goes_on_from_what_was_kept(config: Config) -> None:
    log, first = log_of(config), History(config)
    drop(log, 3)
    first.update()
    first.save()
    drop(log, 2)
    second = History(config)
    assert second.update() == 2
    assert total(second) == {"dropped first duplicate": 5}


def test_of_two_who_keep_it_either_may_be_last(config: Config) -> None:
    """What the slower one keeps is older, and as true: whoever goes on from there comes to the same."""
    log = log_of(config)
    drop(log)
    slow, fast = History(config), History(config)
    slow.update()
    drop(log, 2)
    fast.update()
    fast.save()
    slow.save()
    after = History(config)
    assert after.update() == 2
    assert total(after) == {"dropped first duplicate": 3}


@pytest.mark.parametrize("content", [b"", b"{", b'{"steps": 7}', b"\xff\xfe"])
def test_what_was_kept_and_is_unreadable_is_counted_anew(config: Config, content: bytes) -> None:
    log = log_of(config)
    drop(log, 3)
    (config.paths.state / FILE).write_bytes(content)
    history = History(config)
    history.update()
    history.save()
    assert total(history) == {"dropped first duplicate": 3}
    assert msgspec.json.decode((config.paths.state / FILE).read_bytes())["offset"]


def test_the_reaper_keeps_it(config: Config, spool: Spool) -> None:
    drop(spool.log, 3)
    reaper = Reaper(config, spool)
    reaper.round()
    reaper.close()
    assert total(History(config)) == {"dropped first duplicate": 3}


# Time


def test_each_span_has_its_steps(config: Config) -> None:
    log, now = log_of(config), time.time()
    ages = [30, 1800, 7200, 80_000, 3 * 86400, 6.5 * 86400, 9 * 86400]
    for age in reversed(ages):
        drop(log, at=now - age)
    history = History(config)
    assert history.update() == len(ages)
    counted = {span: sum(total(history, span).values()) for span in ("hour", "day", "week")}
    assert counted == {"hour": 2, "day": 4, "week": 6}


def test_what_is_older_than_its_span_is_forgotten(config: Config) -> None:
    log, now = log_of(config), time.time()
    for minute in range(300):
        drop(log, at=now - 60 * (300 - minute))
    history = History(config)
    history.update()
    history.save()
    kept = msgspec.json.decode((config.paths.state / FILE).read_bytes())["steps"]
    assert len(kept["60"]) <= 63
    assert len(kept["300"]) <= 62


def test_a_clock_that_was_ahead_leaves_nothing_behind(config: Config) -> None:
    log = log_of(config)
    drop(log, at=time.time() + 10 * 86400)
    drop(log)
    history = History(config)
    history.update()
    assert total(history) == {"dropped first duplicate": 1}


def test_the_rate_is_that_of_the_last_minute(config: Config) -> None:
    log = log_of(config)
    minute = int(time.time() // 60) * 60
    drop(log, 60, at=minute - 30)
    drop(log, 30, at=minute + 5)
    history = History(config)
    history.update()
    assert history.rates(minute + 30)["left first"] == pytest.approx((30 + 0.5 * 60) / 60)
    assert history.rates(minute + 59.99)["left first"] == pytest.approx(0.5, abs=0.01)
    assert "left second" not in history.rates(minute + 30)


def test_reasons_made_up_by_the_thousand_share_one(config: Config) -> None:
    log = log_of(config)
    for number in range(500):
        drop(log, reason=f"reason {number}")
    history = History(config)
    history.update()
    for point in history.points("week"):
        assert len(point.counts) <= MOST_KEYS + 2
    assert total(history, "week")[f"dropped first {OTHER}"] > 400
    assert sum(total(history, "week").values()) == 500


# Rotation


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(config: Config) -> None:
    log, history = log_of(config), History(config)
    drop(log, 2)
    history.update()
    for _ in range(3):
        drop(log)
        assert log.rotate(0)
    drop(log)
    assert len(rotated(config.paths.maillog)) == 3
    assert history.update() == 4
    assert total(history) == {"dropped first duplicate": 6}


def test_an_empty_new_file_is_waited_for(config: Config) -> None:
    log, history = log_of(config), History(config)
    drop(log)
    history.update()
    log.rotate(0)
    (config.paths.maillog / CURRENT).touch()
    assert history.update() == 0
    drop(log)
    assert history.update() == 1


def test_a_line_that_was_said_again_after_a_rotation_is_counted_once(config: Config) -> None:
    """Its writer found the log rotated after its write, and can't know who has read it."""
    log, history = log_of(config), History(config)
    drop(log, 3)
    path = config.paths.maillog / CURRENT
    line = path.read_bytes().splitlines(keepends=True)[-1]
    history.update()
    log.rotate(0)
    drop(log)
    with path.open("ab") as file:
        file.write(line)
    assert history.update() == 1
    fresh = History(config)
    assert fresh.update() == 4
    assert total(history) == total(fresh) == {"dropped first duplicate": 4}


def test_a_late_line_of_a_file_that_was_left_is_counted_in_the_next(config: Config) -> None:
    """It is written to the finished file after we read it to the end, and so it is said again."""
    log, history = log_of(config), History(config)
    drop(log, 2)
    log.rotate(0)
    drop(log)
    history.update()
    late = (config.paths.maillog / CURRENT).read_bytes().replace(b"duplicate", b"virus")
    for path in (rotated(config.paths.maillog)[-1], config.paths.maillog / CURRENT):
        with path.open("ab") as file:
            file.write(late)
    history.save()
    assert History(config).update() == 1
    assert history.update() == 1
    assert total(history) == {"dropped first duplicate": 3, "dropped first virus": 1}


def test_a_rotation_while_the_files_are_listed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    log, history = log_of(config), History(config)
    drop(log)
    history.update()
    drop(log)
    listings = []

    def listed(directory: Path) -> list[Path]:
        found = rotated(directory)
        if not listings:
            log.rotate(0)
            drop(log)
        listings.append(found)
        return found

    monkeypatch.setattr(module, "rotated", listed)
    assert history.update() == 2
    assert len(listings) > 2


def test_a_log_that_a_person_removed_is_begun_again(config: Config) -> None:
    log, history = log_of(config), History(config)
    drop(log, 2)
    history.update()
    (config.paths.maillog / CURRENT).unlink()
    log.close()
    again = log_of(config)
    drop(again, 3)
    assert history.update() == 3
    assert total(history) == {"dropped first duplicate": 5}


def test_files_that_are_gone_before_they_were_read_leave_what_is_newer(config: Config) -> None:
    log, history = log_of(config), History(config)
    drop(log)
    log.rotate(0)
    drop(log)
    history.update()
    for _ in range(2):
        log.rotate(0)
        drop(log)
    rotated(config.paths.maillog)[1].unlink()  # the one that was being read
    assert history.update() == 2
    assert total(history) == {"dropped first duplicate": 4}


# Half lines


def test_a_line_whose_end_is_to_come_is_waited_for(config: Config) -> None:
    log, history = log_of(config), History(config)
    drop(log, 2)
    path = config.paths.maillog / CURRENT
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert history.update() == 1
    path.write_bytes(whole)
    assert history.update() == 1


def test_half_lines_are_passed_over(config: Config) -> None:
    log, history = log_of(config), History(config)
    drop(log)
    with (config.paths.maillog / CURRENT).open("ab") as file:
        file.write(b'{"t":17\n#\nnonsense\xff\n')
    drop(log)
    assert history.update() == 2


def test_a_line_longer_than_any_is_passed_over(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP_BYTES", 1000)
    log, history = log_of(config), History(config)
    drop(log)
    with (config.paths.maillog / CURRENT).open("ab") as file:
        file.write(b"x" * 10_000 + b"\n")
    drop(log)
    assert history.update() == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["say", "say again", "rotate", "read", "keep", "begin"]), max_size=40))
def test_whatever_happens_each_event_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    """Those who write, rotate and read take turns in any order; `begin` is a reader who was away."""
    config = Config(paths=paths_below(tmp_path_factory.mktemp("trap")))
    log, history, said = log_of(config), History(config), 0
    directory = config.paths.maillog
    for act in acts:
        if act == "say":
            drop(log)
            said += 1
        elif act == "say again" and (files := rotated(directory)) and (directory / CURRENT).exists():
            with (directory / CURRENT).open("ab") as file:
                file.write(files[-1].read_bytes().splitlines(keepends=True)[-1])
        elif act == "rotate":
            log.rotate(0)
        elif act in {"read", "keep"}:
            history.update()
            if act == "keep":
                history.save()
        elif act == "begin":
            history = History(config)
    history.update()
    assert sum(total(history).values()) == said
    log.close()


def test_what_is_kept_is_small(config: Config) -> None:
    """However long the trap runs: a week of steps, with a few counts each."""
    log, now = log_of(config), time.time()
    with (config.paths.maillog / CURRENT).open("a") as file:
        for minute in range(0, 8 * 1440, 5):
            for reason in ("duplicate", "virus", "backscatter"):
                at = now - 60 * minute
                event = {"t": at, "e": "dropped", "id": new_id(at), "q": "first", "reason": reason}
                file.write(json.dumps(event, separators=(",", ":")) + "\n")
    log.close()
    history = History(config)
    history.update()
    history.save()
    assert os.path.getsize(config.paths.state / FILE) < 100_000
