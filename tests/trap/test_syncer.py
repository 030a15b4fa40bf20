"""Puts with fsync: in a thread, and in groups."""

import asyncio
import errno
from unittest import mock

import pytest
from intakekit import MESSAGE, balanced, draft_of, envelope, opened, trap_below

from trap import fsio
from trap.intake import Stored
from trap.queue import Spool

pytestmark = pytest.mark.usefixtures("files_are_closed")


def test_with_fsync_what_waits_meanwhile_is_one_group(tmp_path, monkeypatch):
    """The first message is synced alone; those that come meanwhile share a sync of the directory."""
    config = trap_below(tmp_path, "fsync: true")
    intake, spool = opened(config)
    synced: list[str] = []
    monkeypatch.setattr(fsio, "sync_directory", synced.append)
    results: list[Stored] = []

    async def test() -> None:
        for number in range(10):
            envelopes = (
                [("first", envelope()), ("other", envelope())] if number % 2 else [("first", envelope())]
            )
            message = draft_of(intake, MESSAGE) if number % 3 == 0 else [MESSAGE]
            intake.store(envelopes, message, results.append)
        assert results == []
        while len(results) < 10:  # noqa: ASYNC110 - it is told from the loop
            await asyncio.sleep(0.001)

    asyncio.run(test())
    intake.close()
    assert sorted(path.rsplit("/", 2)[1] for path in synced) == ["first", "first", "other"]
    assert spool["first"].ids() == {result["first"] for result in results}
    assert len(spool["other"].ids()) == 5
    assert balanced(config, spool).accepted == 15


@pytest.mark.parametrize("call", ["sync_directory", "write"])
def test_with_fsync_what_fails_is_452(tmp_path, monkeypatch, call):
    config = trap_below(tmp_path, "fsync: true")
    intake, spool = opened(config)
    monkeypatch.setattr(fsio, call, mock.Mock(side_effect=OSError(errno.EIO, "broken")))
    results: list[Stored] = []

    async def test() -> None:
        intake.store([("first", envelope())], [MESSAGE], results.append)
        while not results:  # noqa: ASYNC110 - it is told from the loop
            await asyncio.sleep(0.001)

    asyncio.run(test())
    intake.close()
    assert results == [{"first": None}]
    assert balanced(config, spool).accepted == 0


def test_whatever_goes_wrong_in_the_thread_everybody_is_answered(tmp_path, monkeypatch, caplog):
    """What is no trouble of the disk's must not leave a group of sessions without a word."""
    config = trap_below(tmp_path, "fsync: true")
    intake, spool = opened(config)
    results: list[Stored] = []

    async def test() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Spool, "put_all", mock.Mock(side_effect=RuntimeError("no such thing")))
            intake.store([("first", envelope()), ("other", envelope())], [MESSAGE], results.append)
            intake.store([("first", envelope())], [MESSAGE], results.append)
            async with asyncio.timeout(30):
                while len(results) < 2:  # noqa: ASYNC110 - it is told from the loop
                    await asyncio.sleep(0.001)
        intake.store([("first", envelope())], [MESSAGE], results.append)
        async with asyncio.timeout(30):
            while len(results) < 3:  # noqa: ASYNC110 - it is told from the loop
                await asyncio.sleep(0.001)

    asyncio.run(test())
    intake.close()
    assert results[:2] == [{"first": None, "other": None}, {"first": None}]
    assert spool["first"].ids() == {results[2]["first"]}
    assert "no such thing" in caplog.text
    assert balanced(config, spool).accepted == 1
