"""segment: what is in a file is found, whatever happened to the file."""

import hashlib
import io
import os
from pathlib import Path

import pytest
import zstandard
from archived import job, mail, mixed_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trap.archive.loose import head
from trap.archive.record import Corrupt
from trap.archive.segment import FOOTER_SIZE, Fault, Reader
from trap.archive.writer import Writer
from trap.job import Job


def filled(directory: Path, jobs: list[Job], *, seal: bool = False) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    writer = Writer.create(directory, b"", 3)
    writer.append(jobs)
    if seal:
        writer.seal()
    else:
        writer.close()
    return writer.path


def ids(path: Path) -> list[str]:
    with Reader(path) as reader:
        return [frame.id for frame in reader.frames()]


def test_what_was_put_in_comes_out(tmp_path: Path) -> None:
    """Envelope, notes and message, also bytes that are no UTF-8."""
    before = job(1, helo="caf\udce9", mail_from="", message=b"Subject: \xff\xfe\r\n\r\n\x00\x80")
    before = Job(before.id, before.envelope, {"dedup": {"campaign": "7", "raw": b"\xff"}}, before.message)
    with Reader(filled(tmp_path, [before])) as reader:
        (frame,) = reader.frames()
        record = reader.record(frame)
        assert (record.id, record.envelope, record.notes) == (before.id, before.envelope, before.notes)
        assert record.message == before.message
        assert record.sha256 == hashlib.sha256(before.message).digest()
        assert reader.read(frame.offset).id == before.id
        with pytest.raises(Corrupt):
            reader.read(frame.offset + 1)


def test_a_segment_is_a_zstd_stream(tmp_path: Path) -> None:
    """Any zstd decoder passes over heads, marks and footers, and gives the records."""
    path = filled(tmp_path, [job(n) for n in range(3)], seal=True)
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        content = stream.read()
    assert all(b"offer number %d" % n in content for n in range(3))


def test_a_sealed_segment_says_what_is_in_it(tmp_path: Path) -> None:
    jobs = [job(n) for n in (5, 1, 9)]
    path = filled(tmp_path, jobs, seal=True)
    with Reader(path) as reader:
        seal = reader.seal
        assert seal
        assert (seal.records, seal.first, seal.last) == (3, jobs[1].received_at, jobs[2].received_at)
        assert seal.message_bytes == sum(each.size for each in jobs)
        assert seal.sha256 == hashlib.sha256(path.read_bytes()[:-FOOTER_SIZE]).digest()
    assert not path.stat().st_mode & 0o222


def test_a_tail_torn_at_any_byte_is_cut_off(tmp_path: Path) -> None:
    """Whole frames stay, the torn one goes, and the segment goes on where they end."""
    jobs = [job(n) for n in range(3)]
    whole = filled(tmp_path / "whole", jobs)
    data = whole.read_bytes()
    with Reader(whole) as reader:
        last = list(reader.frames())[-1]
    for end in range(last.offset, last.end + 1):
        path = tmp_path / f"torn-{end}.seg"
        path.write_bytes(data[:end])
        kept = [each.id for each in jobs[: 3 if end == last.end else 2]]
        assert ids(path) == kept
        writer = Writer.adopt(path, 3)
        assert writer and not writer.damaged
        more = job(9)
        writer.append([more])
        writer.seal()
        assert ids(path) == [*kept, more.id]
        with Reader(path) as reader:
            assert reader.seal and reader.seal.records == len(kept) + 1
            assert reader.seal.sha256 == hashlib.sha256(path.read_bytes()[:-FOOTER_SIZE]).digest()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_costs_what_it_hits_and_no_more(tmp_path: Path, data: st.DataObject) -> None:
    """Any bytes written over a sealed segment: the frames beside them are found, and the damage is told."""
    path = tmp_path / "whole.seg"
    if not path.exists():
        filled(tmp_path, [job(n, message=mixed_message(n)) for n in range(6)], seal=True).rename(path)
    good = path.read_bytes()
    with Reader(path) as reader:
        frames = list(reader.frames())
    at = data.draw(st.integers(frames[0].offset, frames[-1].end - 1))
    noise = data.draw(st.binary(min_size=1, max_size=200))
    bad = bytearray(good)
    bad[at : at + len(noise)] = noise
    bad = bad[: len(good)]
    bad[-FOOTER_SIZE:] = good[-FOOTER_SIZE:]
    hurt = tmp_path / "hurt.seg"
    hurt.write_bytes(bad)
    untouched = [f.id for f in frames if bad[f.offset : f.end] == good[f.offset : f.end]]
    faults: list[Fault] = []
    with Reader(hurt) as reader:
        found = [frame.id for frame in reader.frames(fault=faults.append)]
        assert found == untouched
        assert bool(faults) == (len(untouched) < len(frames))


def test_mail_can_not_pretend_to_be_a_frame(tmp_path: Path) -> None:
    """A message that holds a segment, stored uncompressed and then damaged, brings nothing forth."""
    inner = filled(tmp_path / "inner", [job(1)]).read_bytes()
    path = filled(tmp_path, [job(2, message=os.urandom(200_000) + inner), job(3)])
    with Reader(path) as reader:
        first, second = reader.frames()
    data = bytearray(path.read_bytes())
    assert inner[-100:] in data
    data[first.offset] ^= 1
    path.write_bytes(data)
    assert ids(path) == [second.id]


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"x",
        b"\x50\x2a\x4d\x18",
        b"\x50\x2a\x4d\x18\xff\xff\xff\xff",
        head(0, 0, b"")[:-1],
        b"From joe\n\n",
    ],
)
def test_other_files_are_no_segments(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "other.seg"
    path.write_bytes(start)
    with pytest.raises(Corrupt):
        Reader(path)
    assert Writer.adopt(path, 3) is None
    assert path.read_bytes() == start


def test_a_frame_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    """Not even when its crc32 is right."""
    path = filled(tmp_path, [job(1)])
    with Reader(path) as reader:
        (frame,) = reader.frames()
        huge = zstandard.ZstdCompressor().compress(b"")[:4] + b"\xe0" + (1 << 40).to_bytes(8, "little")
        with pytest.raises(Corrupt, match="absurd"):
            reader.content(frame._replace(data=huge))
        with pytest.raises(Corrupt, match="zstd"):
            reader.content(frame._replace(data=frame.data[:-3]))
        with pytest.raises(Corrupt, match="not a record"):
            reader.record(frame._replace(data=zstandard.ZstdCompressor().compress(b"\x93\x01\x02")))
        with pytest.raises(Corrupt, match="sha256"):
            reader.record(frame._replace(sha256=bytes(32)))


def test_every_file_of_the_corpus_comes_out_as_it_went_in(tmp_path: Path, corpus: Path) -> None:
    jobs = [Job.from_message(path.read_bytes()) for path in sorted(corpus.glob("*/*.eml"))[::7]]
    path = filled(tmp_path, jobs)
    with Reader(path) as reader, io.BytesIO():
        for before, frame in zip(jobs, reader.frames(), strict=True):
            assert reader.record(frame).message == before.message


def test_mail_without_anything_in_it(tmp_path: Path) -> None:
    path = filled(tmp_path, [job(1, message=b""), job(2, message=mail(2))], seal=True)
    with Reader(path) as reader:
        assert [reader.record(frame).message for frame in reader.frames()] == [b"", mail(2)]
