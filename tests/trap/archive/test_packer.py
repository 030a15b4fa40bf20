"""packer: a packed segment holds what the loose one held, and nothing that happens on the way loses any."""

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from archived import attached, job, mail, mixed_message
from archived import sealed_segment as sealed
from faultkit import CAN_FAIL, CHANGES, FaultyOs, What, at_once, die_after, die_before, fail_with, in_child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trap.archive import packer, retention
from trap.archive.index import Index
from trap.archive.indexer import catch_up, rebuild
from trap.archive.library import Library
from trap.archive.packer import UNREADY, pack, pack_all, waiting
from trap.archive.query import parse
from trap.archive.record import Corrupt, encode
from trap.archive.segment import Frame, Reader
from trap.archive.store import Store, folder, segments
from trap.archive.verify import Proof
from trap.archive.writer import Writer
from trap.job import Job

QUICK = 3
NOISE = random.Random(4).randbytes(70_000)


def held(path: Path) -> list[tuple[Frame, bytes]]:
    """All that a segment says of its records."""
    with Reader(path) as reader:
        return [
            (frame._replace(base=0, data=b""), encode(reader.record(frame).job()))
            for frame in reader.frames()
        ]


def mixture() -> list[Job]:
    """Mail of many kinds, some of it with the same file."""
    return [
        job(1),
        job(2, message=b""),
        job(3, message=attached(3, NOISE)),
        job(4, message=attached(4, NOISE)),
        job(5, message=b"\xff" * 30 + b"\r\n" + os.urandom(200)),
        *(job(n, message=mixed_message(n)) for n in range(6, 12)),
    ]


def test_what_was_loose_comes_out_packed(tmp_path: Path) -> None:
    jobs = mixture()
    jobs[0] = Job(
        jobs[0].id, jobs[0].envelope, {"dedup": {"campaign": "7", "raw": b"\xff", 3: None}}, jobs[0].message
    )
    path = sealed(tmp_path, jobs)
    before, size = held(path), path.stat().st_size
    with Reader(path) as reader:
        places, seal = (reader.start, reader.end, reader.created), reader.seal
    assert seal
    assert pack(path, QUICK)
    assert held(path) == before
    assert path.stat().st_size < size / 1.5
    assert not path.stat().st_mode & 0o222
    with Reader(path) as reader:
        assert reader.packed
        assert (reader.start, reader.end, reader.created) == places
        assert reader.seal and reader.seal._replace(sha256=b"") == seal._replace(sha256=b"")
        for frame, _ in random.Random(2).sample(before, len(before)):
            assert reader.read(frame.offset).id == frame.id
            assert [later.id for later in reader.frames(frame.end)] == [
                later.id for later, _ in before if later.offset >= frame.end
            ]
        with pytest.raises(Corrupt, match="no record"):
            reader.read(before[0][0].offset + 1)
        with pytest.raises(Corrupt, match="no record"):
            reader.read(0)
    assert not pack(path, QUICK), "once is enough"


LINES = [
    b"\xff",
    b"\xff\x06",
    b"\n",
    b"\r\n",
    b"A" * 76 + b"\n",
    b"QUJD" * 19 + b"\r\n",
    b"Subject: hello\n",
    b"=",
]
odd_messages = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([*LINES, NOISE[:90], mixed_message(1)]), max_size=40).map(b"".join),
    st.integers(1, 60_000).map(lambda size: attached(1, NOISE[:size])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(odd_messages, min_size=1, max_size=8))
def test_odd_mail(tmp_path: Path, messages: list[bytes]) -> None:
    path = sealed(tmp_path, [job(number, message=message) for number, message in enumerate(messages)])
    before = held(path)
    assert pack(path, QUICK)
    assert held(path) == before


def test_several_blocks_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of what is held in memory is bounded, whatever a segment holds."""
    monkeypatch.setattr(packer, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(packer, "PART_BYTES", 9_000)
    jobs = [job(n, message=mixed_message(n) * (1 + n % 5)) for n in range(30)]
    path = sealed(tmp_path, jobs)
    before = held(path)
    assert pack(path, QUICK)
    assert held(path) == before
    with Reader(path) as reader:
        for frame, _ in random.Random(3).sample(before, len(before)):
            assert reader.read(frame.offset).id == frame.id


def test_near_copies_lean_on_the_first_of_their_campaign(tmp_path: Path) -> None:
    """Also in lines that no two of them share."""
    sizes = []
    for campaigns in (["a", "a"], ["a", "b"]):
        notes = [{"dedup": {"campaign": campaign}} for campaign in campaigns]
        mails = [job(n, message=b"Dear %d, this is one long line of a text\r\n" % n) for n in range(2)]
        jobs = [
            Job(each.id, each.envelope, note, each.message) for each, note in zip(mails, notes, strict=True)
        ]
        path = sealed(tmp_path / campaigns[1], jobs)
        before = held(path)
        assert pack(path, QUICK)
        assert held(path) == before
        with Reader(path) as reader:
            sizes.append(len(reader.dictionary))
    assert sizes[0] > sizes[1]


def test_a_segment_without_records(tmp_path: Path) -> None:
    path = sealed(tmp_path, [])
    assert pack(path, QUICK)
    assert held(path) == []
    with Reader(path) as reader:
        assert reader.dictionary == b""


def test_every_file_of_the_corpus(tmp_path: Path, corpus: Path) -> None:
    """And a packed segment takes a good deal less."""
    jobs = [Job.from_message(path.read_bytes()) for path in sorted(corpus.glob("*/*.eml"))[::5]]
    path = sealed(tmp_path, jobs)
    size = path.stat().st_size
    assert pack(path, QUICK)
    assert path.stat().st_size < 0.9 * size
    with Reader(path) as reader:
        for before, frame in zip(jobs, reader.frames(), strict=True):
            assert (frame.id, frame.message_bytes) == (before.id, before.size)
            assert reader.record(frame).message == before.message


def test_who_has_it_open_reads_on(tmp_path: Path) -> None:
    path = sealed(tmp_path, mixture())
    before = held(path)
    with Reader(path) as reader:
        frames = reader.frames()
        first = next(frames)
        assert pack(path, QUICK)
        assert [first.id, *(frame.id for frame in frames)] == [frame.id for frame, _ in before]
        assert [reader.read(frame.offset).id for frame, _ in before] == [frame.id for frame, _ in before]


def test_a_library_lets_go_of_what_was_packed(directory: Path, indexed: Callable[[], Index]) -> None:
    """Else the loose form would take its room on the disk for as long as the library is open."""
    path = sealed(folder(directory), mixture())
    indexed().close()
    with Library(directory) as library:
        row = next(library.find(parse("")))
        before = library.record(row)
        ((_, reader),) = library._readers.items()
        assert pack(path, QUICK)
        assert reader.gone
        assert library.record(row) == before
        ((_, later),) = library._readers.items()
        assert later.packed and not later.gone


def test_what_is_open_or_damaged_stays_as_it_is(tmp_path: Path) -> None:
    writer = Writer.create(tmp_path, b"", QUICK)
    writer.append([job(1)])
    assert not pack(writer.path, QUICK)
    writer.seal()
    data = bytearray(writer.path.read_bytes())
    data[200] ^= 1
    writer.path.chmod(0o640)
    writer.path.write_bytes(data)
    with pytest.raises(Corrupt):
        pack(writer.path, QUICK)
    assert writer.path.read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == [writer.path.name]


def test_a_packed_form_that_is_wrong_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is read again before the loose form goes."""
    path = sealed(tmp_path, mixture())
    data = path.read_bytes()
    monkeypatch.setattr(
        "trap.archive.blocks.split", lambda text, known: (text.replace(b"Dear", b"dear"), b"")
    )
    with pytest.raises(Corrupt, match="would not come out"):
        pack(path, QUICK)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def faulty(at: int, what: What, names: frozenset[str]) -> Iterator[FaultyOs]:
    stand_in = FaultyOs(at, what, names)
    with patch("trap.fsio.os", stand_in), patch("trap.archive.packer.os", stand_in):
        yield stand_in


@pytest.mark.parametrize("what", [die_before, die_after], ids=["before", "after"])
def test_killed_at_any_call(tmp_path: Path, what: What) -> None:
    """The next one packs it all the same, and sweeps up what was left."""
    for at in range(1, 100):
        directory = tmp_path / str(at)
        path = sealed(folder(directory), [job(n, message=mail(n)) for n in range(3)])
        before = held(path)

        def act(path: Path = path, at: int = at) -> None:
            with faulty(at, what, CHANGES) as system:
                pack(path, QUICK)
            os._exit(0 if system.count >= at else 75)

        status = in_child(act)
        assert held(path) == before
        assert pack_all(directory, QUICK) in {0, 1}
        assert held(path) == before
        assert segments(directory) == [path] and len(list(folder(directory).iterdir())) == 1
        with Reader(path) as reader:
            assert reader.packed
        if status == 75:
            assert at > 8
            return
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_any_call_may_fail(tmp_path: Path, number: int) -> None:
    path = sealed(tmp_path, mixture()[:6])
    before, data = held(path), path.read_bytes()
    for at in range(1, 100):
        with faulty(at, fail_with(number), CAN_FAIL - {"unlink"}) as system:
            try:
                pack(path, QUICK)
            except OSError as error:
                assert error.errno == number
        assert list(tmp_path.iterdir()) == [path]
        assert held(path) == before
        if system.count < at:
            assert at > 5
            return
        path.chmod(0o640)
        path.write_bytes(data)
        path.chmod(0o440)
    pytest.fail("it never came to an end")


def test_a_disk_that_is_nearly_full_is_left_alone(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(folder(directory), [job(1)])
    monkeypatch.setattr(packer, "_ROOM", 1 << 60)
    assert pack_all(directory, QUICK) == 0
    monkeypatch.undo()
    assert pack_all(directory, QUICK) == 1


def test_what_was_dropped_while_it_was_packed_stays_away(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sealed(folder(directory), [job(1)])
    monkeypatch.setattr(packer, "_compare", lambda *_: retention.enforce(directory, 1e12, 1.0, None))
    with pytest.raises(FileNotFoundError):
        pack(path, QUICK)
    assert list(folder(directory).iterdir()) == []


def test_several_at_once(directory: Path) -> None:
    """One of them packs."""
    paths = [sealed(folder(directory), mixture()) for _ in range(3)]
    before = [held(path) for path in paths]
    assert at_once(*[lambda: pack_all(directory, QUICK)] * 3) == [0, 0, 0]
    assert pack_all(directory, QUICK) == 0
    assert [held(path) for path in paths] == before
    assert segments(directory) == sorted(paths)


def test_what_waits(directory: Path) -> None:
    store = Store(directory)
    store.put([job(1)])
    known: set[str] = set()
    assert waiting(directory, known) == []
    store.seal()
    (path,) = waiting(directory, known)
    (folder(directory) / "other.seg").write_bytes(b"not ours")
    assert pack_all(directory, QUICK) == 1
    assert waiting(directory, known) == []
    assert known == {path.name}


def test_the_whole_archive_works_on_packed_segments(directory: Path, indexed: Callable[[], Index]) -> None:
    """Search, show, verify and making the index anew; half of it was indexed before it was packed."""
    store = Store(directory, level=QUICK)
    jobs = [job(n, message=mixed_message(n)) for n in range(20)]
    store.put(jobs[:10])
    indexed().close()
    store.put(jobs[10:])
    store.seal()
    assert pack_all(directory, QUICK) == 1
    proof = Proof()
    assert list(proof.faults(directory, indexed())) == []
    assert (proof.segments, proof.records) == (1, 20)

    def shown() -> list[tuple[str, bytes]]:
        with Library(directory) as library:
            return [(row.id, library.record(row).message) for row in library.find(parse(""))]

    expected = [(each.id, each.message) for each in reversed(jobs)]
    assert shown() == expected
    rebuild(directory)
    assert shown() == expected
    more = Store(directory, level=QUICK)
    more.put([job(21)])
    index = Index.open(directory)
    catch_up(directory, index)
    index.close()
    assert len(shown()) == 21
    more.close()


def test_a_packed_segment_lends_its_lines(directory: Path) -> None:
    """A worker that starts when all is packed does not begin without a dictionary."""
    store = Store(directory, level=QUICK)
    store.put([job(n) for n in range(50)])
    store.seal()
    pack_all(directory, QUICK)
    later = Store(directory, level=QUICK)
    (place,) = later.put([job(60)])
    with Reader(folder(directory) / f"{place.segment}.seg") as reader:
        assert b"Joe Sender" in reader.dictionary
        assert reader.read(place.offset).message == mail(60)
    later.close()


def test_mail_can_not_make_a_bad_dictionary(directory: Path) -> None:
    """Lines that are lent begin as mail wants; what zstd takes for a dictionary of its own begins so, too."""
    line = b"\x37\xa4\x30\xec shared by two\r\n"
    path = sealed(folder(directory), [job(n, message=line + mail(n)) for n in range(2)])
    assert pack(path, QUICK)
    store = Store(directory, level=QUICK)
    (place,) = store.put([job(3)])
    with Reader(folder(directory) / f"{place.segment}.seg") as reader:
        assert line in reader.dictionary
        assert reader.read(place.offset).message == mail(3)
    store.close()


def test_the_child_process_ends_with_its_parent(directory: Path) -> None:
    """It packs, and ends; or it ends at once when nobody is there any more."""
    path = sealed(folder(directory), mixture())
    command = [sys.executable, "-m", "trap.archive.packer", str(directory), "3"]
    left = folder(directory) / f"dead{UNREADY}"
    left.write_bytes(b"half")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.wait(60) == 0
    with Reader(path) as reader:
        assert reader.packed
    assert not left.exists()
    assert subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
