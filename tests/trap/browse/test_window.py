"""A window moves over a list of any length, and shows each message once, both ways."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from archived import job
from archivekit import config_at, fill

from trap.archive.query import Query, parse
from trap.archive.reading import NoArchive, Reading
from trap.browse import window
from trap.browse.window import Window

COUNT = 95


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_at(tmp_path_factory.mktemp("window"))
    fill(config, [job(number) for number in range(COUNT)])
    return config.paths.archive


@pytest.fixture
async def reading(archive: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reading]:
    monkeypatch.setattr(window, "PAGE", 10)
    monkeypatch.setattr(window, "MOST", 30)
    made = Reading(archive)
    yield made
    made.close()


def numbers(of: Window) -> list[int]:
    return [int(row.subject.removeprefix("offer number ")) for row in of.rows]


async def test_down_and_up_again(reading: Reading) -> None:
    made = Window(reading, Query())
    await made.first()
    seen = numbers(made)
    while not made.at_oldest:
        before = len(made.rows)
        moved = await made.read("older")
        assert len(made.rows) <= 30
        seen += numbers(made)[before + moved :]
    assert seen == list(range(COUNT))[::-1]
    seen = numbers(made)
    while not made.at_newest:
        moved = await made.read("newer")
        seen = numbers(made)[:moved] + seen
    assert seen == list(range(COUNT))[::-1]
    assert await made.read("newer") == 0


async def test_the_other_end_at_once(reading: Reading) -> None:
    made = Window(reading, Query())
    await made.read("last")
    assert numbers(made) == list(range(10))[::-1]
    assert made.at_oldest
    assert not made.at_newest
    await made.read("first")
    assert numbers(made)[0] == COUNT - 1


async def test_around_a_message(reading: Reading) -> None:
    made = Window(reading, Query())
    await made.read("last")
    wanted = made.rows[3]
    await made.first(wanted.id)
    assert wanted.id in [row.id for row in made.rows]
    assert numbers(made) == sorted(numbers(made), reverse=True)
    assert not made.at_newest
    other = Window(reading, parse('"number 50"'))
    await other.first(wanted.id)  # which it does not find
    assert numbers(other) == [50]


async def test_no_archive(tmp_path: Path) -> None:
    reading = Reading(tmp_path / "none")
    with pytest.raises(NoArchive):
        await Window(reading, Query()).first()
    reading.close()
