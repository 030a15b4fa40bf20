"""export: what other programs read is what was archived."""

import base64
import io
import json
import mailbox
import re
import zipfile
from pathlib import Path

import pytest
from archived import job, mail, mixed_message

from trap.archive.export import to_eml, to_file, to_maildir
from trap.archive.record import Record

MESSAGES = [
    mail(1),
    mixed_message(2),
    b"Subject: quoting\n\nFrom here\n>From there\n>>From everywhere\nno newline at the end",
    b"Subject: \xff\r\n\r\nFrom \x00\r\n",
    b"\n",
]


@pytest.fixture
def records() -> list[Record]:
    """Messages that are hard to put into a mailbox."""
    made = [job(n, message=message, mail_from="a b\ud800@x\n") for n, message in enumerate(MESSAGES)]
    return [Record(each.id, bytes(32), each.envelope, {"raw": {"x": b"\xff"}}, each.message) for each in made]


def test_mbox(tmp_path: Path, records: list[Record]) -> None:
    """Python's own reader finds every message; with the quoting of mboxrd undone it is the same."""
    for record in records:
        object.__setattr__(record, "envelope", job(1).envelope)
    path = tmp_path / "spam.mbox"
    with path.open("wb") as out:
        assert to_file("mbox", records, out) == len(records)
    found = mailbox.mbox(path, create=False)
    texts = [found.get_bytes(key) for key in found.keys()]  # noqa: SIM118 - a mailbox iterates over messages
    found.close()
    back = [re.sub(rb"^>(>*From )", rb"\1", text, flags=re.MULTILINE) for text in texts]
    assert [text.rstrip(b"\n") for text in back] == [message.rstrip(b"\n") for message in MESSAGES]


def test_an_mbox_line_has_no_room_for_a_senders_tricks(records: list[Record]) -> None:
    out = io.BytesIO()
    hostile = job(1, mail_from="a\nFrom evil \udcff")
    to_file("mbox", [Record(hostile.id, bytes(32), hostile.envelope, {}, b"x\n")], out)
    first, *rest = out.getvalue().split(b"\n")
    assert first.startswith(b"From a_From_evil_\xff Sun Nov  1 ")
    assert rest == [b"x", b"", b""]


def test_maildir(tmp_path: Path, records: list[Record]) -> None:
    assert to_maildir(records, tmp_path / "Maildir") == len(records)
    found = mailbox.Maildir(tmp_path / "Maildir", create=False)
    files = sorted((tmp_path / "Maildir" / "new").iterdir())
    assert len(found) == len(records)
    assert [path.read_bytes() for path in files] == MESSAGES
    assert not list((tmp_path / "Maildir" / "tmp").iterdir())


def test_eml(tmp_path: Path, records: list[Record]) -> None:
    assert to_eml(records, tmp_path / "new" / "folder") == len(records)
    assert [path.read_bytes() for path in sorted((tmp_path / "new" / "folder").iterdir())] == MESSAGES


def test_zip(tmp_path: Path, records: list[Record]) -> None:
    """Written as it grows, into something that can't seek."""
    with (tmp_path / "spam.zip").open("wb") as out:
        assert to_file("zip", records, out) == len(records)
    with zipfile.ZipFile(tmp_path / "spam.zip") as found:
        assert [found.read(name) for name in sorted(found.namelist())] == MESSAGES


def test_json_lines(records: list[Record]) -> None:
    for record in records:
        object.__setattr__(record, "envelope", job(1, helo="\udcff\x1b").envelope)
    out = io.BytesIO()
    assert to_file("jsonl", records, out) == len(records)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [base64.b64decode(each["message_base64"]) for each in found] == MESSAGES
    assert found[0]["envelope"]["helo"] == "\\xff\\x1b"
    assert found[0]["notes"] == {"raw": {"x": "\\xff"}}
    assert [each["id"] for each in found] == [record.id for record in records]
