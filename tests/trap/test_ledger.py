"""The ledger: from lines that come twice, in odd order or in half, where every job is."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.audit import Account, tally
from trap.config import Config, paths_below
from trap.job import new_id
from trap.ledger import ECHO, LATE, SETTLED, Event, Ledger, events, settle
from trap.maillog import CURRENT, MailLog, rotated
from trap.queue import Spool

BRANCHES = ["left", "right"]
START = 1_700_000_000.0
A = new_id(START)

Line = dict[str, Any]


def line(t: float, event: str, job_id: str, queue: str, **more: Any) -> Line:
    return {"t": START + t, "e": event, "id": job_id, "q": queue, **more}


def told(*lines: Line) -> Ledger:
    """A ledger that was told these lines."""
    ledger = Ledger(BRANCHES)
    for each in lines:
        ledger.apply(Event(**each))
    return ledger


def write(directory: Path, lines: list[Line], name: str = CURRENT) -> None:
    directory.mkdir(exist_ok=True)
    with (directory / name).open("a") as file:
        file.writelines(json.dumps(each, separators=(",", ":")) + "\n" for each in lines)


# One job


def test_a_job_is_where_it_was_passed_to():
    way = told(line(0, "accepted", A, "first"), line(1, "passed", A, "first", to=["second"])).ways[A]
    assert list(way.tokens) == ["second"]


def test_a_fan_out_leaves_a_token_in_each_branch():
    lines = [line(0, "accepted", A, "second"), line(1, "archived", A, "second", to=BRANCHES)]
    assert list(told(*lines).ways[A].tokens) == BRANCHES
    way = told(*lines, line(2, "dropped", A, "left", reason="x"), line(3, "done", A, "right")).ways[A]
    assert way.tokens == {}
    assert way.ends == {"left": ("dropped", "x"), "right": ("done", "")}
    assert told(*lines).trunk_end(way) == "archived"


def test_any_line_may_come_twice():
    """A crash between a line and its deed makes the line come again."""
    history = [
        line(0, "accepted", A, "first"),
        line(1, "passed", A, "first", to=["second"]),
        line(2, "archived", A, "second", to=BRANCHES),
        line(3, "done", A, "left"),
        line(4, "bad", A, "right"),
        line(5, "requeued", A, "right"),
        line(6, "done", A, "right"),
    ]
    once = told(*history).ways[A]
    for at, each in enumerate(history):
        twice = told(*history[: at + 1], each, *history[at + 1 :]).ways[A]
        assert (twice.tokens, twice.ends, twice.archived) == (once.tokens, once.ends, once.archived)


def test_a_worker_may_be_faster_than_the_sink():
    """The job is in the queue before its acceptance is in the log; the late line changes nothing."""
    lines = [line(0, "passed", A, "first", to=["second"]), line(1, "accepted", A, "first")]
    assert list(told(*lines).ways[A].tokens) == ["second"]


@pytest.mark.parametrize(
    ("then", "tokens"),
    [
        ([("requeued", {})], ["first"]),
        ([("requeued", {}), ("passed", {"to": ["second"]})], ["second"]),
        ([("requeued", {}), ("passed", {"to": ["other"]})], ["other"]),
        ([("passed", {"to": ["other"]})], ["other"]),
        ([("dropped", {"reason": "x"})], []),
        ([("shed", {})], []),
        ([("bad", {})], ["bad/first"]),
    ],
)
def test_a_pass_that_came_to_nothing_promises_nothing(then, tokens):
    """Logged, but a crash or a full spool kept the job where it was; what is said of it there counts."""
    lines = [line(0, "accepted", A, "first"), line(1, "passed", A, "first", to=["second"])]
    lines += [line(2 + at, event, A, "first", **more) for at, (event, more) in enumerate(then)]
    assert list(told(*lines).ways[A].tokens) == tokens


def test_half_a_fan_out_is_done_again():
    """One branch got its name and worked it off before the trunk's worker, risen again, names both anew."""
    lines = [
        line(0, "accepted", A, "second"),
        line(1, "archived", A, "second", to=BRANCHES),
        line(2, "done", A, "left"),
        line(3, "requeued", A, "second"),
    ]
    assert list(told(*lines).ways[A].tokens) == ["second"]
    lines += [
        line(4, "archived", A, "second", to=BRANCHES),
        line(5, "done", A, "left"),
        line(6, "done", A, "right"),
    ]
    assert told(*lines).ways[A].tokens == {}


# Half lines


def test_half_lines_are_skipped_and_counted(tmp_path):
    whole = json.dumps(line(0, "accepted", A, "first"), separators=(",", ":")).encode()
    (tmp_path / CURRENT).write_bytes(
        whole[:30] + b"\n" + whole[:50] + whole + b"\n" + b"\n" + b"\xff\xfe\n" + whole + b"\n" + whole[:-1]
    )
    torn: Counter[str] = Counter()
    assert [event.id for event in events(tmp_path / CURRENT, torn)] == [A, A]
    assert torn["lines"] == 4


@given(st.binary(max_size=200))
def test_garbage_in_the_log_raises_nothing(tmp_path_factory, garbage):
    path = tmp_path_factory.mktemp("log") / CURRENT
    path.write_bytes(b'{"t":1.0,"e":"' + garbage)
    assert list(events(path)) == []


def test_what_a_stage_noted_is_not_taken_for_the_beginning_of_a_line(tmp_path):
    tricky = line(0, "dropped", A, "first", reason="x", notes={"t": 1, "e": {"t": 2}})
    text = json.dumps(tricky, separators=(",", ":"))
    (tmp_path / CURRENT).write_text(text[:40] + text + "\n")
    assert [event.reason for event in events(tmp_path / CURRENT)] == ["x"]


# Settling


def history(rnd: random.Random, begin: float) -> Iterator[Line]:
    """A job's life, with failures, crashes that make lines come again, and things left open."""
    t, job_id = begin, new_id(START + begin)
    open_in, bad = ["first"], False
    after = {"first": ["second"], "second": BRANCHES}
    yield line(t, "accepted", job_id, "first")
    while open_in and rnd.random() < 0.95:
        t += rnd.choice([0.001, 1, 20, 200])
        queue = rnd.choice(open_in)
        if bad:
            what = rnd.choice(["requeued", "purged"])
            bad = False
        else:
            what = rnd.choice(["on", "on", "on", "on", "dropped", "shed", "requeued", "bad"])
        if what in {"requeued", "bad"}:
            yield line(t, what, job_id, queue, attempt=1)
            bad = what == "bad"
            if bad:
                open_in = [queue, *[name for name in open_in if name != queue]][:1]
            continue
        to = after.get(queue, []) if what == "on" else []
        if what == "on":
            deed = line(t, "archived" if queue == "second" else "passed", job_id, queue, to=to)
            deed = deed if to else line(t, "done", job_id, queue)
        else:
            deed = line(t, what, job_id, queue, reason=rnd.choice(["x", "y"]))
        yield deed
        if rnd.random() < 0.2:  # killed between word and deed; done again a moment later
            yield {**line(t + 1, "requeued", job_id, queue), "attempt": 1}
            yield {**deed, "t": deed["t"] + rnd.choice([2, ECHO / 2])}
            t += ECHO / 2
        open_in = [name for name in open_in if name != queue] + to


def below(directory: Path) -> tuple[Config, Spool]:
    config = Config(pipeline=["first", "second", BRANCHES], paths=paths_below(directory))
    return config, Spool.open(config)


def accounts(directory: Path, lines: list[Line], cuts: list[int], keep: int) -> tuple[Account, Account, int]:
    """The account of the lines as they are, and of the same lines settled at each cut."""
    config, spool = below(directory / "whole")
    write(config.paths.maillog, lines)
    whole = tally(config)
    spool.log.close()
    config, spool = below(directory / "settled")
    for begin, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        write(config.paths.maillog, lines[begin:end])
        settle(spool.log, config.paths.maillog, BRANCHES, 0, keep)
    spool.log.close()
    return whole, tally(config), len(list(config.paths.maillog.glob(CURRENT + "*")))


@settings(max_examples=40, deadline=None)
@given(
    rnd=st.randoms(use_true_random=False),
    jobs=st.integers(1, 25),
    files=st.integers(1, 8),
    keep=st.integers(0, 3),
)
def test_settling_changes_no_account(tmp_path_factory, rnd, jobs, files, keep):
    """Cut into files anywhere, settled at every cut: the sums are those of the whole log."""
    lines = sorted(
        (each for _ in range(jobs) for each in history(rnd, rnd.choice([0, 100, 1000]) + rnd.random() * 100)),
        key=lambda each: each["t"],
    )
    cuts = sorted(rnd.randrange(len(lines) + 1) for _ in range(files - 1))
    whole, settled, left = accounts(tmp_path_factory.mktemp("log"), lines, cuts, keep)
    assert settled == whole
    assert whole.balanced
    assert left <= max(keep, 1) + 1


def test_settled_jobs_shrink_to_totals(tmp_path):
    """However many went through, what is kept is what is open."""
    lines: list[Line] = []
    for number in range(1000):
        job_id = new_id(START + number)
        lines += [
            line(number, "accepted", job_id, "first"),
            line(number, "dropped", job_id, "first", reason="x"),
        ]
    lines.insert(0, line(0, "accepted", A, "first"))
    whole, settled, _ = accounts(tmp_path, lines, [1500, len(lines)], 1)
    assert settled == whole
    assert whole.dropped == {"x": 1000}
    totals = json.loads((tmp_path / "settled" / "state" / "maillog" / SETTLED).read_text())
    assert totals["trunk"]["dropped x"] > 600
    assert A in totals["open"]
    assert len(totals["open"]) < 100, "the last minute, and what is open"


def test_a_bad_job_can_be_requeued_after_its_lines_were_settled(tmp_path):
    lines = [
        line(0, "accepted", A, "first"),
        line(1, "bad", A, "first", attempt=3),
        *[line(1000 + at, "accepted", new_id(START + 1000 + at), "first") for at in range(3)],
        line(5000, "requeued", A, "first"),
        line(5001, "dropped", A, "first", reason="x"),
    ]
    whole, settled, _ = accounts(tmp_path, lines, [2, 3, 4], 0)
    assert settled == whole
    assert (settled.bad, settled.dropped, settled.in_flight) == (0, {"x": 1}, 3)


def test_an_echo_of_a_settled_job_is_ignored(tmp_path):
    """Its worker died between the line and the unlink, and nobody recovered it for an hour."""
    other = [line(at * 1000, "accepted", new_id(START + at * 1000), "first") for at in range(1, 4)]
    lines = [line(0, "accepted", A, "first"), line(1, "dropped", A, "first", reason="x"), *other]
    lines += [line(3600, "requeued", A, "first"), line(3601, "dropped", A, "first", reason="x")]
    _, settled, _ = accounts(tmp_path, lines, [2, 3, 5], 0)
    assert (settled.accepted, settled.dropped, settled.in_flight) == (4, {"x": 1}, 3)


def test_a_late_line_finds_a_job_that_ended_in_the_file_before(tmp_path):
    """A worker was faster than the sink, and the log was rotated and settled between their lines."""
    lines = [line(0, "dropped", A, "first", reason="x"), line(0.5, "accepted", A, "first")]
    whole, settled, _ = accounts(tmp_path, lines, [1, 1, 1], 0)
    assert settled == whole
    assert (settled.accepted, settled.in_flight) == (1, 0)


@pytest.mark.parametrize("dropped", [0, 250])
def test_the_line_of_a_sink_that_was_stalled_opens_nothing_anew(tmp_path, dropped):
    """It stood still between a job's place and its line, while the job was ended and all that settled."""
    other = [line(at * 100, "accepted", new_id(START + at * 100), "first") for at in range(1, 5)]
    end = line(dropped, "dropped", A, "first", reason="x")
    lines = sorted([end, *other], key=lambda each: each["t"])
    lines += [line(500, "accepted", A, "first"), line(501, "accepted", new_id(START + 501), "first")]
    cuts = [lines.index(each) for each in other[1:]]
    _, settled, _ = accounts(tmp_path, lines, [*cuts, len(lines) - 1], 0)
    # An end that comes alone, when all of its time is settled, may be an echo: then neither is counted.
    counted = dropped == 0
    assert settled.dropped == ({"x": 1} if counted else {})
    assert (settled.accepted, settled.in_flight, settled.missing) == (5 + counted, 5, [])


def test_the_line_of_a_sink_that_was_stalled_opens_the_way_of_a_job_that_waits(tmp_path):
    """Nobody had touched the job: it is accepted at last, and goes its way."""
    other = [line(at * 100, "accepted", new_id(START + at * 100), "first") for at in range(1, 5)]
    lines = [*other, line(500, "accepted", A, "first"), line(501, "dropped", A, "first", reason="x")]
    _, settled, _ = accounts(tmp_path, lines, [1, 2, 3, 4, 5], 0)
    assert (settled.accepted, settled.dropped, settled.in_flight) == (5, {"x": 1}, 4)


def test_whose_acceptance_was_not_read_is_remembered_for_a_day(tmp_path):
    lines = [line(0, "dropped", A, "first", reason="x")]
    lines += [line(at, "accepted", new_id(START + at), "first") for at in (1000, 2000, 3000)]
    accounts(tmp_path, lines, [1, 2, 3], 0)
    totals = tmp_path / "settled" / "state" / "maillog" / SETTLED
    assert json.loads(totals.read_text())["unsaid"] == [A]
    config, spool = below(tmp_path / "settled")
    for day in (1, 2, 3):
        write(config.paths.maillog, [line(day * LATE + 100, "accepted", new_id(), "first")])
        settle(spool.log, config.paths.maillog, BRANCHES, 0, 0)
    assert json.loads(totals.read_text())["unsaid"] == []


def test_old_files_may_be_removed_by_hand(tmp_path):
    """The totals do not need them, and new files are numbered above those that were."""
    config, spool = below(tmp_path)
    for at in range(4):
        write(config.paths.maillog, [line(at * 100, "accepted", new_id(START + at * 100), "first")])
        settle(spool.log, config.paths.maillog, BRANCHES, 0, 10)
    for path in rotated(config.paths.maillog)[:-1]:
        path.unlink()
    assert tally(config).accepted == 4
    for path in rotated(config.paths.maillog):
        path.unlink()
    write(config.paths.maillog, [line(900, "accepted", new_id(START + 900), "first")])
    settle(spool.log, config.paths.maillog, BRANCHES, 0, 10)
    assert tally(config).accepted == 4, "the three that were settled, and the new one"


def test_nothing_is_settled_while_the_log_is_small(tmp_path):
    config, spool = below(tmp_path)
    write(config.paths.maillog, [line(0, "accepted", A, "first")])
    assert settle(spool.log, config.paths.maillog, BRANCHES, 10_000, 1) is False
    assert not (config.paths.maillog / SETTLED).exists()


def test_read_while_rotating(tmp_path, monkeypatch):
    """Between the listing and the reading of the current file it gets a number, and a successor."""
    log = MailLog(tmp_path)
    write(tmp_path, [line(0, "accepted", A, "first")])
    later = new_id(START + 1)
    real = Ledger.add

    def add(ledger: Ledger, path: Path) -> None:
        monkeypatch.undo()
        log.rotate(0)
        write(tmp_path, [line(1, "accepted", later, "first")])
        real(ledger, path)

    monkeypatch.setattr(Ledger, "add", add)
    assert set(Ledger.read(tmp_path, BRANCHES).ways) == {A, later}


def test_read_while_settling(tmp_path, monkeypatch):
    """Between the listing and the reading the files are settled and removed."""
    log = MailLog(tmp_path)
    for at in range(3):
        write(tmp_path, [line(at, "accepted", new_id(START + at), "first")])
        log.rotate(0)
    write(tmp_path, [line(3, "accepted", new_id(START + 3), "first")])
    real = Ledger.add

    def add(ledger: Ledger, path: Path) -> None:
        monkeypatch.undo()
        assert settle(log, tmp_path, BRANCHES, 0, 0)
        assert not path.exists()
        real(ledger, path)

    monkeypatch.setattr(Ledger, "add", add)
    assert len(Ledger.read(tmp_path, BRANCHES).ways) == 4


def test_unreadable_totals_are_an_error(tmp_path):
    (tmp_path / SETTLED).write_text("{")
    with pytest.raises(OSError, match="truncated"):
        Ledger.read(tmp_path, BRANCHES)
