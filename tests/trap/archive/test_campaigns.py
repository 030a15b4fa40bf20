"""campaigns: counted as their messages come and go."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from archived import NOVEMBER, job, mail

from trap.archive.indexer import catch_up, rebuild
from trap.archive.library import Campaign, Library
from trap.archive.store import Store, segments
from trap.job import Job

HOUR = 3600
Note = tuple[float, str, int | None]
"""Hour, campaign and count of a message, the last None when no stage counts."""


@pytest.fixture
def archived(directory: Path) -> Callable[..., Library]:
    """Archives messages of campaigns in a segment of its own, indexed a few at a time."""
    numbers = itertools.count()

    def put(*notes: Note, at_once: int = 1) -> Library:
        store = Store(directory)
        jobs = [_job(next(numbers), *note) for note in notes]
        library = Library(directory) if segments(directory) else None
        for first in range(0, len(jobs), at_once):
            store.put(jobs[first : first + at_once])
            library = library or Library(directory)
            catch_up(directory, library.index)
        store.seal()
        assert library
        catch_up(directory, library.index)
        return library

    return put


def _job(number: int, hour: float, campaign: str, count: int | None) -> Job:
    made = job(
        at=NOVEMBER + hour * HOUR,
        message=mail(number, f"Offer {number % 5}"),
        client_ip=f"192.0.{number % 3}.1",
    )
    note = {"campaign": campaign} if count is None else {"campaign": campaign, "count": count}
    return Job(made.id, made.envelope, {"dedup": note}, made.message)


def names(found: Sequence[Campaign]) -> list[str]:
    return [each.name for each in found]


A, B, C = ("0000000000aa", "0000000000bb", "a campaign of another stage")


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_copies_are_counted_by_what_dedup_noted(archived: Callable[..., Library], at_once: int) -> None:
    """Most copies are dropped, and known by the next one that is archived."""
    library = archived((0, A, 1), (0.5, A, 2), (3, A, 40), (3.2, B, 1), (5, A, 41), at_once=at_once)
    (found,) = library.campaigns("size", None, 10)
    assert (found.name, found.archived, found.copies) == (A, 4, 41)
    assert (found.first, found.last) == (NOVEMBER, NOVEMBER + 5 * HOUR)
    assert found.hours == [(NOVEMBER, 2), (NOVEMBER + 3 * HOUR, 38), (NOVEMBER + 5 * HOUR, 1)]
    assert found.subjects == ["Offer 4", "Offer 2", "Offer 1"]
    assert found.networks == ["192.0.1.0/24", "192.0.2.0/24", "192.0.0.0/24"]
    assert found.domains == ["a.example"]
    assert library.campaign(A) == found


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_without_a_count_the_archived_ones_count(archived: Callable[..., Library], at_once: int) -> None:
    library = archived((0, C, None), (1, C, None), (1, C, None), at_once=at_once)
    (found,) = library.campaigns("last", None, 10)
    assert (found.name, found.archived, found.copies) == (C, 3, 3)
    assert found.hours == [(NOVEMBER, 1), (NOVEMBER + HOUR, 2)]


def test_one_copy_is_no_campaign_yet(archived: Callable[..., Library]) -> None:
    """But is found by its name."""
    library = archived((2, A, 1), (3, C, None))
    assert library.campaigns("size", None, 10) == []
    for name, hour in ((A, 2), (C, 3)):
        found = library.campaign(name)
        assert found
        assert (found.archived, found.copies, found.first) == (1, 1, NOVEMBER + hour * HOUR)
        assert len(found.subjects) == 1 and found.hours == [(NOVEMBER + hour * HOUR, 1)]
    assert library.campaign("none") is None


def test_a_campaign_that_dedup_had_forgotten(archived: Callable[..., Library]) -> None:
    """Its count begins anew; the highest one stays."""
    library = archived((0, A, 1), (1, A, 9), (50, A, 1), (51, A, 2))
    (found,) = library.campaigns()
    assert (found.archived, found.copies) == (4, 9)
    assert dict(found.hours)[int(NOVEMBER + 50 * HOUR)] == 1


def test_dropped_messages_are_taken_off(archived: Callable[..., Library], directory: Path) -> None:
    archived((0, A, 1), (1, A, 2), (1, B, 1), (2, B, 2)).close()
    library = archived((9, A, 3))
    segments(directory)[0].unlink()
    catch_up(directory, library.index)
    (found,) = library.campaigns("first", None, 10)
    assert (found.name, found.archived, found.copies) == (A, 1, 3)
    assert found.first == NOVEMBER, "it was seen then"
    assert library.campaign(B) is None


def test_pages(archived: Callable[..., Library]) -> None:
    """Of any order; what is alike is told apart by name."""
    notes: list[Note] = []
    for number in range(25):
        notes += [(number % 7, f"{number:012x}", 1), (10 + number % 3, f"{number:012x}", 2 + number % 4)]
    library = archived(*notes, at_once=100)
    orders: dict[str, Callable[[Campaign], float]] = {
        "size": lambda each: each.copies,
        "last": lambda each: each.last,
        "first": lambda each: each.first,
    }
    for order, by in orders.items():
        paged: list[Campaign] = []
        while page := library.campaigns(order, paged[-1].name if paged else None, 4):
            paged += page
        assert len(set(names(paged))) == 25
        assert [by(each) for each in paged] == sorted(map(by, paged), reverse=True)
    assert library.campaigns("size", "none", 4) == []
    with pytest.raises(KeyError):
        library.campaigns("name", None, 4)


def test_a_rebuilt_index_has_the_same(archived: Callable[..., Library], directory: Path) -> None:
    archived((0, A, 1), (1, A, 5), (1, B, 1), (2, C, None)).close()
    library = archived((9, A, 8), (10, C, None))
    before = library.campaigns("last", None, 10)
    rebuild(directory)
    with Library(directory) as rebuilt:
        assert rebuilt.campaigns("last", None, 10) == before
        assert names(before) == [C, A]


def test_only_the_newest_hours_are_told(archived: Callable[..., Library]) -> None:
    library = archived(*((hour, A, hour + 1) for hour in range(100)), at_once=30)
    (found,) = library.campaigns()
    assert [hour for hour, _ in found.hours] == [NOVEMBER + hour * HOUR for hour in range(28, 100)]


@pytest.mark.parametrize("count", [0, -1, True, "7", 1.5, 1 << 60])
def test_an_odd_count_counts_as_none(archived: Callable[..., Library], count: object) -> None:
    """Notes are whatever a stage makes them."""
    library = archived((0, A, count), (1, A, count))
    (found,) = library.campaigns()
    assert found.copies == 2
