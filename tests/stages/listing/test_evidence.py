"""What of a message counts, and what does not."""

from collections.abc import Iterable
from typing import Any

import pytest
from listkit import MD5, SUM, letter

from stages.listing.allowed import Allowed, Operators
from stages.listing.evidence import MAX_DOMAINS, MAX_RECIPIENTS, Gatherer
from stages.listing.store import TRAP, Hit
from stages.listing.terms import LISTS
from stages.names.relays import Trusted
from trap.job import Job
from trap.redaction.identities import Identities


def gatherer(traps: list[str] | None = None, trusted: Iterable[str] = ()) -> Gatherer:
    allowed = Allowed(Operators(""), [], Identities.named(["trap.example"]))
    return Gatherer(LISTS, allowed, Trusted(trusted), traps, b"key")


def clients(job: Job, **settings: Any) -> list[str]:
    return [
        hit.key for hit in gatherer(**settings).gather(job).hits if hit.list in ("addresses", "backscatter")
    ]


class TestClient:
    RELAYED = b"Received: from bad (bad [198.51.100.4]) by relay.trap.example\r\n\r\n"

    def test_is_who_connected(self) -> None:
        assert clients(letter("192.0.2.7", message=self.RELAYED)) == ["192.0.2.7"]

    def test_of_what_a_relay_of_ours_passed_on_is_who_came_to_that(self) -> None:
        job = letter("192.0.2.1", message=self.RELAYED)
        assert clients(job, trusted=["192.0.2.0/28"]) == ["198.51.100.4"]
        assert clients(letter("127.0.0.1", message=self.RELAYED)) == ["198.51.100.4"]
        assert clients(letter("", message=self.RELAYED, protocol="lmtp")) == ["198.51.100.4"]

    def test_of_what_a_relay_of_ours_passed_on_is_who_dns_says(self) -> None:
        job = letter("127.0.0.1", message=self.RELAYED, notes={"dns": {"client": "203.0.113.5"}})
        assert clients(job) == ["203.0.113.5"]
        assert clients(job, trusted=["203.0.113.0/24"]) == []

    def test_of_what_a_private_address_passed_on_is_nobody_unless_it_is_ours(self) -> None:
        """Behind NAT strangers come by one, and may write what they like."""
        job = letter("172.17.0.1", message=self.RELAYED)
        assert clients(job) == []
        assert clients(job, trusted=["172.17.0.1/32"]) == ["198.51.100.4"]

    def test_of_what_came_from_a_file_nobody_is(self) -> None:
        """Anybody may have written the Received fields of a file."""
        job = letter("", message=self.RELAYED, protocol="inject", notes={"dns": {"client": "203.0.113.5"}})
        assert clients(job) == []

    def test_is_a_large_senders_by_a_name_that_was_looked_up(self) -> None:
        notes = {"dns": {"ptr": "mail-ed1-f41.google.com", "ptr_confirmed": True}}
        assert gatherer().gather(letter(notes=notes)).left_out == {"192.0.2.7": "Google"}
        notes["dns"]["ptr_confirmed"] = False
        assert clients(letter(notes=notes)) == ["192.0.2.7"]


class TestBarred:
    @pytest.mark.parametrize("tag", ["typo", "Typo", "typo-squat"])
    def test_mail_to_typo_traps(self, tag: str) -> None:
        said = gatherer().gather(letter(tag=tag))
        assert (said.hits, said.why) == ([], f"came to a trap tagged {tag}")

    def test_tags_that_are_not_asked_for(self) -> None:
        assert gatherer(["pristine"]).gather(letter(tag="recycled")).why == "came to a trap tagged recycled"
        assert gatherer(["pristine"]).gather(letter()).why == "came to a trap without a tag"
        assert clients(letter(tag="pristine"), traps=["pristine"]) == ["192.0.2.7"]
        assert clients(letter(), traps=[""]) == ["192.0.2.7"]

    @pytest.mark.parametrize(
        ("notes", "message", "why"),
        [
            ({"policy": {"never_report": True}}, b"Subject: x\r\n\r\n", "never to be reported"),
            ({"extract": {"donor": {"name": "joe"}}}, b"Subject: x\r\n\r\n", "sent in by donor joe"),
            (
                {},
                b"From: <service@paypal.com>\r\nDKIM-Signature: v=1; d=paypal.com; s=x; b=AA==\r\n\r\nhi",
                "claims to be signed by paypal.com",
            ),
            ({}, b"List-Post: <mailto:l@a.example>\r\n\r\nhi", "came over a mailing list"),
        ],
    )
    def test_what_the_sentinel_holds(self, notes: dict[str, Any], message: bytes, why: str) -> None:
        said = gatherer().gather(letter(notes=notes, message=message, links=[]))
        assert (said.hits, said.witnesses) == ([], [])
        assert why in said.why


class TestMessage:
    def domains(self, *hosts: str, **more: Any) -> list[str]:
        found = gatherer().gather(letter(links=hosts, **more))
        return [hit.key for hit in found.hits if hit.list == "domains"]

    def test_domains_are_what_was_registered(self) -> None:
        assert self.domains("a.b.bad.co.uk", "bad.co.uk", "bob.github.io") == ["bad.co.uk", "bob.github.io"]

    def test_what_is_no_name_is_none_of_them(self) -> None:
        assert self.domains("a b.com", "x:127.0.0.2.com", "a\nb.com", "192.0.2.7", "b\u00fccher.de") == [
            "xn--bcher-kva.de"
        ]

    def test_domains_of_others_are_left_out(self) -> None:
        assert self.domains("accounts.google.com", "www.trap.example", "s3.amazonaws.com", "192.0.2.80") == []

    def test_a_domain_that_names_a_recipient_is_left_out(self) -> None:
        said = gatherer().gather(letter(to=["marjorie@x.example"], links=["marjorie-wins.com"]))
        assert said.left_out == {"marjorie-wins.com": "our own"}

    def test_what_is_only_shown_is_nobodys_link(self) -> None:
        links = [{"host": "logo.example", "from": "image"}, {"host": "bad.example", "from": "form"}]
        job = letter(notes={"extract": {"links": links}})
        assert [hit.key for hit in gatherer().gather(job).hits] == ["192.0.2.7", "bad.example"]

    def test_there_are_only_so_many(self) -> None:
        assert len(self.domains(*(f"bad{number}.example" for number in range(500)))) == MAX_DOMAINS
        said = gatherer().gather(letter(to=[f"{number}@trap.example" for number in range(500)]))
        assert sum(kind == TRAP for kind, _ in said.witnesses) == MAX_RECIPIENTS

    @pytest.mark.parametrize(
        ("file", "counts"),
        [
            ({}, True),
            ({"type": "image/png"}, False),
            ({"type": "image/png", "is": "application/zip"}, True),
            ({"type": "application/pkcs7-signature"}, False),
            ({"size": 100}, False),
            ({"size": None}, False),
            ({"sha256": None}, False),
        ],
    )
    def test_files(self, file: dict[str, Any], counts: bool) -> None:
        usual = {"type": "application/zip", "size": 9000, "sha256": SUM, "md5": MD5}
        job = letter(notes={"extract": {"attachments": [usual | file]}})
        assert (Hit("files", SUM, MD5) in gatherer().gather(job).hits) == counts

    @pytest.mark.parametrize(
        "notes", [None, 3, {"links": 3}, {"links": [3, {"host": None}], "attachments": [[]]}]
    )
    def test_notes_of_other_kinds_do_no_harm(self, notes: object) -> None:
        job = letter(notes={"extract": notes, "dns": notes, "backscatter": notes})
        assert clients(job) == ["192.0.2.7"]

    def test_two_keys_know_one_trap_by_two_names(self) -> None:
        allowed = Allowed(Operators(""), [], Identities())
        one, other = (Gatherer(LISTS, allowed, Trusted(), None, key) for key in (b"a", b"b"))
        assert not set(one.gather(letter()).witnesses) & set(other.gather(letter()).witnesses)
