"""The search for all spellings of all names at once."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.redaction.identities import Identities
from trap.redaction.search import TOKEN, Searcher

ADDRESS = "joe.miller@trap-mail.example"
OURS = Identities.named([ADDRESS])
MD5 = hashlib.md5(ADDRESS.encode()).hexdigest()


def kinds(data: bytes, searcher: Searcher | None = None) -> set[str]:
    return {hit.kind for hit in (searcher or Searcher(OURS)).find(data)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"Joe.Miller@TRAP-mail.example", "plain"),
        (b"bounce-joe.miller=trap-mail.example@news.test", "plain"),
        (b"joe.miller at trap-mail dot example", "plain"),
        (b"elpmaxe.liam-part@rellim.eoj", "reversed"),
        (b"example.trap-mail.www", "reversed"),
        (b"wbr.zvyyre@genc-znvy.rknzcyr", "rot13"),
        (ADDRESS.encode().hex().encode(), "hex"),
        (ADDRESS.encode("utf-16-le"), "utf-16"),
        (b"?" + base64.b64encode(b"x" + ADDRESS.encode()), "base64"),
        (MD5.encode(), "md5"),
        (b"id=ff" + MD5.upper().encode() + b"00", "md5"),
        (MD5[:20].encode(), "md5"),
        (b"/o/" + base64.urlsafe_b64encode(hashlib.sha256(ADDRESS.encode()).digest()), "sha256"),
        (b"%08x" % zlib.crc32(ADDRESS.encode()), "crc32"),
    ],
)
def test_finds_spellings(text: bytes, kind: str) -> None:
    assert kind in kinds(text)


@settings(deadline=None)  # of a machine that has more to do
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_says_where_it_is(before: bytes, after: bytes) -> None:
    text = b"".join([before, b" ", ADDRESS.upper().encode(), b" ", after])
    start = len(before) + 1
    assert (start, start + len(ADDRESS), ADDRESS) in {hit[:3] for hit in Searcher(OURS).find(text)}


@pytest.mark.parametrize("at", [0, (1 << 18) - 10, 1 << 18, (1 << 18) + 5, 1 << 19])
def test_finds_once_what_lies_where_blocks_meet(at: int) -> None:
    text = b" " * at + ADDRESS.encode() + b" " * 100_000
    hits = [hit for hit in Searcher(OURS).find(text) if hit.name == ADDRESS]
    assert [(hit.start, hit.kind) for hit in hits] == [(at, "plain")]


@pytest.mark.parametrize("text", [b"xjo y", b"ajob", MD5[:12].encode(), b"joe.millers"[:9], b"base64: am9l"])
def test_does_not_find_what_only_looks_alike(text: bytes) -> None:
    assert not kinds(text, Searcher(Identities.named(["jo.b@trap-mail.example", ADDRESS])))


def test_what_was_no_hash_in_base64_is_still_one_in_hex() -> None:
    searcher = Searcher(OURS)
    assert kinds(MD5.encode(), searcher) == kinds(MD5.encode(), searcher) == {"md5"}


def test_finds_tokens() -> None:
    hits = list(Searcher(OURS, ["Ab9xK22z", "a7"]).find(b"?x=ab9xk22z&a7"))
    assert [(hit.name, hit.kind) for hit in hits] == [("Ab9xK22z", TOKEN)]


def test_thousands_of_names_are_made_ready_once() -> None:
    many = Identities.named([f"user{number}@trap{number % 100}.example" for number in range(400)])
    standing = Searcher(many)
    searcher = Searcher(many | OURS, standing=standing)
    assert "sha1" in kinds(hashlib.sha1(b"user399@trap99.example").hexdigest().encode(), searcher)
    assert "plain" in kinds(ADDRESS.encode(), searcher)
    assert searcher.names > standing.names


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"see hotmail.gr now, and much more", False),
        (b"see mail.green now, and much more", False),
        (b"see MAIL.GR now, and much more", True),
        (b"mail.gr", True),
    ],
)
def test_a_short_name_in_base64_has_to_stand_alone_too(before: int, text: bytes, named: bool) -> None:
    coded = base64.b64encode(b"." * before + text)
    found = Searcher(Identities.named(["mail.gr"])).find(coded)
    assert any(hit.kind == "base64" for hit in found) is named


def test_what_somebody_else_blanked_is_no_name() -> None:
    assert not Identities.named(["xxxx@xxx.xxx", "xxxxxxx-xxxxxxxxx", "xxxx.xxx"]).names()
