"""The first copies of a campaign pass, the others are counted."""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages import dedup
from stages.copies import campaigns, slices
from stages.dedup import Dedup
from trap.config import Duration, Size
from trap.envelope import Envelope
from trap.job import Job, new_id
from trap.stage import Drop, Pass, Unavailable, Verdict

DAY = 86400.0
NAMES = ["Ann", "Bob", "Cid", "Dan"]
LETTER = (
    "Dear {}, your parcel could not be delivered because nobody was at home this morning. Please confirm "
    "your address within two days or it will be sent back to the sender. Kind regards, your parcel service"
)


class Clock:
    """The stage's time, for the test to move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(dedup, "time", SimpleNamespace(time=clock.time))
    return clock


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Dedup]:
    return lambda **settings: Dedup(state_dir=tmp_path, **settings)


def mail(text: str, clock: Clock | None = None) -> Job:
    job = Job.from_message(f"Subject: x\r\n\r\n{text}\r\n".encode())
    return Job(new_id(clock.now), Envelope(), {}, job.message) if clock else job


def parcel(name: str, clock: Clock | None = None) -> Job:
    return mail(LETTER.format(name), clock)


def unrelated(number: int) -> Job:
    dice = random.Random(number)
    return mail(" ".join("".join(dice.choices("abcdefghij", k=5)) for _ in range(40)))


def counts(verdict: Verdict) -> tuple[bool, int, int]:
    return isinstance(verdict, Drop), verdict.notes["count"], verdict.notes["window_count"]


def test_the_first_copies_pass_and_the_others_are_dropped(make: Callable[..., Dedup]) -> None:
    stage = make(keep=2)
    first, second, third = (stage.process(parcel(name)) for name in NAMES[:3])
    assert isinstance(first, Pass)
    assert isinstance(second, Pass)
    assert isinstance(third, Drop)
    assert third.reason == "duplicate"
    campaign = first.notes["campaign"]
    assert first.notes == {
        "campaign": campaign,
        "count": 1,
        "window_count": 1,
        "exact": False,
        "similarity": 0.0,
    }
    assert third.notes["campaign"] == second.notes["campaign"] == campaign
    assert len(campaign) == 12
    assert third.notes["count"] == 3
    assert 0.8 < third.notes["similarity"] < 1
    stage.close()


def test_an_exact_copy_is_called_exact(make: Callable[..., Dedup]) -> None:
    stage = make()
    stage.process(parcel("ann@trap.example"))
    again = stage.process(parcel("bob@other.example"))
    assert (again.notes["exact"], again.notes["similarity"]) == (True, 1.0)
    stage.close()


def test_different_mail_is_no_copy(make: Callable[..., Dedup]) -> None:
    stage = make(keep=1)
    verdicts = [stage.process(unrelated(number)) for number in range(50)]
    assert all(isinstance(verdict, Pass) for verdict in verdicts)
    assert len({verdict.notes["campaign"] for verdict in verdicts}) == 50
    stage.close()


def test_a_campaign_that_changes_by_and_by_is_followed(make: Callable[..., Dedup]) -> None:
    stage = make()
    words = [f"{a}{b}word" for a in "abcdefgh" for b in "abcdefghij"]
    ids = []
    for step in range(10):
        words[step * 8 : step * 8 + 4] = [f"changed{chr(97 + step)}{n}" for n in "abcd"]
        ids.append(stage.process(mail(" ".join(words))).notes["campaign"])
    assert len(set(ids)) == 1
    stage.close()


def test_a_flood_of_random_variations_does_not_fill_the_disk(
    make: Callable[..., Dedup], tmp_path: Path
) -> None:
    stage = make()
    dice = random.Random(1)
    text = LETTER.format("you").split()
    for _ in range(100):
        varied = text.copy()
        for at in (3, 20):
            varied[at] = "".join(dice.choices("abcdefgh", k=6))
        stage.process(mail(" ".join(varied)))
    stage.close()
    (slice_,) = tmp_path.glob("*.slice")
    db = sqlite3.connect(slice_)
    assert db.execute("SELECT count(*) FROM digest").fetchone()[0] <= 12
    assert db.execute("SELECT count FROM campaign").fetchall() == [(100,)]
    db.close()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"Subject: only a header",
        b"Subject: no body\r\n\r\n",
        b"\0" * 5000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: x/y\r\n\r\n" * 10_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 2000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 500_000,
        b"Content-Type: text/html\r\n\r\n" + b"<!-- <" * 100_000,
        b"Subject: =?utf-8?b?=FF?=\r\n\r\n\xff\xfe\xed\xa0\x80",
    ],
)
def test_mail_of_any_shape_is_judged(make: Callable[..., Dedup], message: bytes) -> None:
    stage = make(keep=1)
    assert isinstance(stage.process(Job.from_message(message)), Pass)
    assert isinstance(stage.process(Job.from_message(message)), Drop)
    stage.close()


def test_a_window_lets_the_first_copies_pass_again(make: Callable[..., Dedup], clock: Clock) -> None:
    stage = make(keep=1, window=Duration("24h"))
    assert counts(stage.process(parcel("Ann"))) == (False, 1, 1)
    clock.now += DAY - 1
    assert counts(stage.process(parcel("Bob"))) == (True, 2, 2)
    clock.now += 1
    assert counts(stage.process(parcel("Cid"))) == (False, 3, 1)
    clock.now += DAY - 1
    assert counts(stage.process(parcel("Dan"))) == (True, 4, 2)
    stage.close()


def test_what_is_seen_is_remembered_and_what_is_not_is_forgotten(
    make: Callable[..., Dedup], clock: Clock, tmp_path: Path
) -> None:
    stage = make(keep=1, remember=Duration("4d"))
    stage.process(unrelated(1))
    for day in range(12):
        assert stage.process(parcel("Ann")).notes["count"] == day + 1
        clock.now += DAY
    assert stage.process(unrelated(1)).notes["count"] == 1
    assert len(list(tmp_path.glob("*.slice"))) <= slices.SLICES + 2
    clock.now += 6 * DAY
    stage.tick()
    assert len(list(tmp_path.glob("*.slice*"))) == 3  # with its -wal and -shm
    assert stage.process(parcel("Ann")).notes["count"] == 1
    stage.close()


def test_the_disk_it_takes_is_bounded(make: Callable[..., Dedup], clock: Clock, tmp_path: Path) -> None:
    """A flood of different mail makes it forget the oldest early, and never what was seen a moment ago."""
    room = Size("1MB")
    stage, other = make(max_bytes=room), make(max_bytes=room)
    stage.process(unrelated(0))
    for number in range(1, 3001, 20):
        clock.now += 10
        parcels = other.process_batch([parcel("Ann")])
        stage.process_batch([unrelated(n) for n in range(number, number + 20)])
        assert (
            sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix != ".slice-shm") < 2 * room
        )
    assert parcels[0].notes["count"] == 150
    assert len(list(tmp_path.glob("*.slice"))) <= slices.SLICES + 1
    assert other.process(unrelated(3000)).notes["count"] == 2
    assert other.process(unrelated(0)).notes["count"] == 1
    stage.close()
    other.close()


def test_a_clock_set_back_loses_nothing(make: Callable[..., Dedup], clock: Clock) -> None:
    stage = make(keep=1)
    stage.process(parcel("Ann"))
    clock.now -= 5 * DAY
    assert counts(stage.process(parcel("Bob"))) == (True, 2, 2)
    stage.close()
    restarted = make(keep=1)
    assert counts(restarted.process(parcel("Cid"))) == (True, 3, 3)
    restarted.close()


def test_a_clock_set_back_by_years_does_not_stop_forgetting(
    make: Callable[..., Dedup], clock: Clock, tmp_path: Path
) -> None:
    stage = make()
    stage.process(parcel("Ann"))
    clock.now -= 1000 * DAY
    stage.close()
    assert stage.process(parcel("Bob")).notes["count"] == 1
    clock.now += 10 * DAY
    assert stage.process(parcel("Cid")).notes["count"] == 1
    assert len(list(tmp_path.glob("*.slice"))) == 1
    stage.close()


def test_remembering_for_longer_or_shorter_can_be_chosen_later(
    make: Callable[..., Dedup], clock: Clock, tmp_path: Path
) -> None:
    for number, days in enumerate([7, 70, 1, 7, 30]):
        stage = make(remember=Duration(f"{days}d"))
        assert stage.process(parcel("Ann")).notes["count"] == number + 1
        stage.close()
        clock.now += 0.9 * DAY
    clock.now += 40 * DAY
    stage = make(remember=Duration("7d"))
    assert stage.process(parcel("Ann")).notes["count"] == 1
    assert len(list(tmp_path.glob("*.slice"))) == 1
    stage.close()


def test_the_same_job_gets_the_same_answer(make: Callable[..., Dedup], clock: Clock) -> None:
    stage = make(keep=2)
    jobs = [parcel(name, clock) for name in NAMES[:4]]
    first = [stage.process(job) for job in jobs]
    assert [stage.process(job) for job in jobs] == first
    assert stage.process_batch([*jobs, *jobs]) == first * 2
    stage.close()
    clock.now += 1.9 * DAY  # another slice, another window
    restarted = make(keep=1)
    assert restarted.process_batch(jobs) == first
    assert restarted.process(parcel("Eve")).notes["count"] == 5
    restarted.close()


def test_a_batch_is_judged_like_its_jobs_one_by_one(tmp_path: Path) -> None:
    jobs = [parcel(name) for name in NAMES[:4]] + [unrelated(1), unrelated(1), mail("")]
    answers = []
    for name, size in (("one", 1), ("all", len(jobs))):
        (tmp_path / name).mkdir()
        stage = Dedup(state_dir=tmp_path / name, keep=1)
        answers.append(
            [v for at in range(0, len(jobs), size) for v in stage.process_batch(jobs[at : at + size])]
        )
        stage.close()
    assert answers[0] == answers[1]


def test_state_survives_a_restart(make: Callable[..., Dedup]) -> None:
    stage = make(keep=1)
    campaign = stage.process(parcel("Ann")).notes["campaign"]
    stage.close()
    restarted = make(keep=1)
    verdict = restarted.process(parcel("Bob"))
    assert counts(verdict) == (True, 2, 2)
    assert verdict.notes["campaign"] == campaign
    restarted.close()


def test_a_failure_halfway_leaves_nothing_behind(
    make: Callable[..., Dedup], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make()
    jobs = [parcel("Ann"), parcel("Bob")]
    with monkeypatch.context() as patch:
        patch.setattr(campaigns.Campaigns, "record", fail_at_second_call())
        with pytest.raises(Unavailable, match="disk full"):
            stage.process_batch(jobs)
    assert [verdict.notes["count"] for verdict in stage.process_batch(jobs)] == [1, 2]
    stage.close()


def fail_at_second_call() -> Callable[..., None]:
    real, calls = campaigns.Campaigns.record, []

    def record(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise sqlite3.OperationalError("disk full")
        real(*arguments)

    return record


def test_state_held_by_another_or_out_of_reach_is_unavailable(
    make: Callable[..., Dedup], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(slices, "BUSY_MS", 1)
    stage = make()
    stage.process(parcel("Ann"))
    (slice_,) = tmp_path.glob("*.slice")
    other = sqlite3.connect(slice_, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        stage.process(parcel("Bob"))
    other.close()
    assert stage.process(parcel("Bob")).notes["count"] == 2
    stage.close()
    slice_.unlink()
    slice_.mkdir()
    with pytest.raises(Unavailable, match="unable to open"):
        stage.process(parcel("Cid"))
    stage.tick()
    stage.close()
    assert not list(tmp_path.glob("*.damaged"))


NO_DATABASE = b"no database at all" * 1000


def test_a_damaged_slice_is_moved_aside(
    make: Callable[..., Dedup], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The campaigns begin anew; without that, nothing would be called a copy until the slice is old."""
    for content in (NO_DATABASE, NO_DATABASE + b"once more"):
        stage = make()
        stage.process(parcel("Ann"))
        stage.close()
        (slice_,) = tmp_path.glob("*.slice")
        slice_.write_bytes(content)
        caplog.clear()
        assert [stage.process(parcel(name)).notes["count"] for name in NAMES] == [1, 2, 3, 4]
        stage.close()
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [content]


def test_a_damaged_slice_is_moved_aside_once(make: Callable[..., Dedup], tmp_path: Path) -> None:
    """Workers that have it open find out one after the other, and go on in the same new one."""
    first, second, third = make(), make(), make()
    for stage, name in ((first, "Ann"), (second, "Bob"), (third, "Cid")):
        stage.process(parcel(name))
    (slice_,) = tmp_path.glob("*.slice")
    broken = sqlite3.DatabaseError("database disk image is malformed")
    broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    assert first._campaigns.repair(broken)
    assert first.process(parcel("Ann")).notes["count"] == 1
    assert second._campaigns.repair(broken)
    assert second.process(parcel("Bob")).notes["count"] == 2
    assert third.process(parcel("Cid")).notes["count"] == 3
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.name == f"{slice_.name}.damaged"
    for stage in (first, second, third):
        stage.close()
    assert make().process(parcel("Dan")).notes["count"] == 4


def test_damage_found_in_the_middle_of_a_batch(
    make: Callable[..., Dedup], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = make()
    stage.process(parcel("Ann"))
    stage._campaigns._slices.current.execute("PRAGMA wal_checkpoint(truncate)")
    stage.close()
    (slice_,) = tmp_path.glob("*.slice")
    page = 4096
    with slice_.open("r+b") as file:  # the header stays whole: it can be opened
        file.seek(page)
        file.write(b"\xff" * (slice_.stat().st_size - page))
    verdicts = stage.process_batch([parcel("Bob"), parcel("Cid")])
    assert [verdict.notes["count"] for verdict in verdicts] == [1, 2]
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    stage.close()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"keep": 0}, "keep"),
        ({"similarity": 0.0}, "similarity"),
        ({"similarity": 1.1}, "similarity"),
        ({"max_bytes": Size("1KB")}, "max_bytes"),
        ({"window": Duration("8d")}, "window"),
        ({"window": Duration("0s")}, "window"),
        ({"window": Duration("1s"), "remember": Duration("1s")}, "remember"),
    ],
)
def test_settings_without_sense_are_refused(
    make: Callable[..., Dedup], settings: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        make(**settings)


def test_it_finds_the_campaigns_of_the_corpus(corpus: Path, tmp_path: Path) -> None:
    """Pair by pair against the reference clustering; every third cluster, to be quick."""
    records = [json.loads(row) for row in (corpus / "index.jsonl").read_text().splitlines()]
    records = [r for r in records if r["cls"] in ("spam", "phish") and int(r["cluster"][:8], 16) % 3 == 0]
    random.Random(1).shuffle(records)
    stage = Dedup(state_dir=tmp_path)
    jobs = [Job.from_message((corpus / record["file"]).read_bytes()) for record in records]
    given = [verdict.notes["campaign"] for verdict in stage.process_batch(jobs)]
    stage.close()

    def pairs(groups: list[Any]) -> int:
        return sum(n * (n - 1) // 2 for n in Counter(groups).values())

    reference = [record["cluster"] for record in records]
    together = pairs(list(zip(given, reference, strict=True)))
    assert together / pairs(given) >= 0.98
    assert together / pairs(reference) >= 0.85
