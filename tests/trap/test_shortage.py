"""What becomes of mail when there is no room for it: chosen, done, and accounted for."""

import errno
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from faultkit import CAN_FAIL, CHANGES, die_after, die_before, every_call, fail_with, short_write
from hypothesis import given
from hypothesis import strategies as st
from intakekit import (
    CHOICES,
    MESSAGE,
    TAGGED,
    balanced,
    draft_of,
    envelope,
    messages,
    opened,
    space_of,
    store,
    trap_below,
)

from trap import fsio, shortage
from trap.config import Config
from trap.configfile import ConfigError, parse
from trap.intake import Intake, Stored
from trap.maillog import MailLog
from trap.queue import Spool

pytestmark = pytest.mark.usefixtures("files_are_closed")


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are quicker than the tenth of a second that an answer of the kernel's is kept."""
    monkeypatch.setattr(shortage, "_LOOK_EVERY", 0.0)


# What is chosen


@pytest.mark.parametrize("choice", CHOICES)
def test_one_word_is_for_all(tmp_path, choice):
    intake, _ = opened(trap_below(tmp_path, f"when_full: {choice}, reserve: 10%"))
    with space_of({"bytes": 100, "inodes": 100}):
        assert intake.has_room()
        assert intake.policy([""]) is None
    for free in ({"bytes": 99, "inodes": 100}, {"bytes": 100, "inodes": 99}):
        with space_of(free):
            assert not intake.has_room()
            assert intake.policy(["", "pristine"]) == choice
            assert intake.fill() == pytest.approx(0.901)


@given(tags=st.lists(st.sampled_from(["", "pristine", "typo"]), min_size=1), default=st.sampled_from(CHOICES))
def test_the_most_precious_choice_wins(tmp_path_factory, tags, default):
    """Shed before tempfail before accept-and-drop, whatever the others say."""
    config = trap_below(
        tmp_path_factory.mktemp("trap"),
        f"when_full: {{default: {default}, pristine: shed, typo: accept-and-drop}}",
    )
    intake = Intake(config, Spool.open(config))
    with space_of({"bytes": 0, "inodes": 0}):
        chosen = intake.policy(tag for tag in tags)
    wanted = {{"": default, "pristine": "shed", "typo": "accept-and-drop"}[tag] for tag in tags}
    assert chosen == next(choice for choice in ("shed", "tempfail", "accept-and-drop") if choice in wanted)
    intake.close()


def test_a_choice_for_a_tag_that_nobody_has_is_a_mistake():
    with pytest.raises(
        ConfigError, match=r"spool.when_full.pristin: no recipient has the tag.*did you mean pristine"
    ):
        parse(TAGGED + "spool: {when_full: {pristin: shed}}")
    with pytest.raises(ConfigError, match=r"'drop' is none of the choices"):
        parse("spool: {when_full: drop}")


@pytest.mark.parametrize("choice", CHOICES)
def test_without_a_mail_log_it_is_tempfail(tmp_path, choice):
    """What can't be logged may not end."""
    config = trap_below(tmp_path, f"when_full: {choice}")
    intake, _ = opened(config)
    real = fsio.space

    def full(path: Path) -> fsio.Space:
        return real(path)._replace(bytes_free=1000) if path == config.paths.maillog else real(path)

    with mock.patch.object(fsio, "space", full):
        assert intake.policy(["pristine"]) == "tempfail"


# What is done


def test_tempfail_takes_what_was_begun_while_there_was_room(tmp_path):
    """Refused is what comes later, but for a large one: that could take the whole reserve."""
    config = trap_below(tmp_path, "reserve: 10%")
    intake, spool = opened(config)
    large = draft_of(intake, MESSAGE)
    with space_of({"bytes": 50, "inodes": 500}):
        assert store(intake, [MESSAGE])["first"] is not None
        with pytest.raises(OSError, match="No space"):
            large.write([b"more"])
    large.abandon()
    assert balanced(config, spool).in_flight == 1


@pytest.mark.parametrize("large", [False, True])
def test_accept_and_drop_keeps_nothing_but_the_account(tmp_path, large):
    config = trap_below(tmp_path, "when_full: accept-and-drop")
    intake, spool = opened(config)
    with space_of({"bytes": 0, "inodes": 0}):
        stored = store(intake, draft_of(intake, MESSAGE) if large else [MESSAGE], "first", "other")
    assert None not in stored.values()
    assert [path for path in spool.root.rglob("*") if path.is_file()] == []
    account = balanced(config, spool)
    assert (account.accepted, account.dropped, account.in_flight) == (2, {"full": 2}, 0)


def test_a_large_message_is_lost_whole_when_room_ends_amid_it(tmp_path):
    """What was written of it is gone at once; had room come back, it would be lost all the same."""
    config = trap_below(tmp_path, "when_full: accept-and-drop")
    intake, spool = opened(config)
    draft = draft_of(intake, MESSAGE)
    with space_of({"bytes": 0, "inodes": 0}):
        draft.write([b"more"])
    assert [path for path in spool.root.rglob("*") if path.is_file()] == []
    draft.write([b"and more"])
    assert draft.size == len(MESSAGE) + len("moreand more")
    store(intake, draft)
    assert balanced(config, spool).dropped == {"full": 1}


@pytest.mark.parametrize("large", [False, True])
def test_shed_throws_the_oldest_away_just_enough_for_the_new(tmp_path, large):
    config = trap_below(tmp_path, "when_full: shed")
    intake, spool = opened(config)
    old = [store(intake, [MESSAGE])["first"] for _ in range(10)]
    with space_of({"bytes": 0, "inodes": 0}):
        new = store(intake, draft_of(intake, MESSAGE) if large else [MESSAGE])["first"]
    left = spool["first"].ids()
    assert new in left
    assert left - {new} == set(old[-len(left) + 1 :])
    assert 5 <= len(left) <= 10
    account = balanced(config, spool)
    assert (account.accepted, account.shed, account.in_flight) == (11, 11 - len(left), len(left))


def test_nothing_to_shed_is_452(tmp_path, caplog):
    config = trap_below(tmp_path, "when_full: shed")
    intake, spool = opened(config)
    with space_of({"bytes": 0, "inodes": 0}):
        assert store(intake, [MESSAGE]) == {"first": None}
    assert balanced(config, spool).accepted == 0


def test_what_a_worker_holds_is_not_shed(tmp_path):
    config = trap_below(tmp_path, "when_full: shed")
    intake, spool = opened(config)
    store(intake, [MESSAGE])
    claim = spool["first"].consumer().claim()
    assert claim
    with space_of({"bytes": 0, "inodes": 0}):
        assert store(intake, [MESSAGE]) == {"first": None}
    assert claim.job().message == MESSAGE


def test_what_workers_took_meanwhile_is_passed_by(tmp_path):
    """The sink listed the queue once; most of that list are gone when it sheds again."""
    config = trap_below(tmp_path, "when_full: shed")
    intake, spool = opened(config)
    for _ in range(10):
        store(intake, [MESSAGE])
    with space_of({"bytes": 0, "inodes": 0}):
        store(intake, [MESSAGE])
        worker = spool["first"].consumer()
        while claim := worker.claim():
            claim.forward([])
        with space_of({"bytes": 999, "inodes": 999}):
            late = [store(intake, [MESSAGE])["first"] for _ in range(4)]
        assert store(intake, [MESSAGE])["first"]
    assert late[0] not in spool["first"].ids()
    assert late[3] in spool["first"].ids()
    assert balanced(config, spool).done > 5


def test_shedding_takes_no_longer_than_other_sessions_can_wait(tmp_path, monkeypatch):
    config = trap_below(tmp_path, "when_full: shed")
    intake, spool = opened(config)
    for _ in range(10):
        store(intake, [MESSAGE])
    with space_of({"bytes": 0, "inodes": 0}):
        with monkeypatch.context() as slow:
            slow.setattr(shortage, "_LONGEST", -1.0)
            assert store(intake, [MESSAGE]) == {"first": None}
        assert spool["first"].stats().waiting == 10
        assert store(intake, [MESSAGE])["first"]


def test_an_emptied_spool_is_shed_from_again(tmp_path):
    """Its directories were removed and made again, and the sink's own was among them."""
    config = trap_below(tmp_path, "when_full: shed")
    intake, spool = opened(config)
    store(intake, [MESSAGE])
    descriptors = len(os.listdir("/proc/self/fd"))
    subprocess.run(["rm", "-rf", *map(str, spool.root.iterdir())], check=True)
    for _ in range(10):
        store(intake, [MESSAGE])
    with space_of({"bytes": 0, "inodes": 0}):
        assert store(intake, [MESSAGE])["first"]
    assert spool["first"].stats().waiting < 11
    assert len(os.listdir("/proc/self/fd")) == descriptors
    intake.close()


@pytest.mark.parametrize("tmpfs", [True, False])
@pytest.mark.parametrize("choice", CHOICES)
def test_more_than_may_wait_is_no_room(tmp_path, choice, tmpfs, monkeypatch):
    """On tmpfs they are counted by the directory's size, elsewhere by listing it once in a while."""
    place = Path(f"/dev/shm/spamtrap-test-{os.getpid()}") if tmpfs else tmp_path
    if tmpfs and not fsio.is_tmpfs("/dev/shm"):
        pytest.skip("/dev/shm is no tmpfs here")
    monkeypatch.setattr(shortage, "_LISTING_SHARE", 0)
    config = trap_below(tmp_path, f"max_waiting: 3, when_full: {choice}", place / "spool")
    intake, spool = opened(config)
    try:
        for number in range(6):
            if intake.policy([""], ["first"]) != "tempfail":
                store(intake, [b"%d" % number])
        assert intake.policy([""], ["other"]) is None, "there is room in other queues"
        kept = [b"3", b"4", b"5"] if choice == "shed" else [b"0", b"1", b"2"]
        assert messages(spool, "first") == kept
        account = balanced(config, spool)
        assert account.in_flight == 3
        assert account.shed == (3 if choice == "shed" else 0)
        assert account.dropped == ({"full": 3} if choice == "accept-and-drop" else {})
    finally:
        intake.close()
        if tmpfs:
            subprocess.run(["rm", "-rf", str(place)], check=True)


def test_room_that_workers_made_since_we_looked_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(shortage, "_LISTING_SHARE", 0)
    config = trap_below(tmp_path, "max_waiting: 20, when_full: shed")
    intake, spool = opened(config)
    for _ in range(20):
        store(intake, [MESSAGE])
    assert not intake.has_room()
    monkeypatch.setattr(shortage, "_LOOK_EVERY", 60.0)
    with spool["first"].consumer() as consumer:
        for _ in range(5):
            claim = consumer.claim()
            assert claim
            claim.drop("x")
    for _ in range(5):
        store(intake, [MESSAGE])
    assert not intake.shortage.counts
    store(intake, [MESSAGE])
    assert intake.shortage.counts["shed"] == 1
    balanced(config, spool)


def test_where_a_directory_does_not_tell_its_names_are_listed(tmp_path, monkeypatch):
    """A ramfs is memory too, and its directories have no size."""
    monkeypatch.setattr(fsio, "is_tmpfs", lambda _: True)
    monkeypatch.setattr(fsio, "entries", lambda _: -2)
    monkeypatch.setattr(shortage, "_LISTING_SHARE", 0)
    intake, _ = opened(trap_below(tmp_path, "max_waiting: 2"))
    for _ in range(2):
        assert intake.has_room()
        store(intake, [MESSAGE])
    assert not intake.has_room()


def test_a_count_of_some_time_ago_sheds_once(tmp_path, monkeypatch):
    """Where counting means listing, what came between two listings is shed, and not again."""
    monkeypatch.setattr(fsio, "is_tmpfs", lambda _: False)
    config = trap_below(tmp_path, "max_waiting: 20, when_full: shed")
    intake, spool = opened(config)
    depth = intake.shortage._depths["first"]
    depth.count()
    depth._due = float("inf")
    for _ in range(40):
        store(intake, [MESSAGE])
    depth._due = 0.0
    depth.count()
    depth._due = float("inf")
    store(intake, [MESSAGE])
    assert len(spool["first"].waiting()) == 20
    for _ in range(5):
        store(intake, [MESSAGE])
    assert intake.shortage.counts["shed"] == 21
    balanced(config, spool)


def test_the_operator_is_told_once_in_a_while_with_counts(tmp_path, caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(shortage.time, "monotonic", lambda: now[0])
    config = trap_below(tmp_path, "reserve: 10%, when_full: {default: tempfail, typo: accept-and-drop}")
    intake, _ = opened(config)
    with caplog.at_level(logging.WARNING), space_of({"bytes": 99, "inodes": 500}):
        for _ in range(3):
            intake.policy([""])
            store(intake, [MESSAGE], to="b.example")
        now[0] += 11
        intake.policy([""])
    assert [record.getMessage() for record in caplog.records] == [
        "spool: less than 10% free: 1 answered 452",
        "spool: less than 10% free: 3 answered 452, 3 accepted and dropped",
    ]
    assert intake.shortage.counts == {"tempfail": 4, "accept-and-drop": 3}


# A real file system that is full


@pytest.fixture(params=["size=2m,nr_inodes=10k", "size=64m,nr_inodes=150"], ids=["bytes", "inodes"])
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A tmpfs that soon has no bytes, or no inodes, left."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs")
    place = tmp_path / "tiny"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(place)]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("reserve", ["0", "10%"])
@pytest.mark.parametrize("choice", CHOICES)
def test_a_full_tmpfs(tmp_path, tiny, choice, reserve):
    """With a reserve and without one, small messages and large ones: the account balances."""
    config = trap_below(tmp_path, f"reserve: {reserve}, when_full: {choice}", tiny / "spool")
    intake, spool = opened(config)
    stored: list[str] = []
    refused = 0
    for number in range(300):
        if intake.policy([""], ["first"]) == "tempfail":
            refused += 1
            continue
        try:
            message = draft_of(intake, MESSAGE * 2) if number % 3 == 0 else [MESSAGE]
        except OSError:
            refused += 1  # the draft is abandoned by the wire
            spool.close()
            spool.recover()
            continue
        job_id = store(intake, message)["first"]
        refused += job_id is None
        stored += [job_id] if job_id else []
    account = balanced(config, spool)
    assert account.accepted == len(stored)
    assert account.accepted + refused == 300
    assert (account.shed > 0, bool(account.dropped), refused > 0) == (
        choice == "shed",
        choice == "accept-and-drop",
        choice == "tempfail",
    )
    assert set(messages(spool, "first")) <= {MESSAGE, MESSAGE * 2}
    if choice == "shed":
        assert spool["first"].ids() == set(sorted(stored)[-account.in_flight :]), "the newest are kept"
    intake.close()


# Whatever dies or fails


FAULTS = {
    "killed before": (die_before, CHANGES),
    "killed after": (die_after, CHANGES),
    "no room": (fail_with(errno.ENOSPC), CAN_FAIL),
    "broken": (fail_with(errno.EIO), CAN_FAIL),
    "half a line": (short_write, CAN_FAIL),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("large", [False, True])
def test_the_account_balances_whatever_goes_wrong(tmp_path, choice, fault, large):
    """At every system call of a message that comes into a spool without room, in two queues."""
    made: list[tuple[Config, Spool]] = []

    def fresh(number: int) -> None:
        config = trap_below(tmp_path / str(number), f"when_full: {choice}")
        intake, spool = opened(config)
        for queue in ("first", "other"):
            for _ in range(9):
                store(intake, [MESSAGE], queue)
        intake.close()
        made[:] = [(config, spool)]

    def act() -> None:
        config, spool = made[0]
        again = Spool(spool.root, MailLog(config.paths.maillog), list(spool))
        intake = Intake(config, again)
        message = draft_of(intake, MESSAGE) if large else [MESSAGE]
        with space_of({"bytes": 0, "inodes": 0}) if choice != "tempfail" else mock.MagicMock():
            results: list[Stored] = []
            intake.store([("first", envelope()), ("other", envelope())], message, results.append)
        assert len(results) == 1

    fresh(0)
    for at, _ in every_call(act, *FAULTS[fault]):
        config, spool = made[0]
        balanced(config, spool)
        spool.recover()
        balanced(config, spool)
        assert set(messages(spool, "first")) == {MESSAGE}
        fresh(at)
    assert at > 5
