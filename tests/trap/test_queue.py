"""The queues: one name a job at every instant, one owner a claim, and the order of arrival.

What dying and failing system calls do is in test_faults.py; long random histories are in
test_queue_model.py.
"""

import os
import signal
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from faultkit import Child, at_once, die, in_child
from support import eventually

from trap import fsio
from trap.audit import audit
from trap.claim import MAX_ATTEMPTS
from trap.envelope import Envelope, Rcpt
from trap.job import CorruptJob, split_name
from trap.maillog import MailLog
from trap.queue import Queue, Spool

pytestmark = pytest.mark.usefixtures("files_are_closed")

MESSAGE = b"Subject: hello\r\n\r\nworld\r\n"


def files(spool: Spool) -> dict[str, list[str]]:
    """What `ls` shows: the files of the spool by directory, workers' directories named alike."""
    found: dict[str, list[str]] = {}
    for path in sorted(spool.root.rglob("*")):
        if path.is_file():
            parts = path.relative_to(spool.root).parts[:-1]
            place = "/".join(
                "*" if before in {"work", "tmp"} else part
                for before, part in zip(("", *parts), parts, strict=False)
            )
            found.setdefault(place, []).append(path.name)
    return found


def put(spool: Spool, queue: str = "first", number: int = 1) -> list[str]:
    return [spool.put(queue, Envelope(), MESSAGE) for _ in range(number)]


# Where a job is


def test_put_makes_one_file_in_new(spool):
    """Written in tmp/, renamed into new/: nobody ever sees half of it."""
    envelope = Envelope(mail_from="a@b", rcpts=[Rcpt(address="c@d", tag="typo")])
    job_id = spool.put("first", envelope, MESSAGE, {"sink": {"route": 1}})
    assert files(spool) == {"first/new": [f"{job_id}.0"]}
    job = spool["first"].consumer().claim().job()
    assert (job.id, job.envelope, job.notes, job.message) == (
        job_id,
        envelope,
        {"sink": {"route": 1}},
        MESSAGE,
    )


def test_put_never_writes_where_workers_look(spool, monkeypatch):
    written = []
    real = fsio.write
    monkeypatch.setattr(
        fsio, "write", lambda path, *rest, **more: (written.append(path), real(path, *rest, **more))
    )
    put(spool)
    assert all(path.startswith(f"{spool.root}/tmp/") for path in written)


def test_a_claim_is_a_rename_into_the_workers_directory(spool):
    (job_id,) = put(spool)
    worker = spool["first"].consumer()
    claim = worker.claim()
    assert files(spool) == {"first/work/*": [f"{job_id}.0"]}
    assert claim.path == f"{worker.lease.path}/{job_id}.0"
    assert spool["first"].stats()[:2] == (0, 1)


def test_a_pass_without_notes_does_not_touch_the_file(spool):
    """The same inode goes from queue to queue."""
    put(spool)
    claim = spool["first"].consumer().claim()
    before = os.stat(claim.path)
    claim.forward(["second"])
    after = os.stat(f"{spool['second'].new}/{spool['second'].waiting()[0]}")
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_pass_with_notes_replaces_the_file_first(spool, monkeypatch):
    """So the next stage never sees the job without the notes."""
    (job_id,) = put(spool)
    claim = spool["first"].consumer().claim()
    seen = []
    real = spool.log.passed
    monkeypatch.setattr(spool.log, "passed", lambda *a: (seen.append(fsio.read(claim.path)), real(*a)))
    claim.forward(["second"], {"first": {"n": 1}})
    assert b"first" in seen[0]
    assert spool["second"].consumer().claim().job().notes == {"first": {"n": 1}}
    assert files(spool) == {"second/work/*": [f"{job_id}.0"]}


def test_a_fan_out_gives_each_branch_a_name_of_its_own(tmp_path):
    """One file, a name a branch; what one branch does to its name does not touch the others'."""
    spool = Spool(tmp_path / "spool", MailLog(tmp_path / "log"), ["archive", "report", "forward"])
    (job_id,) = put(spool, "archive")
    spool["archive"].consumer().claim().forward(["report", "forward"])
    assert files(spool) == {"forward/new": [f"{job_id}.0"], "report/new": [f"{job_id}.0"]}
    spool["report"].consumer().claim().drop("seen")
    claim = spool["forward"].consumer().claim()
    assert claim.job().message == MESSAGE
    claim.forward([])
    assert files(spool) == {}


def test_a_branch_that_passes_to_another_branch(tmp_path):
    """Both names are one file's, and then rename does nothing, says POSIX: the old name goes all the same."""
    spool = Spool(tmp_path / "spool", MailLog(tmp_path / "log"), ["archive", "report", "forward"])
    (job_id,) = put(spool, "archive")
    spool["archive"].consumer().claim().forward(["report", "forward"])
    spool["forward"].consumer().claim().forward(["report"])
    assert files(spool) == {"report/new": [f"{job_id}.0"]}


def test_passing_on_starts_the_attempts_anew(spool):
    put(spool)
    spool["first"].consumer().claim().fail("no luck")
    spool["first"].consumer().claim().forward(["second"])
    assert spool["second"].consumer().claim().attempt == 0


def test_no_queue_of_that_name_leaves_the_claim_and_the_log_as_they_were(spool):
    (job_id,) = put(spool)
    claim = spool["first"].consumer().claim()
    with pytest.raises(KeyError):
        claim.forward(["second", "nowhere"])
    assert files(spool) == {"first/work/*": [f"{job_id}.0"]}
    assert not spool.log.counts["passed", "first", ""]


@pytest.mark.parametrize("end", ["drop", "shed", "purge", "forward"])
def test_the_end_is_logged_before_the_name_is_taken(spool, monkeypatch, end):
    """A crash between the two leaves a job too many, never one too few."""
    put(spool)
    claim = spool["first"].consumer().claim()
    order = []
    monkeypatch.setattr(spool.log, "_write", lambda line, *reason: order.append(line.e))
    monkeypatch.setattr(fsio, "unlink", lambda path: order.append("unlink"))
    getattr(claim, end)([] if end == "forward" else "because")
    assert order == [{"drop": "dropped", "shed": "shed", "purge": "purged", "forward": "done"}[end], "unlink"]


def test_with_sync_a_put_is_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    spool = Spool(tmp_path / "spool", MailLog(tmp_path / "log"), ["first"], sync=True)
    put(spool)
    assert len(synced) == 2
    assert synced[0].startswith(f"{spool.root}/tmp/")
    assert synced[1] == spool["first"].new


# Order, and depth


def test_the_oldest_is_claimed_first(spool):
    ids = put(spool, number=5)
    worker = spool["first"].consumer()
    assert [worker.claim().id for _ in ids] == ids
    assert worker.claim() is None


def test_a_worker_lists_the_directory_once_and_eats_its_way_through(spool, monkeypatch):
    """However deep the queue, a claim costs a rename; new arrivals wait for the next listing."""
    listed = []
    real = fsio.names
    monkeypatch.setattr(fsio, "names", lambda path: (listed.append(path), real(path))[1])
    put(spool, number=100)
    worker = spool["first"].consumer()
    for number in range(100):
        worker.claim().drop("seen")
        if number == 50:
            (late,) = put(spool)
    assert listed == [spool["first"].new]
    assert worker.claim().id == late
    assert len(listed) == 2


def test_what_is_no_job_is_left_alone(spool):
    """A person's file in the queue is not touched, and not counted."""
    for name in (
        "README",
        "1.0",
        ".hidden",
        "0" * 24,
        f"{'0' * 24}.007",
        f"{'0' * 24}.12345",
        f"{'0' * 24}.0~",
    ):
        open(f"{spool['first'].new}/{name}", "w").close()
        assert split_name(name) is None
    assert spool["first"].consumer().claim() is None
    assert spool["first"].stats().waiting == 0
    assert len(os.listdir(spool["first"].new)) == 7


def test_stats_tell_what_ls_tells(spool):
    assert spool["first"].stats() == (0, 0, 0.0, 0)
    ids = put(spool, number=3)
    worker = spool["first"].consumer()
    worker.claim()
    waiting, claimed, oldest, workers = spool["first"].stats()
    assert (waiting, claimed, workers) == (2, 1, 1)
    assert oldest == int(ids[0][:16]) / 1e6
    worker.close()


def test_find_tells_where_a_job_is(spool):
    (job_id,) = put(spool)
    queue = spool["first"]
    assert queue.find(job_id) == f"{queue.new}/{job_id}.0"
    claim = queue.consumer().claim()
    assert queue.find(job_id) == claim.path
    claim.condemn("look at this")
    assert queue.find(job_id) == f"{queue.bad}/{job_id}.1"
    assert queue.find("0" * 24) is None


# Failing


def test_three_failed_attempts_and_it_is_bad(spool):
    """Each attempt is in the file's name; the reason of the last is among the job's notes."""
    (job_id,) = put(spool)
    for attempt in range(MAX_ATTEMPTS):
        claim = spool["first"].consumer().claim()
        assert claim.attempt == attempt
        assert claim.fail(f"reason {attempt}", f"Traceback {attempt}") is (attempt == MAX_ATTEMPTS - 1)
    assert files(spool) == {"bad/first": [f"{job_id}.3"]}
    spool["first"].requeue(job_id, 3)
    why = spool["first"].consumer().claim().job().notes["bad"]
    assert (why["queue"], why["reason"], why["traceback"]) == ("first", "reason 2", "Traceback 2")


def test_what_a_failure_says_may_be_any_text(spool):
    """Exceptions quote hostile mail: surrogates, control characters, a megabyte."""
    for reason in ("caf\xe9 \udce9", "\ud800 alone", "\x00\x1b[2J\n", "x" * 1_000_000):
        put(spool)
        assert spool["first"].consumer().claim().fail(reason, reason) is False
        spool["first"].consumer().claim().condemn(reason, reason)
    assert len(list(spool.bad())) == 4


def test_giving_back_charges_nothing(spool):
    ids = put(spool, number=3)
    worker = spool["first"].consumer()
    worker.claim().give_back()
    assert [worker.claim().id, worker.claim().id] == ids[1:], "it is asked for again when the list is eaten"
    again = worker.claim()
    again.give_back(first=True)
    at_once_again = worker.claim()
    assert again.id == at_once_again.id == ids[0]
    assert at_once_again.attempt == 0


def test_an_unreadable_file_is_put_aside_with_its_reason_in_the_log(spool):
    job_id = "1700000000000000deadbeef"
    Path(spool["first"].new, f"{job_id}.0").write_bytes(b"\xc1 not a job")
    claim = spool["first"].consumer().claim()
    with pytest.raises(CorruptJob, match=job_id):
        claim.job()
    claim.condemn("unreadable")
    assert list(spool.bad()) == [("first", job_id, 1)]


def test_requeue_gives_three_more_attempts(spool, config):
    (job_id,) = put(spool)
    spool["first"].consumer().claim().condemn("no luck")
    spool["first"].requeue(job_id, 1)
    claim = spool["first"].consumer().claim()
    assert (claim.id, claim.attempt) == (job_id, 0)
    claim.forward([])
    account = audit(config, spool)
    assert (account.balanced, account.bad, account.done) == (True, 0, 1)


def test_requeue_and_discard_of_what_is_gone_say_nothing_to_the_log(spool, config):
    """Somebody else was faster: the job is in their books, not in ours."""
    (job_id,) = put(spool)
    spool["first"].consumer().claim().condemn("no luck")
    spool["first"].requeue(job_id, 1)
    spool["first"].consumer().claim().forward([])
    with pytest.raises(FileNotFoundError):
        spool["first"].requeue(job_id, 1)
    spool["first"].discard_bad(job_id, 1, "too old")
    account = audit(config, spool)
    assert (account.balanced, account.missing, account.done, account.purged) == (True, [], 1, 0)


def test_discard_takes_a_bad_job_away(spool, config):
    (job_id,) = put(spool)
    spool["first"].consumer().claim().condemn("no luck")
    spool["first"].discard_bad(job_id, 1, "too old")
    assert files(spool) == {}
    account = audit(config, spool)
    assert (account.balanced, account.bad, account.purged) == (True, 0, 1)


# Dying


def test_the_kernel_returns_the_jobs_of_a_killed_worker(spool):
    """No time-out and no pid probe: the lock is free the moment the process is gone, not before."""
    ids = put(spool, number=3)
    ready, told = os.pipe(), os.pipe()

    def hold_two() -> None:
        worker = spool["first"].consumer()
        assert worker.claim()
        assert worker.claim()
        os.write(ready[1], b"x")
        os.read(told[0], 1)
        die()

    with Child(hold_two) as child:
        os.read(ready[0], 1)
        assert spool.recover() == 0, "it lives"
        os.write(told[1], b"x")
        assert child.wait() == -signal.SIGKILL
    assert spool.recover() == 2
    assert sorted(spool["first"].waiting()) == [f"{ids[0]}.1", f"{ids[1]}.1", f"{ids[2]}.0"]
    for fd in (*ready, *told):
        os.close(fd)


def test_recover_sweeps_what_was_half_written(spool):
    def die_writing() -> None:
        os.close(os.open(f"{spool._lease.path}/half", os.O_CREAT | os.O_WRONLY))
        die()

    assert in_child(die_writing) == -signal.SIGKILL
    put(spool)
    spool.recover()
    assert list(files(spool)) == ["first/new"]
    assert len(os.listdir(f"{spool.root}/tmp")) == 1, "the writer that lives keeps its directory"
    spool.close()


def test_a_stray_file_keeps_a_dead_workers_directory_but_not_its_jobs(spool):
    put(spool)
    worker = spool["first"].consumer()
    worker.claim()
    open(f"{worker.lease.path}/core", "w").close()
    worker.crash()
    assert [spool.recover(), spool.recover()] == [1, 0]
    assert spool["first"].stats().waiting == 1


def test_closing_a_spool_leaves_nothing(spool):
    put(spool)
    spool.close()
    spool.close()
    assert os.listdir(f"{spool.root}/tmp") == []
    put(spool)


# Racing


@pytest.mark.parametrize("workers", [2, 4])
def test_two_workers_never_claim_the_same_job(spool, tmp_path, workers):
    """They list the same names and race for each; every job is had once."""
    ids = put(spool, number=300)

    def claim_all(mine: str) -> None:
        with spool["first"].consumer() as worker, open(mine, "w") as had:
            while claim := worker.claim():
                had.write(claim.id + "\n")
                assert os.path.exists(claim.path)
                claim.forward(["second"])

    books = [f"{tmp_path}/{number}" for number in range(workers)]
    assert at_once(*[partial(claim_all, book) for book in books]) == [0] * workers
    had = Counter(id for number in range(workers) for id in (tmp_path / str(number)).read_text().split())
    assert had == Counter(ids)
    assert spool["second"].ids() == set(ids)


def test_a_job_shed_under_a_worker_is_passed_by(spool):
    ids = put(spool, number=3)
    worker, reaper = spool["first"].consumer(), spool["first"].consumer()
    worker.claim().drop("seen")
    reaper.take(f"{ids[1]}.0").shed("too old")
    assert worker.claim().id == ids[2]


def test_listing_meets_a_job_that_is_given_back(spool, monkeypatch):
    """It is in neither of the first two listings; the third finds it."""
    (job_id,) = put(spool)
    claim = spool["first"].consumer().claim()
    real = fsio.names

    def names(path):
        found = real(path)
        if path == spool["first"].new and claim:
            monkeypatch.undo()
            claim.give_back()
        return found

    monkeypatch.setattr(fsio, "names", names)
    assert spool["first"].ids() == {job_id}


def test_listing_while_a_worker_stops(spool, monkeypatch):
    put(spool)
    worker = spool["first"].consumer()
    real = fsio.names

    def names(path):
        found = real(path)
        if path == spool["first"].work:
            worker.close()
        return found

    monkeypatch.setattr(fsio, "names", names)
    assert spool["first"].stats()[:2] == (1, 0)
    assert spool["first"].find("0" * 24) is None


def test_a_job_relinked_into_a_queue_where_it_is_held_is_not_had_twice_at_once(tmp_path):
    """A fan-out that was cut off is done again, while a branch has the job in hand already."""
    spool = Spool(tmp_path / "spool", MailLog(tmp_path / "log"), ["archive", "report"])
    (job_id,) = put(spool, "archive")
    claim = spool["archive"].consumer().claim()
    fsio.link(claim.path, f"{spool['report'].new}/{job_id}.0")
    worker = spool["report"].consumer()
    held = worker.claim()
    claim.forward(["report"])
    assert worker.claim() is None
    held.forward([])
    worker.claim().forward([])
    assert files(spool) == {}


def test_at_every_instant_an_accepted_job_has_a_name_or_its_end_is_logged(spool, config):
    """Invariant 1, watched: a thread looks again and again while jobs run through, fail and come back."""
    ids = set(put(spool, number=40))
    stop, holes = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            seen: set[str] = set()
            for _ in range(3):  # a listing is not a snapshot: names move between its system calls
                seen |= {job_id for job_id, _ in spool.snapshot()}
            log = (config.paths.maillog / "mail.log").read_text()
            holes.extend(job_id for job_id in ids - seen if f'"e":"done","id":"{job_id}"' not in log)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(4):
        for name in spool:
            with spool[name].consumer() as worker:
                while claim := worker.claim():
                    if number < 2 and int(claim.id[-1], 16) % 2:
                        claim.fail("later")
                        if claim.attempt or number:
                            break
                    else:
                        claim.forward(config.after(name), {name: {"n": number}})
                    time.sleep(0)
    stop.set()
    watcher.join()
    assert holes == []
    eventually(lambda: audit(config, spool).balanced)


def test_queue_names_are_directories(spool):
    assert list(spool) == ["first", "second"]
    assert "first" in spool
    assert "tmp" not in spool
    assert isinstance(spool["first"], Queue)
