"""Several workers share what is remembered, and any of them may be killed at any moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import os, signal, sys
from pathlib import Path
from stages.copies.campaigns import Campaigns
from stages.dedup import Dedup
from trap.envelope import Envelope
from trap.job import Job

state, first, last, die_at = Path(sys.argv[1]), *map(int, sys.argv[2:])
calls, real = [], Campaigns.record

def record(*arguments):
    calls.append(1)
    if len(calls) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments)

Campaigns.record = record
stage = Dedup(state_dir=state, keep=3)
text = b"\\r\\nThe same letter with eleven words or more for each of us, number %d"
ids = [f"{1_800_000_000_000_000 + n:016d}00000000" for n in range(first, last)]
jobs = [Job(each, Envelope(), {}, text % n) for n, each in enumerate(ids)]
for at in range(0, len(jobs), 10):
    for verdict in stage.process_batch(jobs[at:at + 10]):
        print(verdict.notes["count"], type(verdict).__name__)
"""


def worker(state: Path, first: int, last: int, die_at: int = 0) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(state), str(first), str(last), str(die_at)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )


def test_several_processes_count_together(tmp_path: Path) -> None:
    workers = [worker(tmp_path, at, at + 100) for at in (0, 100, 200)]
    answers = [line.split() for each in workers for line in each.communicate()[0].splitlines()]
    assert [each.returncode for each in workers] == [0, 0, 0]
    assert sorted(int(count) for count, _ in answers) == list(range(1, 301))
    assert sorted(int(count) for count, kind in answers if kind == "Pass") == [1, 2, 3]


@pytest.mark.parametrize("die_at", [1, 15, 30])
def test_killed_in_a_batch_it_counts_each_job_once(tmp_path: Path, die_at: int) -> None:
    victim = worker(tmp_path, 0, 30, die_at)
    victim.communicate()
    assert victim.returncode == -9
    answered, _ = worker(tmp_path, 0, 30).communicate()
    assert [int(line.split()[0]) for line in answered.splitlines()] == list(range(1, 31))
