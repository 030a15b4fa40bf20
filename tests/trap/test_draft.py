"""Large messages, written straight into the spool."""

import errno
import os
import signal

import msgpack
import pytest
from faultkit import die, fail_with, faulty, in_child
from hypothesis import given
from hypothesis import strategies as st

from trap import draft as draft_module
from trap import fsio
from trap.draft import ROOM, Draft
from trap.envelope import Envelope, Rcpt
from trap.job import Job, encode_head

pytestmark = pytest.mark.usefixtures("files_are_closed")

MESSAGE = b"Subject: large\r\n\r\n" + b"x" * 100_000


def job_of(draft: Draft, envelope: Envelope | None = None) -> Job:
    draft.finish(encode_head(envelope or Envelope(), {}, draft.size))
    return Job.decode("1", fsio.read(draft.path))


@given(
    recipients=st.integers(0, 40).map(lambda n: n * 20),
    pieces=st.lists(st.binary(max_size=2000), max_size=5),
    room=st.sampled_from([64, 512, ROOM]),
)
def test_what_is_written_is_what_a_job_holds(tmp_path_factory, recipients, pieces, room):
    """Few recipients and many, with a hole before the message, or with a copy where the room is too small."""
    path = f"{tmp_path_factory.mktemp('draft')}/draft"
    envelope = Envelope(
        helo="caf\udce9", rcpts=[Rcpt(address=f"{n}@trap.example") for n in range(recipients)]
    )
    draft = Draft(path, room)
    for piece in pieces:
        draft.write([piece[:1000], piece[1000:]])
    head = encode_head(envelope, {}, draft.size)
    draft.finish(head)
    draft.close()
    job = Job.decode("1", fsio.read(draft.path))
    assert (job.envelope, job.notes, job.message) == (envelope, {}, b"".join(pieces))


def test_the_pad_is_lost_when_the_job_is_written_anew(tmp_path):
    draft = Draft(f"{tmp_path}/draft")
    draft.write([MESSAGE])
    job = job_of(draft, Envelope(mail_from="a@b"))
    with open(draft.path, "rb") as file:
        assert set(next(iter(msgpack.Unpacker(file)))) == {"pad", "mail_from"}
    assert len(b"".join(job.encode({"stage": 1}))) < len(MESSAGE) + 100


def test_the_room_that_is_left_over_takes_no_memory(tmp_path):
    """It is a hole: the file system keeps no bytes for it."""
    draft = Draft(f"{tmp_path}/draft", 1 << 20)
    draft.write([MESSAGE])
    job_of(draft)
    assert fsio.size(draft.path) < 200_000


def test_a_copy_is_one_of_its_own(tmp_path):
    draft = Draft(f"{tmp_path}/draft")
    draft.write([MESSAGE])
    twin = draft.copy()
    draft.abandon()
    assert job_of(twin).message == MESSAGE
    assert os.listdir(tmp_path) == ["draft+"]


def test_a_copy_that_finds_no_room_leaves_nothing(tmp_path):
    draft = Draft(f"{tmp_path}/draft")
    draft.write([MESSAGE])
    with (
        faulty(1, fail_with(errno.ENOSPC), frozenset({"sendfile"})),
        pytest.raises(OSError, match="No space"),
    ):
        draft.copy()
    assert os.listdir(tmp_path) == ["draft"]
    os.truncate(draft.path, ROOM + 10)
    with pytest.raises(OSError, match="shorter"):
        draft.copy()
    assert os.listdir(tmp_path) == ["draft"]


def test_a_write_that_failed_may_be_tried_again(tmp_path, monkeypatch):
    """Half of the pieces were written when the disk was full; then there was room again."""
    draft = Draft(f"{tmp_path}/draft")
    draft.write([b"begin "])
    real = fsio.write_all

    def half(fd, pieces):
        real(fd, [b"".join(pieces)[:3]])
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr(fsio, "write_all", half)
        with pytest.raises(OSError, match="full"):
            draft.write([b"middle "])
    assert draft.size == 6
    draft.write([b"middle "])
    assert job_of(draft).message == b"begin middle "


def test_half_a_head_is_an_error(tmp_path, monkeypatch):
    draft = Draft(f"{tmp_path}/draft")
    monkeypatch.setattr(draft_module.os, "pwrite", lambda *_: 3)
    with pytest.raises(OSError, match="No space"):
        draft.finish(encode_head(Envelope(), {}, 0))


def test_what_is_abandoned_is_gone_and_may_be_abandoned_again(tmp_path):
    draft = Draft(f"{tmp_path}/draft")
    draft.abandon()
    draft.abandon()
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="Bad file"):
        draft.write([b"x"])


def test_the_draft_of_a_sink_that_was_killed_is_swept(spool):
    def die_writing() -> None:
        spool.draft().write([MESSAGE])
        die()

    assert in_child(die_writing) == -signal.SIGKILL
    assert [path.name for path in spool.root.rglob("*") if path.is_file()]
    spool.recover()
    assert not [path for path in spool.root.rglob("*") if path.is_file()]


def test_a_draft_whose_queue_was_removed_finds_it_made_again(spool):
    draft = spool.draft()
    draft.write([MESSAGE])
    os.rmdir(spool["first"].new)
    job_id = spool.put("first", Envelope(), draft)
    assert spool["first"].ids() == {job_id}
