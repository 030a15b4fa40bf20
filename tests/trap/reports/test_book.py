"""The book of a reporter: what becomes one report, how its delivery can end, and what people may do."""

import errno
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from trap.envelope import Envelope
from trap.job import Job
from trap.reports import Book, Sending
from trap.reports.held import Evidence, Held
from trap.stage import Unavailable

DAY = 86400.0


@pytest.fixture
def book(tmp_path: Path):
    book = Book(tmp_path, "arf")
    yield book
    book.close()


def job(text: str = "buy") -> Job:
    return Job.from_message(f"Subject: {text}\r\n\r\n{text}\r\n".encode(), Envelope(mail_from="a@b.example"))


def enter(book: Book, job: Job, *to: str, campaign: str = "c1", count: int = 0, **more) -> list[str]:
    settings = {"period": DAY, "gather": 0.0, **more}
    return list(book.enter(job, campaign, to or ("abuse@isp.example",), count=count, **settings).values())


def only(book: Book):
    (report,) = book.reports()
    return report


def send(book: Book, report: str, text: bytes = b"the report") -> None:
    sending = Sending(book, report)
    sending.text = text
    sending.commit()
    book.settle(report, "sent", "250 ok")


def test_copies_of_a_campaign_are_one_report(book):
    first, second = job("buy"), job("buy now")
    assert enter(book, first) == enter(book, second)
    report = only(book)
    assert (report.weight, report.state, report.recipient) == (2, "gathering", "abuse@isp.example")
    assert [copy.message for copy in book.copies(report.id)] == [first.message, second.message]
    assert book.copies(report.id)[0].envelope == first.envelope


def test_each_recipient_and_each_campaign_has_one_of_its_own(book):
    assert len(set(enter(book, job(), "a@isp.example", "b@isp.example"))) == 2
    enter(book, job(), "a@isp.example", campaign="c2")
    assert len(book.reports()) == 3


def test_a_job_that_comes_again_counts_once(book):
    same = job()
    for _ in range(3):
        enter(book, same)
    assert only(book).weight == 1


def test_what_others_counted_is_the_weight(book):
    enter(book, job(), count=1)
    enter(book, job(), count=900)  # dedup let only a few of them pass
    assert only(book).weight == 900


def test_a_period_has_one_report_and_what_came_later_weighs_in_the_next(book, monkeypatch):
    (first,) = enter(book, job(), count=1)
    send(book, first)
    for number in range(2, 5):
        assert enter(book, job(), count=number) == [first]
    assert book.due(9) == []
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + DAY + 1)
    (second,) = enter(book, job(), count=5)
    assert second != first
    assert [report.weight for report in book.due(9)] == [4]


def test_it_waits_for_copies(book):
    enter(book, job(), gather=600.0)
    assert book.due(9) == []
    assert book.reports()[0].due == pytest.approx(time.time() + 600, abs=60)


def test_only_some_copies_are_kept(book):
    for number in range(20):
        enter(book, job(str(number)))
    assert len(book.copies(only(book).id)) == 5
    assert only(book).weight == 20


def test_what_was_sent_is_on_record_and_its_copies_are_not(book):
    (report,) = enter(book, job())
    send(book, report, b"as sent")
    assert book.text(report) == b"as sent"
    assert (only(book).state, only(book).word, book.copies(report)) == ("sent", "250 ok", [])


def test_who_began_to_send_and_died_leaves_a_doubt(book, tmp_path):
    (report,) = enter(book, job())
    Sending(book, report).commit()
    other = Book(tmp_path, "arf")
    assert other.doubt() == 1
    assert (only(other).state, other.due(9)) == ("unsure", [])
    other.close()


def test_it_is_not_told_to_a_second_server_while_the_first_may_have_it(book):
    (report,) = enter(book, job())
    sending = Sending(book, report)
    sending.commit()
    with pytest.raises(Unavailable, match="between the last byte and the answer"):
        sending.commit()


def test_what_was_not_taken_is_tried_again_later(book):
    (report,) = enter(book, job())
    Sending(book, report).commit()
    book.postpone(report, time.time() + 60, "451 later")
    assert book.due(9) == []
    assert (only(book).state, only(book).attempts, only(book).sent) == ("gathering", 1, 0.0)
    book.postpone(report, 0.0, "nobody there", charged=False)
    assert [each.attempts for each in book.due(9)] == [1]


@pytest.mark.parametrize("state", ["unsure", "failed"])
def test_a_person_may_have_it_sent_again(book, state):
    (report,) = enter(book, job())
    Sending(book, report).commit()
    book.settle(report, state, "why")
    assert book.release(report)
    assert [each.released for each in book.due(9)] == [True]


def test_what_is_held_says_why_until_it_is_released(book, tmp_path):
    (report,) = enter(book, job())
    evidence = [Evidence("text/html", "base64", "joe@trap.example", "am9l")]
    book.hold(report, "the gate found base64", evidence, b"would have left")
    assert (only(book).state, book.due(9)) == ("held", [])
    assert book.held.evidence(report) == evidence
    assert book.held.text(report) == b"would have left"
    assert sorted(path.suffix for path in (tmp_path / "held").iterdir()) == [".json", ".txt"]
    assert book.release(report)
    assert not list((tmp_path / "held").iterdir())
    assert not book.release(report)  # it is not held any more


def test_poison_is_held_from_the_start_and_one_copy_of_it_is_enough(book):
    (report,) = enter(book, job(), held="a password reset")
    assert (only(book).state, book.held.evidence(report)[0].excerpt) == ("held", "a password reset")
    (other,) = enter(book, job(), campaign="c2")
    enter(book, job(), campaign="c2", held="a receipt")
    assert book.find(other)[0].state == "held"
    book.release(other)
    enter(book, job(), campaign="c2", held="a receipt")
    assert book.find(other)[0].state == "gathering"  # somebody has looked


def test_what_was_not_sent_yet_is_withdrawn_at_once(book):
    (report,) = enter(book, job())
    assert book.retract(report)
    assert only(book).state == "retracted"
    with pytest.raises(Unavailable, match="withdrew"):
        Sending(book, report).commit()
    book.postpone(report, 0.0, "not sent")
    assert only(book).state == "retracted"
    assert not book.retract(report)


def test_what_was_sent_is_taken_back_by_the_worker(book):
    (report,) = enter(book, job())
    send(book, report)
    sent = only(book).sent
    assert book.retract(report)
    assert [each.state for each in book.due(9)] == ["retracting"]
    Sending(book, report).commit()  # to take back twice does no harm
    book.settle(report, "retracted", "gone")
    assert (only(book).state, only(book).sent, book.text(report)) == ("retracted", sent, b"the report")


def test_it_forgets_what_is_old(book, monkeypatch):
    old = job()
    (report,) = enter(book, old)
    send(book, report)
    book.forget(time.time() - 1)
    assert book.reports()
    book.forget(time.time() + 1)
    assert not book.reports()
    enter(book, old)
    assert only(book).weight == 1  # the job is forgotten, too


def test_it_is_found_by_the_beginning_of_its_name(book):
    (report,) = enter(book, job())
    assert book.find(report[:6])[0].id == report
    assert book.find("") == book.find("*") == []
    assert Book.queues(book.path.parent) == ["arf"]


def test_a_damaged_book_is_told_of(tmp_path):
    (tmp_path / "arf.db").write_bytes(b"no database at all, but long enough to look like one" * 50)
    with pytest.raises(OSError, match=r"arf\.db"):
        Book(tmp_path, "arf")


def test_nobody_else_reads_it(tmp_path):
    """Its copies name the trap; what SQLite writes beside it, too."""
    before = os.umask(0o022)
    try:
        book = Book(tmp_path, "arf")
        enter(book, job())
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"arf.db": 0o600, "arf.db-wal": 0o600, "arf.db-shm": 0o600}
    book.close()


def test_several_may_make_it_at_once(tmp_path):
    for number in range(10):
        with ThreadPoolExecutor(4) as several:
            queues = [f"arf{number}"] * 4
            assert set(several.map(lambda queue: Book(tmp_path, queue).counts() == {}, queues)) == {True}
    assert {path.suffix for path in tmp_path.iterdir()} <= {".db", ".db-wal", ".db-shm"}


def test_a_job_that_comes_again_begins_no_report(book):
    """Whom a contact's answer names may have changed meanwhile."""
    same = job()
    (first,) = enter(book, same, "a@isp.example")
    assert enter(book, same, "a@isp.example", "b@isp.example") == [first]
    assert only(book).weight == 1


def test_a_full_book_begins_nothing_and_counts_all_the_same(book):
    full = Unavailable("too much waits")
    with pytest.raises(Unavailable, match="too much"):
        enter(book, job(), full=full)
    (report,) = enter(book, job())
    assert enter(book, job(), full=full) == [report]
    assert (only(book).weight, len(book.copies(report))) == (2, 1)


def test_few_large_copies_are_kept(book):
    for number in range(5):
        enter(book, job("x" * (1 << 20) + str(number)))
    assert len(book.copies(only(book).id)) == 2


def test_jobs_may_be_forgotten_before_reports(book):
    old = job()
    (report,) = enter(book, old)
    book.forget(0.0, jobs=time.time() + 1)
    assert book.find(report)
    assert book._rows("SELECT * FROM seen") == []


def test_room_is_made_of_what_is_done_and_what_waits_stays(tmp_path):
    book = Book(tmp_path, "arf")
    noise = [os.urandom(200_000).hex() for _ in range(30)]
    sent = [enter(book, job(text), campaign=text[:20])[0] for text in noise[:20]]
    for report in sent:
        Sending(book, report).commit()
        book.settle(report, "failed", "550 no")
    (waits,) = enter(book, job(noise[20]), campaign="waits")
    before = book.size()
    book.trim(before // 4)
    assert book.size() <= before // 4
    assert len(book.copies(waits)) == 1
    assert len(book.reports()) == 21
    assert not book.release(sent[0])  # of what has no copy any more there is nothing to send
    book.close()


def test_the_file_system_gets_room_back(tmp_path, monkeypatch):
    monkeypatch.setattr("trap.reports.shelf.SPARE", 100)
    book = Book(tmp_path, "arf")
    enter(book, job(os.urandom(1_000_000).hex()))
    pages = book._rows("PRAGMA page_count")[0][0]
    book._change("DELETE FROM copy")
    for _ in range(20):
        book.trim(1 << 30)
    assert book._rows("PRAGMA page_count")[0][0] < pages / 2
    book.close()


def test_evidence_that_was_left_behind_goes(book, tmp_path):
    """Whoever dies between the book and its evidence leaves some, which names the trap."""
    evidence = [Evidence("text/html", "base64", "joe@trap.example", "am9l")]
    (held,) = enter(book, job())
    book.hold(held, "the gate found base64", evidence, b"would have left")
    (other,) = enter(book, job(), campaign="c2")
    book.held.put(other, evidence, b"would have left")
    Held(tmp_path, "arf-b").put(other, evidence)  # another reporter's
    book.forget(0.0)
    assert book.held.evidence(held) and not book.held.evidence(other)
    assert Held(tmp_path, "arf-b").evidence(other)


def test_an_unsure_report_that_is_released_was_perhaps_sent(book):
    (report,) = enter(book, job())
    Sending(book, report).commit()
    book.settle(report, "unsure", "broken off")
    book.release(report)
    assert only(book).doubtful
    assert book.retract(report)
    assert only(book).state == "retracting"


def test_only_what_leaves_waits_for_the_disk(book):
    """A power cut may forget copies that were gathered last; to wait for each would cost milliseconds."""
    assert book._rows("PRAGMA synchronous")[0][0] == 1
    (report,) = enter(book, job())
    send(book, report)
    assert book._rows("PRAGMA synchronous")[0][0] == 1


def test_a_book_that_others_hold_is_no_lasting_trouble(tmp_path):
    book = Book(tmp_path, "arf", patience=0.01)
    with closing(sqlite3.connect(book.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="locked") as trouble:
            enter(book, job())
    assert trouble.value.errno == errno.EBUSY
    book.close()
