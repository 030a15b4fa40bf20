"""suspect: a message that kills its parser is not parsed for ever, and costs no other its words."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from archived import job, mail

from trap.archive import suspect
from trap.archive.fields import Fields, extract
from trap.archive.index import Index, index_files
from trap.archive.indexer import catch_up, rebuild
from trap.archive.query import parse
from trap.archive.record import Record
from trap.archive.search import find
from trap.archive.store import Store

Indexed = Callable[[], Index]


def deadly(record: Record) -> Fields:
    if b"poison" in record.message:
        os.kill(os.getpid(), signal.SIGKILL)
    return extract(record)


def deaths(work: Callable[[], None], most: int = 20) -> int:
    """How many processes die before one comes to the end."""
    for count in range(most):
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(30)
        if process.exitcode == 0:
            return count
    raise AssertionError(f"more than {most}")


@pytest.fixture
def poisoned(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of two open segments, three deadly messages in each."""
    monkeypatch.setattr(suspect, "indexed", deadly)
    stores = [Store(directory), Store(directory)]
    for number, store in enumerate(stores):
        words = ["prize", "poison", "poison", "prize", "poison", "prize"]
        store.put(
            [job(10 * number + n, message=mail(n, f"Subject {n}", word)) for n, word in enumerate(words)]
        )
    for store in stores:
        store.close()
    return directory


def check(directory: Path) -> None:
    index = Index.open(directory)
    rows = list(find(index, parse("")))
    assert [row.defects for row in rows].count("parser: died of it 2 times") == 6
    assert len(rows) == 12 and all(row.subject.startswith("Subject") for row in rows)
    assert len(list(find(index, parse("body:prize")))) == 6
    index.close()


def test_it_is_indexed_by_its_subject_after_two_deaths(poisoned: Path) -> None:
    def work() -> None:
        index = Index.open(poisoned)
        catch_up(poisoned, index)
        index.close()

    assert deaths(work) == 12
    check(poisoned)


def test_also_when_the_index_is_made_anew(poisoned: Path) -> None:
    Index.open(poisoned).close()
    assert deaths(lambda: rebuild(poisoned)) == 12
    check(poisoned)
    assert not list(poisoned.glob("*-parsing"))
    assert index_files(poisoned)[-1].name == "index-2.db"
