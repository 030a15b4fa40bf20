"""The counts of policy: several workers, restarts, kills."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import eventually

from stages.policies import hits as policy_hits
from stages.policies.hits import Counter, Hits
from stages.policy import Policy, Row
from trap.envelope import Envelope
from trap.job import Job, new_id

RULES = [
    {"name": "shop", "when": {"helo": "shop"}, "drop": "shop"},
    {"name": "never", "when": {"helo": "nobody"}, "to": "other"},
]
WORKER = """
import sys, time
from pathlib import Path
from stages.policies.hits import Counter
counter = Counter(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    counter.count(["shop"], str(number))
    counter.save()
print("done", flush=True)
time.sleep(float(sys.argv[3]))
counter.save(wait=True)
"""


def worker(directory: Path, number: int, linger: float = 0) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-c", WORKER, str(directory), str(number), str(linger)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])


def test_rules_with_their_hits(tmp_path):
    """Those that were never hit, too: they are the ones to look at."""
    stage = Policy(tmp_path, RULES)
    jobs = [Job(new_id(), Envelope(helo=helo), {}, b"") for helo in ("shop", "shop", "x", "y")]
    for job in jobs:
        stage.process(job)
    assert stage.rows()[0].hits == 0  # until the next tick
    stage.tick()
    one, other = stage.rows()
    assert (one.rule, one.action, one.hits, one.share, one.last_job) == (
        "shop",
        "drop: shop",
        2,
        0.5,
        jobs[1].id,
    )
    assert one.last_at > 0
    assert other == Row("never", "to: other", 0, 0.0, 0.0, "")


def test_counts_outlive_a_restart(tmp_path):
    for _ in range(3):
        stage = Policy(tmp_path, RULES)
        stage.process(Job.from_message(b"", Envelope(helo="shop")))
        stage.close()
    assert Policy(tmp_path, RULES).rows()[0].hits == 3


def test_rules_that_are_gone_are_shown(tmp_path):
    stage = Policy(tmp_path, RULES)
    stage.process(Job.from_message(b"", Envelope(helo="shop")))
    stage.close()
    assert [(row.rule, row.action) for row in Policy(tmp_path).rows()] == [("shop", "(gone)")]


def test_several_workers_count_together(tmp_path):
    workers = [worker(tmp_path, 40) for _ in range(3)]
    for each in workers:
        each.communicate()
    totals = Counter(tmp_path).read()
    assert (totals.messages, totals.rules["shop"].hits) == (120, 120)


def test_a_killed_worker_loses_a_tick_at_most(tmp_path):
    """What it had saved stays, its lock goes with it, and others go on."""
    with worker(tmp_path, 20, linger=100) as doomed:
        assert doomed.stdout
        assert doomed.stdout.readline() == b"done\n"
        doomed.send_signal(signal.SIGKILL)
    counter = Counter(tmp_path)
    counter.count(["shop"], "x")
    counter.save(wait=True)
    assert counter.read().rules["shop"].hits == 21


def test_killed_midway_the_file_is_whole(tmp_path):
    for _ in range(3):
        with worker(tmp_path, 100_000) as doomed:
            eventually(lambda: Counter(tmp_path).read().messages > 0)
            doomed.send_signal(signal.SIGKILL)
        totals = Counter(tmp_path).read()
        assert totals.messages == totals.rules["shop"].hits


def test_a_tick_does_not_wait_for_another_worker(tmp_path, monkeypatch):
    def busy(fd: int, how: int) -> None:
        if how & policy_hits.fcntl.LOCK_NB:
            raise BlockingIOError

    counter = Counter(tmp_path)
    counter.count(["shop"], "x")
    monkeypatch.setattr(policy_hits.fcntl, "flock", busy)
    counter.save()
    assert counter.read().messages == 0
    counter.save(wait=True)
    assert counter.read().messages == 1


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, os.strerror(28))

    counter = Counter(tmp_path)
    counter.count(["shop"], "x")
    with monkeypatch.context() as context:
        context.setattr(policy_hits, "replace_file", full)
        with pytest.raises(OSError, match="No space"):
            counter.save()
    counter.save()
    assert counter.read().rules["shop"].hits == 1


def test_a_damaged_file_is_begun_anew(tmp_path):
    (tmp_path / "hits.json").write_text("{")
    counter = Counter(tmp_path)
    counter.count([], "x")
    counter.save()
    assert counter.read().messages == 1


def test_names_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_hits, "MAX_RULES", 5)
    for number in range(20):
        counter = Counter(tmp_path)
        counter.count([f"rule {number}"], "x")
        counter.save()
    assert sorted(counter.read().rules) == [f"rule {number}" for number in range(15, 20)]
    assert counter.read().rules["rule 19"] == Hits(1, counter.read().rules["rule 19"].last_at, "x")
