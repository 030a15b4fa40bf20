"""A visitor of the web interface, without a browser: Starlette's own client, and an archive to look at."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from starlette.testclient import TestClient

from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.store import Store
from trap.config import Config, paths_below
from trap.configweb import Web
from trap.job import Job
from trap.web.app import build

HOME = "http://127.0.0.1:8025"


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


class Visitor(TestClient):
    """Asks for pages as a browser does: keeps cookies, says where a form came from, follows no redirect."""

    def act(self, path: str, page: str = "/messages", **fields: str) -> Any:
        """Submit a form: with the token that `page` shows, from an address of ours."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(page).text)
        assert token, f"{page} has no form"
        return self.post(path, data={"csrf": token[1], **fields}, headers={"Origin": HOME})


@contextmanager
def visitor(config: Config) -> Iterator[Visitor]:
    """Somebody who looks at the web interface of a trap."""
    with Visitor(build(config), base_url=HOME, follow_redirects=False, raise_server_exceptions=False) as made:
        yield made
