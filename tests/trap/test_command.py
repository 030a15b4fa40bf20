"""External programs: real ones, and scripts that do what no program should."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from support import eventually

from trap import command
from trap.command import Done, environment, find, run

LONG = 60.0
"""Seconds that nothing here should take."""
SLACK = 3.0
"""Seconds that a loaded machine may add to a deadline."""


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only what init has yet to bury."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children() -> set[str]:
    own = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {pid for path in own for pid in path.read_text().split()}


@pytest.fixture(autouse=True, scope="module")
def _uvloop_has_its_own():
    """libuv opens a few descriptors once and keeps them."""
    uvloop.run(asyncio.sleep(0))


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """No test leaves a process or a descriptor behind."""
    before, fds = children(), len(os.listdir("/proc/self/fd"))
    yield
    assert children() <= before
    assert len(os.listdir("/proc/self/fd")) <= fds


# -- what a program gets, and what we get of it ------------------------------------------------------


async def test_input_goes_in_output_comes_out():
    assert await run(["/bin/cat"], b"one\r\n\xfftwo", timeout=LONG) == Done(0, b"one\r\n\xfftwo", b"")


async def test_exit_code_and_both_outputs(script):
    assert await run([script("echo yes; echo no >&2; exit 75")], b"", timeout=LONG) == Done(
        75, b"yes\n", b"no\n"
    )


async def test_a_signal_is_a_negative_code(script):
    assert (await run([script("kill -TERM $$")], b"", timeout=LONG)).code == -signal.SIGTERM


async def test_the_input_can_be_opened_as_a_file():
    """For programs that want a name: no file is written anywhere, and reading it twice works."""
    assert (
        await run(["/bin/cat", "/dev/stdin", "/dev/stdin"], b"twice.", timeout=LONG)
    ).out == b"twice.twice."


async def test_arguments_are_never_read_by_a_shell(tmp_path, script):
    evil = ["`touch owned`", "$(touch owned)", "; touch owned", "a\nb", "-n", "", "\udcff", "*"]
    done = await run([script('for each; do printf "%s\\0" "$each"; done'), *evil], b"", timeout=LONG)
    assert done.out.split(b"\0")[:-1] == [os.fsencode(each) for each in evil]
    assert not list(tmp_path.glob("owned"))


async def test_a_nul_is_refused():
    with pytest.raises(ValueError, match="null"):
        await run(["/bin/echo", "a\0b"], b"", timeout=LONG)


@pytest.mark.parametrize("argv", ["/bin/echo hello", []])
async def test_a_command_line_is_no_list(argv):
    with pytest.raises(ValueError, match="a list"):
        await run(argv, b"", timeout=LONG)


async def test_the_environment_is_small(monkeypatch):
    """Nothing of what the trap was started with: no tokens, no PYTHONPATH, no LD_PRELOAD."""
    monkeypatch.setenv("SECRET_TOKEN", "1")
    out = (await run(["/usr/bin/env"], b"", timeout=LONG)).out.decode()
    assert dict(line.split("=", 1) for line in out.splitlines()) == environment()
    assert environment().keys() == {"PATH", "LANG", "HOME"}


async def test_another_environment():
    assert (await run(["/usr/bin/env"], b"", timeout=LONG, env={"ONE": "1"})).out == b"ONE=1\n"


async def test_it_stands_nowhere_near_the_spool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (await run(["/bin/pwd"], b"", timeout=LONG)).out == b"/\n"


async def test_no_file_of_ours_is_open_in_it(tmp_path):
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        done = await run(["/bin/ls", "-l", "/proc/self/fd"], b"", timeout=LONG)
    assert b"secret" not in done.out
    assert b" 0 -> /memfd:" in done.out


async def test_it_has_no_terminal(script):
    """A program that asks for a password on the terminal gets none, and a Ctrl-C is not for it."""
    done = await run([script("cut -d' ' -f5-7 /proc/$$/stat; echo $$")], b"", timeout=LONG)
    group, session, terminal, pid = done.out.split()
    assert (group, session, terminal) == (pid, pid, b"0")


async def test_limits(script):
    done = await run([script("sleep 0.3; ulimit -c; ulimit -v; ulimit -t")], b"", timeout=2, memory=1 << 30)
    core, memory, cpu = done.out.split()
    assert (core, memory) == (b"0", b"%d" % (1 << 20))
    assert 2 < int(cpu) <= 2 * (os.cpu_count() or 1) + 1


async def test_too_much_memory_is_refused_by_the_kernel():
    # The limit comes a moment after the program's start: it is there for those that grow.
    eat = ["/bin/sh", "-c", "sleep 0.5; exec dd if=/dev/zero of=/dev/null bs=512M count=1"]
    assert (await run(eat, b"", timeout=LONG, memory=128 << 20)).code == 1
    assert (await run(eat, b"", timeout=LONG)).code == 0


# -- programs that are not there ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "error"), [("missing", FileNotFoundError), ("plain", PermissionError)])
async def test_what_can_not_be_started(tmp_path, name, error):
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    with pytest.raises(error, match=name):
        await run([str(tmp_path / name)], b"", timeout=LONG)


def test_find(tmp_path):
    assert find("sh") in {"/usr/bin/sh", "/bin/sh"}
    assert find("/bin/sh") == "/bin/sh"
    (tmp_path / "plain").touch()
    for name in ("plain", "missing"):
        with pytest.raises(FileNotFoundError, match=name):
            find(name, {"PATH": str(tmp_path)})


# -- programs that don't behave ----------------------------------------------------------------------


async def test_one_that_does_not_read_its_input():
    assert (await run(["/bin/true"], b"x" * 5_000_000, timeout=LONG)).code == 0


async def test_one_that_closes_its_input_and_goes_on(script):
    slow = script("exec <&-; sleep 0.2; echo done")
    assert (await run([slow], b"x" * 5_000_000, timeout=LONG)).out == b"done\n"


async def test_one_that_echoes_more_than_is_kept():
    """It is read to its end, so a filter's exit code counts; only the beginning is kept."""
    done = await run(["/bin/cat"], b"x" * 5_000_000, timeout=LONG, limit=1000)
    assert done == Done(0, b"x" * 1000, b"")


async def test_one_that_closes_its_output_and_works_on(script):
    assert await run([script("exec >&- 2>&-; sleep 0.2; exit 3")], b"", timeout=LONG) == Done(3, b"", b"")


async def test_one_that_writes_without_end():
    with pytest.raises(OSError, match="no end"):
        await run(["/usr/bin/yes"], b"", timeout=LONG)


async def test_one_that_hangs():
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^/bin/sleep took longer than 0\.2 s$"):
        await run(["/bin/sleep", "100"], b"", timeout=0.2)
    assert time.monotonic() - begun < 0.2 + SLACK


async def test_one_that_ignores_signals(script):
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await run([script("trap '' TERM INT HUP; while :; do sleep 100; done")], b"", timeout=0.3)
    assert time.monotonic() - begun < 0.3 + SLACK


async def test_grandchildren_that_hold_its_output_open_are_killed_in_time(script, tmp_path):
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await run([script(f"sleep 100 & echo $! > {tmp_path}/pid; wait")], b"", timeout=0.5)
    assert time.monotonic() - begun < 0.5 + SLACK
    eventually(lambda: not is_alive(int((tmp_path / "pid").read_text())))


async def test_what_a_program_leaves_behind_ends_with_it(script):
    """It says what it has to say and is gone; nobody waits for the rest of its group."""
    done = await run([script("sleep 100 & echo $!; exit 4")], b"", timeout=LONG)
    assert done.code == 4
    eventually(lambda: not is_alive(int(done.out)))


async def test_one_that_becomes_a_daemon_keeps_nobody_waiting(script):
    done = await run([script("setsid sleep 100 & sleep 0.2; echo $!")], b"", timeout=LONG)
    pid = int(done.out)
    assert is_alive(pid)  # so it is no part of the group: documented
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid))


async def test_cancelled(script, tmp_path):
    """Nobody waits for it any more: it goes at once, with all its children."""
    task = asyncio.create_task(
        run([script(f"sleep 100 & echo $! > {tmp_path}/pid; wait")], b"", timeout=LONG)
    )
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    eventually(lambda: not is_alive(int((tmp_path / "pid").read_text())))


async def test_one_that_the_kernel_does_not_let_go(monkeypatch):
    """A disk that hangs makes a process immune for a while. We go on, and it is reaped when it ends."""
    monkeypatch.setattr(command, "LAST", 0.1)
    monkeypatch.setattr(os, "killpg", lambda pid, number: None)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await run(["/bin/sleep", "1"], b"", timeout=0.1)
    assert time.monotonic() - begun < 1
    before = children()
    while children() == before:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_no_descriptor_left_for_it(monkeypatch):
    def full(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", full)
    with pytest.raises(OSError, match="Too many open files"):
        await run(["/bin/sleep", "100"], b"", timeout=LONG)


# -- many at once, and other event loops -------------------------------------------------------------


async def many() -> None:
    texts = [str(number).encode() * 1000 for number in range(40)]
    done = await asyncio.gather(*[run(["/bin/cat"], text, timeout=LONG) for text in texts])
    assert [each.out for each in done] == texts


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_many_at_once(loop: Callable[[Awaitable[Any]], Any]):
    loop(many())


def test_other_children_are_left_alone():
    """Only what it started is reaped: the caller's other children keep their exit codes."""
    with subprocess.Popen(["/bin/sh", "-c", "exit 7"]) as other:
        asyncio.run(run(["/bin/sleep", "0.1"], b"", timeout=LONG))
        assert other.wait() == 7
