"""A small archive to look at, by whatever interface."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.store import Store
from trap.config import Config, paths_below
from trap.configweb import Web
from trap.job import Job


def config_at(directory: Path, web: Web | None = None, **settings: Any) -> Config:
    """A configuration with everything below a directory."""
    return msgspec.structs.replace(Config(**settings), paths=paths_below(directory), web=web or Web())


def fill(config: Config, jobs: Sequence[Job]) -> None:
    """Archive and index some jobs."""
    store = Store(config.paths.archive)
    store.put(jobs)
    store.close()
    index = Index.open(config.paths.archive)
    catch_up(config.paths.archive, index)
    index.close()
