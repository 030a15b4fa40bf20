"""Archives for the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trap.archive.index import Index
from trap.archive.indexer import catch_up
from trap.archive.store import Store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an archive may be made."""
    return tmp_path / "archive"


@pytest.fixture
def store(directory: Path) -> Store:
    """An archive's store, nothing in it yet."""
    return Store(directory)


@pytest.fixture
def indexed(directory: Path) -> Callable[[], Index]:
    """Brings the index up to date and opens it."""

    def make() -> Index:
        index = Index.open(directory)
        catch_up(directory, index)
        return index

    return make
