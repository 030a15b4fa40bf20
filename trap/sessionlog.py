"""The session log: one JSON line for a session that left no message.

Who guesses passwords, takes us for an open proxy, or looks whether somebody is at home sends no mail that
could be archived, and is worth knowing. The log is bounded in bytes and in lines a second: what is left out
is counted in the next line. It is no part of the ledger, which accounts for messages.
"""

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trap.envelope import plain

if TYPE_CHECKING:
    from trap.session import Session

FILE_BYTES = 8 << 20
FILES = 4
MOST = 50
"""Lines a second."""
MOST_SILENT = 10
"""Of them, about clients that said nothing: a scan must not crowd out who guesses passwords."""


class _Quiet(RotatingFileHandler):
    """Its base prints a traceback when the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing more is to be done."""


class SessionLog:
    """Writes the sessions of one process.

    Args:
        directory: where the log lies; made when it is not there.
        number: of the process, when several share the ports; each has a file of its own.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, directory: Path, number: int = 1) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        path = directory / f"sessions-{number}.log"
        self._handler = _Quiet(path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8")
        self._second = 0
        self._written = 0
        self._silent = 0
        self._skipped = 0

    def record(self, session: "Session") -> None:
        """Write one line about a session that is over. A disk that is full is no reason to stop."""
        now = time.time()
        if int(now) != self._second:
            self._second, self._written, self._silent = int(now), 0, 0
        silent = not session.first_command_at
        if self._written >= MOST or (silent and self._silent >= MOST_SILENT):
            self._skipped += 1
            return
        self._written += 1
        self._silent += silent
        line = {
            "t": round(now, 3),
            "seconds": round(now - session.connected_at, 3),
            "listener": session.door.listener,
            "ip": session.client[0],
            "port": session.client[1],
            "helo": session.helo,
            "commands": session.commands,
            "tls": session.tls_version,
            "errors": session.errors or [],
            "dialect": session.dialect or {},
            "skipped": self._skipped,
        }
        self._skipped = 0
        text = msgspec.json.encode({key: plain(value) for key, value in line.items() if value}).decode()
        self._handler.emit(logging.LogRecord("session", logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()
