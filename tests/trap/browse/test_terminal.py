"""The command in a real terminal: tmux starts it, types, looks, and sees how it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archived import job
from archivekit import config_at, fill
from support import need

Tmux = Callable[..., str]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """Run a command of a tmux of our own."""
    program, socket = need("tmux"), str(tmp_path / "tmux")

    def run(*arguments: str) -> str:
        done = subprocess.run([program, "-S", socket, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    yield run
    subprocess.run([program, "-S", socket, "kill-server"], capture_output=True, check=False)


@pytest.mark.parametrize("terminal", ["TERM=screen-256color", "TERM=linux NO_COLOR=1"])
def test_search_read_and_quit(tmux: Tmux, tmp_path: Path, terminal: str) -> None:
    fill(config_at(tmp_path), [job(number) for number in range(30)])
    # Sizes that a shell exported are not those of the terminal for long.
    browse = f"COLUMNS=80 LINES=24 {terminal} {sys.executable} -m trap --dir {tmp_path} archive browse"
    command = f"{browse}; echo ended with $?; cat"
    tmux("-f", os.devnull, "new-session", "-d", "-x", "80", "-y", "24", command)

    def see(text: str) -> None:
        end = time.monotonic() + 30
        while text not in (screen := tmux("capture-pane", "-p")):
            if time.monotonic() > end:
                pytest.fail(f"{text!r} is not on the screen:\n{screen}")
            time.sleep(0.05)

    see("offer number 29")
    tmux("send-keys", "/")
    see("find")
    tmux("send-keys", 'subject:"number 7"', "Enter")
    see("1 message")
    tmux("send-keys", "Enter")
    see("Dear friend, you won 7 Euro.")
    tmux("resize-window", "-x", "130", "-y", "20")
    see("offer number 7")
    tmux("send-keys", "q")
    see("ended with 0")
    assert "Dear friend" not in tmux("capture-pane", "-p")  # the terminal is as it was


def test_it_needs_a_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trap", "--dir", str(tmp_path), "archive", "browse"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == os.EX_USAGE
    assert "archive search" in done.stderr


def test_no_other_command_pays_for_it() -> None:
    """Textual takes longer to import than most commands run."""
    code = "import sys, trap.cli.archive, trap.cli.browse; sys.exit('textual' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
