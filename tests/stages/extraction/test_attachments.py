"""attachments: what came with a message, archives in archives, and what they may cost."""

import email
import gzip
import hashlib
import json
import tracemalloc
import zipfile
import zlib
from contextlib import closing
from pathlib import Path

import archivesmade as made
import pytest
from codes import drawn, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_most, every

from stages.extraction import qr
from stages.extraction.attachments import MAX_LISTED, Found, Part, examine
from stages.extraction.budget import Budget

MB = 1 << 20
PROGRAM = b"MZ" + b"x" * 5000


def budget(seconds: float = 5, size: int = 50 * MB, items: int = 2000) -> Budget:
    return Budget(seconds, size, items)


def found(*files: tuple[str, bytes], text: str = "") -> Found:
    parts = [Part(name, "application/octet-stream", data) for name, data in files]
    return examine(parts, text, budget())


def test_a_file_is_named_hashed_and_known_by_its_first_bytes() -> None:
    assert examine([Part("a.pdf\x1b", "application/pdf", PROGRAM)], "", budget()).attachments == [
        {
            "name": "a.pdf\\x1b",
            "type": "application/pdf",
            "is": "application/vnd.microsoft.portable-executable",
            "size": len(PROGRAM),
            "sha256": hashlib.sha256(PROGRAM).hexdigest(),
            "md5": hashlib.md5(PROGRAM).hexdigest(),
        }
    ]


def test_members_of_archives_are_files_too() -> None:
    there = found(("mail.zip", made.zipped(("in/invoice.exe", PROGRAM), ("b.txt", b"hello"))))
    assert there.archives == [{"name": "mail.zip", "kind": "zip", "members": 2}]
    _, program, text = there.attachments
    assert program == {
        "name": "in/invoice.exe",
        "from": "mail.zip",
        "is": "application/vnd.microsoft.portable-executable",
        "size": len(PROGRAM),
        "sha256": hashlib.sha256(PROGRAM).hexdigest(),
        "md5": hashlib.md5(PROGRAM).hexdigest(),
    }
    assert text["name"] == "b.txt"
    assert [page.data for page in there.pages] == [b"hello"]


def test_a_password_in_the_text_opens_what_is_locked() -> None:
    locked = made.zipcrypto("Inv-2207", ("invoice.exe", PROGRAM))
    there = found(("invoice.zip", locked), text="Your invoice\n\nThe password is Inv-2207.")
    assert there.archives == [
        {"name": "invoice.zip", "kind": "zip", "members": 1, "encrypted": True, "password": "Inv-2207"}
    ]
    assert there.attachments[1]["sha256"] == hashlib.sha256(PROGRAM).hexdigest()


def test_what_no_password_opens_is_named_all_the_same() -> None:
    there = found(("invoice.zip", made.zipcrypto("?", ("invoice.exe", PROGRAM))), text="Your invoice")
    assert there.archives[0]["locked"]
    assert there.attachments[1] == {
        "name": "invoice.exe",
        "from": "invoice.zip",
        "size": len(PROGRAM),
        "locked": True,
    }


def test_archives_are_opened_in_archives() -> None:
    inner = made.iso([("RUN.EXE", PROGRAM)])
    there = found(("a.tar.gz", gzip.compress(made.tarred(("disk.img", made.zipped(("a.iso", inner)))))))
    assert [(file["name"], file.get("from")) for file in there.attachments] == [
        ("a.tar.gz", None),
        ("a.tar", "a.tar.gz"),
        ("disk.img", "a.tar"),
        ("a.iso", "disk.img"),
        ("SUB/RUN.EXE", "a.iso"),
    ]
    assert [archive["kind"] for archive in there.archives] == ["gzip", "tar", "zip", "iso"]


def test_there_is_an_end_to_archives_in_archives() -> None:
    data = PROGRAM
    for _ in range(10):
        data = made.zipped(("a.zip", data))
    there = found(("a.zip", data))
    assert len(there.archives) == 5
    assert there.archives[-1]["truncated"] == "more than 4 archives in each other"


def test_the_same_file_is_opened_once() -> None:
    data = made.zipped(("a", b"1"))
    there = found(("a.zip", data), ("b.zip", data))
    assert [archive["name"] for archive in there.archives] == ["a.zip"]
    assert [file["name"] for file in there.attachments] == ["a.zip", "b.zip", "a"]


def test_a_bomb_does_not_hide_what_stands_beside_it() -> None:
    with at_most(3.0):
        there = found(
            ("bomb.zip", made.zipped(("zeros", bytes(100 * MB)))),
            ("mail.zip", made.zipped(("a.exe", PROGRAM))),
        )
    bomb, beside = there.archives
    assert bomb["truncated"].startswith("more than")
    assert "truncated" not in beside
    assert {file["name"] for file in there.attachments} == {"bomb.zip", "mail.zip", "zeros", "a.exe"}


def nested_bomb() -> bytes:
    """Like 42.zip: sixteen zips in each of sixteen zips of zeros."""
    data = made.zipped(("0.bin", bytes(4 * MB)))
    for level in range(3):
        data = made.zipped(*((f"{level}-{number}.zip", data + bytes([number])) for number in range(16)))
    return data


HOSTILE = {
    "16 zips in 16 zips in 16 zips": nested_bomb,
    "overlapping members": lambda: made.overlapping(9000, MB),
    "500 small files": lambda: made.zipped(*((f"{number}.txt", b"%d" % number) for number in range(500))),
    "a PDF that unpacks to much": lambda: (
        b"%PDF-1.4 "
        + b"1 0 obj <</Filter/FlateDecode>> stream\n%s\nendstream " % zlib.compress(bytes(40 * MB)) * 400
    ),
    "a PDF of beginnings": lambda: b"%PDF-1.4 " + b"obj /FlateDecode stream\n" * 100_000,
    "a document of relations that don't end": lambda: made.zipped(
        ("[Content_Types].xml", b"x"), ("a.rels", b"<Relationship " * 600_000)
    ),
    "a PDF of links": lambda: b"%PDF-1.4 " + b"/URI (http://a" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_cost_much_is_cut_short(name: str) -> None:
    data = HOSTILE[name]()
    with at_most(4.0, name):
        there = examine([Part("a", "", data)], "", budget(seconds=2, size=20 * MB))
    assert len(there.attachments) <= MAX_LISTED
    assert there.truncated or there.archives or "PDF" in name
    json.dumps([there.attachments, there.archives, there.truncated, there.urls])


def test_a_bomb_of_bzip2_takes_no_more_memory_than_it_may() -> None:
    """A few bytes of it are a megabyte."""
    bomb = made.zipped(("zeros", bytes(60 * MB)), method=zipfile.ZIP_BZIP2)
    tracemalloc.start()
    there = examine([Part("a.zip", "", bomb)], "", budget(size=10 * MB))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30 * MB
    assert there.archives[0]["truncated"].startswith("more than")


def test_names_and_codes_have_an_end() -> None:
    archives = (made.zipped(*((f"{n}{'n' * 190}", b"%d %d" % (n, k)) for n in range(40))) for k in range(9))
    there = found(*((f"{'a' * 190}{number}", data) for number, data in enumerate(archives)))
    assert len(there.attachments) == MAX_LISTED
    assert sum(len(file["name"]) + len(file.get("from", "")) for file in there.attachments) < 45_000
    with closing(qr.Reader(seconds=10)) as codes:
        images = [Part("", "", saved(drawn(f"{n}{'x' * 2000}"))) for n in range(15)]
        there = examine(images, "", budget(), codes)
    assert len(there.qr) < 11
    assert there.truncated == ["more than 20000 characters in codes"]


def test_without_a_budget_there_are_hashes_still() -> None:
    spent = budget(size=0, items=0, seconds=0)
    there = examine([Part("a.zip", "", made.zipped(("a.exe", PROGRAM)))], "", spent)
    assert there.attachments[0]["sha256"]
    assert there.archives[0]["truncated"]


OFFICE = made.zipped(
    ("[Content_Types].xml", b"<Types/>"),
    ("word/document.xml", b"<w/>"),
    ("word/vbaProject.bin", b"\xd0\xcf\x11\xe0"),
    (
        "word/_rels/document.xml.rels",
        b'<Relationship Id="r1" Target="https://evil.example/t?a=1&amp;b=2" TargetMode="External"/>'
        b'<Relationship Id="r2" Target="styles.xml"/>',
    ),
)


def test_of_a_document_of_word_macros_and_links_are_told() -> None:
    there = found(("letter.docx", OFFICE))
    document, macros = there.attachments
    assert document["is"] == "application/vnd.openxmlformats-officedocument"
    assert document["macros"]
    assert macros["name"] == "word/vbaProject.bin"
    assert there.urls == ["https://evil.example/t?a=1&b=2"]


def test_of_an_old_document_macros_and_a_lock_are_told() -> None:
    magic = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    old = found(("a.doc", magic + "_VBA_PROJECT".encode("utf-16-le")))
    assert old.attachments[0]["macros"]
    locked = found(("a.xlsx", magic + "EncryptedPackage".encode("utf-16-le")))
    assert locked.attachments[0]["encrypted"]


def test_codes_in_attached_and_packed_images_are_read() -> None:
    from codes import drawn, saved  # noqa: PLC0415 - skips without the extra qr

    image = saved(drawn("https://evil.example/1"))
    packed = made.zipped(("in.jpg", saved(drawn("https://evil.example/2"), "JPEG")))
    parts = [
        Part("code.png", "image/png", image),
        Part("a.zip", "", packed),
        Part("bad.png", "", image[:120]),
    ]
    with closing(qr.Reader(seconds=10)) as codes:
        there = examine(parts, "", budget(), codes)
    assert there.qr == ["https://evil.example/1", "https://evil.example/2"]
    assert any(reason.startswith("bad.png: ") for reason in there.truncated)


def test_without_a_reader_of_codes_images_are_hashed_only() -> None:
    there = found(("a.png", b"\x89PNG\r\n\x1a\n" + bytes(200)))
    assert there.attachments[0]["is"] == "image/png"
    assert (there.qr, there.truncated) == ([], [])


@settings(max_examples=100, deadline=None)
@given(
    made.SCARS, st.text(), st.sampled_from([OFFICE, made.iso([("A", PROGRAM)]), made.rar5(("a", PROGRAM))])
)
def test_nothing_is_ever_raised(scars, name: str, data: bytes) -> None:
    there = found((name, made.scarred(data, scars)))
    assert there.attachments[0]["sha256"]
    json.dumps([there.attachments, there.archives, there.truncated, there.urls])


def test_attachments_of_real_mail(corpus: Path) -> None:
    """None raises, and none costs much."""
    for path in every(corpus.rglob("*.eml"), 20):
        message = email.message_from_bytes(path.read_bytes())
        parts = []
        for part in message.walk():
            data = part.get_payload(decode=True)
            if isinstance(data, bytes):
                parts.append(Part(str(part.get_filename("")), part.get_content_type(), data))
        with at_most(2.0, path):
            there = examine(parts, "", budget(seconds=1))
        assert len(there.attachments) == len(parts) or there.archives
        json.dumps([there.attachments, there.archives, there.truncated, there.urls])
