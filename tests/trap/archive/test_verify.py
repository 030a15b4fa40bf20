"""verify: a flipped bit anywhere is found, and what only looks odd is not called a fault."""

from collections.abc import Callable
from pathlib import Path

import pytest
from archived import job, mixed_message

from trap.archive.index import Index
from trap.archive.packed import Packed
from trap.archive.packer import pack
from trap.archive.segment import FOOTER_SIZE, Reader
from trap.archive.store import Store, segments
from trap.archive.verify import Proof

Indexed = Callable[[], Index]


@pytest.fixture
def sealed(directory: Path) -> Path:
    """A sealed segment of four messages."""
    store = Store(directory)
    store.put([job(n, message=mixed_message(n)) for n in range(4)])
    store.seal()
    path = segments(directory)[0]
    path.chmod(0o640)
    return path


def faults(directory: Path, index: Index) -> list[str]:
    return list(Proof().faults(directory, index))


def test_a_sound_archive(directory: Path, sealed: Path, indexed: Indexed) -> None:
    store = Store(directory)
    store.put([job(n) for n in range(10, 13)])
    proof = Proof()
    read: list[int] = []
    assert list(proof.faults(directory, indexed(), read.append)) == []
    assert (proof.segments, proof.records) == (2, 7)
    assert read and sum(read) < sum(path.stat().st_size for path in segments(directory))
    store.close()


def test_sealed_while_it_is_read(directory: Path, indexed: Indexed) -> None:
    store = Store(directory)
    store.put([job(n) for n in range(3)])
    assert list(Proof().faults(directory, indexed(), lambda _: store.seal())) == []


def test_a_flipped_bit_anywhere_is_found(directory: Path, sealed: Path, indexed: Indexed) -> None:
    index = indexed()
    good = sealed.read_bytes()
    for at in range(0, len(good), 7):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        sealed.write_bytes(bad)
        assert faults(directory, index), f"byte {at} of {len(good)}"
    sealed.write_bytes(good)
    assert faults(directory, index) == []


def test_a_flipped_bit_anywhere_in_a_packed_segment_is_found(
    directory: Path, sealed: Path, indexed: Indexed
) -> None:
    index = indexed()
    assert pack(sealed, 3)
    assert faults(directory, index) == []
    sealed.chmod(0o640)
    good = sealed.read_bytes()
    for at in range(0, len(good), 3):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        sealed.write_bytes(bad)
        assert faults(directory, index), f"byte {at} of {len(good)}"


def test_other_messages_than_were_packed_are_found(directory: Path, sealed: Path, indexed: Indexed) -> None:
    """Whatever is wrong with them: also what no crc32 tells."""
    index = indexed()
    assert pack(sealed, 3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Packed, "_proved", lambda self, block, frame: frame)
        (fault,) = faults(directory, index)
    assert "not those that were packed" in fault


def test_a_lost_tail_is_found(directory: Path, sealed: Path, indexed: Indexed) -> None:
    index = indexed()
    good = sealed.read_bytes()
    with Reader(sealed) as reader:
        ends = [frame.end for frame in reader.frames()]
    sealed.write_bytes(good[: ends[2]])
    gone, footer = faults(directory, index)
    assert "the index says that" in footer and "its footer is damaged or gone" in gone
    sealed.write_bytes(good[: ends[2]] + good[-FOOTER_SIZE:])
    assert any("3 records found, 4 in its footer" in fault for fault in faults(directory, index))


def test_what_the_index_lacks_is_found(directory: Path, sealed: Path, indexed: Indexed) -> None:
    index = indexed()
    index.db.execute("DELETE FROM message WHERE n = (SELECT max(n) FROM message)")
    (fault,) = faults(directory, index)
    assert "the index does not know" in fault
    sealed.unlink()
    (fault,) = faults(directory, index)
    assert "the segment is gone" in fault


def test_what_is_not_indexed_yet_is_no_fault(directory: Path, sealed: Path) -> None:
    assert faults(directory, Index.open(directory)) == []


def test_a_job_archived_twice_is_no_fault(directory: Path, sealed: Path, indexed: Indexed) -> None:
    with Reader(sealed) as reader:
        again = reader.record(next(iter(reader.frames()))).job()
    store = Store(directory)
    store.put([again])
    store.close()
    assert faults(directory, indexed()) == []
