"""The supervisor: what dies is started again; what a person must mend ends everything."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import eventually

from trap.supervisor import Child, Supervisor

SCRIPT = """
import logging, sys
from trap.supervisor import Child, Supervisor
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)

class Script(Child):
    "A child that runs a line of Python instead of a trap command."
    def start(self):
        import os, subprocess, time
        self.started = time.monotonic()
        env = {**os.environ, "SPAMTRAP_PARENT": str(os.getpid())}
        self.process = subprocess.Popen([sys.executable, "-c", self.arguments[0]], env=env)

sys.exit(Supervisor([Script("one", [sys.argv[1]])]).run())
"""
CHILD = "from trap.supervisor import die_with_parent; die_with_parent(); import time, os, pathlib; "


def supervise(tmp_path: Path, line: str) -> subprocess.Popen[str]:
    """A supervisor of one child; each start of the child adds its pid to tmp_path/pids."""
    note = f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n'); "
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, CHILD + note + line], stdout=subprocess.PIPE, text=True
    )


def pids(tmp_path: Path) -> list[int]:
    path = tmp_path / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_killed_is_started_again(tmp_path: Path) -> None:
    up = supervise(tmp_path, "time.sleep(60)")
    eventually(lambda: len(pids(tmp_path)) == 1)
    os.kill(pids(tmp_path)[0], signal.SIGKILL)
    eventually(lambda: len(pids(tmp_path)) == 2)
    up.terminate()
    out, _ = up.communicate(timeout=20)
    assert "killed by SIGKILL" in out
    assert up.returncode == 0
    eventually(lambda: not alive(pids(tmp_path)[1]))


def test_a_mistake_for_a_person_ends_everything_with_its_code(tmp_path: Path) -> None:
    up = supervise(tmp_path, f"os._exit({os.EX_CONFIG})")
    out, _ = up.communicate(timeout=20)
    assert up.returncode == os.EX_CONFIG
    assert "gave up" in out
    assert len(pids(tmp_path)) == 1


def test_what_keeps_dying_is_started_later_and_later(tmp_path: Path) -> None:
    up = supervise(tmp_path, "os._exit(1)")
    eventually(lambda: len(pids(tmp_path)) >= 3)
    started = time.monotonic()
    time.sleep(1.0)
    count = len(pids(tmp_path))
    assert count < 12, f"{count} starts in {time.monotonic() - started:.1f} s"
    up.terminate()
    up.communicate(timeout=20)


def test_children_stop_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    up = supervise(tmp_path, "time.sleep(60)")
    eventually(lambda: len(pids(tmp_path)) == 1)
    up.kill()
    up.communicate(timeout=20)
    eventually(lambda: not alive(pids(tmp_path)[0]), what="the kernel tells the child")


def test_nothing_is_started_again_once_it_was_told_to_stop(tmp_path: Path) -> None:
    up = supervise(tmp_path, f"os.kill(os.getppid(), {signal.SIGTERM.value})")
    out, _ = up.communicate(timeout=20)
    assert "starting it again" not in out
    assert len(pids(tmp_path)) == 1


def test_pauses_grow_only_for_short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child("one", [])
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for lived, failures in ((1, 1), (1, 2), (60, 0), (1, 1)):
        child.process = subprocess.Popen([sys.executable, "-c", ""])
        child.process.wait()
        child.started = now - lived
        assert child.poll() == 0
        assert child.failures == failures
    assert child.poll() is None, "told once"


def test_a_supervisor_told_to_stop_before_its_start_stops() -> None:
    supervisor = Supervisor([])
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    supervisor.stop()
    try:
        assert supervisor.run() == 0
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
