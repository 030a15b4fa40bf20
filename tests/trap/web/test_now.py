"""The page "Now": what it draws, what it warns of, and how it keeps itself up to date."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from webkit import Visitor, config_at

from trap.backendstate import AWAY, BackendState, Teller
from trap.config import Config, Listener, Route, Stage
from trap.envelope import Envelope
from trap.live import Board, Live
from trap.queue import Spool
from trap.web import now as page
from trap.web.flow import flow
from trap.web.pulse import Pulse
from trap.web.site import Site


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_at(
        tmp_path,
        listen=[Listener(port=2626)],
        pipeline=["dedup", "virus", "archive", ["report", "tell"]],
        stages={
            "virus": Stage(settings={"to": "infected"}),
            "infected": Stage(workers=0),
            "ham": Stage(next=["second"]),
            "second": Stage(),
        },
        route=[Route(to="ham", rcpt="secret-trap@*")],
    )


@pytest.fixture
def sink(config: Config) -> Iterator[Board]:
    """A sink that tells of itself."""
    board = Board(config)
    board.publish(Live(pid=1, told=time.time(), started=time.time(), connections=7, limit=100))
    yield board
    board.close()


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def pass_through(spool: Spool, number: int, *, drop: str = "") -> None:
    for _ in range(number):
        spool.put("dedup", Envelope(), b"Subject: hi\r\n\r\n")
    with spool["dedup"].consumer() as consumer:
        while claim := consumer.claim():
            claim.drop(drop) if drop else claim.forward(["virus"])


def test_a_trap_that_does_not_run_says_how_to_start_it(reader: Visitor) -> None:
    answer = reader.get("/")
    assert answer.status_code == 200
    assert "The trap is not running." in answer.text
    assert "<code>spamtrap up</code>" in answer.text


def test_without_mail_it_says_how_to_send_some(reader: Visitor) -> None:
    shown = text(reader.get("/").text)
    assert "No mail yet" in shown
    assert "spamtrap replay some.eml --to 127.0.0.1:2626" in shown


def test_it_names_the_address_where_a_sink_really_takes_mail(reader: Visitor, sink: Board) -> None:
    """Not the one of the configuration: `up --listen` and systemd's sockets come before it."""
    sink.publish(Live(pid=1, told=time.time(), addresses=["/run/trap.sock", "[::1]:18942"]))
    told = "spamtrap replay some.eml --to [::1]:18942"
    assert told in text(reader.get("/").text)
    assert told in text(reader.get("/messages").text)
    assert all(each["addresses"] == [] for each in reader.get("/api/v1/status").json()["sinks"])


def test_what_came_and_went(reader: Visitor, spool: Spool) -> None:
    pass_through(spool, 3)
    pass_through(spool, 2, drop="duplicate")
    shown = text(reader.get("/").text)
    assert "No mail yet" not in shown
    assert "5 accepted, last hour" in shown
    assert "2 dropped" in shown
    assert "duplicate dedup 2" in shown
    assert "duplicate: 2" in reader.get("/?span=week").text


@pytest.mark.parametrize("span", ["day", "week", "year", "%00", ""])
def test_the_span_is_in_the_address(reader: Visitor, span: str) -> None:
    answer = reader.get(f"/?span={span}")
    assert answer.status_code == 200
    known = span if span in {"day", "week"} else "hour"
    assert f'data-live="/now/events?span={known}"' in answer.text


def test_a_sink_is_shown_with_its_stress(reader: Visitor, sink: Board) -> None:
    sink.publish(
        Live(
            pid=1,
            told=time.time(),
            level="red",
            cause="connections 87%",
            connections=87,
            limit=100,
            refused={"rate": 3},
        )
    )
    shown = text(reader.get("/").text)
    assert "Stress is red: connections 87%." in shown
    assert "87 of 100 connections" in shown
    assert "rate 3" in shown


def test_a_sink_that_is_silent_is_mentioned(reader: Visitor, sink: Board) -> None:
    sink.publish(Live(pid=1, told=time.time() - 60))
    assert "A sink was last heard of 60 seconds ago." in reader.get("/").text


def test_a_stage_without_workers_is_mentioned(reader: Visitor, spool: Spool, sink: Board) -> None:
    spool.put("archive", Envelope(), b"x")
    shown = text(reader.get("/").text)
    assert "No worker of archive is alive: 1 jobs wait. spamtrap work archive" in shown
    assert "No worker of infected" not in shown, "it only holds"


def test_bad_jobs_are_linked(reader: Visitor, spool: Spool) -> None:
    spool.put("dedup", Envelope(), b"x")
    with spool["dedup"].consumer() as consumer:
        claim = consumer.claim()
        assert claim
        claim.condemn("ValueError")
    assert '<a href="/queues/bad">Look at them</a>' in reader.get("/").text


def test_a_reason_is_no_markup(reader: Visitor, spool: Spool) -> None:
    pass_through(spool, 1, drop="<script>alert(1)</script>\x1b[31m")
    html = reader.get("/").text
    assert "<script>alert" not in html
    assert "\x1b" not in html


def test_the_page_names_no_trap_address(reader: Visitor, spool: Spool) -> None:
    assert "secret-trap" not in reader.get("/").text


async def test_the_drawing_is_as_it_is_wired(config: Config, spool: Spool) -> None:
    drawing = flow(config, await Pulse(config, spool).look(), "hour")
    assert [box.queue.name for box in drawing.trunk] == ["dedup", "virus", "archive"]
    assert [box.queue.name for box in drawing.branches] == ["report", "tell"]
    assert [box.queue.name for box in drawing.trunk[1].fed] == ["infected"]
    [ham] = drawing.routed
    assert [box.queue.name for box in [ham, *ham.fed]] == ["ham", "second"]
    assert drawing.others == []
    assert {box.queue.name for box in drawing.boxes()} == set(config.queues)


async def test_a_queue_of_an_earlier_configuration_is_drawn_too(config: Config, spool: Spool) -> None:
    spool.put("second", Envelope(), b"x")
    later = msgspec.structs.replace(config, stages={}, route=[])
    with_it = Spool.open(later)
    drawing = flow(later, await Pulse(later, with_it).look(), "hour")
    assert [(box.queue.name, box.state) for box in drawing.others] == [("second", "warn")]
    with_it.close()


async def test_rates_and_depths(config: Config, spool: Spool) -> None:
    pass_through(spool, 60)
    pass_through(spool, 60, drop="duplicate")
    look = await Pulse(config, spool).look()
    dedup, virus, *_ = look.queues
    assert (dedup.name, dedup.waiting, virus.waiting) == ("dedup", 0, 60)
    assert dedup.rate == pytest.approx(2, rel=0.2)
    assert look.passing["dedup"] == pytest.approx(1, rel=0.2)
    assert look.accept_rate == pytest.approx(2, rel=0.2)


# Live


async def change(stream: AsyncIterator[bytes]) -> dict[str, str]:
    """The next event that changes something."""
    async for chunk in stream:
        if chunk.startswith(b"event: html\ndata: "):
            found: dict[str, str] = json.loads(chunk.removeprefix(b"event: html\ndata: "))
            return found
    raise AssertionError("the stream ended")


async def test_events_bring_what_changed(
    config: Config, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "EVERY", 0.01)
    monkeypatch.setattr("trap.web.pulse.EVERY", 0.01)
    monkeypatch.setattr("trap.web.pulse._SHARE", 0)
    here = Site(config)
    stream = page._changes(here, "hour")
    assert set(await change(stream)) == set(page.PARTS)
    pass_through(spool, 3)
    second = await change(stream)
    assert "3" in text(second["flow"])
    assert "charts" not in second, "it is large, and waits"
    here.close()


async def test_an_event_is_one_line_whatever_stands_in_it(config: Config, spool: Spool) -> None:
    pass_through(spool, 1, drop="two\nlines\r\n\r\nand more")
    here = Site(config)
    stream = page._changes(here, "hour")
    chunks = [await anext(stream), await anext(stream)]
    assert chunks[1].count(b"\n") == 3
    assert b"\r" not in chunks[1]
    here.close()


async def test_trouble_is_told_to_who_watches(config: Config, spool: Spool) -> None:
    here = Site(config)
    with mock.patch.object(Pulse, "look", side_effect=OSError(5, "Input/output error")):
        stream = page._changes(here, "hour")
        await anext(stream)
        told = await anext(stream)
    assert b"Input/output error" in told
    assert b"spamtrap doctor" in told
    here.close()


async def test_many_who_watch_cost_one_look(config: Config, spool: Spool) -> None:
    pulse = Pulse(config, spool)
    with mock.patch.object(Pulse, "_look", autospec=True, side_effect=Pulse._look) as looks:
        seen = await asyncio.gather(*(pulse.look() for _ in range(50)))
        assert all(each is seen[0] for each in seen)
        await pulse.look()
    assert looks.call_count == 1


async def test_who_leaves_does_not_end_the_look_of_the_others(config: Config, spool: Spool) -> None:
    pulse = Pulse(config, spool)
    gone, there = (asyncio.create_task(pulse.look()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await there).queues
    assert gone.cancelled() or gone.done()


async def test_a_look_that_failed_is_tried_again(
    config: Config, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trap.web.pulse.EVERY", 0)
    monkeypatch.setattr("trap.web.pulse._SHARE", 0)
    pulse = Pulse(config, spool)
    with (
        mock.patch.object(Pulse, "_look", side_effect=OSError(5, "Input/output error")),
        pytest.raises(OSError),
    ):
        await pulse.look()
    assert (await pulse.look()).queues


async def test_a_long_look_is_repeated_less_often(config: Config, spool: Spool) -> None:
    pulse = Pulse(config, spool)
    with mock.patch.object(Pulse, "_look", lambda self: time.sleep(0.2)):
        await pulse.look()
    assert pulse._due - time.monotonic() > 3


def test_without_programs_to_ask_none_are_shown(reader: Visitor, sink: Board) -> None:
    assert "Programs that stages ask" not in reader.get("/").text


def test_programs_that_stages_ask(reader: Visitor, config: Config, sink: Board) -> None:
    teller = Teller(config, "virus")
    cause = "<b>connection refused"
    away = BackendState("clamd", "/run/clamd.ctl", state=AWAY, since=time.time() - 120, cause=cause, asked=7)
    teller.tell([away, BackendState("clamd", "127.0.0.1:3310", asked=5)], 3)
    page = reader.get("/").text
    teller.close()
    assert "<b>connection" not in page
    shown = text(page)
    assert "clamd at /run/clamd.ctl, which virus asks, is away for 2m: &lt;b&gt;connection refused." in shown
    assert "clamd at /run/clamd.ctl virus away for 2m 7 0 0 3" in shown
    assert "clamd at 127.0.0.1:3310 virus up 5 0 0" in shown
