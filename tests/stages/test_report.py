"""report: the stage, its files, and what must never stand in them."""

import base64
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from email.header import Header
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportkit import HOUR, NOON, Clock, Trap, ticks

from stages import report
from stages.report import GRACE, RETRY, Report
from trap.config import Config, Duration, Paths, Stage
from trap.configfile import ConfigError
from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id
from trap.plugin import build
from trap.stage import Pass, Unavailable

FIRST = "20251120T1200Z"


@pytest.fixture
def trap(tmp_path: Path, clock: Clock) -> Trap:
    return Trap(tmp_path, clock)


def feed(trap: Trap) -> list[dict[str, object]]:
    lines = b"".join(path.read_bytes() for path in sorted(trap.reports.glob("feed-*.jsonl"))).splitlines()
    return [msgspec.json.decode(line) for line in lines]


# -- the feed --------------------------------------------------------------------------------------


def test_every_message_becomes_a_line_of_the_feed(trap: Trap) -> None:
    stage = trap.worker()
    verdict = stage.process(trap.accept(mail_from="a@mailer.example"))
    assert isinstance(verdict, Pass)
    assert feed(trap) == [verdict.notes]
    assert (trap.reports / "feed-2025-11-20.jsonl").stat().st_mode & 0o777 == 0o640
    assert verdict.notes["time"] == "2025-11-20T12:00Z"


def test_what_must_never_be_reported_leaves_no_line(trap: Trap) -> None:
    stage = trap.worker()
    marked, other = trap.accept(client_ip="192.0.2.9"), trap.accept(client_ip="198.51.100.9")
    trap.report(stage, marked, policy={"rules": ["opt-in/confirm"], "never_report": True})
    trap.report(stage, other, policy={"rules": ["certain"], "never_report": False})
    (line,) = "".join(path.read_text() for path in trap.reports.glob("feed-*")).splitlines()
    assert "198.51.100.0/24" in line
    verdict = stage.process(Job(marked.id, marked.envelope, {"policy": {"never_report": True}}, b""))
    assert verdict == Pass({"left_out": "never_report"})


def test_summaries_name_nobody_by_what_must_never_be_reported(trap: Trap) -> None:
    """Neither by the first of its kind nor by its copies, of which dedup let none pass."""
    stage = trap.worker()
    first, copy, other = (trap.accept(client_ip=f"198.51.{number}.9") for number in (100, 101, 102))
    notes = {"dedup": {"campaign": "c0ffee"}, "second-policy": {"never_report": True}}
    trap.report(stage, first, **notes)
    trap.log.dropped(copy.id, "dedup", "duplicate", 0.001, {"campaign": "c0ffee"})
    trap.report(stage, other)
    summary = trap.sum_up(stage)
    assert [row.name for row in summary.networks] == ["198.51.102.0/24"]
    assert summary.campaigns == []
    assert (summary.totals.accepted, summary.totals.dropped, summary.totals.reported) == (3, 1, 1)
    for path in trap.reports.iterdir():
        assert not re.search(rb"198\.51\.10[01]", path.read_bytes()), path
    (kept,) = trap.state.glob("left-out-*")
    assert kept.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        trap.sum_up(stage, 40 * 86_400)
    assert not kept.exists()


def test_asked_twice_counts_once(trap: Trap) -> None:
    """Delivery is at least once: a worker may die behind the line of the feed."""
    stage = trap.worker()
    job = trap.accept(mail_from="a@mailer.example")
    assert stage.process(job) == stage.process(job) == trap.worker().process(job)
    summary = trap.sum_up(stage)
    assert summary.facts == 1
    assert summary.by["sender"][0].count == 1


def test_half_a_line_harms_no_other(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full for a moment. The job is told to wait, and the other worker does not know."""
    stage, other = trap.worker(), trap.worker()
    jobs = [trap.accept() for _ in range(4)]
    stage.process(jobs[0])
    whole = os.write
    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="No space left"):
        patch.setattr(os, "write", lambda fd, data: whole(fd, data[:20]))
        stage.process(jobs[1])
    other.process(jobs[2])
    stage.process(jobs[1])
    stage.process(jobs[3])
    assert trap.sum_up(stage).facts == 4


def test_a_feed_that_cannot_be_written_is_no_fault_of_the_job(trap: Trap) -> None:
    stage = trap.worker()
    (trap.reports / "feed-2025-11-20.jsonl").mkdir()
    with pytest.raises(Unavailable, match="feed in"):
        stage.process(trap.accept())


# -- periods ---------------------------------------------------------------------------------------


def test_a_period_is_summed_up_when_it_is_over(trap: Trap, clock: Clock) -> None:
    stage = trap.worker()
    trap.report(stage, trap.accept())
    stage.tick()
    clock.now = NOON + HOUR - 1
    stage.tick()
    assert not (trap.reports / f"{FIRST}.json").exists()
    summary = trap.sum_up(stage)
    assert (summary.start, summary.end, summary.generated) == (NOON, NOON + HOUR, NOON + HOUR + GRACE)
    assert (summary.totals.accepted, summary.totals.archived, summary.totals.reported) == (1, 1, 1)
    for kind in ("txt", "html", "json"):
        path = trap.reports / f"{FIRST}.{kind}"
        assert path.read_bytes() == (trap.reports / f"latest.{kind}").read_bytes()
        assert path.stat().st_mode & 0o777 == 0o640


def test_a_quiet_period_is_summed_up_too_and_compared(trap: Trap) -> None:
    stage = trap.worker()
    trap.report(stage, trap.accept())
    assert trap.sum_up(stage).before is None
    quiet = trap.sum_up(stage)
    assert quiet.totals.accepted == 0
    assert quiet.before is not None
    assert quiet.before.accepted == 1
    assert [past.start for past in quiet.history] == [NOON]
    assert "▼ 100 %" in (trap.reports / "latest.txt").read_text("utf-8")


def test_what_was_missed_is_summed_up_later(trap: Trap, clock: Clock) -> None:
    """The reporter was down for three hours; the rest of the trap was not."""
    trap.worker().close()
    for _ in range(3):
        trap.accept()
        clock.now += HOUR
    stage = trap.worker()
    trap.sum_up(stage)
    reports = sorted(trap.reports.glob("2*.json"))
    found = [msgspec.json.decode(path.read_bytes()) for path in reports]
    assert [(each["start"], each["totals"]["accepted"]) for each in found] == [
        (NOON, 1),
        (NOON + HOUR, 1),
        (NOON + 2 * HOUR, 1),
        (NOON + 3 * HOUR, 0),
    ]
    assert (trap.reports / "latest.json").readlink() == Path(reports[-1].name)


def test_the_time_before_the_first_start_is_not_reported(trap: Trap) -> None:
    trap.sum_up(trap.worker())
    assert [path.name for path in sorted(trap.reports.glob("2*.json"))] == [f"{FIRST}.json"]


def test_periods_of_other_lengths(trap: Trap, clock: Clock) -> None:
    stage = trap.worker(period=Duration("15m"), directory=trap.state / "elsewhere")
    assert stage.process(trap.accept()).notes["time"] == "2025-11-20T12:00Z"
    clock.now += 15 * 60
    assert stage.process(trap.accept()).notes["time"] == "2025-11-20T12:15Z"
    clock.now += 15 * 60
    for _ in ticks(stage):
        pass
    found = sorted((trap.state / "elsewhere").glob("2*.json"))
    assert [path.stem for path in found] == ["20251120T1200Z", "20251120T1215Z"]
    assert [msgspec.json.decode(path.read_bytes())["facts"] for path in found] == [1, 1]


def test_a_day_takes_in_its_hours(trap: Trap, clock: Clock) -> None:
    stage = trap.worker(period=Duration("1d"))
    for _ in range(3):
        stage.process(trap.accept())
        clock.now += HOUR
    assert trap.sum_up(stage, 24 * HOUR).facts == 3


def test_one_worker_sums_up_and_the_others_go_on(
    trap: Trap, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.reports.counting.CHUNK", 1)
    monkeypatch.setattr(report, "SLICE", -1.0)
    one, two = trap.worker(), trap.worker()
    for _ in range(10):
        trap.accept()
    clock.now = NOON + HOUR + GRACE
    one.tick()
    assert one.busy
    two.tick()
    assert not two.busy
    one.close()  # or killed: the lock ends with it
    clock.now += RETRY
    for _ in ticks(two):
        pass
    assert trap.latest().totals.accepted == 10


def test_a_summary_cut_short_is_made_again(trap: Trap) -> None:
    """The JSON is written last: without it a period is not done, whatever else is there."""
    stage = trap.worker()
    trap.report(stage, trap.accept())
    trap.sum_up(stage)
    (trap.reports / f"{FIRST}.json").unlink()
    (trap.reports / f"{FIRST}.txt").write_text("half")
    trap.clock.now -= HOUR
    assert trap.sum_up(trap.worker()).totals.accepted == 1
    assert (trap.reports / f"{FIRST}.txt").read_text("utf-8").startswith("Spamtrap report")


def test_a_failed_summary_is_tried_again(trap: Trap, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = trap.worker()
    clock.now = NOON + HOUR + GRACE

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(report, "replace_file", full)
        stage.tick()
    stage.tick()
    assert not (trap.reports / f"{FIRST}.json").exists()
    clock.now += RETRY
    stage.tick()
    assert (trap.reports / f"{FIRST}.json").exists()


def test_what_is_too_old_is_removed(trap: Trap, clock: Clock) -> None:
    stage = trap.worker(keep=Duration("3h"))
    (trap.reports / "feed-2025-11-18.jsonl").write_text("")
    (trap.reports / "notes-of-mine.txt").write_text("")
    stage.process(trap.accept())
    for _ in range(5):
        trap.sum_up(stage)
    names = {path.name for path in trap.reports.iterdir()}
    assert {name for name in names if name.endswith("Z.json")} == {
        f"20251120T{hour}00Z.json" for hour in (14, 15, 16)
    }
    assert {"feed-2025-11-20.jsonl", "notes-of-mine.txt", "latest.html"} <= names
    assert "feed-2025-11-18.jsonl" not in names


def test_a_published_campaign_can_be_found_in_the_archive(trap: Trap) -> None:
    stage = trap.worker()
    for _ in range(2):
        trap.log.dropped(trap.accept().id, "dedup", "duplicate", 0.1, {"campaign": "0123456789ab"})
        published = trap.sum_up(stage).campaigns[0].id
    private = trap.state / "campaigns.json"
    assert msgspec.json.decode(private.read_bytes()) == {published: "0123456789ab"}
    assert private.stat().st_mode & 0o777 == 0o600


# -- workers that are killed -----------------------------------------------------------------------

VICTIM = """
import itertools, sys, time
from pathlib import Path
from stages.report import Report
from trap.job import Job
from trap.envelope import Envelope
time.time = lambda: {now}
stage = Report(state_dir=Path(sys.argv[1]), maillog_dir=Path(sys.argv[2]))
print("ready", flush=True)
for number in itertools.cycle(range({jobs})):
    stage.process(Job(f"{{number:016}}deadbeef", Envelope(), {{}}, b"Subject: x\\r\\n\\r\\n" + b"y" * number))
"""


def test_workers_killed_at_any_moment_lose_and_double_nothing(trap: Trap) -> None:
    jobs = 40
    code = VICTIM.format(now=NOON + 60, jobs=jobs)
    command = [sys.executable, "-c", code, str(trap.state), str(trap.maillog)]
    victims = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for victim in victims:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"ready\n"
    for victim in victims:
        time.sleep(random.uniform(0, 0.05))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    stage = trap.worker()
    os.utime(trap.state / "key", (NOON, NOON))
    for number in range(jobs):  # those that were in hand come again
        stage.process(Job(f"{number:016}deadbeef", Envelope(), {}, b"Subject: x\r\n\r\n" + b"y" * number))
    assert trap.sum_up(stage).facts == jobs
    assert len({line["id"] for line in feed(trap)}) == jobs
    assert len(list(trap.state.glob("key*"))) == 1


# -- settings --------------------------------------------------------------------------------------


def test_the_key_is_made_once_for_its_owner_only(trap: Trap) -> None:
    trap.worker()
    made = (trap.state / "key").read_bytes()
    trap.worker()
    assert (trap.state / "key").read_bytes() == made
    assert len(made) == 64
    assert (trap.state / "key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_stops_the_start(trap: Trap) -> None:
    (trap.state / "key").write_text("12ab")
    with pytest.raises(ValueError, match="key is damaged"):
        trap.worker()


@pytest.mark.parametrize(
    "given_settings", [{"period": "7m"}, {"period": "90m"}, {"period": "30s"}, {"top": 0}, {"keep": "1m"}]
)
def test_settings_that_make_no_sense(tmp_path: Path, given_settings: dict[str, object]) -> None:
    paths = Paths(spool=tmp_path / "spool", archive=tmp_path / "archive", state=tmp_path / "state")
    stage = Stage(use="stages.report:Report", settings=given_settings)
    with pytest.raises(ConfigError, match=f"report.{next(iter(given_settings))}: "):
        build(Config(paths=paths, stages={"report": stage}), "report")


def test_it_is_built_from_a_configuration(tmp_path: Path) -> None:
    paths = Paths(spool=tmp_path / "spool", archive=tmp_path / "archive", state=tmp_path / "state")
    chosen = {"period": "1d", "keep": "2w", "top": 3, "protect": ["mx.trap.example"]}
    stage = Stage(use="stages.report:Report", settings=chosen)
    built = build(Config(paths=paths, stages={"report": stage}), "report")
    assert isinstance(built, Report)
    assert (tmp_path / "state" / "report" / "reports").is_dir()


# -- what must never stand in a report -------------------------------------------------------------


def shapes(word: str) -> set[str]:
    """What a word would look like if it got out, each long enough not to be there by chance."""
    raw = word.encode()
    coded = {
        base64.b64encode(bytes(pad) + raw)[(0, 2, 3)[pad] : (pad + len(raw)) * 8 // 6] for pad in range(3)
    }
    urls = {quote(word, safe=""), "".join(f"%{byte:02x}" for byte in raw)}
    found = {word, word[::-1], raw.hex(), raw.hex()[::-1], *urls, *(part.decode() for part in coded)}
    return {shape.lower() for shape in found}


def hostile(address: str) -> bytes:
    """A message that says its recipient everywhere."""
    local, _, domain = address.partition("@")
    verp = f"{local}={domain}"
    coded = base64.b64encode(address.encode()).decode()
    subject = Header(f"Dear {local}", "utf-8").encode()
    lines = [
        f"Received: from {local}.{domain} by mx.{domain} for <{address}>; now",
        f"Message-ID: <{local}.{coded}@{domain}>",
        f"From: {local} <{address}>",
        f"To: {address}",
        f"Subject: {subject} {address} {address[::-1]}",
        f"Content-Language: {local}",
        f"List-Unsubscribe: <https://{domain}/?{verp}>",
        f'Content-Type: multipart/mixed; boundary="{local}"; charset={domain}',
        "",
        f"--{local}",
        f"Content-Type: {local}/{domain}; charset={local}; name={address}",
        "",
        f"Dear {local}, {address} {quote(address)} {coded} {address.encode().hex()} {address[::-1]}",
        f"https://{local}.{domain}/{local} https://{domain}@evil.example/ http://evil.example/?{verp}",
        f"--{local}--",
    ]
    return "\r\n".join(lines).encode()


LETTERS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=6, max_size=12).map(lambda word: "zq" + word)


@settings(max_examples=25, deadline=None)
@given(
    local=LETTERS,
    domain=st.builds("{}.{}".format, LETTERS, st.sampled_from(["example", "co.uk", "de"])),
    place=st.integers(0, 8),
)
def test_no_recipient_in_any_form_leaves(local: str, domain: str, place: int) -> None:
    address = f"{local}@{domain}"
    token = base64.b32encode(local.encode()).decode().rstrip("=").lower()
    forged = [
        address,
        f"bounce-{local}={domain}@mailer.example",
        f"x@{domain}",
        f"x@{local}.example",
        f"x@{local[::-1]}.example",
        f"x@{domain.encode().hex()}.com",
        f"x@{token}.mailer.example",
        f"x@{base64.urlsafe_b64encode(local.encode()).decode().rstrip('=').lower()}.com",
        f"x@{domain.partition('.')[0]}-mail.com",
    ]
    sender = forged[place]
    envelope = Envelope(
        client_ip="203.0.113.7",
        helo=sender.partition("@")[2],
        mail_from=sender,
        tls_version=address,
        rcpts=[Rcpt(address=address, tag="pristine")],
    )
    clock = Clock(NOON + 60)
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", clock)
        trap = Trap(Path(home), clock)
        stage = trap.worker()
        for notes in (
            {"dedup": {"campaign": address, "count": 1}},
            {"backscatter": {"kind": "bounce", "recipients": [address]}, "archive": {"to": address}},
        ):
            job = Job(new_id(clock.now), envelope, notes, hostile(address))
            trap.log.accepted(job.id, "dedup", envelope, job.size)
            trap.report(stage, job, **notes)
            trap.log.requeued(job.id, "virus", f"ValueError: {address}", 1)
        trap.log.dropped(job.id, "dedup", "duplicate", 0.1, {"campaign": address, "recipients": [address]})
        trap.log.dropped(job.id, "plugin", f"spam for {address}", 0.1, {})
        trap.sum_up(stage)
        published = {path.name: path.read_text("utf-8").lower() for path in trap.reports.iterdir()}
    assert len(published) == 7
    for name, content in published.items():
        for word in (address, local, domain):
            for shape in shapes(word):
                assert shape not in content, f"{name} says {word} as {shape}"
    assert "203.0.113.0/24" in published["latest.json"]
