"""For each module: a Chromium, somebody outside who listens, and a trap full of hostile mail."""

from collections.abc import Iterator

import pytest
from browserkit import Elsewhere, chromium, elsewhere
from menagerie import House, housed
from playwright.sync_api import Browser, BrowserContext


@pytest.fixture(scope="module")
def outside() -> Iterator[Elsewhere]:
    with elsewhere() as made:
        yield made


@pytest.fixture(scope="module")
def bench() -> Iterator[Elsewhere]:
    """A server with pages of the tests."""
    with elsewhere() as made:
        yield made


@pytest.fixture(scope="module")
def browser(outside: Elsewhere) -> Iterator[Browser]:
    with chromium(outside) as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context()
    yield made
    made.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, outside: Elsewhere) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("house"), outside.port) as made:
        yield made
