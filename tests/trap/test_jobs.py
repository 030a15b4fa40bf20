"""Jobs as people see them: listings in pages, one job's beginning, and what is done to them."""

import time
from pathlib import Path

import pytest

from trap import fsio, jobs
from trap.claim import BAD
from trap.envelope import Envelope
from trap.job import CorruptJob, new_id
from trap.queue import Spool


def put(
    spool: Spool, number: int, queue: str = "first", message: bytes = b"Subject: hi\r\n\r\nhello\r\n"
) -> list[str]:
    """Jobs, oldest first."""
    return [spool.put(queue, Envelope(mail_from="a@example.com"), message) for _ in range(number)]


def put_aside(spool: Spool, number: int, queue: str = "first") -> list[str]:
    ids = put(spool, number, queue)
    with spool[queue].consumer() as consumer:
        while claim := consumer.claim():
            claim.condemn("ValueError: too odd", "Traceback of the test")
    return ids


def ids(page: jobs.Page) -> list[str]:
    return [entry.id for entry in page.entries]


@pytest.mark.parametrize("newest", [False, True])
def test_a_queue_is_listed_in_pages(spool: Spool, newest: bool) -> None:
    expected = sorted(put(spool, 7), reverse=newest)
    found, after, more = [], "", True
    while more:
        page = jobs.page(spool, "first", 3, after=after, newest=newest)
        assert page.total == 7
        found += ids(page)
        after, more = found[-1], page.more
    assert found == expected


def test_a_page_of_nothing(spool: Spool) -> None:
    assert jobs.page(spool, "first", 10) == jobs.Page([], 0, False)
    assert jobs.page(spool, BAD, 10) == jobs.Page([], 0, False)
    with pytest.raises(KeyError):
        jobs.page(spool, "frist", 10)


def test_what_a_worker_holds_is_listed_too(spool: Spool) -> None:
    put(spool, 2)
    with spool["first"].consumer() as consumer:
        claim = consumer.claim()
        assert claim is not None
        page = jobs.page(spool, "first", 10)
        assert [entry.state for entry in page.entries] == [jobs.CLAIMED, jobs.WAITING]
        assert jobs.row(page.entries[0]).subject == "hi"
        assert [entry.state for entry in jobs.locate(spool, claim.id)] == [jobs.CLAIMED]
        claim.give_back()


def test_a_stranger_s_file_is_no_job(spool: Spool) -> None:
    Path(spool["first"].new, "README").touch()
    Path(spool["first"].work, "a file").touch()
    assert jobs.page(spool, "first", 10).total == 0


def test_a_page_lists_each_directory_once_and_reads_no_job(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, 5)
    listed = []
    names = fsio.names
    monkeypatch.setattr(fsio, "names", lambda directory: listed.append(directory) or names(directory))
    monkeypatch.setattr(jobs, "peek", None)
    jobs.page(spool, "first", 2)
    assert sorted(listed) == [spool["first"].new, spool["first"].work]


def test_bad_jobs_of_all_queues_in_one_listing(spool: Spool) -> None:
    expected = sorted(put_aside(spool, 2, "first") + put_aside(spool, 2, "second"))
    page = jobs.page(spool, BAD, 10)
    assert ids(page) == expected
    assert {entry.place for entry in page.entries} == {"bad/first", "bad/second"}
    assert jobs.row(page.entries[0]).reason == "ValueError: too odd"


def test_where_a_job_is(spool: Spool) -> None:
    [job_id] = put_aside(spool, 1)
    [entry] = jobs.locate(spool, job_id)
    assert (entry.queue, entry.state, entry.attempt) == ("first", BAD, 1)
    for unknown in (new_id(), "", job_id[:-1], job_id + "0", "../" + job_id, "*" * 24):
        assert jobs.locate(spool, unknown) == []


def test_of_a_large_job_only_the_beginning_is_read(spool: Spool) -> None:
    message = b"Subject: large\r\n\r\n" + b"x" * 1_000_000
    put(spool, 1, message=message)
    [entry] = jobs.page(spool, "first", 1).entries
    job, size = jobs.peek(entry)
    assert size == len(message)
    assert len(job.message) < jobs.PEEK
    assert message.startswith(job.message)
    assert jobs.row(entry).size == len(message)


def test_what_is_no_job_is_listed_as_unreadable(spool: Spool) -> None:
    [job_id] = put(spool, 1)
    Path(spool["first"].new, f"{job_id}.0").write_bytes(b"garbage")
    [entry] = jobs.page(spool, "first", 1).entries
    assert jobs.row(entry).reason == "unreadable, or gone by now"
    with pytest.raises(CorruptJob):
        jobs.peek(entry)
    fsio.unlink(entry.path)
    assert jobs.row(entry).reason == "unreadable, or gone by now"


def test_requeue(spool: Spool) -> None:
    put_aside(spool, 3)
    entries = jobs.page(spool, BAD, 10).entries
    assert jobs.requeue(spool, entries[:2]) == 2
    assert jobs.requeue(spool, entries) == 1  # those that are gone by now are passed over
    assert spool["first"].stats().waiting == 3


def test_requeue_to_a_queue_that_is_no_longer_configured(spool: Spool) -> None:
    put_aside(spool, 2)
    spool.configured.remove("first")
    with pytest.raises(LookupError, match="no longer configured"):
        jobs.requeue(spool, jobs.page(spool, BAD, 10).entries)
    assert jobs.page(spool, BAD, 10).total == 2


def test_purge_bad(spool: Spool) -> None:
    put_aside(spool, 3)
    newest_first = jobs.page(spool, BAD, 10, newest=True).entries
    assert jobs.purge_bad(spool, "by the test", before=time.time() - 3600) == 0
    assert jobs.purge_bad(spool, "by the test", dry_run=True) == 3
    assert jobs.purge_bad(spool, "by the test", most=2) == 2
    assert jobs.page(spool, BAD, 10).entries == newest_first[:1], "the oldest go first"
    assert jobs.purge_bad(spool, "by the test") == 1
    assert jobs.page(spool, BAD, 10).total == 0


def test_to_keep_more_than_there_are_keeps_them_all(spool: Spool) -> None:
    put(spool, 3)
    assert jobs.purge(spool, ["first"], "by the test", keep_newest=5, dry_run=True) == {"first": 0}
    assert jobs.purge(spool, ["first"], "by the test", keep_newest=2) == {"first": 1}


def test_one_job_is_thrown_away(spool: Spool) -> None:
    put(spool, 1)
    put_aside(spool, 1, "second")
    for entry in [*jobs.page(spool, "first", 1).entries, *jobs.page(spool, BAD, 1).entries]:
        assert jobs.discard(spool, entry, "by the test")
        assert not jobs.discard(spool, entry, "by the test")
    assert jobs.page(spool, "first", 1).total == jobs.page(spool, BAD, 1).total == 0


def test_what_a_worker_holds_is_not_thrown_away(spool: Spool) -> None:
    put(spool, 1)
    with spool["first"].consumer() as consumer:
        claim = consumer.claim()
        assert claim is not None
        [entry] = jobs.page(spool, "first", 1).entries
        assert not jobs.discard(spool, entry, "by the test")
        claim.give_back()
    assert spool["first"].stats().waiting == 1
