"""Answers of registries: whom they name, how far they reach, and what of it is believed."""

import json
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdapkit import entity, network

from stages.reporting.rdapanswer import MAX_CONTACTS, MAX_DEPTH, NotAnswered, read

ADDRESS = ip_address("192.0.2.7")
WITHIN = ip_network("192.0.0.0/8")


def found(answer: Any) -> tuple[list[str], list[str]]:
    networks, contacts = read(json.dumps(answer).encode(), ADDRESS, WITHIN)
    return [str(each) for each in networks], contacts


def isp(*entities: Any, first: str = "192.0.2.0", last: str = "192.0.2.255", **more: Any) -> Any:
    return network(first, last, *entities, **more)


def test_the_abuse_contact_of_a_network():
    answer = isp(entity("registrant", mail="office@isp.example"), entity("abuse", mail="Abuse@ISP.example"))
    assert found(answer) == (["192.0.2.0/24"], ["Abuse@isp.example"])


def test_one_that_stands_within_the_organization():
    """As ARIN has it."""
    answer = isp(entity("registrant", inner=[entity("technical", "abuse", mail="abuse@isp.example")]))
    assert found(answer)[1] == ["abuse@isp.example"]


def test_the_nearest_counts():
    answer = isp(
        entity("registrant", inner=[entity("abuse", mail="abuse@parent.example")]),
        entity("abuse", mail="abuse@isp.example"),
    )
    assert found(answer)[1] == ["abuse@isp.example"]


def test_a_card_of_the_newer_kind():
    answer = isp({"roles": ["abuse"], "jscard": {"emails": {"e1": {"address": "abuse@isp.example"}}}})
    assert found(answer)[1] == ["abuse@isp.example"]


def test_nobody():
    assert found(isp(entity("technical", mail="noc@isp.example"))) == (["192.0.2.0/24"], [])


def test_not_too_many_and_none_twice():
    many = [entity("abuse", mail=f"abuse{number // 2}@isp.example") for number in range(50)]
    assert found(isp(*many))[1] == [f"abuse{number}@isp.example" for number in range(MAX_CONTACTS)]


def test_not_too_deep():
    inner = entity("abuse", mail="abuse@isp.example")
    for _ in range(MAX_DEPTH):
        inner = entity("registrant", inner=[inner])
    assert found(isp(inner))[1] == []


def test_what_is_no_address():
    odd = [
        ["email", {}, "text", "evil@isp.example\r\nBcc: x@y.example"],
        ["email", {}, "text", ["a@b.example"]],
        "email",
        [],
    ]
    assert found(isp({"roles": ["abuse"], "vcardArray": ["vcard", odd]}))[1] == []


def test_a_range_that_is_no_prefix():
    assert found(isp(first="192.0.2.0", last="192.0.3.127"))[0] == ["192.0.2.0/24", "192.0.3.0/25"]


def test_of_networks_that_are_not_its_own_a_registry_is_believed_this_address_alone():
    answer = isp(entity("abuse", mail="abuse@isp.example"), first="191.0.0.0", last="192.255.255.255")
    assert found(answer) == (["192.0.2.7/32"], ["abuse@isp.example"])


def test_what_was_given_to_nobody():
    """Registries answer for the whole Internet, with themselves as the contact."""
    answer = isp(entity("abuse", mail="abuse@registry.example"), first="0.0.0.0", last="255.255.255.255")
    assert found(answer) == (["192.0.2.7/32"], [])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([], "nothing about a network"),
        ({"errorCode": 404}, "nothing about a network"),
        (isp(first="198.51.100.0", last="198.51.100.255"), "about another network"),
        (isp(first="192.0.2.255", last="192.0.2.0"), "without a range"),
        (isp(first="192.0.2.0", last="2001:db8::"), "without a range"),
        (isp(first=["192.0.2.0"]), "without a range"),
        (isp(first="192.0.2.1", last="192.255.255.254") | {"startAddress": "x"}, "without a range"),
    ],
)
def test_answers_that_are_none(answer, why):
    with pytest.raises(NotAnswered, match=why):
        found(answer)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_json(body):
    with pytest.raises(NotAnswered, match="no JSON"):
        read(body, ADDRESS, WITHIN)


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["entities", "roles", "vcardArray", "jscard", "emails"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(_JSON, _JSON)
def test_odd_answers_name_nobody(entities, card):
    assert found(isp() | {"entities": entities})[1] == []
    assert found(isp({"roles": ["abuse"], "vcardArray": card, "jscard": card}))[1] == []
