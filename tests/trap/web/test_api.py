"""The API: searched, paged, exported and described; what its document says is what it does."""

import io
import json
import mailbox
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from archived import NOVEMBER, job, mail, mixed_message
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from webkit import Visitor, config_at, fill, served, visitor

from trap.config import Config
from trap.envelope import Rcpt
from trap.queue import Spool
from trap.web.api import ENDPOINTS
from trap.web.openapi import ROOT

COUNT = 60


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A trap with sixty messages archived, in two campaigns, and one waiting."""
    made = config_at(tmp_path_factory.mktemp("trap"))
    jobs = [
        job(n, at=NOVEMBER + 60 * n, message=mixed_message(n) if n % 3 == 0 else None) for n in range(COUNT)
    ]
    for at, each in enumerate(jobs):
        each.notes = {"dedup": {"campaign": f"{at % 2:012x}", "count": at + 1}}
    fill(made, jobs)
    spool = Spool.open(made)
    spool.put("dedup", job(99).envelope, b"Subject: x\r\n\r\n")
    spool.close()
    return made


@pytest.fixture
def me(config: Config) -> Iterator[Visitor]:
    with visitor(config) as made:
        yield made


def ids(answer: object) -> list[str]:
    return [each["id"] for each in answer["messages"]]  # type: ignore[index]


def test_pages_hold_every_message_once_newest_first(me: Visitor) -> None:
    found: list[str] = []
    before = ""
    while True:
        page = me.get(f"/api/v1/messages?limit=7{before}").json()
        found += ids(page)
        if page["before"] is None:
            break
        before = f"&before={page['before']}"
    assert len(found) == len(set(found)) == COUNT
    assert found == sorted(found, reverse=True)


def test_a_search_is_the_pages_search(me: Visitor) -> None:
    all_of_them = me.get("/api/v1/messages?q=attachment:invoice3.pdf").json()
    assert len(all_of_them["messages"]) == 1
    assert all_of_them["messages"][0]["attachments"] == 1
    both = "campaign:000000000001%20or%20campaign:000000000000"
    assert len(ids(me.get(f"/api/v1/messages?q={both}&limit=500").json())) == COUNT


def test_a_mistake_in_a_query_has_its_place(me: Visitor) -> None:
    answer = me.get("/api/v1/messages?q=prize%20form:joe")
    assert answer.status_code == 400
    wrong = answer.json()
    assert "did you mean from:?" in wrong["error"]
    assert "prize form:joe"[wrong["start"] : wrong["end"]].startswith("form")


@pytest.mark.parametrize(
    "path",
    ["messages?limit=0", "messages?limit=x", "messages?before=1", "messages?nonsense=1", "export?format=tar"],
)
def test_a_request_that_is_none(me: Visitor, path: str) -> None:
    answer = me.get(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_one_message(me: Visitor) -> None:
    name = ids(me.get("/api/v1/messages?q=attachment:invoice3.pdf").json())[0]
    found = me.get(f"/api/v1/messages/{name}").json()
    assert found["message"]["id"] == name
    assert found["notes"]["dedup"]["count"] == 4
    assert [part["type"] for part in found["view"]["parts"]][-1] == "application/pdf"
    assert me.get("/api/v1/messages/179349120000000000000000").status_code == 404
    assert me.get("/api/v1/messages/x").status_code == 404


def test_identities_are_masked_and_showing_them_is_written_down(me: Visitor, config: Config) -> None:
    name = ids(me.get("/api/v1/messages?limit=1").json())[0]
    log = config.paths.state / "acts.log"
    for path in ("/api/v1/messages", f"/api/v1/messages/{name}"):
        assert "trap@trap.example" not in me.get(path).text
        before = log.read_text() if log.exists() else ""
        assert "trap@trap.example" in me.get(f"{path}?identities=true").text
        line = json.loads(log.read_text()[len(before) :])
        assert (line["act"], line["path"]) == ("identities shown", path)
    assert me.get(f"/api/v1/messages/{name}/raw").status_code == 403
    raw = me.get(f"/api/v1/messages/{name}/raw?identities=true")
    assert raw.content.startswith(b"Received: from mail.a.example")
    assert raw.headers["content-type"] == "application/octet-stream"


def test_what_belongs_to_no_message_is_masked_too(tmp_path: Path) -> None:
    """Mail forged as from our own domain, and subjects that greet the recipient."""
    config = config_at(tmp_path)
    jobs = [
        job(n, message=mail(n, f"{name}, your invoice").replace(b"joe@a.example", b"boss@own-trap.example"),
            rcpts=[Rcpt(address=f"{name}@own-trap.example")])
        for n, name in enumerate(("davey.jones", "carol.danvers"))
    ]  # fmt: skip
    for each in jobs:
        each.notes = {"dedup": {"campaign": "00000000000a", "count": 2}}
    fill(config, jobs)
    with visitor(config) as me:
        for path in ("facets", "campaigns", "campaigns/00000000000a", "messages", f"messages/{jobs[0].id}"):
            text = me.get(f"/api/v1/{path}").text
            for secret in ("own-trap", "davey", "danvers"):
                assert secret not in text, path
            assert "own-trap" in me.get(f"/api/v1/{path}?identities=true").text or "campaign" in path
        for path in ("messages", "campaigns", "campaigns/00000000000a", f"messages/{jobs[0].id}"):
            page = me.get(f"/{path}").text
            for secret in ("own-trap", "davey", "danvers"):
                assert secret not in page, path


def test_counts(me: Visitor) -> None:
    facets = me.get("/api/v1/facets?q=campaign:000000000001").json()
    assert facets["counted"] == COUNT // 2
    assert facets["complete"]
    assert facets["values"]["campaign"] == [{"value": "000000000001", "count": COUNT // 2}]
    bars = me.get("/api/v1/histogram?buckets=10").json()
    assert sum(bars["counts"]) == bars["found"] == COUNT
    assert len(bars["counts"]) <= 10


def test_campaigns(me: Visitor) -> None:
    first = me.get("/api/v1/campaigns?order=size&limit=1").json()
    second = me.get(f"/api/v1/campaigns?order=size&limit=1&before={first['before']}").json()
    names = [page["campaigns"][0]["name"] for page in (first, second)]
    assert sorted(names) == ["000000000000", "000000000001"]
    assert second["before"] is None
    one = me.get(f"/api/v1/campaigns/{names[0]}").json()
    assert one["archived"] == COUNT // 2
    assert one["copies"] in {COUNT - 1, COUNT}
    assert me.get("/api/v1/campaigns/none").status_code == 404


def test_export(me: Visitor, tmp_path: Path) -> None:
    query = "q=campaign:000000000001&identities=true"
    assert me.get("/api/v1/export?q=x").status_code == 403
    lines = me.get(f"/api/v1/export?{query}&format=jsonl").text.splitlines()
    assert len(lines) == COUNT // 2
    assert len(me.get(f"/api/v1/export?{query}&format=jsonl&limit=7").text.splitlines()) == 7
    packed = zipfile.ZipFile(io.BytesIO(me.get(f"/api/v1/export?{query}&format=zip").content))
    assert sorted(packed.namelist()) == sorted(json.loads(line)["id"] + ".eml" for line in lines)
    (tmp_path / "mbox").write_bytes(me.get(f"/api/v1/export?{query}").content)
    box = mailbox.mbox(tmp_path / "mbox", create=False)
    assert len(box) == COUNT // 2
    box.close()


def test_an_export_begins_before_it_ends(config: Config) -> None:
    """Nothing is gathered: a piece goes out as soon as it is there."""
    with visitor(config) as me, me.stream("GET", "/api/v1/export?identities=true&format=jsonl") as answer:
        assert "content-length" not in answer.headers
        assert next(answer.iter_lines())


def test_health(me: Visitor) -> None:
    assert me.get("/healthz").text == "ok\n"
    assert me.get("/readyz").json() == {"spool": "ok", "archive": "ok"}
    queue = me.get("/api/v1/status").json()["queues"][0]
    assert (queue["name"], queue["waiting"], queue["workers"]) == ("dedup", 1, 0)
    metrics = me.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert re.search(r'^spamtrap_queue_waiting\{queue="dedup"\} 1\.0$', metrics.text, re.MULTILINE)


def test_a_trap_without_mail_is_ready_and_says_so(tmp_path: Path) -> None:
    with visitor(config_at(tmp_path)) as me:
        assert me.get("/readyz").json() == {"spool": "ok", "archive": "ok, but nothing is archived yet"}
        answer = me.get("/api/v1/messages")
        assert answer.status_code == 404
        assert answer.json() == {"error": "nothing is archived yet"}


def test_a_wrong_path_leads_to_the_document(me: Visitor) -> None:
    answer = me.get("/api/v1/mesages")
    assert answer.status_code == 404
    assert f"{ROOT}/openapi.json" in answer.json()["error"]


@pytest.fixture(scope="module")
def described(config: Config) -> Iterator[Any]:
    """The API by its own document, and served for real."""
    with served(config.paths.state.parent) as address:
        yield schemathesis.openapi.from_url(f"{address}{ROOT}/openapi.json")


@pytest.mark.parametrize("path", [endpoint.path for endpoint in ENDPOINTS])
def test_the_document_is_true(described: Any, path: str) -> None:
    """Whatever a program asks, sense or nonsense, the answer is one that the document names."""

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=described[ROOT + path]["GET"].as_strategy())
    def holds(case: schemathesis.Case) -> None:
        # A query may be a text and yet none: 400 then.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    holds()
