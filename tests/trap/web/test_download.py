"""Files out of messages: bytes that no browser opens, under names that harm nobody."""

import io
import re
from urllib.parse import unquote

import pytest
import pyzipper
from archived import job, mixed_message
from hypothesis import given
from hypothesis import strategies as st
from webkit import Visitor

from trap.job import Job
from trap.web.download import disposition

HOSTILE = [
    'a"; filename="evil.exe',
    "a\r\nSet-Cookie: session=theirs\r\n\r\n<script>alert(1)</script>",
    "\u202egpj.exe",
    "x" * 10_000 + ".pdf",
    "../../../etc/passwd",
    "..\\..\\windows\\system32\\a.dll",
    "CON.txt",
    "\x00\x1b]0;title\x07",
    "Überweisung №5.pdf",
    ".htaccess",
    "",
]


def named(name: str) -> bytes:
    """A message with a file of this name, as a header can carry any: in an encoded word."""
    encoded = "".join(f"={byte:02X}" for byte in name.encode("utf-8", "surrogateescape"))
    field = f'Content-Disposition: attachment; filename="=?utf-8?q?{encoded}?="'
    return (
        "Subject: a file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n<p>trap@trap.example</p>\r\n"
        f"--b\r\nContent-Type: text/html; charset=x\r\n{field}\r\n\r\n<script>alert(1)</script>\r\n"
        f"--b\r\nContent-Type: image/svg+xml\r\n{field}\r\n\r\n<svg onload='alert(1)'/>\r\n--b--\r\n"
    ).encode()


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    names = [*HOSTILE, "for trap@trap.example.pdf"]
    return [
        job(0, message=mixed_message(0)),
        *(job(n, message=named(name)) for n, name in enumerate(names, 1)),
    ]


@given(st.text(max_size=400) | st.sampled_from(HOSTILE))
def test_a_name_never_ends_the_header_nor_its_quotes(name: str) -> None:
    value = disposition(name)
    found = re.fullmatch(r"attachment; filename=\"([A-Za-z0-9._ ()-]+)\"; filename\*=UTF-8''([!-~]+)", value)
    assert found, value
    assert len(value) < 2500
    plain = unquote(found[2])
    assert "/" not in plain
    assert "\\" not in plain
    assert not plain.startswith(".")
    assert plain.isprintable()


def test_names_keep_their_letters_and_their_ending() -> None:
    assert disposition("Überweisung 5.pdf").endswith("filename*=UTF-8''%C3%9Cberweisung%205.pdf")
    assert disposition("x" * 3000 + ".pdf").count(".pdf") == 2


def test_a_part_is_bytes_whatever_it_calls_itself(me: Visitor, jobs: list[Job]) -> None:
    for one in jobs[1:-1]:
        answer = me.get(f"/messages/{one.id}/parts/3")
        assert answer.status_code == 200, answer.text
        assert answer.content == b"<svg onload='alert(1)'/>"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.headers) >= {"referrer-policy", "cross-origin-resource-policy"}
        assert "theirs" not in str(answer.cookies)


def test_a_zip_has_the_password_that_all_use(me: Visitor, jobs: list[Job]) -> None:
    answer = me.get(f"/messages/{jobs[0].id}/parts/3.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="invoice0.pdf.zip"' in answer.headers["content-disposition"]
    with pyzipper.AESZipFile(io.BytesIO(answer.content)) as packed:
        with pytest.raises(RuntimeError):
            packed.read("invoice0.pdf")
        assert packed.read("invoice0.pdf", b"infected") == me.get(f"/messages/{jobs[0].id}/parts/3").content


@pytest.mark.parametrize("path", [".eml", ".zip", "/parts/0", "/parts/0.zip", "/parts/1"])
def test_what_may_name_us_is_for_those_who_may_see_it(me: Visitor, jobs: list[Job], path: str) -> None:
    answer = me.get(f"/messages/{jobs[0].id}{path}")
    assert answer.status_code == 403
    assert "Identities are masked" in answer.text


def test_a_name_may_name_us(me: Visitor, jobs: list[Job]) -> None:
    for path in ("/parts/3", "/parts/3.zip"):
        answer = me.get(f"/messages/{jobs[-1].id}{path}")
        assert answer.status_code == 403
        assert "trap@" not in str(answer.headers)
    assert f"/messages/{jobs[-1].id}/parts/3" not in me.get(f"/messages/{jobs[-1].id}?show=parts").text


def test_the_whole_message_is_byte_for_byte(shown: Visitor, jobs: list[Job]) -> None:
    answer = shown.get(f"/messages/{jobs[0].id}.eml")
    assert answer.content == jobs[0].message
    assert answer.headers["content-type"] == "application/octet-stream"
    with pyzipper.AESZipFile(io.BytesIO(shown.get(f"/messages/{jobs[0].id}.zip").content)) as packed:
        assert packed.read(f"{jobs[0].id}.eml", b"infected") == jobs[0].message
    assert shown.get(f"/messages/{jobs[0].id}/parts/1").text.startswith("Bitte prüfen")


@pytest.mark.parametrize("number", ["4", "999999", "-1", "x", "9" * 5000, "1e3", "%00"])
def test_a_part_that_is_not_there(me: Visitor, jobs: list[Job], number: str) -> None:
    for ending in ("", ".zip"):
        assert me.get(f"/messages/{jobs[0].id}/parts/{number}{ending}").status_code == 404


def test_downloads_of_what_is_not_archived(me: Visitor) -> None:
    for path in (".eml", ".zip", "/parts/0"):
        assert me.get(f"/messages/{'0' * 24}{path}").status_code == 404
