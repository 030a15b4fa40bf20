"""What tests share: programs they need, free ports, waiting for something to become true."""

import os
import shutil
import socket
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def need(*programs: str) -> str:
    """Skip the test when none of the programs is installed; in CI that is a failure.

    Returns the path of the first one found.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    for program in programs:
        if found := shutil.which(program, path=path):
            return found
    return lack(f"{' or '.join(programs)} is not installed")


def lack(reason: str) -> NoReturn:
    """Skip because something is missing that CI must have."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(check: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait until `check()` is true; fail the test when it is not within `seconds`."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what or check}")
        time.sleep(0.02)
