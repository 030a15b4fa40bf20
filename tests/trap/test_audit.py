"""The audit: every accepted message is somewhere, or is named as missing."""

import os
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from faultkit import Child, at_once

from trap.audit import audit
from trap.claim import Claim
from trap.config import Config, paths_below
from trap.envelope import Envelope
from trap.ledger import Ledger, settle
from trap.maillog import MailLog
from trap.queue import Spool

pytestmark = pytest.mark.usefixtures("files_are_closed")

BRANCHES = ["left", "right"]


@pytest.fixture
def config(tmp_path) -> Config:
    return Config(pipeline=["first", "second", BRANCHES], paths=paths_below(tmp_path))


@pytest.fixture
def spool(config) -> Iterator[Spool]:
    spool = Spool.open(config)
    yield spool
    spool.close()


def put(spool: Spool) -> str:
    return spool.put("first", Envelope(), b"Subject: x\r\n\r\n")


def claim(spool: Spool, queue: str):
    return spool[queue].consumer().claim()


def test_an_empty_trap_is_balanced(config, spool):
    account = audit(config, spool)
    assert (account.balanced, account.accepted, account.sum) == (True, 0, 0)
    assert list(account.branches) == BRANCHES


def test_the_account_of_every_way_to_end(config, spool):
    """accepted = archived + done + dropped + shed + purged + bad + in flight; each branch has its own."""
    for _ in range(8):
        put(spool)
    for _ in range(2):
        claim(spool, "first").drop("duplicate")
    claim(spool, "first").drop("virus Eicar")
    claim(spool, "first").shed("too old")
    claim(spool, "first").purge("by request")
    claim(spool, "first").condemn("unreadable")
    claim(spool, "first").forward(["second"])
    claim(spool, "second").forward(BRANCHES, event="archived")
    claim(spool, "left").drop("opted out")
    account = audit(config, spool)
    assert account.balanced
    assert account.missing == []
    assert (account.accepted, account.archived, account.done) == (8, 1, 0)
    assert account.dropped == {"duplicate": 2, "virus Eicar": 1}
    assert (account.shed, account.purged, account.bad, account.in_flight) == (1, 1, 1, 1)
    left, right = account.branches["left"], account.branches["right"]
    assert (left.entered, left.dropped, left.in_flight) == (1, {"opted out": 1}, 0)
    assert (right.entered, right.done, right.in_flight) == (1, 0, 1)
    claim(spool, "right").condemn("unreadable")
    right = audit(config, spool).branches["right"]
    assert (right.entered, right.bad, right.in_flight) == (1, 1, 0)


@pytest.mark.parametrize("where", ["waiting", "claimed", "bad", "in a branch", "passed"])
def test_a_deleted_file_is_named(config, spool, where):
    """Somebody removes a job's file by hand: the audit says which, and does not balance."""
    job_id = put(spool)
    other = put(spool)
    queue = "first"
    if where == "claimed":
        held = claim(spool, "first")
        assert held.id == job_id
    elif where == "bad":
        claim(spool, "first").condemn("no luck")
    elif where in {"in a branch", "passed"}:
        claim(spool, "first").forward(["second"])
        queue = "second"
        if where == "in a branch":
            claim(spool, "second").forward(BRANCHES)
            queue = "right"
    assert audit(config, spool).balanced
    path = spool[queue].find(job_id)
    assert path
    os.unlink(path)
    account = audit(config, spool)
    assert not account.balanced
    ends = account.branches["right"] if where == "in a branch" else account
    assert ends.missing == [job_id]
    assert other not in account.missing
    assert ends.sum == (0 if where == "in a branch" else 1)


def test_a_file_nobody_logged_is_counted_where_it_lies(config, spool):
    """A sink that died between rename and log never said 250; the message is there all the same."""
    job_id = put(spool)
    for path in config.paths.maillog.glob("mail.log*"):
        path.unlink()
    account = audit(config, spool)
    assert (account.balanced, account.accepted, account.in_flight) == (True, 1, 1)
    claim(Spool.open(config), "first").drop("duplicate")
    account = audit(config, spool)
    assert (account.balanced, account.accepted, account.dropped) == (True, 1, {"duplicate": 1})
    assert job_id not in account.missing


def test_a_job_in_a_queue_that_is_no_longer_configured_is_in_flight(config, spool, tmp_path):
    """Nobody works it off any more, but it is not lost: purge it, or configure the queue again."""
    put(spool)
    claim(spool, "first").forward(["second"])
    smaller = Config(pipeline=["first"], paths=paths_below(tmp_path))
    left = Spool.open(smaller)
    assert (left.configured, list(left)) == (["first"], ["first", "left", "right", "second"])
    account = audit(smaller, left)
    assert (account.balanced, account.in_flight) == (True, 1)


def test_what_a_branch_passes_on_beside_the_pipeline_is_done_there(config, spool):
    put(spool)
    claim(spool, "first").forward(["second"])
    claim(spool, "second").forward(BRANCHES, event="archived")
    claim(spool, "left").forward(["first"])
    account = audit(config, spool)
    assert account.balanced
    assert (account.branches["left"].entered, account.branches["left"].done) == (1, 1)
    assert account.in_flight == 1


def test_a_job_that_comes_and_goes_between_two_looks_is_not_missing(config, spool, monkeypatch):
    """Put after the first listing, read in the log, dropped before the second listing."""
    real = Ledger.read

    def read(*arguments):
        monkeypatch.undo()
        put(spool)
        ledger = real(*arguments)
        claim(spool, "first").drop("duplicate")
        return ledger

    monkeypatch.setattr(Ledger, "read", read)
    account = audit(config, spool)
    assert (account.missing, account.balanced, account.dropped) == ([], True, {"duplicate": 1})


def judge(one: Claim, to: list[str], rnd: random.Random) -> None:
    match rnd.randrange(12):
        case 0:
            one.drop("duplicate")
        case 1:
            one.fail("no luck")
        case 2:
            one.give_back()
        case 3:
            one.condemn("unreadable")
        case _:
            one.forward(to, {"note": {"n": 1}} if rnd.random() < 0.5 else None)


def run_jobs(directory: Path, seed: int, seconds: float) -> None:
    """A sink, workers of every stage, a reaper that settles, and people who requeue, in one process."""
    config = Config(pipeline=["first", "second", BRANCHES], paths=paths_below(directory))
    spool = Spool.open(config)
    rnd = random.Random(seed)
    workers = {name: spool[name].consumer() for name in spool}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(rnd.randrange(4)):
            put(spool)
        for name in rnd.sample(list(workers), 4):
            held = [one for _ in range(rnd.randrange(4)) if (one := workers[name].claim())]
            for one in held:
                judge(one, config.after(name), rnd)
        if rnd.random() < 0.05:
            workers["first"].crash()
            workers["first"] = spool["first"].consumer()
            spool.recover()
        for queue, job_id, attempt in list(spool.bad()):
            try:
                spool[queue].requeue(job_id, attempt)
            except FileNotFoundError:
                continue  # the other process was faster
        if rnd.random() < 0.02:
            settle(spool.log, config.paths.maillog, BRANCHES, 50_000, 2)
    for worker in workers.values():
        worker.close()
    spool.close()


def test_audit_under_load(config, spool, tmp_path):
    """Two processes put, pass, fail, crash, requeue and settle at full speed; no audit finds a hole."""
    audits = 0
    with (
        Child(partial(run_jobs, tmp_path, 1, 2.0)) as one,
        Child(partial(run_jobs, tmp_path, 2, 2.0)) as other,
    ):
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            account = audit(config, spool)
            assert (account.missing, account.balanced) == ([], True)
            assert all(branch.missing == [] for branch in account.branches.values())
            audits += 1
        assert (one.wait(), other.wait()) == (0, 0)
    spool.recover()
    account = audit(config, spool)
    assert account.balanced
    assert account.accepted > 50
    assert account.done + sum(account.dropped.values()) > 10
    assert audits > 1


def test_two_processes_settle_one_log(config, tmp_path):
    """A reaper and a person who runs another: no event is counted twice, none is left out."""

    def accept(seed: int) -> None:
        spool = Spool.open(config)
        for _ in range(100):
            put(spool)
            settle(spool.log, config.paths.maillog, BRANCHES, 500, 1)

    assert at_once(partial(accept, 1), partial(accept, 2)) == [0, 0]
    account = audit(config, Spool(config.paths.spool, MailLog(config.paths.maillog), config.queues))
    assert (account.accepted, account.in_flight, account.balanced) == (200, 200, True)
