"""values: any text comes back as it was, in few bytes."""

import sqlite3
from ipaddress import IPv4Network, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from trap.archive.values import Values, pack_name, pack_network, unpack_address, unpack_name, unpack_network


def empty() -> tuple[sqlite3.Connection, Values]:
    db = sqlite3.connect(":memory:")
    db.execute(Values.SCHEMA[0])
    return db, Values(db)


LISTS = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1))


@given(st.lists(LISTS))
def test_values_come_back(lists: list[list[str]]) -> None:
    db, values = empty()
    numbers = [values.number(each) for each in lists]
    for reader in (values, Values(db)):
        reader.load(numbers)
        assert [reader.texts(number) for number in numbers] == lists


def test_a_text_is_held_once() -> None:
    db, values = empty()
    assert values.number(["a.example"]) == values.number(["a.example"]) == Values(db).number(["a.example"])
    assert values.number([]) is None
    assert db.execute("SELECT count(*) FROM value").fetchone() == (1,)


def test_what_was_rolled_back_is_forgotten() -> None:
    db, values = empty()
    db.execute("BEGIN")
    values.number(["a.example"])
    db.execute("ROLLBACK")
    values.forget()
    number = values.number(["a.example"])
    reader = Values(db)
    reader.load([number])
    assert reader.texts(number) == ["a.example"]


def written(network: IPv4Network | IPv6Network) -> str:
    return f"{unpack_address(network.network_address.packed)}/{network.prefixlen}"


NETWORKS = st.builds(
    lambda address, length: written(IPv4Network((address, length), strict=False)),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 32),
) | st.builds(
    lambda address, length: written(IPv6Network((address, length), strict=False)),
    st.integers(0, (1 << 128) - 1),
    st.integers(0, 127),
)


@given(NETWORKS)
def test_networks_need_no_number(network: str) -> None:
    packed = pack_network(network)
    assert packed and unpack_network(packed) == network and len(packed) <= 17


@given(st.text() | st.sampled_from(["192.0.2.0/33", "192.0.2.0/128", "192.0.2.1/024", "::/128", "::/", "/8"]))
def test_what_is_no_network_stays_what_it_is(text: str) -> None:
    packed = pack_network(text)
    assert packed is None or unpack_network(packed) == text


@given(st.text() | st.from_regex(r"[0-9a-f]{12}", fullmatch=True))
def test_names(name: str) -> None:
    assert unpack_name(pack_name(name)) == name
