"""What people did that should be remembered: who showed identities, purged, requeued, logged in.

One JSON line an act in `state/acts.log`, bounded. (Purges and requeues stand in the mail log as
well, job by job; here stands who it was.)
"""

import fcntl
import logging
import os
import time
from pathlib import Path

import msgspec

from trap import fsio
from trap.envelope import plain

NAME = "acts.log"
FILE_BYTES = 4 << 20
"""A file larger than this makes room for the next; one old one is kept."""
_LOG = logging.getLogger("spamtrap.acts")


def record(state: Path, user: str, act: str, **details: object) -> None:
    """Write an act down, and say it in the log.

    Args:
        state: the state directory.
        user: who did it.
        act: what, in a word or two.
        details: of it.

    Raises:
        OSError: it can't be written; what can't be remembered must not be done.
    """
    line = {"t": round(time.time(), 3), "user": user, "act": act, **details}
    text = msgspec.json.encode(plain(line))
    path = str(state / NAME)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fsio.write_all(fd, [text, b"\n"])
        # RACE: several see that the file is full; the first takes it away, the others see that it is gone
        # (test_many_writers_lose_nothing_but_what_is_too_old).
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_size > FILE_BYTES and _is_at(fd, path):
            fsio.rename(path, path + ".1")
    finally:
        os.close(fd)
    _LOG.info("%s", text.decode())


def _is_at(fd: int, path: str) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
