"""A Postfix of our own for tests: on loopback, in a directory of its own, with services as they are given."""

import json
import os
import re
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import eventually, free_port, need

_MAIN = """
compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
maillog_file = {0}/log
maillog_file_prefixes = {0}
inet_interfaces = loopback-only
inet_protocols = ipv4
smtpd_error_sleep_time = 0
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n - 0 flush
proxymap unix - - n - - proxymap
retry unix - - n - - error
error unix - - n - - error
showq unix n - n - - showq
discard unix - - n - - discard
"""
_QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush"),
    *("hold", "incoming", "private", "saved", "trace"),
)


class Postfix:
    """One that runs.

    Attributes:
        directory: open to all users; its configuration stands in etc/.
        port: of its SMTP server.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()

    def command(self, name: str, *arguments: str) -> str:
        """Run one of its commands; returns what it prints."""
        done = subprocess.run(
            [need(name), "-c", self.directory / "etc", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def smtp(self) -> smtplib.SMTP:
        """A connection to it."""
        return smtplib.SMTP("127.0.0.1", self.port, timeout=20)

    @property
    def queue(self) -> list[dict[str, Any]]:
        """What it has not delivered yet."""
        return [json.loads(line) for line in self.command("postqueue", "-j").splitlines()]

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.directory / "log").read_text(errors="replace")

    def delivers_all(self, seconds: float = 30) -> None:
        """Wait until its queue is empty, trying again what was deferred."""

        def empty() -> bool:
            left = self.queue
            if any(entry["queue_name"] == "deferred" for entry in left):
                self.command("postqueue", "-f")
            return not left

        eventually(empty, seconds, f"everything is delivered; {self.log[-2000:]}")

    def returns(self) -> list[str]:
        """Lines of its log about mail that it returned to a sender."""
        return re.findall(r".*(?:status=bounced|non-delivery notification|delay notification).*", self.log)


@contextmanager
def running(main: str, services: str) -> Iterator[Postfix]:
    """A Postfix for as long as the block lasts.

    Args:
        main: added to main.cf; "{0}" is its directory.
        services: added to master.cf.
    """
    need("postfix")
    if os.geteuid():
        pytest.skip("only root can start Postfix")
    # Not below tmp_path, which is closed to the users that Postfix becomes.
    directory = Path(tempfile.mkdtemp(prefix="spamtrap-postfix-"))
    try:
        directory.chmod(0o755)
        for name in ("etc", "queue", "data"):
            (directory / name).mkdir()
        shutil.chown(directory / "data", "postfix")
        _furnish(directory / "queue")
        postfix = Postfix(directory)
        write(directory / "etc/main.cf", _MAIN.format(directory) + main.format(directory))
        write(directory / "etc/master.cf", _MASTER.format(port=postfix.port) + services)
        postfix.command("postfix", "start")
        try:
            eventually(lambda: _greets(postfix), what="Postfix listens")
            yield postfix
        finally:
            postfix.command("postfix", "stop")
    finally:
        shutil.rmtree(directory)


def write(path: Path, text: str) -> None:
    """Write a file of its configuration, or a table, as if long ago.

    Each of its programs waits until what it reads is two seconds old, in case somebody still writes.
    """
    path.write_text(text)
    os.utime(path, (0, 0))


def _furnish(queue: Path) -> None:
    """What `postfix start` would make and look through for seconds, as /etc/postfix/postfix-files says."""
    for name in _QUEUES:
        (queue / name).mkdir(mode=0o700)
        shutil.chown(queue / name, "postfix")
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        (queue / name).mkdir()
        (queue / name).chmod(mode)
        shutil.chown(queue / name, "postfix", "postdrop")
    (queue / "pid").mkdir(mode=0o755)
    (queue / "quick-start").touch()  # its script then takes the rest for granted, once


def _greets(postfix: Postfix) -> bool:
    try:
        postfix.smtp().quit()
    except (OSError, smtplib.SMTPException):
        return False
    return True
