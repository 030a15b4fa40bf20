"""The file of contacts: the most precise line counts, and a mistake is told with its line."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting.contactmap import ContactMap

TEXT = """
# who             whom
192.0.2.0/24      abuse@isp.example              # all of it
192.0.2.128/25    Abuse@Customer.example, noc@customer.example
192.0.2.200       -
2001:db8::/32     abuse@six.example
AS64496           abuse@transit.example
hoster.example:   abuse@hoster.example
.shop.hoster.example  abuse@shop.example
"""


def allowed(address: str) -> str:
    return f"{address} is the trap's own" if "trap" in address else ""


@pytest.fixture
def write(tmp_path):
    def write_it(text: str | bytes) -> Path:
        path = tmp_path / "contacts"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_it


@pytest.mark.parametrize(
    ("address", "contacts"),
    [
        ("192.0.2.7", ["abuse@isp.example"]),
        ("192.0.2.130", ["Abuse@customer.example", "noc@customer.example"]),
        ("192.0.2.200", []),
        ("192.0.3.1", None),
        ("2001:db8:1::1", ["abuse@six.example"]),
        ("2001:db9::1", None),
    ],
)
def test_of_networks_the_most_precise_counts(write, address, contacts):
    assert ContactMap(write(TEXT), allowed).of_address(ip_address(address)) == contacts


@pytest.mark.parametrize(
    ("name", "contacts"),
    [
        ("hoster.example", ["abuse@hoster.example"]),
        ("a.b.hoster.example", ["abuse@hoster.example"]),
        ("www.shop.hoster.example", ["abuse@shop.example"]),
        ("nothoster.example", None),
        ("example", None),
        ("", None),
    ],
)
def test_of_domains_the_longest_counts(write, name, contacts):
    assert ContactMap(write(TEXT), allowed).of_domain(name) == contacts


def test_autonomous_systems(write):
    known = ContactMap(write(TEXT), allowed)
    assert known.of_system(64496) == ["abuse@transit.example"]
    assert known.of_system(64497) is None
    assert known.of_system("odd") is None


def test_without_a_file_nothing_is_known():
    known = ContactMap(None, allowed)
    assert known.of_address(ip_address("192.0.2.7")) is None
    assert known.told == "0 networks, 0 systems and 0 domains"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("192.0.2.1/24 abuse@isp.example", "192.0.2.1/24 is no network: write it like 192.0.2.0/24"),
        ("192.0.2.0/24", "192.0.2.0/24: nobody is named; write an address behind it, or - for nobody"),
        ("192.0.2.0/24 - abuse@isp.example", "nobody (-) and somebody at once"),
        ("192.0.2.0/24 abuse@isp", "'abuse@isp' is no address that mail can be sent to"),
        ("192.0.2.0/24 abuse@trap.example", "abuse@trap.example is the trap's own"),
        ("bücher.example abuse@isp.example", "'bücher.example' is no network, AS number or domain"),
        ("1.2.3 abuse@isp.example", "'1.2.3' is no network, AS number or domain"),
        ("a.example x@b.example\nA.example: y@b.example", "A.example: stands here twice"),
        ("a.example " + "x@b.example " * 11, "a.example: more than 10 addresses"),
    ],
)
def test_mistakes_are_told_with_their_line(write, line, why):
    path = write(f"# a comment\n{line}\n")
    number = 2 + line.count("\n")
    with pytest.raises(ValueError, match=r".") as error:
        ContactMap(path, allowed)
    assert str(error.value).startswith(f"{path}:{number}: ")
    assert why in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="contacts: no such file or directory"):
        ContactMap(tmp_path / "contacts", allowed)


def test_a_file_that_is_no_text(write):
    with pytest.raises(ValueError, match="not UTF-8"):
        ContactMap(write(b"\xff"), allowed)


@given(st.text(max_size=60))
def test_any_line_is_read_or_told(tmp_path_factory, line):
    path = tmp_path_factory.getbasetemp() / "any-contacts"
    path.write_text(line, encoding="utf-8", errors="replace", newline="")
    try:
        ContactMap(path, allowed)
    except ValueError as error:
        assert str(error).startswith(f"{path}:")
