"""MISP: a report is an event, once; what the answers of a real one mean.

A MISP can't be had in a test. The one here answers as the API's documentation and source have it; whether the
events are such that a real one takes them is seen in tests/stages/reporting/test_mispevent.py, by the library
of MISP's own project.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from checksumkit import job, trial
from receiverkit import Receiver, Taken
from starlette.responses import HTMLResponse, JSONResponse, Response

from stages.misp import Event, Misp
from stages.reporting.site import Web
from stages.reporting.tell import Tell
from stages.reporting.terms import Terms
from trap.config import Duration

KEY = "k" * 40
EXISTS = "Event already exists, if you would like to edit it, use the url in the location header."


class Server:
    """A MISP, as far as reports see one.

    Attributes:
        events: what was added, by UUID.
        forgets: whether what it answers is lost on its way, the next time.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.forgets = False
        self.receiver = receiver
        receiver.answer = self.answer

    def answer(self, taken: Taken) -> Response:
        if taken.fields.get("authorization") != KEY or taken.fields.get("accept") != "application/json":
            said = "Authentication failed. Please make sure you pass the API key of an API enabled user."
            return self.no(403, said, taken.target)
        match taken.target.split("/")[1:]:
            case ["servers", "getVersion"]:
                return JSONResponse({"version": "2.5.34", "perm_sync": False})
            case ["events", "add"]:
                return self.add(json.loads(taken.body)["Event"])
            case ["events", "delete", uuid]:
                if self.events.pop(uuid, None) is None:
                    return self.no(404, "Invalid event", taken.target)
                return JSONResponse({"saved": True, "success": True, "name": "Event deleted."})
        return self.no(404, "Not Found", taken.target)

    def add(self, event: dict[str, Any]) -> Response:
        if event["uuid"] in self.events:
            return self.no(404, EXISTS, "/events/add")
        if not event["info"]:
            errors = {"info": ["Info cannot be empty."]}
            return JSONResponse({"name": "Could not add Event", "errors": errors}, 403)
        self.events[event["uuid"]] = event
        if self.forgets:
            self.forgets = False
            time.sleep(0.35)
        return JSONResponse({"Event": {**event, "id": "4711"}})

    def no(self, status: int, name: str, url: str) -> Response:
        return JSONResponse({"name": name, "message": name, "url": url}, status)


@pytest.fixture
def server(running: Receiver) -> Server:
    running.forget()
    return Server(running)


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> dict[str, Any]:
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text(KEY)
    return {
        "url": server.receiver.url,
        "key": key,
        "web": Web(ca=server.receiver.ca),
        "terms": Terms(gather=Duration(0)),
    }


async def test_a_report_is_an_event(tmp_path: Path, server: Server, settings: dict[str, Any]):
    async with trial(Misp, tmp_path, **settings, tell=Tell(sample="message")) as misp:
        (report,) = await misp.tell(job())
        assert await misp.found() == (True, "MISP 2.5.34")
    assert (report.state, report.word) == ("sent", "event 4711")
    (event,) = server.events.values()
    assert event["info"] == "Unsolicited mail, 1 copy: you won"
    assert [tag["name"] for tag in event["Tag"]] == ["tlp:amber", "spamtrap"]
    assert "trap.example" not in json.dumps(event)


async def test_sent_twice_it_is_one_event(tmp_path: Path, server: Server, settings: dict[str, Any]):
    """The answer was lost: that it exists already is as good as that it is saved."""
    server.forgets = True
    settings["web"] = Web(ca=server.receiver.ca, timeout=Duration(0.25))
    async with trial(Misp, tmp_path, **settings) as misp:
        (report,) = await misp.tell(job())
        assert report.state == "gathering"
        await asyncio.sleep(0.2)
        (report,) = await misp.again()
    assert (report.state, report.word) == ("sent", "it was there already")
    assert len(server.events) == 1


async def test_a_report_is_taken_back(tmp_path: Path, server: Server, settings: dict[str, Any]):
    async with trial(Misp, tmp_path, **settings) as misp:
        await misp.tell(job())
        (report,) = await misp.take_back()
    assert (report.state, report.word) == ("retracted", "deleted")
    assert server.events == {}


async def test_one_that_a_person_has_deleted_is_gone(
    tmp_path: Path, server: Server, settings: dict[str, Any]
):
    async with trial(Misp, tmp_path, **settings) as misp:
        await misp.tell(job())
        server.events.clear()
        (report,) = await misp.take_back()
    assert (report.state, report.word) == ("retracted", "it was gone already")


async def test_a_wrong_key_loses_nothing(tmp_path: Path, server: Server, settings: dict[str, Any]):
    settings["key"].write_text("another")
    async with trial(Misp, tmp_path, **settings) as misp:
        (report,) = await misp.tell(job())
        good, text = await misp.found()
    assert report.state == "gathering" and "Authentication failed" in report.word
    assert not good and "Authentication failed" in text


@pytest.mark.parametrize(
    ("answer", "state", "word"),
    [
        (JSONResponse({"name": "Could not add Event", "errors": {"date": ["bad"]}}, 403), "failed", "date"),
        (
            JSONResponse({"name": "Could not add Event", "errors": "blocklisted"}, 403),
            "failed",
            "blocklisted",
        ),
        (HTMLResponse("<html>log in", 200), "gathering", "no event"),
        (JSONResponse([1], 200), "gathering", "no event"),
        (JSONResponse({"name": ["what"]}, 404), "gathering", "404"),
        (JSONResponse({"name": 1}, 400), "failed", "400"),
        (Response(b"\xff" * 100_000, 500), "gathering", "500"),
        (Response("[" * 60_000, 200), "gathering", "no event"),
    ],
)
async def test_whatever_it_answers(
    tmp_path: Path, server: Server, settings: dict[str, Any], answer: Response, state: str, word: str
):
    server.receiver.answer = lambda _: answer
    async with trial(Misp, tmp_path, **settings) as misp:
        (report,) = await misp.tell(job())
    assert report.state == state and word in report.word


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (Event(distribution=5), "0 to 4"),
        (Event(distribution=4), "sharing_group"),
        (Event(sharing_group=7), "sharing_group"),
        (Event(threat_level=0), "1 to 4"),
    ],
)
def test_settings_that_make_no_sense(event: Event, why: str):
    with pytest.raises(ValueError, match=why):
        event.check()
