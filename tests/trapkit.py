"""A whole trap for tests: `spamtrap up` in a directory, with ways to hurt it."""

import hashlib
import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import eventually, free_port

from trap.config import paths_below
from trap.configfile import load
from trap.queue import Spool


class Trap:
    """A trap that runs below a directory.

    Args:
        directory: everything is kept there.
        settings: content of its spamtrap.yaml, but for `web:`.

    Attributes:
        port: of its sink.
        web: of its web interface.
    """

    def __init__(self, directory: Path, settings: str = "") -> None:
        self.directory = directory
        self.port = free_port()
        self.web = free_port()
        (directory / "spamtrap.yaml").write_text(f"web: {{port: {self.web}}}\n{settings}")
        self.log = directory / "up.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """A `spamtrap` command line for this trap."""
        return [sys.executable, "-m", "trap", "--dir", str(self.directory), *arguments]

    def run(self, *arguments: str, code: int | None = 0, timeout: float = 120) -> str:
        """Run a command and return its output."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert code is None or done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """Run a command with --json and return what it printed."""
        return json.loads(self.run(*arguments, "--json", code=code))

    def start(self) -> None:
        """Run it, and wait until it greets."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("up", "--listen", f"127.0.0.1:{self.port}"), stdout=log, stderr=log
            )
        self.greets()

    def greets(self) -> None:
        """Wait until the sink answers."""

        def answered() -> bool:
            try:
                smtplib.SMTP("127.0.0.1", self.port, timeout=5).quit()
            except (OSError, smtplib.SMTPException):
                return False
            return True

        eventually(answered, 30, f"an answer on port {self.port}; {self.log.read_text()[-2000:]}")

    def stop(self) -> int:
        """Stop it as Ctrl-C does; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(90)

    def children(self) -> dict[int, str]:
        """The processes it runs, and theirs: pid -> what it does."""
        assert self.process is not None
        return dict(self._below(self.process.pid))

    def _below(self, parent: int) -> Iterator[tuple[int, str]]:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            for pid in map(int, text.split()):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                if line == Path(f"/proc/{parent}/cmdline").read_bytes():
                    continue  # it is forked, and not yet what it will be
                words = line.decode().split("\0")
                said = (word for word in words[1:] if word and not word.isdigit())
                what = " ".join(word for word in said if str(self.directory) not in word)
                if what:  # else it is not begun, or gone but for its name
                    yield pid, what
                yield from self._below(pid)
        except (FileNotFoundError, ProcessLookupError):
            return  # it is gone

    def kill(self, pid: int) -> None:
        """SIGKILL one of its processes."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def settled(self, seconds: float = 120) -> None:
        """Wait until every queue is empty."""

        # By ourselves, and not by `status`: each of those would take from the trap what it works with.
        config = msgspec.structs.replace(
            load(self.directory / "spamtrap.yaml"), paths=paths_below(self.directory)
        )
        spool = Spool.open(config)
        try:
            eventually(lambda: not any(spool[name].ids() for name in spool), seconds, "every queue is empty")
        finally:
            spool.close()
            spool.log.close()

    def archived(self) -> dict[str, dict[str, Any]]:
        """What is in the archive: sha256 -> row."""
        lines = self.run("archive", "ls", "--json", "--limit", "1000000").splitlines()
        return {row["sha256"]: row for row in map(json.loads, lines)}


def digests(files: list[Path]) -> set[str]:
    """sha256 of each file."""
    return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def hurt(trap: Trap, rounds: int, pause: float) -> dict[str, int]:
    """SIGKILL every process that the trap keeps running `rounds` times, and each of theirs that is seen.

    Returns:
        How often each was killed, by its command.
    """
    killed: dict[str, int] = {}
    end = time.monotonic() + 60

    def enough() -> bool:
        """A helper such as the indexer is started again at its leisure: once will do."""
        kept = [times for name, times in killed.items() if "-m trap --dir" in name]
        return bool(kept) and min(kept) >= rounds and any("indexer" in name for name in killed)

    while not enough():
        if time.monotonic() > end:
            pytest.fail(f"not all could be killed: {killed}")
        for pid, name in trap.children().items():
            if killed.get(name, 0) < rounds:
                trap.kill(pid)
                killed[name] = killed.get(name, 0) + 1
                time.sleep(pause)
        time.sleep(pause)
    return killed
