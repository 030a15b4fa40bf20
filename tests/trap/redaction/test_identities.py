"""identities: who the trap is, of the configuration and of a message."""

import pytest

from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.redaction.identities import Identities, is_relay
from trap.redaction.vocabulary import common


def test_names_are_sorted_by_kind() -> None:
    found = Identities.named(
        ["Joe.Doe+x@Mail.Trap.Example", ".pristine.example", "192.0.2.25", "2001:db8::25", "Secretword"]
    )
    assert found == Identities(
        domains=frozenset({"trap.example", "pristine.example"}),
        addresses=frozenset({"joe.doe+x@mail.trap.example"}),
        ips=frozenset({"192.0.2.25", "2001:db8::25"}),
        words=frozenset({"joe.doe+x", "joe.doe", "secretword"}),
    )


@pytest.mark.parametrize(
    "name", ["", "ab", "127.0.0.1", "::", "0.0.0.0", "content", "@trap.example", "*@x.example"]
)
def test_what_says_nothing_is_left_out(name: str) -> None:
    assert Identities.named([name]) == Identities()


@pytest.mark.parametrize(
    "word", ["content", "table", "font", "info", "text", "html", "base64", "utf-8", "multipart"]
)
def test_words_that_mail_is_made_of_give_nobody_away(word: str) -> None:
    assert common(word)
    assert Identities.named([f"{word}@trap.example"]).words == frozenset()
    assert f"{word}@trap.example" in Identities.named([f"{word}@trap.example"]).names()


def test_two_make_one() -> None:
    one, other = Identities.named(["a1@one.example"]), Identities.named(["b1@two.example"])
    assert (one | other).domains == {"one.example", "two.example"}
    assert one | other | other == one | other
    assert hash(one | other) == hash(other | one)


CONFIG = parse(
    "smtp: {hostname: mx7.house.example}\n"
    "listen: [{host: 192.0.2.25, port: 25}, {host: 127.0.0.1}]\n"
    "accept:\n"
    "  domains: {.pristine.example: {}}\n"
    "  addresses: {'*@wild.example': {}, 'old-joe@corp.example': {}}\n"
    "  patterns: {'^x[0-9]+@odd\\.example$': {}}\n"
    "protect: [hidden.example, Codename, 198.51.100.7]\n"
)


def test_what_the_configuration_tells() -> None:
    found = Identities.of(CONFIG)
    assert found.domains == {
        *("pristine.example", "wild.example", "corp.example", "odd.example", "hidden.example")
    }
    assert found.addresses == {"old-joe@corp.example"}
    assert found.hosts == {"mx7.house.example"}
    assert found.ips == {"192.0.2.25", "198.51.100.7"}
    assert found.words == {"old-joe", "codename"}


def of(message: bytes, client_ip: str = "198.51.100.99", **notes: object) -> Identities:
    envelope = Envelope(
        client_ip=client_ip, server_ip="192.0.2.26", rcpts=[Rcpt(address="Jim@Trap.example", tag="pristine")]
    )
    return Identities.of(CONFIG).with_message(envelope, notes, message)


def test_what_a_message_tells() -> None:
    found = of(
        b"Received: from b.example by mx2.trap.example with ESMTP id 1 for <jack@corp.example>; now\r\n"
        b"Delivered-To: john@wild.example\r\n\r\n"
    )
    assert {"jim@trap.example", "jack@corp.example", "john@wild.example"} <= found.addresses
    assert "mx2.trap.example" in found.hosts
    assert "192.0.2.26" in found.ips
    assert {"jim", "jack", "john"} <= found.words


def test_a_sender_can_not_have_his_own_domain_hidden() -> None:
    message = (
        b"Delivered-To: x1@evil.example\r\nReceived: from a by mx.evil.example for <y1@evil.example>\r\n\r\n"
    )
    assert not [name for name in of(message).names() if "evil" in name]
    relayed = of(message, client_ip="10.0.0.1")
    assert {"x1@evil.example", "y1@evil.example"} <= relayed.addresses
    assert "mx.evil.example" in relayed.hosts


def test_whom_a_donor_sent_it_to_is_ours_too() -> None:
    found = of(b"\r\n", extract={"donor": {"rcpts": ["gift@given.example", 7]}}, odd=1)
    assert "gift@given.example" in found.addresses


@pytest.mark.parametrize(
    ("ip", "relay"),
    [("10.0.0.1", True), ("127.0.0.1", True), ("fe80::1", True), ("", True), ("198.51.100.1", False)],
)
def test_relays_of_ours(ip: str, relay: bool) -> None:
    assert is_relay(ip) is relay
