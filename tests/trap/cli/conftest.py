"""Runs `spamtrap` commands in this process."""

import io
import sys
from pathlib import Path
from unittest import mock

import pytest
from clikit import Result, Run

from trap.cli import main


class _Stdin(io.StringIO):
    buffer: io.BytesIO


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a trap with two queues that nobody works on."""
    (tmp_path / "spamtrap.yaml").write_text(
        "pipeline: [first, second]\nstages: {first: {workers: 0}, second: {workers: 0}}\n"
    )
    monkeypatch.setenv("SPAMTRAP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line, with bytes on stdin."""

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        given = _Stdin()
        given.buffer = io.BytesIO(stdin)
        with (
            mock.patch.object(sys, "argv", ["spamtrap", *arguments]),
            mock.patch.object(sys, "stdin", given),
            pytest.raises(SystemExit) as end,
        ):
            main()
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Result(end.value.code if isinstance(end.value.code, int) else 0, out, err)

    return run
