"""copies: what a campaign says again and again is stored once a segment."""

import os
import random
from pathlib import Path

import pytest
from archived import job, mail

from trap.archive import copies as copies_module
from trap.archive.record import Corrupt
from trap.archive.segment import Frame, Reader
from trap.archive.writer import Writer
from trap.job import Job

WORDS = [f"{random.Random(n).getrandbits(40):x}" for n in range(600)]


def copy(number: int, campaign: object = "c1", text: str = " ".join(WORDS)) -> Job:
    made = job(number, message=mail(number, body=text))
    return Job(made.id, made.envelope, {"dedup": {"campaign": campaign}}, made.message)


def written(directory: Path, *batches: list[Job]) -> tuple[Path, list[Frame]]:
    writer = Writer.create(directory, b"", 3)
    for batch in batches:
        writer.append(batch)
    writer.close()
    with Reader(writer.path) as reader:
        frames = list(reader.frames())
        jobs = [each for batch in batches for each in batch]
        for before, frame in zip(jobs, frames, strict=True):
            assert reader.record(frame).message == before.message
            assert reader.read(frame.offset).id == before.id
    return writer.path, frames


def test_copies_lean_on_the_first(tmp_path: Path) -> None:
    """Within a batch and across; the first stands alone, and none leans on one that leans."""
    _, frames = written(tmp_path, [copy(1), copy(2), copy(3, "c2")], [copy(4), copy(5, "c2")])
    first, second = frames[0].offset, frames[2].offset
    assert [frame.base for frame in frames] == [0, first, 0, first, second]
    assert len(frames[1].data) < len(frames[0].data) / 4


def test_mail_without_a_campaign_stands_alone(tmp_path: Path) -> None:
    made = [job(n, message=mail(n, body=" ".join(WORDS))) for n in range(3)]
    assert [frame.base for frame in written(tmp_path, made)[1]] == [0, 0, 0]


def test_a_campaign_that_changed_has_a_new_first(tmp_path: Path) -> None:
    other = " ".join(reversed([word[::-1] for word in WORDS]))
    _, frames = written(tmp_path, [copy(1), copy(2, text=other), copy(3, text=other), copy(4)])
    assert [frame.base for frame in frames] == [0, 0, frames[1].offset, 0]


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten or too large costs nothing but its saving."""
    monkeypatch.setattr(copies_module, "MAX_TOTAL", 20_000)
    monkeypatch.setattr(copies_module, "MAX_BYTES", 15_000)
    _, frames = written(tmp_path, [copy(1, "a"), copy(2, "b"), copy(3, "c"), copy(4, "a"), copy(5, "c")])
    assert [bool(frame.base) for frame in frames] == [False, False, False, False, True]
    huge = os.urandom(9000).hex()
    _, frames = written(tmp_path, [copy(1, text=huge), copy(2, text=huge)])
    assert [frame.base for frame in frames] == [0, 0]


def test_a_new_owner_begins_anew(tmp_path: Path) -> None:
    path, _ = written(tmp_path, [copy(1), copy(2)])
    heir = Writer.adopt(path, 3)
    assert heir
    heir.append([copy(3), copy(4)])
    heir.close()
    with Reader(path) as reader:
        frames = list(reader.frames())
        assert [frame.base for frame in frames] == [0, frames[0].offset, 0, frames[2].offset]
        assert all(reader.record(frame) for frame in frames)


def test_damage_of_the_first_is_told_of_those_that_lean_on_it(tmp_path: Path) -> None:
    path, frames = written(tmp_path, [copy(1), copy(2), copy(3, "c2")])
    data = bytearray(path.read_bytes())
    data[frames[0].end - 5] ^= 1
    path.write_bytes(data)
    with Reader(path) as reader:
        left = list(reader.frames())
        assert [frame.id for frame in left] == [frame.id for frame in frames[1:]]
        with pytest.raises(Corrupt, match="leans on a damaged record"):
            reader.record(left[0])
        assert reader.record(left[1])
        with pytest.raises(Corrupt, match="leans on a damaged record"):
            reader.content(left[1]._replace(base=left[0].offset))
