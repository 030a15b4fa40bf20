"""The trap's secret: random bytes in the state directory, and the keys that are derived from it.

It is made by whichever process needs it first. Whoever holds it can test guesses against what the
trap keeps hashed, so it is for the trap's user only, and never in an archive or a report.
"""

import hashlib
import os
import secrets
from pathlib import Path

from trap import fsio

NAME = "secret"
SIZE = 32


def key(state: Path, purpose: str, owner: tuple[int, int] | None = None) -> bytes:
    """The key for one purpose, the same for every process of a trap and after every start.

    Args:
        state: the state directory.
        purpose: a short word; keys for different ones tell nothing of each other.
        owner: uid and gid that a secret made now shall belong to.

    Raises:
        OSError: the secret can be neither read nor made.
    """
    path = state / NAME
    try:
        secret = fsio.read(str(path))
    except FileNotFoundError:
        secret = _make(path, owner)
    if len(secret) < SIZE:
        raise OSError(f"{path}: not a secret of ours, it is too short; remove it for a new one")
    return hashlib.blake2b(purpose.encode(), key=secret[:SIZE], digest_size=SIZE).digest()


def _make(path: Path, owner: tuple[int, int] | None) -> bytes:
    fsio.make_directory(path.parent)
    new = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    fsio.write(new, [secrets.token_bytes(SIZE)], sync=True)
    try:
        if owner:
            os.chown(new, *owner)
        # RACE: two processes make one at once: the name is given to the first only, and both read that
        # (test_processes_that_come_at_once_agree).
        fsio.link(new, str(path), sync=True)
    finally:
        fsio.unlink(new)
    return fsio.read(str(path))
