"""The way into the spool: whole, in pieces, one by one and in groups. More of it is in test_queue.py."""

import errno
import os
import shutil

import pytest
from faultkit import fail_with, faulty

from trap.envelope import Envelope
from trap.writer import Item

pytestmark = pytest.mark.usefixtures("files_are_closed")


def test_a_message_in_pieces_is_one_message(spool):
    spool.put("first", Envelope(), [b"Subject: a\r\n", bytearray(b"\r\n"), b"b\r\n"])
    claim = spool["first"].consumer().claim()
    assert claim.job().message == b"Subject: a\r\n\r\nb\r\n"


def test_more_pieces_than_the_kernel_takes_at_once(spool):
    pieces = [b"%d\r\n" % number for number in range(3000)]
    spool.put("first", Envelope(), pieces)
    assert spool["first"].consumer().claim().job().message == b"".join(pieces)


@pytest.mark.parametrize("kind", ["bytes", "pieces", "draft"])
def test_a_group_is_stored_one_by_one(spool, kind):
    """Each has its answer: what fails for one is no matter for the others."""
    message: object = {"bytes": b"hello", "pieces": [b"hel", b"lo"], "draft": None}[kind]
    if kind == "draft":
        message = spool.draft()
        message.write([b"hello"])
    items = [Item("first", Envelope(), message, None, copy=True), Item("second", Envelope(), message)]
    with faulty(1, fail_with(errno.ENOSPC), frozenset({"open", "sendfile"})):
        failed, job_id = spool.put_all(items)
    assert isinstance(failed, OSError)
    assert spool["second"].ids() == {job_id}
    assert spool["first"].ids() == set()
    assert spool["second"].consumer().claim().job().message == b"hello"
    assert [path for path in (spool.root / "tmp").rglob("*") if path.is_file()] == []


def test_a_queue_that_is_made_again_costs_no_draft(spool):
    """Somebody removed a queue's directory while large messages were on their way in."""
    drafts = [spool.draft() for _ in range(2)]
    for draft in drafts:
        draft.write([b"hello"])
    shutil.rmtree(spool.root / "first")
    spool.put("first", Envelope(), b"small")
    spool.recover()
    for draft in drafts:
        spool.put("first", Envelope(), draft)
    assert len(spool["first"].ids()) == 3


@pytest.mark.parametrize("used", [False, True])
def test_a_spool_that_was_removed_is_made_again(spool, used):
    if used:
        spool.put("first", Envelope(), b"lost")
    shutil.rmtree(spool.root)
    spool.put("first", Envelope(), b"kept")
    assert spool["first"].consumer().claim().job().message == b"kept"


def test_a_draft_whose_name_is_taken_from_it_is_an_error(spool):
    draft = spool.draft()
    os.unlink(draft.path)
    with pytest.raises(FileNotFoundError):
        spool.put("first", Envelope(), draft)
    draft.abandon()
    assert spool["first"].ids() == set()
