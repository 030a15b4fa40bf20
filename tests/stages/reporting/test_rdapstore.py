"""What registries said, on disk: found by the network, shared by workers, bounded."""

import logging
import time
from ipaddress import ip_address, ip_network

import pytest

from stages.reporting import rdapstore
from stages.reporting.rdapstore import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rdap.cache"


@pytest.fixture
def store(path):
    opened = Store(path)
    yield opened
    opened.close()


def contacts(store: Store, address: str) -> list[str] | None:
    known = store.find(ip_address(address))
    return known.contacts if known else None


def test_an_answer_is_about_all_of_its_networks(store):
    store.keep(
        ip_address("192.0.2.0"),
        [ip_network("192.0.2.0/24"), ip_network("198.51.100.0/25")],
        ["abuse@isp.example", "noc@isp.example"],
    )
    assert contacts(store, "192.0.2.255") == ["abuse@isp.example", "noc@isp.example"]
    assert contacts(store, "198.51.100.127") == ["abuse@isp.example", "noc@isp.example"]
    assert contacts(store, "198.51.100.128") is None


def test_the_most_precise_one_counts(store):
    store.keep(ip_address("2001:db8::"), [ip_network("2001:db8::/32")], ["abuse@isp.example"])
    store.keep(ip_address("2001:db8:1::"), [ip_network("2001:db8:1::/48")], [])
    assert contacts(store, "2001:db8:1::1") == []
    assert contacts(store, "2001:db8:2::1") == ["abuse@isp.example"]


def test_a_newer_answer_takes_the_place_of_an_older_one(store):
    before = time.time()
    store.keep(ip_address("192.0.2.0"), [ip_network("192.0.2.0/24")], ["old@isp.example"])
    store.keep(ip_address("192.0.2.0"), [ip_network("192.0.2.0/24")], ["abuse@isp.example"])
    known = store.find(ip_address("192.0.2.7"))
    assert known is not None
    assert known.contacts == ["abuse@isp.example"]
    assert before <= known.at <= time.time()


def test_what_was_said_of_a_smaller_network_does_not_outlive_a_newer_answer(store):
    """Else it would be found first, old as it is, and asked about again and again."""
    store.keep(ip_address("192.0.2.7"), [ip_network("192.0.2.7")], [])
    store.keep(ip_address("192.0.2.8"), [ip_network("192.0.2.8")], [])
    store.keep(ip_address("192.0.2.7"), [ip_network("192.0.2.0/24")], ["abuse@isp.example"])
    assert contacts(store, "192.0.2.7") == ["abuse@isp.example"]
    assert contacts(store, "192.0.2.8") == []


def test_it_is_kept_over_restarts_and_for_others(store, path):
    store.keep(ip_address("192.0.2.0"), [ip_network("192.0.2.0/24")], ["abuse@isp.example"])
    other = Store(path)
    assert contacts(other, "192.0.2.7") == ["abuse@isp.example"]
    other.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_so_many_questions_an_hour_of_all_workers_together(store, path):
    other = Store(path)
    assert [store.may_ask(3), other.may_ask(3), store.may_ask(3), other.may_ask(3)] == [
        True,
        True,
        True,
        False,
    ]
    other.close()


def test_a_contact_is_told_of_so_many_campaigns_a_day(store, path, monkeypatch):
    other = Store(path)
    told = [
        each.may_tell("a@isp.example", name, 2) for each, name in ((store, "1"), (other, "2"), (store, "3"))
    ]
    assert told == [True, True, False]
    assert store.may_tell("a@isp.example", "2", 2), "a copy of what is reported already"
    assert store.may_tell("b@isp.example", "3", 2)
    tomorrow = time.time() + rdapstore.DAY + 1
    monkeypatch.setattr("time.time", lambda: tomorrow)
    assert store.may_tell("a@isp.example", "3", 2)
    other.close()


def test_no_more_than_so_many_networks(store, monkeypatch):
    monkeypatch.setattr(rdapstore, "MAX_NETWORKS", 100)
    for number in range(110):
        store.keep(ip_address("192.0.2.0"), [ip_network(f"192.0.2.{number}")], ["abuse@isp.example"])
    assert contacts(store, "192.0.2.0") is None
    assert contacts(store, "192.0.2.109") == ["abuse@isp.example"]


def test_while_somebody_else_writes_it_is_read_and_nothing_is_asked(store, path, monkeypatch, caplog):
    monkeypatch.setattr(rdapstore, "BUSY", 0.01)
    other = Store(path)
    store.keep(ip_address("192.0.2.0"), [ip_network("192.0.2.0/24")], ["abuse@isp.example"])
    store._db.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING):
        assert not other.may_ask(10)
        other.keep(ip_address("198.51.100.0"), [ip_network("198.51.100.0/24")], ["abuse@isp.example"])
    assert contacts(other, "192.0.2.7") == ["abuse@isp.example"]
    assert "is not kept" in caplog.text
    store._db.execute("ROLLBACK")
    assert other.may_ask(10)
    other.close()


def test_a_damaged_file_is_begun_anew(path, caplog):
    path.write_bytes(b"this is no database" * 1000)
    with caplog.at_level(logging.WARNING):
        store = Store(path)
    assert "is damaged" in caplog.text
    store.keep(ip_address("192.0.2.0"), [ip_network("192.0.2.0/24")], ["abuse@isp.example"])
    assert contacts(store, "192.0.2.7") == ["abuse@isp.example"]
    store.close()


def test_where_it_can_not_be_written(tmp_path):
    (tmp_path / "rdap.cache").mkdir()
    with pytest.raises(OSError, match="unable to open"):
        Store(tmp_path / "rdap.cache")
