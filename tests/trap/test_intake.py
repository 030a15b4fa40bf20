"""The sink's way into the spool: what is stored, and what is held in memory."""

import errno

import pytest
from faultkit import fail_with, faulty
from intakekit import MESSAGE, balanced, draft_of, messages, opened, store, trap_below

pytestmark = pytest.mark.usefixtures("files_are_closed")


# What is stored


@pytest.mark.parametrize("kind", ["pieces", "draft"])
@pytest.mark.parametrize("queues", [("first",), ("first", "other", "second")])
def test_a_message_goes_into_each_queue(tmp_path, kind, queues):
    """A draft is copied for every queue but the last, and nothing is left in tmp/."""
    config = trap_below(tmp_path)
    intake, spool = opened(config)
    stored = store(
        intake, [MESSAGE[:9], MESSAGE[9:]] if kind == "pieces" else draft_of(intake, MESSAGE), *queues
    )
    assert {queue: spool[queue].ids() for queue in queues} == {queue: {stored[queue]} for queue in queues}
    assert all(messages(spool, queue) == [MESSAGE] for queue in queues)
    assert [path for path in (spool.root / "tmp").rglob("*") if path.is_file()] == []
    assert (intake.messages, intake.bytes) == (1, len(MESSAGE))
    balanced(config, spool)


@pytest.mark.parametrize("call", ["sendfile", "pwrite", "rename", "write"])
def test_what_fails_for_one_queue_is_stored_in_the_other(tmp_path, call):
    """In LMTP each recipient has an answer. The draft is gone all the same."""
    config = trap_below(tmp_path)
    intake, spool = opened(config)
    draft = draft_of(intake, MESSAGE)
    with faulty(1, fail_with(errno.EIO), frozenset({call})):
        stored = store(intake, draft, "first", "second")
    assert stored["first"] is None
    assert spool["second"].ids() == {stored["second"]}
    assert [path for path in (spool.root / "tmp").rglob("*") if path.is_file()] == []
    assert intake.messages == 0
    balanced(config, spool)


def test_a_draft_for_which_no_file_can_be_made_is_an_error(tmp_path):
    intake, _ = opened(trap_below(tmp_path))
    with faulty(1, fail_with(errno.EMFILE), frozenset({"open"})), pytest.raises(OSError, match="Too many"):
        intake.draft()


# Memory


def test_what_is_large_or_too_much_is_spilled(tmp_path):
    """When memory is short even small messages, but not those that are hardly begun."""
    intake, _ = opened(trap_below(tmp_path, "spill_above: 10kB", limits="memory: 50kB"))
    assert not intake.must_spill(10 * 1024)
    assert intake.must_spill(10 * 1024 + 1)
    intake.memory.add(50 * 1024 + 1)
    assert intake.must_spill(4096)
    assert not intake.must_spill(4095)
    intake.memory.add(-1)
    assert not intake.must_spill(4096)


def test_no_limit_is_no_limit(tmp_path):
    intake, _ = opened(trap_below(tmp_path, limits="memory: 0"))
    intake.memory.add(1 << 40)
    assert not intake.must_spill(4096)
