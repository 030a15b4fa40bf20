"""spamcop: submissions, several in one mail, and each of them on its own account."""

import time
from collections import Counter

import pytest
from feedbackkit import job, parts, report, reporter, settled, states, tells_nothing
from peerkit import Peer

from stages.spamcop import Spamcop
from trap.config import Duration
from trap.job import Job, new_id

TO = "submit.x@spamcop.example"


@pytest.fixture
async def peer():
    async with Peer() as there:
        yield there


async def _due(stage: Spamcop) -> None:
    """As if the time had come to try again."""
    stage._book._db.execute("UPDATE report SET due = 0")
    await settled(stage)


def counted(home) -> Counter[str]:
    return Counter(state for state, _ in states(home, "spamcop"))


async def test_what_is_ready_at_a_time_shares_a_mail(tmp_path, peer):
    async with reporter(Spamcop, tmp_path, peer.address, submit=TO, together=3) as stage:
        await report(stage)
        for word in (b"one", b"two", b"three"):
            await stage.process(job(word))
        await settled(stage)
    attached = [part for taken in peer.taken for part in parts(taken.data)[1][1:]]
    assert len(attached) == 3
    assert len({part.get_content()["Received"] for part in attached}) == 3  # each has its report's id
    assert all(tells_nothing(taken.data) for taken in peer.taken)
    assert counted(tmp_path) == {"sent": 3}


async def test_or_each_has_its_own(tmp_path, peer):
    async with reporter(Spamcop, tmp_path, peer.address, submit=TO, together=1) as stage:
        await report(stage, job(b"one"), job(b"two"))
    assert [len(parts(taken.data)[1]) for taken in peer.taken] == [2, 2]


async def test_one_alone_does_not_wait_for_long(tmp_path, peer):
    async with reporter(Spamcop, tmp_path, peer.address, submit=TO, linger=Duration("10ms")) as stage:
        await report(stage, job())
    (taken,) = peer.taken
    assert taken.rcpts == [TO]
    _, (words, attached) = parts(taken.data)
    assert words.get_content().startswith("A message")
    assert attached.get_content()["Subject"].endswith(", buy!")


async def test_what_stands_in_the_book_is_what_was_sent(tmp_path, peer):
    async with reporter(Spamcop, tmp_path, peer.address, submit=TO, together=2) as stage:
        await report(stage, job(b"one"), job(b"two"))
        kept = {stage._book.text(each.id) for each in stage._book.reports()}
    assert kept == {taken.data for taken in peer.taken}


async def test_refused_together_each_is_tried_alone(tmp_path, peer):
    peer.replies["."] = ["554 virus found"]
    async with reporter(
        Spamcop, tmp_path, peer.address, submit=TO, together=2, linger=Duration("1s")
    ) as stage:
        await report(stage, job(b"one"), job(b"two"))
        assert counted(tmp_path) == {"gathering": 2}
        await _due(stage)
    assert counted(tmp_path) == {"sent": 2}
    assert [len(parts(taken.data)[1]) for taken in peer.taken] == [2, 2]


async def test_one_that_is_withdrawn_takes_none_of_the_others_along(tmp_path, peer):
    async with reporter(
        Spamcop, tmp_path, peer.address, submit=TO, together=3, linger=Duration("300ms")
    ) as stage:
        for each in (job(b"one"), job(b"two")):
            await stage.process(each)
        one, _ = stage._book.reports()
        stage._book.retract(one.id)
        await settled(stage)
        await _due(stage)
    assert counted(tmp_path) == {"retracted": 1, "sent": 1}
    assert sum(len(parts(taken.data)[1]) - 1 for taken in peer.taken) == 1


async def test_a_server_that_is_lost_on_the_way_may_have_them_all(tmp_path, peer):
    peer.replies["."] = ""
    async with reporter(Spamcop, tmp_path, peer.address, submit=TO, together=2) as stage:
        await report(stage, job(b"one"), job(b"two"))
        await _due(stage)
    assert counted(tmp_path) == {"unsure": 2}


async def test_what_is_too_old_or_from_nowhere_is_left_out(tmp_path, peer):
    async with reporter(Spamcop, tmp_path, peer.address, submit=TO) as stage:
        assert await stage.recipients(job()) == [TO]
        assert await stage.recipients(job(client_ip="10.0.0.1")) == []
        made = job()
        old = Job(new_id(time.time() - 2 * 86_400 - 1), made.envelope, made.notes, made.message)
        assert await stage.recipients(old) == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"submit": "spamcop"}, "submit: 'spamcop' is no address"),
        ({"submit": TO, "together": 0}, "together: should be 1 to 50"),
        ({"submit": TO, "by": "a b"}, "by: 'a b' is no name of a host"),
        ({"submit": TO, "by": "mx.trap.example"}, "by: mx.trap.example would tell everybody of"),
    ],
)
async def test_settings_that_make_no_sense(tmp_path, settings, why):
    with pytest.raises(ValueError, match=why):
        async with reporter(Spamcop, tmp_path, "127.0.0.1:1", **settings):
            pass
