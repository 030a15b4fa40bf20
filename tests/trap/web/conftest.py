"""Who looks at the pages: at an archive of some `jobs`, or at the queues of a `config`."""

from collections.abc import Iterator

import pytest
from webkit import Visitor, config_at, fill, visitor

from trap.config import Config
from trap.job import Job
from trap.queue import Spool


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory, jobs: list[Job]) -> Iterator[Visitor]:
    """A visitor of an archive that holds the jobs of a module."""
    config = config_at(tmp_path_factory.mktemp("trap"))
    fill(config, jobs)
    with visitor(config) as made:
        yield made


@pytest.fixture
def shown(me: Visitor) -> Iterator[Visitor]:
    """The same visitor, with identities shown."""
    me.act("/identities", page="/messages", show="1")
    yield me
    me.act("/identities", page="/messages", show="0")


@pytest.fixture
def spool(config: Config) -> Iterator[Spool]:
    """The spool of a configuration."""
    spool = Spool.open(config)
    yield spool
    spool.close()
    spool.log.close()


@pytest.fixture
def reader(config: Config) -> Iterator[Visitor]:
    """A visitor of a trap with that configuration."""
    with visitor(config) as made:
        yield made
