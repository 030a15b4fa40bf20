"""counting: a period's events and facts become a summary."""

from pathlib import Path

import pytest
from reportkit import HOUR, NOON, Clock, Trap

from stages.reports import counting
from stages.reports.counting import summarise
from stages.reports.feed import Feed
from stages.reports.guard import Guard
from stages.reports.leftout import LeftOut
from stages.reports.period import Period
from stages.reports.summary import Drop, Row, Summary
from trap.envelope import Envelope, Rcpt
from trap.job import new_id

GUARD = Guard(b"a key")


@pytest.fixture
def trap(tmp_path: Path, clock: Clock) -> Trap:
    trap = Trap(tmp_path, clock)
    trap.reports.mkdir()
    return trap


def count(trap: Trap, top: int = 10, start: float = NOON) -> Summary:
    work = summarise(
        Period(start, start + HOUR), Feed(trap.reports), LeftOut(trap.state), trap.maillog, GUARD, top
    )
    while True:
        try:
            next(work)
        except StopIteration as done:
            summary: Summary = done.value[0]
            return summary


def test_nothing_happened(trap: Trap) -> None:
    summary = count(trap)
    assert summary.totals.accepted == 0
    assert (summary.stages, summary.drops, summary.networks, summary.campaigns) == ([], [], [], [])
    assert summary.series.accepted == [0] * 60


def test_events_are_counted_in_their_period_and_column(trap: Trap, clock: Clock) -> None:
    for minute in (-1, 0, 0.5, 17, 59.9, 60):
        clock.now = NOON + 60 * minute
        trap.accept()
    summary = count(trap)
    assert summary.totals.accepted == 4
    assert {at: n for at, n in enumerate(summary.series.accepted) if n} == {0: 2, 17: 1, 59: 1}


def test_how_jobs_ended(trap: Trap) -> None:
    jobs = [trap.accept() for _ in range(6)]
    ids = [job.id for job in jobs]
    trap.log.passed(ids[0], "archive", ["report"], 0.1, "archived")
    trap.log.done(ids[0], "report", 0.1, "reported")
    trap.log.done(ids[1], "archive", 0.1, "archived")  # the last stage of another pipeline
    trap.log.dropped(ids[2], "dedup", "duplicate", 0.1, {})
    trap.log.shed(ids[3], "virus", "too old")
    trap.log.purged(ids[4], "virus", "by hand")
    trap.log.requeued(ids[5], "virus", "ValueError: joe@trap.example", 1)
    trap.log.bad(ids[5], "virus", "ValueError: joe@trap.example", 3)
    totals = count(trap).totals
    assert (totals.accepted, totals.archived, totals.reported) == (6, 2, 1)
    assert (totals.dropped, totals.shed, totals.purged, totals.bad, totals.requeued) == (1, 1, 1, 1, 1)


def test_a_line_that_comes_twice_counts_once(trap: Trap) -> None:
    """The worker died between the line and the deed, and its successor did both."""
    job = trap.accept()
    trap.log.dropped(job.id, "dedup", "duplicate", 0.1, {"campaign": "0a"})
    trap.log.dropped(job.id, "dedup", "duplicate", 0.1, {"campaign": "0a"})
    summary = count(trap)
    assert summary.totals.dropped == 1
    assert summary.campaigns[0].messages == 1


def test_drops_are_counted_by_stage_and_reason(trap: Trap) -> None:
    for reason in ("1048577 bytes", "1048999 bytes", "spam for joe@trap.example"):
        trap.log.dropped(trap.accept().id, "oversize", reason, 0.1, {})
    assert count(trap).drops == [Drop("oversize", "N bytes", 2), Drop("oversize", "spam for (kept)", 1)]


def test_freshness_of_each_stage_in_their_order(trap: Trap, clock: Clock) -> None:
    for _ in range(100):
        job = trap.accept()
        clock.now += 0.5
        trap.log.passed(job.id, "dedup", ["virus"], 0.01)
        clock.now += 1.5
        trap.log.dropped(job.id, "virus", "virus X", 0.2, {})
    dedup, virus = count(trap).stages
    assert (dedup.stage, dedup.passed, dedup.dropped) == ("dedup", 100, 0)
    assert (virus.stage, virus.passed, virus.dropped) == ("virus", 0, 100)
    assert dedup.age.p50 == pytest.approx(0.5, rel=0.03)
    assert virus.age.p95 == pytest.approx(2.0, rel=0.03)
    assert virus.age.max == 2.0
    assert virus.took.p95 == pytest.approx(0.2, rel=0.03)


def test_where_it_came_from(trap: Trap) -> None:
    for ip in ("203.0.113.7", "203.0.113.8", "2001:db8::1", "nonsense"):
        trap.accept(client_ip=ip)
    summary = count(trap)
    assert summary.networks == [Row("203.0.113.0/24", 2), Row("2001:db8::/48", 1), Row("unknown", 1)]
    assert summary.networks_distinct == 3
    assert len(count(trap, top=2).networks) == 2


def test_sizes_and_tags(trap: Trap) -> None:
    trap.accept(b"x" * 2047)
    trap.accept(b"x" * 2048)
    trap.accept(b"x" * (1 << 20))
    sizes = {row.name: row.count for row in count(trap).sizes if row.count}
    assert sizes == {"2048": 1, "4096": 1, "more": 1}


def test_trap_domains_stand_neither_in_reasons_nor_in_tags(trap: Trap) -> None:
    stage = trap.worker(trap_domains=["honeypot.example", "bait.test"])
    for tag, address in (("typo-honeypot", "a@honeypot.example"), ("pristine", "b@bait.test")):
        job_id = new_id(trap.clock.now)
        trap.log.accepted(job_id, "dedup", Envelope(rcpts=[Rcpt(address=address, tag=tag)]), 100)
        trap.log.dropped(job_id, "virus", f"no mail for {address.partition('@')[2]} wanted", 0.1, {})
    trap.sum_up(stage)
    for kind in ("txt", "html", "json"):
        text = (trap.reports / f"latest.{kind}").read_text().lower()
        assert "honeypot" not in text
        assert "bait" not in text
        assert "no mail for (kept) wanted" in text
    assert trap.latest().tags == [Row("(kept)", 1), Row("pristine", 1)]


def test_a_campaign_weighs_as_much_as_all_its_copies(trap: Trap, clock: Clock) -> None:
    stage = trap.worker()
    for number in range(3):
        job = trap.accept(client_ip=f"203.0.{number}.1", mail_from="a@mailer.example")
        trap.report(stage, job, dedup={"campaign": "0a", "count": number + 1})
    for _ in range(7):
        trap.log.dropped(trap.accept().id, "dedup", "duplicate", 0.1, {"campaign": "0a"})
    trap.report(stage, trap.accept(), dedup={"campaign": "0b", "count": 1})
    summary = trap.sum_up(stage)
    large, small = summary.campaigns
    assert (large.messages, large.reported, large.networks, large.sender) == (10, 3, 3, "mailer.example")
    assert (small.messages, small.reported) == (1, 1)
    assert summary.campaigns_distinct == 2


def test_the_log_is_read_across_its_rotation(trap: Trap) -> None:
    for _ in range(3):
        trap.accept()
        trap.log.rotate(0)
    trap.accept()
    assert count(trap).totals.accepted == 4


def test_a_log_that_begins_too_late_is_said(trap: Trap, clock: Clock) -> None:
    for _ in range(2):
        clock.now += 600
        trap.accept()
        trap.log.rotate(0)
    assert count(trap).log_from == 0.0
    (trap.maillog / "mail.log.00000001").unlink()
    summary = count(trap)
    assert (summary.totals.accepted, summary.log_from) == (1, NOON + 60 + 1200)


def test_work_comes_in_pieces(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker does its ordinary work in between."""
    monkeypatch.setattr(counting, "CHUNK", 10)
    for _ in range(95):
        trap.accept()
    work = summarise(
        Period(NOON, NOON + HOUR), Feed(trap.reports), LeftOut(trap.state), trap.maillog, GUARD, 10
    )
    assert len(list(work)) == 9


@pytest.mark.parametrize(
    ("length", "step"), [(60, 10), (HOUR, 60), (24 * HOUR, 1800), (7 * 24 * HOUR, 10800)]
)
def test_columns_are_of_a_handy_width(trap: Trap, length: float, step: int) -> None:
    series = counting.Counting(Period.at(NOON, length), GUARD).series
    assert series.step == step
    assert len(series.accepted) == -(-length // step) <= counting.MAX_COLUMNS


def test_events_of_unknown_kinds_are_left_alone(trap: Trap) -> None:
    trap.log.passed(new_id(trap.clock.now), "virus", [], 0.0, "sneezed")
    assert count(trap).stages == []
