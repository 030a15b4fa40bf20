"""Archives: what comes out of each kind, and what is made to break who opens them."""

import bz2
import gzip
import io
import lzma
import zipfile

import archivesmade as made
import pytest
import pyzipper
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_most

from stages.extraction.budget import Budget, Exhausted
from stages.extraction.containers import CONTAINERS, members
from stages.extraction.opening import Damaged, Member, Opening
from trap.magic import kind

FILES = (("invoice.exe", b"MZ" + b"x" * 3000), ("sub/readme.txt", b"hello"), ("empty", b""))
FLAT = (("INVOICE.EXE", b"MZ" + b"x" * 3000), ("README.TXT", b"hello"))
MB = 1 << 20


def opening(*passwords: str, name: str = "", size: int = 20 * MB, items: int = 500) -> Opening:
    return Opening(Budget(5, size, items), passwords, name)


def opened(data: bytes, how: Opening | None = None) -> list[Member]:
    return list(members(kind(data), data, how or opening()))


def contents(data: bytes, how: Opening | None = None) -> list[tuple[str, bytes | None]]:
    return [(member.name, member.data) for member in opened(data, how)]


def aes(password: str) -> bytes:
    written = io.BytesIO()
    with pyzipper.AESZipFile(written, "w", pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password.encode())
        for name, data in FILES:
            archive.writestr(name, data)
    return written.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        made.zipped(*FILES),
        made.zipped(*FILES, method=zipfile.ZIP_STORED),
        made.zipped(*FILES, method=zipfile.ZIP_BZIP2),
        made.zipped(*FILES, method=zipfile.ZIP_LZMA),
        made.tarred(*FILES),
        made.tarred(*FILES, form=0),
        made.rar4(*FILES),
        made.rar5(*FILES),
        made.tnef(*FILES),
        made.seven_zip(*FILES),
        made.seven_zip(*FILES, pack_header=True),
    ],
    ids=[
        "zip",
        "stored",
        "bzip2-in-zip",
        "lzma-in-zip",
        "tar",
        "ustar",
        "rar4",
        "rar5",
        "tnef",
        "7z",
        "7z packed",
    ],
)
def test_what_was_put_in_comes_out(data: bytes) -> None:
    assert contents(data) == list(FILES)


@pytest.mark.parametrize("joliet", [False, True])
def test_files_of_an_image_of_a_disk(joliet: bool) -> None:
    assert contents(made.iso(FLAT, joliet)) == [(f"SUB/{name}", data) for name, data in FLAT]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (gzip.compress(b"hello"), "a.txt.gz"),
        (gzip.compress(b"hel") + gzip.compress(b"lo"), "a.txt.gz"),
        (bz2.compress(b"hello"), "a.txt.bz2"),
        (bz2.compress(b"hel") + bz2.compress(b"lo"), "a.txt.bz2"),
        (lzma.compress(b"hello"), "a.txt.XZ"),
        (zstandard.compress(b"hello"), "a.txt.zst"),
        (gzip.compress(b"hello") + b"some padding", "a.txt.gz"),
    ],
)
def test_a_compressed_file_has_the_name_that_is_left(data: bytes, name: str) -> None:
    assert contents(data, opening(name=name)) == [("a.txt", b"hello")]


def test_gzip_may_have_a_name_of_its_own() -> None:
    written = io.BytesIO()
    with gzip.GzipFile("original.exe", "wb", fileobj=written) as file:
        file.write(b"MZ")
    assert contents(written.getvalue(), opening(name="a.gz")) == [("original.exe", b"MZ")]


@pytest.mark.parametrize("form", [0, 1, 2])
def test_long_names_in_a_tar_are_whole(form: int) -> None:
    name = "/".join(("long" * 12, "name" * 12, "x" * 30))
    assert contents(made.tarred((name, b"1"), ("next", b"2"), form=form)) == [(name, b"1"), ("next", b"2")]


@pytest.mark.parametrize(
    "data",
    [aes("Qw1!"), made.zipcrypto("Qw1!", *FILES), made.seven_zip(*FILES[:2], password="Qw1!")],
    ids=["AES", "ZipCrypto", "7z"],
)
def test_a_password_is_found_by_trying(data: bytes) -> None:
    how = opening(*(f"wrong{number}" for number in range(15)), "Qw1!", "infected")
    found = contents(data, how)
    assert found == list(FILES)[: len(found)]
    assert how.encrypted
    assert how.password == "Qw1!"

    how = opening("infected")
    assert [(member.name, member.data, member.locked) for member in opened(data, how)] == [
        (name, None, True) for name, _ in found
    ]
    assert how.encrypted
    assert not how.password


def test_the_check_byte_of_zipcrypto_is_no_proof() -> None:
    """Of 600 wrong passwords some two pass it; none is taken for the right one."""
    how = opening(*map(str, range(600)))
    assert all(member.locked for member in opened(made.zipcrypto("Qw1!", *FILES), how))
    assert not how.password


def test_rar_tells_names_and_sizes() -> None:
    how = opening()
    found = opened(made.rar5(*FILES, stored=False), how)
    assert [(member.name, member.size, member.data) for member in found] == [
        (name, len(data), None) for name, data in FILES
    ]
    assert how.listed


@pytest.mark.parametrize("make", [made.rar4, made.rar5])
def test_rar_tells_that_there_is_a_password(make) -> None:
    how = opening()
    assert all(member.locked for member in opened(make(*FILES, encrypted=True), how))
    assert how.encrypted


def test_7z_may_lock_its_list() -> None:
    data = made.seven_zip(*FILES, password="Qw1!", pack_header=True)
    assert contents(data, opening("wrong", "Qw1!")) == list(FILES)
    how = opening("wrong")
    with pytest.raises(Damaged, match="no password opens it"):
        opened(data, how)
    assert how.encrypted


@pytest.mark.parametrize(
    "header",
    [
        b"Rar!\x1a\x07\x01\x00" + bytes(4) + b"\x05\x04\x00\x00\x00\x0f",
        b"Rar!\x1a\x07\x00\0\0\x73\x80\0\x0d\0" + bytes(6),
    ],
)
def test_rar_may_hide_its_list(header: bytes) -> None:
    how = opening()
    with pytest.raises(Damaged, match="its list of files is encrypted"):
        opened(header, how)
    assert how.encrypted


BOMB = 100 * MB
BOMBS = {
    "zip": lambda: made.zipped(("zeros", bytes(BOMB))),
    "bzip2 in zip": lambda: made.zipped(("zeros", bytes(BOMB)), method=zipfile.ZIP_BZIP2),
    "overlapping members": lambda: made.overlapping(9000, 8 * MB),
    "7z": lambda: made.seven_zip(("zeros", bytes(BOMB))),
    "gzip": lambda: gzip.compress(bytes(BOMB), 1),
    "bzip2": lambda: bz2.compress(bytes(BOMB)),
    "xz": lambda: lzma.compress(bytes(BOMB), preset=0),
    "zstd": lambda: zstandard.compress(bytes(BOMB)),
    "gzip, a million empty ones": lambda: gzip.compress(b"") * 1_000_000,
    "tar, empty files": lambda: made.tarred(("a", b"")) * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_fizzle(name: str) -> None:
    """What came before stands, and the budget says what was too much."""
    data = BOMBS[name]()
    how = opening(size=10 * MB, items=100)
    with at_most(2.0, name):
        try:
            assert sum(len(member.data or b"") for member in members(kind(data), data, how)) <= 10 * MB
        except Exhausted as error:
            assert str(error).startswith("more than")


def test_what_bursts_the_budget_is_named() -> None:
    """Its size is what the archive says; and what follows is named too."""
    data = made.zipped(("first", b"1"), ("zeros", bytes(30 * MB)), ("last", b"2"))
    found = []
    with pytest.raises(Exhausted):
        found.extend(members("application/zip", data, opening(size=MB)))
    found = []
    with pytest.raises(Exhausted):
        for member in members("application/zip", data, opening(size=MB)):
            found.append((member.name, member.size, member.data))
    assert found == [("first", 1, b"1"), ("zeros", 30 * MB, None), ("last", 1, None)]


def test_a_zip_with_too_many_members_is_not_even_listed() -> None:
    with at_most(1.0), pytest.raises(Damaged, match="more than 10000 members"):
        opened(b"PK\x03\x04" + b"PK\x01\x02" * 500_000)


def test_an_image_whose_directory_is_in_itself_ends() -> None:
    data = bytearray(made.iso(FLAT))
    sub = data.index(b"SUB") - 33
    data[sub + 2 : sub + 6] = (18).to_bytes(4, "little")
    assert opened(bytes(data)) == []


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_is_cut_off_is_said_to_be(pack, cut: float) -> None:
    data = pack(bytes(range(256)) * 100)
    with pytest.raises(Damaged, match="cut off"):
        opened(data[: int(len(data) * cut)])


GOOD = {
    "application/zip": [made.zipped(*FILES), aes("a"), made.zipcrypto("a", *FILES), made.overlapping(3, 9)],
    "application/x-tar": [made.tarred(*FILES)],
    "application/gzip": [gzip.compress(b"hello" * 100)],
    "application/x-bzip2": [bz2.compress(b"hello" * 100)],
    "application/x-xz": [lzma.compress(b"hello" * 100)],
    "application/zstd": [zstandard.compress(b"hello" * 100)],
    "application/x-iso9660-image": [made.iso(FLAT), made.iso(FLAT, joliet=True)],
    "application/vnd.rar": [made.rar4(*FILES), made.rar5(*FILES)],
    "application/vnd.ms-tnef": [made.tnef(*FILES)],
    "application/x-7z-compressed": [
        made.seven_zip(*FILES),
        made.seven_zip(*FILES, pack_header=True),
        made.seven_zip(*FILES, password="a", pack_header=True),
    ],
}


def test_all_kinds_are_tried_below() -> None:
    assert GOOD.keys() == CONTAINERS.keys()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.data(), made.SCARS)
def test_damage_is_said_and_never_anything_worse(name: str, draw: st.DataObject, scars) -> None:
    data = made.scarred(draw.draw(st.sampled_from(GOOD[name])), scars)
    how = opening("a", size=MB, items=50)
    try:
        for member in members(name, data, how):
            assert member.size >= 0
            assert len(member.data or b"") <= MB
    except (Damaged, Exhausted) as error:
        assert str(error)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.binary(max_size=300))
def test_noise_is_no_archive_but_is_read_as_one(name: str, noise: bytes) -> None:
    start = GOOD[name][0][:8]
    try:
        list(members(name, start + noise, opening(size=MB)))
    except (Damaged, Exhausted) as error:
        assert str(error)
