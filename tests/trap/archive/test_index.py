"""index and indexer: what is in the segments can be found, and nothing else."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from archived import job, mail, mixed_message
from support import eventually

from trap.archive import indexer, turns
from trap.archive.background import Indexer
from trap.archive.index import MAX_NUMBER, Index, index_files
from trap.archive.indexer import behind, catch_up, ends, lock, rebuild, settle
from trap.archive.query import parse
from trap.archive.search import Row, find, get
from trap.archive.segment import Reader
from trap.archive.store import Store, segments
from trap.job import Job

Indexed = Callable[[], Index]


def rows(index: Index, text: str = "", limit: int = -1) -> list[Row]:
    return list(find(index, parse(text), limit=limit))


def everything(index: Index) -> list[object]:
    """All that can be asked of an index, comparable between two of them."""
    words = ("offer", "from:joe", "to:trap", "subject:offer", "attachment:invoice1*", "-nothing", "Konto")
    lists = [[row._replace(segment=0) for row in rows(index, query)] for query in ("", *words)]
    known = [segment._replace(number=0) for _, segment in sorted(index.segments().items())]
    return [lists, known]


def test_a_row_says_what_lists_show(store: Store, indexed: Indexed) -> None:
    archived = job(1, message=mixed_message(1), client_ip="2001:db8::7", helo="evil\udcff\x1b[2J")
    archived = Job(archived.id, archived.envelope, {"dedup": {"campaign": "00f7"}}, archived.message)
    (place,) = store.put([archived])
    (row,) = rows(indexed())
    assert row.to_map() == {
        "id": archived.id,
        "sha256": place.sha256.hex(),
        "size": archived.size,
        "received_at": archived.received_at,
        "client_ip": "2001:db8::7",
        "helo": "evil\\xff\\x1b[2J",
        "mail_from": "bounce@a.example",
        "rcpt_tos": ["trap@trap.example"],
        "subject": "Überweisung",
        "campaign": "00f7",
    }
    assert (row.sender, row.attachments, row.defects) == ("Jörg <j@b.example>", 1, "")


def test_newest_first_a_page_at_a_time(directory: Path, indexed: Indexed) -> None:
    """Also when segments overlap in time, and when words are asked for: in the order they were indexed."""
    stores = [Store(directory) for _ in range(3)]
    jobs = [job(number) for number in range(60)]
    for number, each in enumerate(jobs):
        stores[number // 20].put([each])
    index = indexed()
    wanted = [each.id for each in reversed(jobs)]
    for text in ("", "offer", "-nothing"):
        query = parse(text)
        paged: list[Row] = []
        while page := list(find(index, query, paged[-1].n if paged else MAX_NUMBER, limit=7)):
            paged += page
        assert [row.id for row in paged] == wanted
    for store in stores:
        store.close()


def test_jobs_of_one_instant_get_keys_of_their_own(store: Store, indexed: Indexed) -> None:
    """Two ids that differ only in bits a key has no room for."""
    first = job(1)
    alike = [Job(first.id[:-1] + digit, first.envelope, {}, mail(int(digit))) for digit in "0123"]
    store.put(alike)
    index = indexed()
    assert sorted(row.id for row in rows(index)) == [each.id for each in alike]
    for each in alike:
        found = get(index, each.id)
        assert found and found.id == each.id
    assert set(index.places([each.id for each in alike])) == {each.id for each in alike}
    assert get(index, "no such id") is None and get(index, "") is None


def test_a_job_archived_twice_around_a_crash_is_found_once(directory: Path, indexed: Indexed) -> None:
    twice = job(1)
    for _ in range(2):
        store = Store(directory)
        store.put([twice])
        store.seal()
    assert len(segments(directory)) == 2
    index = indexed()
    assert [row.id for row in rows(index)] == [twice.id]
    assert [row.id for row in rows(index, "offer")] == [twice.id]


def test_reindexing_gives_the_same_index(directory: Path, indexed: Indexed) -> None:
    store = Store(directory, segment_size=10_000, enough=10)
    for number in range(40):
        store.put([job(number, message=mixed_message(number) if number % 3 else None)])
    store.close()
    index = indexed()
    before = everything(index)
    rebuild(directory)
    assert index.replaced
    index.close()
    index = indexed()
    assert everything(index) == before
    assert [path.name for path in directory.glob("index-*.db")] == ["index-2.db"]


def test_a_destroyed_index_is_rebuilt(store: Store, directory: Path, indexed: Indexed) -> None:
    store.put([job(n) for n in range(5)])
    indexed().close()
    for path in directory.glob("index-*"):
        path.write_bytes(b"rubbish" * 1000)
    rebuild(directory)
    assert len(rows(indexed(), "offer")) == 5


def test_an_index_of_another_version_is_not_touched(store: Store, directory: Path, indexed: Indexed) -> None:
    store.put([job(1)])
    index = indexed()
    index.db.execute("PRAGMA user_version = 99")
    index.close()
    with pytest.raises(sqlite3.DatabaseError, match="another version"):
        Index.open(directory)
    rebuild(directory)
    assert len(rows(indexed())) == 1


def test_only_one_rebuilds(store: Store, directory: Path) -> None:
    store.put([job(1)])
    with lock(directory, indexer.REBUILD_LOCK), pytest.raises(BlockingIOError, match="another process"):
        rebuild(directory)


def test_indexing_goes_on_where_it_ended(
    store: Store, directory: Path, indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_BATCH_RECORDS", 3)
    store.put([job(n) for n in range(10)])
    index = Index.open(directory)
    calls: list[int] = []
    catch_up(directory, index, stop=lambda: len(calls) > 2, done=calls.append)
    assert len(rows(index, "offer")) == 9 and behind(index, ends(directory, index))
    catch_up(directory, index)
    assert len(rows(index, "offer")) == 10 and not behind(index, ends(directory, index))
    store.put([job(n) for n in range(10, 12)])
    catch_up(directory, index)
    assert len(rows(index, "offer")) == 12
    store.seal()
    catch_up(directory, index)
    assert [segment.complete for segment in index.segments().values()] == [1]


def test_two_indexers_do_not_index_twice(store: Store, directory: Path) -> None:
    """Who comes second with the same records finds that the segment is further on, and adds nothing."""
    store.put([job(1)])
    one, other = Index.open(directory), Index.open(directory)
    catch_up(directory, one)
    (known,) = one.segments().values()
    assert not other.add(known.name, 0, known.indexed_to, [], complete=False)
    assert len(rows(other)) == 1


def test_what_was_cut_off_again_is_forgotten(store: Store, directory: Path, indexed: Indexed) -> None:
    """Its writer could not sync it, or the host went down: the index must not point at other mail."""
    first, second, third = job(1), job(2), job(3)
    place = store.put([first, second])[1]
    store.close()
    assert len(rows(indexed())) == 2
    os.truncate(segments(directory)[0], place.offset)
    index = indexed()
    assert [row.id for row in rows(index)] == [first.id]
    assert [row.id for row in rows(index, "offer")] == [first.id]
    store = Store(directory)
    store.put([third])
    catch_up(directory, index)
    assert [row.id for row in rows(index, "offer")] == [third.id, first.id]


def test_a_dropped_segment_is_forgotten(directory: Path, indexed: Indexed) -> None:
    store = Store(directory)
    store.put([job(1)])
    store.seal()
    store.put([job(2)])
    index = indexed()
    assert len(rows(index, "offer")) == 2
    segments(directory)[0].unlink()
    catch_up(directory, index)
    assert len(rows(index)) == len(rows(index, "offer")) == 1
    tables = index.db.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'words_%_data'").fetchone()
    assert tables == (1,)


def test_damage_is_passed_over(store: Store, directory: Path, indexed: Indexed) -> None:
    places = store.put([job(n) for n in range(3)])
    store.seal()
    path = segments(directory)[0]
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[places[1].offset + 100] ^= 1
    path.write_bytes(data)
    index = indexed()
    assert len(rows(index)) == 2
    assert [segment.complete for segment in index.segments().values()] == [1]


def test_settle_indexes_what_nobody_else_does(store: Store, directory: Path) -> None:
    store.put([job(1)])
    index = Index.open(directory)
    with lock(directory) as ours:
        assert ours
        assert settle(directory, index, patience=0.1) > 0, "somebody else is at it, but not done"
    assert settle(directory, index) == 0
    assert len(rows(index)) == 1


def test_the_child_indexes_what_comes_in_and_ends_with_its_parent(store: Store, directory: Path) -> None:
    store.put([job(1)])
    child = Indexer(directory)
    child.poke()
    index = Index.open(directory)
    try:
        eventually(lambda: len(rows(index)) == 1)
        store.put([job(2)])
        child.poke()
        eventually(lambda: len(rows(index)) == 2)
        rebuild(directory)
        store.put([job(3)])
        child.poke()
        renewed = Index.open(directory)
        eventually(lambda: len(rows(renewed)) == 3)
        renewed.close()
    finally:
        index.close()
        child.close()
    with lock(directory) as ours:
        assert ours


def test_the_child_replaces_a_damaged_index(store: Store, directory: Path) -> None:
    store.put([job(1)])
    (directory / "index-1.db").write_bytes(b"no database" * 1000)
    child = Indexer(directory)
    child.poke()
    try:
        eventually(lambda: index_files(directory)[-1].name == "index-2.db")
        index = Index.open(directory)
        eventually(lambda: len(rows(index)) == 1)
        index.close()
    finally:
        child.close()


def test_an_interrupted_rebuild_changes_nothing(store: Store, directory: Path, indexed: Indexed) -> None:
    store.put([job(1)])
    indexed().close()
    rebuild(directory, stop=lambda: True)
    assert [path.name for path in index_files(directory)] == ["index-1.db"]
    rebuild(directory)
    assert len(rows(indexed())) == 1


def test_an_orphaned_indexer_ends(directory: Path) -> None:
    directory.mkdir()
    root = str(Path(indexer.__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-m", "trap.archive.indexer", str(directory)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert child.stdin
    child.stdin.close()
    assert child.wait(20) == 0


def test_all_frames_of_the_corpus_are_indexed(directory: Path, corpus: Path, indexed: Indexed) -> None:
    """Hostile or not: every message has a row."""
    store = Store(directory)
    paths = sorted(corpus.glob("malformed/*.eml"))[::3] + sorted(corpus.glob("spam/*.eml"))[::40]
    jobs = [job(number, message=path.read_bytes()) for number, path in enumerate(paths)]
    store.put(jobs)
    store.close()
    index = indexed()
    assert [row.id for row in rows(index)] == [each.id for each in reversed(jobs)]
    with Reader(segments(directory)[0]) as reader:
        assert all(reader.read(row.offset).id == row.id for row in rows(index))


def test_what_is_said_while_it_looks_is_not_forgotten(monkeypatch):
    """Else what was archived meanwhile is searchable a second late."""
    waits = []
    listening, speaking = os.pipe()
    with os.fdopen(listening) as stdin, os.fdopen(speaking, "wb", buffering=0) as parent:
        monkeypatch.setattr(indexer.sys, "stdin", stdin)
        monkeypatch.setattr(indexer.select, "select", lambda *_: waits.append("waited"))
        monkeypatch.setattr(indexer, "_GATHER", 0.0)
        child = indexer._Parent()
        parent.write(b"\n")
        assert not child.gone
        child.wait(1.0)
        assert waits == []
        child.wait(1.0)
        assert waits == ["waited"]
