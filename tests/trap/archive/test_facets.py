"""facets: what the messages found have in common, and how many were looked at for that."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from archived import job, mixed_message

from trap.archive import facets
from trap.archive.indexer import catch_up
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.store import Store
from trap.envelope import Rcpt
from trap.job import Job


@pytest.fixture
def library(directory: Path) -> Iterator[Library]:
    """Sixty messages with all there is to count."""
    store = Store(directory)
    jobs = []
    for number in range(60):
        made = job(
            number,
            message=mixed_message(number) if number % 4 == 0 else None,
            client_ip=f"192.0.{number % 3}.7" if number % 5 else "2001:db8::7",
            rcpts=[Rcpt(address="trap@trap.example", tag=tag) for tag in ("web", "list")[: number % 3]],
        )
        notes = {"dedup": {"campaign": f"{number % 7:012x}", "count": 1 + number // 7}}
        jobs.append(Job(made.id, made.envelope, notes, made.message))
    store.put(jobs)
    store.close()
    with Library(directory) as opened:
        catch_up(directory, opened.index)
        yield opened


@pytest.mark.parametrize("query", ["", "offer", "-offer", "nothing", "tag:web"])
def test_counts_are_those_of_the_rows(library: Library, query: str) -> None:
    rows = list(library.find(parse(query)))
    counted = library.facets(parse(query), budget=60)
    assert (counted.counted, counted.complete) == (len(rows), True)
    for name, values in counted.values.items():
        assert dict(values) == Counter(value for row in rows for value in row.facets[name])
        assert [count for _, count in values] == sorted((count for _, count in values), reverse=True)


def test_a_value_can_be_searched_for(library: Library) -> None:
    """By the facet's own name, but for networks; a domain is also that of a HELO or a link."""
    for name, values in library.facets(parse(""), budget=60).values.items():
        for value, count in values:
            query = parse(f'{"cidr" if name == "network" else name}:"{value}"')
            found = list(library.find(query))
            mine = [row for row in found if value in row.facets[name]]
            assert len(mine) == count and (name == "domain" or mine == found), (name, value)


def test_only_the_newest_are_counted(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "_PAGE", 7)
    counted = library.facets(parse(""), sample=20, budget=60)
    assert (counted.counted, counted.complete) == (20, False)
    rows = list(library.find(parse(""), limit=20))
    assert dict(counted.values["network"]) == Counter(row.facets["network"][0] for row in rows)
    assert library.facets(parse(""), sample=60, budget=60).counted == 60


def test_no_more_time_than_is_given(library: Library) -> None:
    counted = library.facets(parse("offer"), budget=0.0)
    assert (counted.counted, counted.complete) == (0, False)
    assert set(counted.values) == set(library.facets(parse("")).values)
