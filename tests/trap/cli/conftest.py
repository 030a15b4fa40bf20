"""Runs `spamtrap` commands in this process."""

import gc
import io
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from clikit import Result, Run

from trap.cli import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a trap with two queues that nobody works on."""
    (tmp_path / "spamtrap.yaml").write_text(
        "pipeline: [first, second]\nstages: {first: {workers: 0}, second: {workers: 0}}\n"
    )
    monkeypatch.setenv("SPAMTRAP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command line, with bytes on stdin. What it changes in the process is undone afterwards."""
    umask, handlers = os.umask(0o022), list(logging.root.handlers)
    os.umask(umask)
    signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        with (
            tempfile.TemporaryFile() as file,
            io.TextIOWrapper(file) as given,
            mock.patch.object(sys, "argv", ["spamtrap", *arguments]),
            mock.patch.object(sys, "stdin", given),
            mock.patch.object(os, "_exit", sys.exit),  # how `inject` ends
            pytest.raises(SystemExit) as end,
        ):
            file.write(stdin)
            file.seek(0)
            main()
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Result(end.value.code if isinstance(end.value.code, int) else 0, out, err)

    yield run
    os.umask(umask)
    gc.enable()
    for number, handler in signals.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    logging.root.handlers = handlers
