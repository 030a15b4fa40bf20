"""hops: the way a message says it took, and what speaks against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.view.headers import scan
from trap.view.hops import hops
from trap.view.view import Hop
from trap.view.wire import Source

NOON = 1793534400.0
"""Sunday, 1 November 2026, 12:00 UTC."""


def path(*received: str, helo: str = "mail.a.example", rcpt: str = "trap@trap.example") -> list[Hop]:
    """The hops of a message with these Received fields, newest first, that we got at noon."""
    header = "".join(f"Received: {field}\r\n" for field in received)
    source = Source("1", 1, NOON, client_ip="203.0.113.7", helo=helo, server_ip="192.0.2.1", rcpts=[rcpt])
    return hops(scan(header.encode("utf-8", "surrogateescape")).fields, source)


def doubts(*received: str, **session: str) -> str:
    return "\n".join(path(*received, **session)[0].forged)


def test_the_last_hop_is_what_we_saw_ourselves() -> None:
    (own,) = path()
    assert own.trusted
    assert (own.ip, own.helo, own.by, own.time) == ("203.0.113.7", "mail.a.example", "192.0.2.1", NOON)


def test_hops_come_oldest_first_with_the_time_between_them() -> None:
    found = path(
        "from pc.a.example (pc.a.example [198.51.100.9]) by mail.a.example (Postfix) with ESMTPS id 2B "
        "for <trap@trap.example>; Sun, 1 Nov 2026 11:59:00 +0000",
        "from [10.0.0.5] (helo=laptop) by pc.a.example with esmtpa id 1A; Sun, 1 Nov 2026 12:58:50 +0100",
    )
    assert [hop.by for hop in found] == ["pc.a.example", "mail.a.example", "192.0.2.1"]
    assert [hop.gap_seconds for hop in found] == [None, 10.0, 60.0]
    assert [hop.trusted for hop in found] == [False, False, True]
    assert not any(hop.forged for hop in found)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "from win (dsl.b.example [198.51.100.7]) by mx.c.example (Postfix) with ESMTP id A1",
            ("mx.c.example", "dsl.b.example", "win", "198.51.100.7", "ESMTP", "A1"),
        ),
        (
            "from dsl.b.example ([198.51.100.7] helo=win) by mx.c.example with esmtps (TLS1.2) id 1a-2",
            ("mx.c.example", "dsl.b.example", "win", "198.51.100.7", "esmtps", "1a-2"),
        ),
        (
            "from unknown (HELO win) (198.51.100.7) by mx.c.example with SMTP",
            ("mx.c.example", "unknown", "win", "198.51.100.7", "SMTP", ""),
        ),
        (
            "from win (dsl.b.example [IPv6:2001:db8::7]) by mx.c.example (8.14/8.14) with ESMTP id x",
            ("mx.c.example", "dsl.b.example", "win", "2001:db8::7", "ESMTP", "x"),
        ),
        (
            "from dsl.b.example (198.51.100.7) by mx.c.example (10.0.0.1) with Microsoft SMTP Server id 15",
            (
                "mx.c.example",
                "dsl.b.example",
                "dsl.b.example",
                "198.51.100.7",
                "Microsoft SMTP Server",
                "15",
            ),
        ),
        (
            "from [192.168.1.75] (dsl.b.example [198.51.100.7]) by mx.c.example",
            ("mx.c.example", "dsl.b.example", "[192.168.1.75]", "198.51.100.7", "", ""),
        ),
        ("by 10.28.50.2 with SMTP id y2csp", ("10.28.50.2", "", "", "", "SMTP", "y2csp")),
    ],
)
def test_servers_write_in_many_ways(said: str, expected: tuple[str, ...]) -> None:
    hop = path(f"{said}; Sun, 1 Nov 2026 11:59:00 +0000")[0]
    assert (hop.by, hop.from_, hop.helo, hop.ip, hop.protocol, hop.id) == expected


@pytest.mark.parametrize(
    "date",
    [
        "; Sun, 1 Nov 2026 11:00:00 +0000 (UTC)",
        "; 1 Nov 2026 11:00:00 -0000",
        "; Sun, 01 Nov 2026 12:00:00.123 +0100",
        " Sun, 1 Nov 2026 11:00:00 GMT",
        " 2026-11-01 11:00:00.138645733 +0000 UTC m=+3740852.36",
        "; 2026-11-01T11:00:00Z",
    ],
)
def test_and_dates_in_nearly_as_many(date: str) -> None:
    assert path(f"from a.example by b.example with SMTP id 1{date}")[0].time == NOON - 3600


@pytest.mark.parametrize(
    ("said", "doubt"),
    [
        ("from a; Sun, 1 Nov 2026 11:59:00 +0000", "It names no server"),
        ("from a by mail.a.example", "It has no date"),
        ("from a by mail.a.example; Tue, 1 Nov 2026 11:59:00 +0000", "Its date was a Sun, not a Tue"),
        (
            "from a by mail.a.example; Sun, 1 Nov 2026 15:00:00 +0000",
            "dated 3 hours after we got the message",
        ),
        (
            "from a by mx.b.example; Sun, 1 Nov 2026 11:59:00 +0000",
            "from mail.a.example, not from mx.b.example",
        ),
        ("from a by mx.trap.example; Sun, 1 Nov 2026 11:59:00 +0000", "a server of the recipient's"),
        ("from a ([300.1.2.3]) by mail.a.example; Sun, 1 Nov 2026 11:59:00 +0000", "300.1.2.3 is no address"),
        ("from a ([0.1.2.3]) by mail.a.example; Sun, 1 Nov 2026 11:59:00 +0000", "No host has the address"),
        (
            "from mx.b.example (mx.b.example [10.1.2.3]) by mail.a.example; Sun, 1 Nov 2026 11:59:00 +0000",
            "10.1.2.3 is a private address, from which b.example can't reach a.example",
        ),
    ],
)
def test_what_forgers_do_is_marked(said: str, doubt: str) -> None:
    assert doubt in doubts(said)


def test_mail_that_was_held_back_on_its_way_is_marked() -> None:
    older, _, own = path(
        "from b by mail.a.example; Sun, 1 Nov 2026 11:59:00 +0000",
        "from a by mail.a.example; 1 Aug 2026 12:00:00 +0000",
    )
    assert older.forged == ["92 days passed until the next hop: held back, or made up."]
    assert not own.note


def test_old_mail_that_is_sent_again_is_no_forgery() -> None:
    """As a whole corpus is, with `spamtrap replay`."""
    older, own = path("from a by mail.a.example; 1 Aug 2026 12:00:00 +0000")
    assert not older.forged
    assert own.note == "We got it 92 days after the step before: old mail, sent again."


def test_time_that_runs_backwards_is_marked_on_the_hop_it_leads_from() -> None:
    older, newer, _ = path(
        "from b by mail.a.example; Sun, 1 Nov 2026 09:00:00 +0000",
        "from a by mail.a.example; Sun, 1 Nov 2026 11:00:00 +0000",
    )
    assert older.forged == ["It is dated 2 hours after the next hop: a wrong clock, or forged."]
    assert newer.gap_seconds == -7200
    assert not newer.forged


@pytest.mark.parametrize(
    "said",
    [
        "from a by mail.a.example; Sun, 1 Nov 2026 12:04:00 +0000",
        "from localhost (localhost [127.0.0.1]) by mail.a.example; Sun, 1 Nov 2026 11:00:00 +0000",
        "from x by MAIL.other.example; Sun, 1 Nov 2026 11:00:00 +0000",
        "from x by mail.a-example.net; Sun, 1 Nov 2026 11:00:00 +0000 (first label alike)",
        "from x by node-3; Sun, 1 Nov 2026 11:00:00 +0000",
        "(qmail 18243 invoked by uid 0); 1 Nov 2026 11:00:00 -0000",
    ],
)
def test_what_honest_servers_do_is_not(said: str) -> None:
    assert not doubts(said)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_field_is_a_hop(values: list[bytes]) -> None:
    fields = [value.replace(b"\n", b" ").decode("utf-8", "surrogateescape") for value in values]
    assert len(path(*fields)) == len(fields) + 1
