"""The pages of the queues: look at what waits and what is bad, requeue it, throw it away after a count."""

import re
import time
from pathlib import Path

import msgspec
import pytest
from support import at_most
from webkit import HOME, Visitor, config_at, visitor

from trap.acts import NAME
from trap.claim import BAD
from trap.config import Config, Stage
from trap.envelope import Envelope, Rcpt
from trap.job import new_id
from trap.jobs import page
from trap.ledger import events
from trap.queue import Spool
from trap.web import queues

HOSTILE = (
    b"Subject: =?utf-8?q?<script>alert(1)</script>?= \x1b[31m\r\nTo: secret-trap@mx.trap.example\r\n"
    b"\r\n<img src=http://evil.example/>\r\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_at(tmp_path, pipeline=["first", "second"], stages={"held": Stage(workers=0)})


def put(
    spool: Spool, number: int = 1, queue: str = "first", message: bytes = b"Subject: hi\r\n\r\nyou\r\n"
) -> list[str]:
    envelope = Envelope(
        client_ip="198.51.100.7",
        mail_from="someone@sender.example",
        rcpts=[Rcpt(address="secret-trap@mx.trap.example")],
    )
    return [spool.put(queue, envelope, message) for _ in range(number)]


def put_aside(spool: Spool, number: int = 1, queue: str = "first") -> list[str]:
    ids = put(spool, number, queue)
    with spool[queue].consumer() as consumer:
        while claim := consumer.claim():
            claim.condemn(
                "KeyError: 'missing'", 'Traceback:\n  File "a.py", for secret-trap@mx.trap.example\n'
            )
    return ids


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def done(config: Config) -> list[str]:
    """What was remembered of people's acts."""
    path = config.paths.state / NAME
    return (
        [msgspec.json.decode(line)["act"] for line in path.read_bytes().splitlines()] if path.exists() else []
    )


# Looking


def test_all_queues(reader: Visitor, spool: Spool) -> None:
    put(spool, 3, "second")
    put_aside(spool, 2, "first")
    shown = text(reader.get("/queues").text)
    assert "second pipeline 3 0" in shown
    assert "held only holds 0 0" in shown
    assert "2 jobs failed three times" in shown


def test_a_queue_is_shown_newest_first_in_pages(
    reader: Visitor, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "PAGE", 3)
    ids = sorted(put(spool, 7))
    for address, expected in (("/queues/first", ids[::-1]), ("/queues/first?order=oldest", ids)):
        found, next_page = [], address
        while next_page:
            html = reader.get(next_page).text
            found += re.findall(r'href="/queues/first/([0-9a-f]{24})"', html)
            link = re.search(r'rel="next" href="([^"]+)"', html)
            next_page = link[1].replace("&amp;", "&") if link else ""
        assert found == expected


def test_an_empty_queue_says_what_to_do_next(reader: Visitor, spool: Spool) -> None:
    assert "Nothing waits here" in reader.get("/queues/first").text
    assert "No job is bad" in reader.get("/queues/bad").text
    assert "Back to the first page" in reader.get(f"/queues/first?after={new_id(1.0)}").text


@pytest.mark.parametrize(
    "path", ["/queues/frist", "/queues/%2e%2e", "/queues/first/nonsense", "/queues/first/" + "0" * 24]
)
def test_what_is_not_there(reader: Visitor, spool: Spool, path: str) -> None:
    assert reader.get(path).status_code == 404


def test_one_job_with_why_it_is_bad(reader: Visitor, spool: Spool) -> None:
    [job_id] = put_aside(spool)
    shown = text(reader.get(f"/queues/bad/{job_id}").text)
    for expected in (
        "bad, put aside by first",
        "KeyError: &#39;missing&#39;",
        "a.py",
        "198.51.100.7",
        "1 Subject: hi",
    ):
        assert expected in shown
    assert reader.get(f"/queues/first/{job_id}").status_code == 200, "found under its queue, too"


def test_a_job_that_moved_on_is_found_where_it_is(reader: Visitor, spool: Spool) -> None:
    [job_id] = put(spool)
    with spool["first"].consumer() as consumer:
        claim = consumer.claim()
        assert claim
        assert "in hand at first" in text(reader.get(f"/queues/first/{job_id}").text)
        claim.forward(["second"], {"first": {"campaign": "abc"}})
    shown = text(reader.get(f"/queues/first/{job_id}").text)
    assert "waiting for second" in shown
    assert "campaign abc" in shown


def test_hostile_mail_is_text(reader: Visitor, spool: Spool) -> None:
    [job_id] = put(spool, message=HOSTILE)
    for path in ("/queues/first", f"/queues/first/{job_id}"):
        html = reader.get(path).text
        assert "&lt;script&gt;" in html
        assert "<script>alert" not in html
        assert "<img src=http" not in html
        assert "\x1b" not in html


def test_trap_identities_are_masked_until_they_are_shown(
    reader: Visitor, spool: Spool, config: Config
) -> None:
    [job_id] = put_aside(spool)
    put(spool, message=HOSTILE)
    paths = ("/queues/bad", f"/queues/bad/{job_id}", "/queues/first")
    assert not any("secret-trap" in reader.get(path).text for path in paths)
    reader.act("/identities", "/queues/bad", show="1")
    assert "secret-trap" in reader.get(f"/queues/bad/{job_id}").text
    assert done(config) == ["identities shown"]


def test_a_file_that_is_no_job(reader: Visitor, spool: Spool) -> None:
    [job_id] = put(spool)
    Path(spool["first"].new, f"{job_id}.0").write_bytes(b"garbage")
    assert "unreadable, or gone by now" in reader.get("/queues/first").text
    shown = reader.get(f"/queues/first/{job_id}")
    assert shown.status_code == 200
    assert "The file is no job" in shown.text


def test_a_large_message_is_shown_in_part(reader: Visitor, spool: Spool) -> None:
    [job_id] = put(spool, message=b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\n" + b"y\r\n" * 1_000_000)
    with at_most(2):
        shown = reader.get(f"/queues/first/{job_id}")
    assert shown.status_code == 200
    assert len(shown.text) < 200_000
    assert "3.8 MB" in shown.text


# Requeue


def test_chosen_jobs_are_requeued(reader: Visitor, spool: Spool, config: Config) -> None:
    chosen, other = put_aside(spool, 2)
    answer = reader.act("/queues/bad/requeue", "/queues/bad", job=chosen)
    assert (answer.status_code, answer.headers["location"]) == (303, "/queues/bad")
    assert "1 job went back into the queue." in reader.get("/queues/bad").text
    assert "went back" not in reader.get("/queues/bad").text, "it is said once"
    assert [entry.id for entry in page(spool, BAD, 9).entries] == [other]
    assert spool["first"].ids() == {chosen}
    assert done(config) == ["jobs requeued"]


def test_all_bad_jobs_are_requeued(reader: Visitor, spool: Spool) -> None:
    put_aside(spool, 3, "first")
    put_aside(spool, 2, "second")
    reader.act("/queues/bad/requeue", "/queues/bad", all="1")
    assert page(spool, BAD, 9).total == 0
    assert (spool["first"].stats().waiting, spool["second"].stats().waiting) == (3, 2)


def test_to_requeue_nothing_says_so(reader: Visitor, spool: Spool) -> None:
    put_aside(spool)
    reader.act("/queues/bad/requeue", "/queues/bad")
    assert "tick some jobs first" in reader.get("/queues/bad").text
    reader.act("/queues/bad/requeue", "/queues/bad", job="../../etc/passwd")
    assert page(spool, BAD, 9).total == 1


def test_only_bad_jobs_are_requeued(reader: Visitor, spool: Spool) -> None:
    [waiting] = put(spool)
    put_aside(spool, 1, "second")
    reader.act("/queues/bad/requeue", "/queues/bad", job=waiting)
    assert not [
        event for event in events(Path(spool.log.path)) if event.e == "requeued" and event.id == waiting
    ]


def test_a_queue_that_is_no_longer_configured_takes_nothing_back(tmp_path: Path, spool: Spool) -> None:
    put_aside(spool, 2, "second")
    later = config_at(tmp_path, pipeline=["first"])
    with visitor(later) as reader:
        answer = reader.act("/queues/bad/requeue", "/queues/bad", all="1")
        assert answer.status_code == 409
        assert "no longer configured" in answer.text
    assert page(spool, BAD, 9).total == 2


# Purge


def counted(reader: Visitor, address: str) -> dict[str, str]:
    """The form that a count makes."""
    return dict(re.findall(r'name="(before|count)" value="([^"]+)"', reader.get(address).text))


def purge(reader: Visitor, address: str) -> str:
    """Count, then throw away what was counted; returns what was said of the count."""
    shown = text(reader.get(address).text)
    reader.act(address.partition("?")[0], address, **counted(reader, address))
    return shown


def test_a_purge_counts_first(reader: Visitor, spool: Spool, config: Config) -> None:
    put(spool, 3)
    assert "3 jobs would be thrown away" in text(reader.get("/queues/first/purge").text)
    assert spool["first"].stats().waiting == 3, "a look throws nothing away"
    purge(reader, "/queues/first/purge")
    assert "3 jobs thrown away." in reader.get("/queues/first").text
    assert spool["first"].stats().waiting == 0
    assert done(config) == ["queue purged"]
    reasons = {event.reason for event in events(Path(spool.log.path)) if event.e == "purged"}
    assert reasons == {queues.REASON}


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_what_came_after_the_count_stays(reader: Visitor, spool: Spool, keep: int) -> None:
    """And so does what was to stay, though others are the newest now."""
    ids = sorted(put(spool, 3))
    address = f"/queues/first/purge?keep={keep}"
    fields = counted(reader, address)
    late = put(spool, 2)
    reader.act("/queues/first/purge", address, **fields)
    assert spool["first"].ids() == {*ids[3 - keep :], *late}


def test_what_was_to_stay_stays_when_the_others_went_on(reader: Visitor, spool: Spool) -> None:
    put(spool, 3)
    fields = counted(reader, "/queues/first/purge?keep=2")
    with spool["first"].consumer() as consumer:
        claim = consumer.claim()
        assert claim
        claim.forward(["second"])
    reader.act("/queues/first/purge", "/queues/first", **fields)
    assert spool["first"].stats().waiting == 2


@pytest.mark.parametrize("name", ["second", "bad"])
def test_never_more_than_was_counted(reader: Visitor, spool: Spool, name: str) -> None:
    """Mail accepted long ago comes from another queue, between the count and the act."""
    early = put(spool, 2)
    (put if name == "second" else put_aside)(spool, 1, "second")
    fields = counted(reader, f"/queues/{name}/purge")
    with spool["first"].consumer() as consumer:
        while claim := consumer.claim():
            if name == "second":
                claim.forward(["second"])
            else:
                claim.condemn("KeyError: 'missing'", "")
    assert page(spool, name, 9).total == len(early) + 1
    reader.act(f"/queues/{name}/purge", "/queues/first", **fields)
    assert page(spool, name, 9).total == len(early)


def test_limits_of_a_purge(reader: Visitor, spool: Spool) -> None:
    put(spool, 5)
    assert "No job would be thrown away" in text(reader.get("/queues/first/purge?older_than=1h").text)
    assert "3 jobs would" in purge(reader, "/queues/first/purge?keep=2")
    assert spool["first"].stats().waiting == 2


@pytest.mark.parametrize(
    "limit",
    ["older_than=soon", "keep=many", "older_than=-1h", "older_than=" + "9" * 400, "keep=" + "9" * 5000],
)
def test_limits_that_are_none(reader: Visitor, spool: Spool, limit: str) -> None:
    put(spool)
    answer = reader.get(f"/queues/first/purge?{limit}")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert "danger" not in answer.text, "there is no button"


def test_bad_jobs_are_purged(reader: Visitor, spool: Spool) -> None:
    put_aside(spool, 2)
    assert "2 jobs would be thrown away" in purge(reader, "/queues/bad/purge")
    assert page(spool, BAD, 9).total == 0


def test_one_job_is_thrown_away(reader: Visitor, spool: Spool, config: Config) -> None:
    gone, kept = put(spool, 2)
    reader.act(f"/queues/first/{gone}/discard", f"/queues/first/{gone}")
    assert spool["first"].ids() == {kept}
    reader.act(f"/queues/first/{gone}/discard", "/queues/first")
    assert "It is gone already" in reader.get("/queues/first").text
    assert done(config) == ["job purged", "job purged"]


# Who may


@pytest.mark.parametrize("path", ["/queues/bad/requeue", "/queues/first/purge", "/queues/first/{}/discard"])
def test_acts_want_a_token_and_our_own_origin(reader: Visitor, spool: Spool, path: str) -> None:
    [job_id] = put(spool)
    path = path.format(job_id)
    fields = {"before": str(time.time()), "count": "1", "all": "1"}
    assert reader.post(path, data=fields, headers={"Origin": HOME}).status_code == 403
    assert reader.post(path, data={**fields, "csrf": "x"}, headers={"Origin": HOME}).status_code == 403
    assert reader.post(path, data=fields, headers={"Origin": "http://evil.example"}).status_code == 403
    assert spool["first"].ids() == {job_id}


@pytest.mark.parametrize(
    "fields", [{}, {"before": "soon", "count": "1"}, {"before": "nan", "count": "1"}, {"before": "1"}]
)
def test_a_form_that_is_not_ours_purges_nothing(
    reader: Visitor, spool: Spool, fields: dict[str, str]
) -> None:
    put(spool)
    assert reader.act("/queues/first/purge", "/queues/first", **fields).status_code == 400
    assert spool["first"].stats().waiting == 1
