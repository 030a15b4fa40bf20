"""Where a reporter is: its queue, its book, and what it must never tell."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trap import keys
from trap.config import Config
from trap.fsio import make_directory

if TYPE_CHECKING:
    from trap.redaction.identities import Identities
    from trap.redaction.search import Searcher

DIRECTORY = "reports"
"""Below the state directory; no queue may be called so."""


class Place:
    """A stage that asks for a `place` gets this from the worker, as it gets its `state_dir`.

    Args:
        config: of the trap.
        queue: the stage's.
    """

    def __init__(self, config: Config, queue: str) -> None:
        self.config = config
        self.queue = queue

    @cached_property
    def directory(self) -> Path:
        """Of the books of all reporters; readable by the trap's user only."""
        path = self.config.paths.state / DIRECTORY
        make_directory(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
        return path

    @cached_property
    def identities(self) -> "Identities":
        """Who the trap is, as far as its configuration tells."""
        from trap.redaction.identities import Identities  # noqa: PLC0415 - who reports nothing needs it not

        return Identities.of(self.config)

    @cached_property
    def searcher(self) -> "Searcher":
        """What finds those, made once: there may be thousands."""
        from trap.redaction.search import Searcher  # noqa: PLC0415 - as above

        return Searcher(self.identities)

    @cached_property
    def consumer_key(self) -> Callable[[str], bytes]:
        """The key of the masks and names that one recipient of this queue's reports gets to see."""
        secret = keys.key(self.config.paths.state, f"reports of {self.queue}")
        return lambda consumer: hashlib.blake2b(
            consumer.encode("utf-8", "surrogateescape"), key=secret, digest_size=keys.SIZE
        ).digest()
