"""What is kept of whom, by many workers, within bounds."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultkit import at_once, die, in_child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.listing.store import NETWORK, SYSTEM, TRAP, Hit, Store
from stages.listing.terms import MOST_WITNESSES, Bar, Lists
from trap.config import Duration
from trap.job import new_id

NOW = 1_763_640_000.0
BAR = Bar(min_score=1.5, min_traps=2, half_life=Duration("1d"), expire=Duration("7d"))


def opened(path: Path, bar: Bar = BAR, max_bytes: int = 50 << 20) -> Store:
    return Store(path, {**Lists().bars, "addresses": bar}, max_bytes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = opened(tmp_path)
    yield made
    made.close()


def hit(
    store: Store, key: str, at: float, trap: bytes = b"joe", net: bytes = b"net", asn: bytes = b""
) -> None:
    witnesses = [(TRAP, trap), (NETWORK, net)] + ([(SYSTEM, asn)] if asn else [])
    with store.transaction():
        store.count(Hit("addresses", key), at, witnesses)


def over(store: Store, now: float = NOW) -> list[str]:
    return [entry.key for entry in store.candidates("addresses", now)]


HITS = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 10 * 86400), st.sampled_from([b"1", b"2", b"3"])),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HITS)
def test_who_is_over_the_bar_is_who_is_listed(tmp_path: Path, hits: list[tuple[str, float, bytes]]) -> None:
    """Against a plain model: scores, traps of the last days, and the last hit."""
    store = opened(tmp_path)
    with store.transaction() as db:
        db.execute("DELETE FROM entry")
    for key, age, trap in hits:
        hit(store, key, NOW - age, trap)
    expected = set()
    for key in "abc":
        own = [(age, trap) for who, age, trap in hits if who == key]
        score = sum(2 ** (-age / 86400) for age, _ in own)
        fresh = {trap for age, trap in own if age <= 7 * 86400}
        if abs(score - 1.5) < 1e-6:
            return
        if score > 1.5 and len(fresh) >= 2:
            expected.add(key)
    assert set(over(store)) == expected
    store.close()


def test_the_same_trap_again_is_no_second_witness(store: Store) -> None:
    for _ in range(10):
        hit(store, "a", NOW)
    assert over(store) == []
    hit(store, "a", NOW, b"ann")
    assert over(store) == ["a"]


def test_autonomous_systems_count_where_they_are_known(store: Store) -> None:
    """Who has many networks in one system is still one."""
    for number in range(5):
        hit(store, "a", NOW, net=b"net%d" % number, asn=b"one")
    (entry,) = store.known("a", NOW)
    assert entry.networks == 1


def test_witnesses_are_bounded_and_the_newest_stay(store: Store) -> None:
    for number in range(100):
        hit(store, "a", NOW + number, trap=b"%d" % number)
    (entry,) = store.known("a", NOW + 99)
    assert (entry.hits, entry.traps) == (100, MOST_WITNESSES)
    kept = {hash_ for (hash_,) in store.db.execute("SELECT hash FROM witness WHERE kind = 0")}
    assert kept == {b"%d" % number for number in range(100 - MOST_WITNESSES, 100)}


def test_what_nothing_came_of_for_long_expires_whatever_its_score(store: Store) -> None:
    for number in range(1000):
        hit(store, "a", NOW, trap=b"%d" % number)
    assert over(store, NOW + 6.9 * 86400) == ["a"]
    assert over(store, NOW + 7.1 * 86400) == []
    store.clean(NOW + 7.1 * 86400)
    assert store.db.execute("SELECT count(*) FROM entry").fetchone() == (0,)
    assert store.db.execute("SELECT count(*) FROM witness").fetchone() == (0,)


def test_a_changed_half_life_leaves_scores_as_they_are(tmp_path: Path) -> None:
    now = time.time()
    store = opened(tmp_path)
    hit(store, "a", now)
    hit(store, "a", now, b"ann")
    store.close()
    for half_life in ("1h", "30d", "1d"):
        store = opened(tmp_path, Bar(half_life=Duration(half_life)))
        assert over(store, now + 1) == ["a"]
        store.close()


def test_a_flood_drives_out_only_what_is_weak(tmp_path: Path) -> None:
    store = opened(tmp_path, max_bytes=1 << 20)
    for number in range(20):
        hit(store, "strong", NOW, b"%d" % number)
    for batch in range(20):
        with store.transaction():
            for number in range(300):
                store.counted(new_id(NOW + number))
                store.count(Hit("addresses", f"{batch}.{number}"), NOW, [(TRAP, b"x"), (NETWORK, b"y")])
        store.clean(NOW)
    store.clean(NOW)
    assert over(store) == ["strong"]
    assert store.path.stat().st_size < 3 << 20
    store.close()


def test_what_a_killed_worker_had_not_committed_is_not_there(tmp_path: Path) -> None:
    def work() -> None:
        store = opened(tmp_path)
        with store.transaction():
            store.count(Hit("addresses", "a"), NOW, [(TRAP, b"x")])
            store.counted("job")
            die()

    assert in_child(work) < 0
    store = opened(tmp_path)
    assert store.known("a", NOW) == []
    with store.transaction():
        assert not store.counted("job")
    store.close()


def test_many_workers_count_each_hit_once(tmp_path: Path) -> None:
    opened(tmp_path).db.close()

    def work() -> None:
        store = opened(tmp_path)
        for number in range(50):
            with store.transaction():
                if not store.counted(f"job {number}"):  # all of them get the same jobs
                    store.count(Hit("addresses", "a"), NOW, [(TRAP, b"%d" % number)])
        store.close()

    assert at_once(work, work, work) == [0, 0, 0]
    store = opened(tmp_path)
    (entry,) = store.known("a", NOW)
    assert entry.hits == 50
    store.close()


def test_a_damaged_file_is_set_aside_once(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    hit(one, "a", NOW)
    assert over(other) == []
    for store in (one, other):
        store.close()
    one.path.write_bytes(b"no database " * 1000)
    for store in (one, other):
        try:
            store.known("a", NOW)
        except sqlite3.DatabaseError as error:
            assert store.repair(error)
    hit(one, "b", NOW)
    assert [entry.key for entry in other.known("b", NOW)] == ["b"]
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    assert not one.repair(sqlite3.OperationalError("locked"))
    for store in (one, other):
        store.close()
