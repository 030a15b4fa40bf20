"""Fixtures for all tests, and where and in which order they run."""

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from faultkit import make_forks_cheap
from hypothesis import settings
from support import Script

from trap import fsio
from trap.config import Config
from trap.configfile import parse
from trap.maillog import MailLog
from trap.queue import Spool

REPOSITORY = Path(__file__).parent.parent
# Half of what is usual: there are some hundred properties, and a suite that takes long is not run.
settings.register_profile("suite", max_examples=50)
settings.load_profile("suite")

FORKING = {"at_once", "every_call", "in_child"}
"""Names of tests/faultkit.py by which a module shows that it forks."""

IN_MEMORY = Path("/dev/shm")
"""Where a trap keeps its spool, and the tests theirs: some thousands of fsyncs wait for a disk otherwise."""
ROOM = 2 << 30
"""Bytes that must be free there, as in a container they often are not."""


def pytest_configure() -> None:
    """Directories for tests are made in memory, unless TMPDIR says where, or it can't be done."""
    if "TMPDIR" not in os.environ and _is_roomy(IN_MEMORY):
        os.environ["TMPDIR"] = str(IN_MEMORY)
        tempfile.tempdir = None  # what was found before


def _is_roomy(directory: Path) -> bool:
    """Whether tests can write what they want there, and run scripts."""
    try:
        has = os.statvfs(directory)
    except OSError:
        return False
    runs = not has.f_flag & os.ST_NOEXEC
    return runs and os.access(directory, os.W_OK) and has.f_bavail * has.f_frsize >= ROOM


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in ("SPAMTRAP_DIR", "SPAMTRAP_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus of real mail; the test is skipped where there is none."""
    path = Path(os.environ.get("SPAMTRAP_CORPUS") or REPOSITORY.parent / "shared" / "corpus")
    if not (path / "index.jsonl").exists():
        pytest.skip(f"no corpus at {path}; set SPAMTRAP_CORPUS")
    return path


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a shell script; returns its path."""

    def write(text: str) -> str:
        path = tmp_path / f"script{len(list(tmp_path.glob('script*')))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        return str(path)

    return write


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A two-stage trap below tmp_path."""
    return parse(
        f"pipeline: [first, second]\n"
        f"paths: {{spool: {tmp_path}/spool, archive: {tmp_path}/archive, state: {tmp_path}/state}}\n"
    )


@pytest.fixture
def spool(config: Config) -> Iterator[Spool]:
    """A spool with the queues `first` and `second`."""
    spool = Spool(config.paths.spool, MailLog(config.paths.maillog), config.queues)
    yield spool
    spool.close()
    spool.log.close()


@pytest.fixture
def files_are_closed(tmp_path: Path) -> Iterator[None]:
    """A process that dies closes its files. Where one plays many, this closes those below tmp_path."""
    yield
    for lease in list(fsio._leases):
        if lease.path.startswith(f"{tmp_path}/"):
            lease.forget()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that the listing itself was read from
            if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{tmp_path}/"):
                os.close(int(fd))


def _forks(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and bool(FORKING & vars(item.module).keys())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that fork hundreds of times come first: a fork costs what this process is large, and it grows."""
    items.sort(key=_forks, reverse=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What all tests are made of stays: looked at once more, each child that is forked would copy it."""
    gc.collect()
    gc.freeze()
    if any(map(_forks, session.items)):
        make_forks_cheap()
