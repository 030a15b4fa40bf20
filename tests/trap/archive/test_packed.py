"""packed: damage is found wherever it is, and costs what leans on it and no more."""

import os
import random
import struct
from pathlib import Path

import pytest
import zstandard
from archived import attached, job, mixed_message
from archived import sealed_segment as sealed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trap.archive import packer
from trap.archive.form import FOOTER_SIZE, Fault, crc
from trap.archive.packed import _MARK_SIZE, BLOB, BLOCK, DICTIONARY, Mark, Packed
from trap.archive.packer import pack
from trap.archive.record import Corrupt
from trap.archive.segment import Reader
from trap.archive.spare import STRIPES

FILE = random.Random(1).randbytes(5_000)


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed segment of many small blocks in two parts; two of its messages carry a file."""
    monkeypatch.setattr(packer, "BLOCK_BYTES", 4_000)
    monkeypatch.setattr(packer, "PART_BYTES", 12_000)
    messages = [attached(n, FILE) if n in {2, 20} else mixed_message(n) for n in range(24)]
    path = sealed(tmp_path, [job(n, message=message) for n, message in enumerate(messages)])
    assert pack(path, 3)
    return path


def marks(path: Path) -> list[tuple[int, Mark]]:
    with Reader(path) as reader:
        assert isinstance(reader._form, Packed)
        return list(reader._form.marks(lambda _: None))


def read(path: Path) -> tuple[list[str], list[str]]:
    """The jobs that come out, and what is told of the others."""
    faults: list[Fault] = []
    good: list[str] = []
    told: list[str] = []
    with Reader(path) as reader:
        for frame in reader.frames(fault=faults.append):
            try:
                good.append(reader.record(frame).id)
            except Corrupt as error:
                told.append(str(error))
    return good, told + [fault.what for fault in faults]


def hurt(path: Path, at: int, noise: bytes) -> Path:
    data = bytearray(path.read_bytes())
    size = len(data)
    data[at : at + len(noise)] = noise
    made = path.with_name("hurt.seg")
    made.write_bytes(data[:size])
    return made


def changed(path: Path, at: int) -> Path:
    return hurt(path, at, bytes([path.read_bytes()[at] ^ 0x40]))


def test_what_lies_where(whole: Path) -> None:
    """A file that two carry lies there once; each part has its lines, and blocks after them."""
    kinds = [mark.kind for _, mark in marks(whole)]
    assert kinds.count(BLOB) == 1
    assert kinds.count(DICTIONARY) > 1
    assert kinds.count(BLOCK) > 4


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_told_and_the_blocks_beside_it_are_found(whole: Path, data: st.DataObject) -> None:
    every, none = read(whole)
    assert len(every) == 24 and not none
    all_marks = marks(whole)
    at = data.draw(st.integers(all_marks[0][0], all_marks[-1][1].end - 1))
    noise = data.draw(st.binary(min_size=1, max_size=300))
    noise = noise[: all_marks[-1][1].end - at]
    made = hurt(whole, at, noise)
    new, old = made.read_bytes(), whole.read_bytes()
    places = [n for n in range(at, at + len(noise)) if new[n] != old[n]]
    if not places:
        return
    good, told = read(made)
    assert told
    touched = {mark for start, mark in all_marks if any(start <= n < mark.end for n in places)}
    starts = {start for start, mark in all_marks if mark in touched}
    if all(mark.kind == BLOCK for mark in touched):
        blocks = [mark for _, mark in all_marks if mark.kind == BLOCK]
        with Reader(whole) as reader:
            frames = list(reader.frames())
        limits = [mark.offset for mark in blocks] + [frames[-1].end]
        lost = [(limits[n], limits[n + 1]) for n, mark in enumerate(blocks) if mark in touched]
        assert good == [f.id for f in frames if not any(low <= f.offset < high for low, high in lost)]
    elif all(mark.kind == DICTIONARY for mark in touched):
        in_mark = any(start <= n < start + _MARK_SIZE for start in starts for n in places)
        spread = max(places) - min(places) >= min(mark.text for mark in touched) // STRIPES
        assert good == every or in_mark or spread, "lines are healed"
        assert good, "the other part is whole"


def test_lines_that_are_damaged_in_many_places(whole: Path) -> None:
    """That costs those who lean on them, and no others."""
    at, mark = next((at, mark) for at, mark in marks(whole) if mark.kind == DICTIONARY)
    good, told = read(hurt(whole, at + _MARK_SIZE, bytes(mark.length)))
    leaning = [mark.offset for _, mark in marks(whole) if mark.dictionary == at]
    assert 0 < len(good) < 24
    assert sum("lines it shares" in each for each in told) == len(leaning)


def test_a_damaged_file_costs_those_who_carried_it(whole: Path) -> None:
    ((at, mark),) = [(at, mark) for at, mark in marks(whole) if mark.kind == BLOB]
    good, told = read(changed(whole, (at + mark.end) // 2))
    assert len(good) == 22
    assert sum("the file it carried" in each for each in told) == 2


def test_a_packed_segment_is_a_zstd_stream(whole: Path) -> None:
    """Skippable frames and zstd frames, from the first byte to the last; files come out with any decoder."""
    data, at = whole.read_bytes(), 0
    while at < len(data):
        (magic,) = struct.unpack_from("<I", data, at)
        if 0x184D2A50 <= magic <= 0x184D2A5F:
            at += 8 + struct.unpack_from("<I", data, at + 4)[0]
            continue
        assert magic == zstandard.MAGIC_NUMBER
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        try:
            content = decompressor.decompress(data[at:])
            at = len(data) - len(decompressor.unused_data)
        except zstandard.ZstdError:  # it leans on lines
            (at,) = [mark.end for start, mark in marks(whole) if start < at < mark.end]
            continue
        assert content is not None
    assert at == len(data)


def test_without_a_footer_it_is_read_all_the_same(whole: Path) -> None:
    made = whole.with_name("cut.seg")
    made.write_bytes(whole.read_bytes()[:-FOOTER_SIZE])
    with Reader(made) as reader:
        assert reader.seal is None
    good, told = read(made)
    assert (len(good), told) == (24, [])


def test_what_lies_about_its_size_is_not_unpacked(whole: Path) -> None:
    """Not even when its crc32 is right."""
    at, mark = next((at, mark) for at, mark in marks(whole) if mark.kind == BLOCK)
    data = bytearray(whole.read_bytes())
    huge = zstandard.ZstdCompressor().compress(b"")[:4] + b"\xe0" + (1 << 40).to_bytes(8, "little")
    begin = at + _MARK_SIZE
    data[begin : begin + len(huge)] = huge
    with Reader(whole) as reader:
        seed = reader.seed
    data[begin - 8 : begin - 4] = crc(seed, bytes(data[begin : mark.end]))
    data[begin - 4 : begin] = crc(seed, bytes(data[at + 8 : begin - 4]))
    made = whole.with_name("lies.seg")
    made.write_bytes(data)
    good, told = read(made)
    assert 0 < len(good) < 24
    assert any("absurd" in each for each in told)


def test_mail_can_not_pretend_to_be_a_block(tmp_path: Path, whole: Path) -> None:
    """A file that holds a packed segment, stored uncompressed and then damaged, brings nothing forth."""
    inner = whole.read_bytes()
    carried = os.urandom(200_000) + inner + os.urandom(100)
    path = sealed(tmp_path / "outer", [job(1), job(2, message=attached(2, carried))])
    assert pack(path, 3)
    ((at, _),) = [(at, mark) for at, mark in marks(path) if mark.kind == BLOB]
    made = changed(path, at + 20)
    good, told = read(made)
    assert len(good) == 1
    assert len(told) == 2
