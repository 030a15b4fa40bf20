"""The feed: reports in files, each once, whole, and naming no trap."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import stix2
from checksumkit import Trial, job

from stages.feed import Bundles, Feed, Format
from stages.reporting.record import Record, Revoked
from stages.reporting.rotation import Files
from stages.reporting.tell import Tell
from stages.reporting.terms import Terms
from trap.config import Duration
from trap.configfile import parse
from trap.place import Place
from trap.plugin import build

AT_ONCE = Terms(gather=Duration(0))


@asynccontextmanager
async def feed(home: Path, queue: str = "feed", **settings: Any) -> AsyncIterator[Trial]:
    """A feed whose files are in home/state/QUEUE/files."""
    config = parse(
        f"pipeline: [{queue}]\naccept: {{domains: [trap.example]}}\nstages: {{{queue}: {{use: feed}}}}\n"
        f"paths: {{spool: {home}/spool, archive: {home}/archive, state: {home}/state}}\n"
    )
    state = config.paths.state / queue
    state.mkdir(parents=True, exist_ok=True)
    made = Feed(Place(config, queue), state, **{"terms": AT_ONCE, **settings})
    try:
        yield Trial(made)
    finally:
        await made.finish()
        made.close()


def latest(home: Path, kind: str = "jsonl", queue: str = "feed") -> bytes:
    return (home / "state" / queue / "files" / f"latest.{kind}").read_bytes()


async def test_a_report_is_a_line(tmp_path: Path):
    async with feed(tmp_path) as reports:
        (report,) = await reports.tell(job())
        assert (report.state, report.word) == ("sent", "for the next file")
        reports.reporter._files.publish()
        assert latest(tmp_path) == reports.reporter._book.text(report.id) + b"\n"
    told = msgspec.json.decode(latest(tmp_path), type=Record)
    assert (told.subject, told.weight, told.sample) == ("you won", 1, "")
    assert b"trap.example" not in latest(tmp_path)


async def test_one_that_is_taken_back_has_a_line_that_says_so(tmp_path: Path):
    async with feed(tmp_path) as reports:
        await reports.tell(job())
        (report,) = await reports.take_back()
        assert report.state == "retracted"
        reports.reporter._files.publish()
    first, back = latest(tmp_path).splitlines()
    assert msgspec.json.decode(back, type=Revoked).id == msgspec.json.decode(first, type=Record).id


async def test_in_stix_each_file_is_a_bundle(tmp_path: Path):
    async with feed(
        tmp_path, format="stix", stix=Bundles(name="T", tlp="red", indicators=("domain",))
    ) as reports:
        await reports.tell(job())
        await reports.tell(job(b"http://shop.example/ is another campaign, with words of its own.\r\n"))
        await reports.take_back()
        reports.reporter._files.publish()
    text = latest(tmp_path, "json")
    stix2.parse(text.decode())
    assert b"trap.example" not in text
    found = json.loads(text)["objects"]
    data = [thing for thing in found if thing["type"] == "observed-data"]
    assert sorted(bool(thing.get("revoked")) for thing in data) == [False, False, True, True]
    assert [thing["name"] for thing in found if thing["type"] == "identity"] == ["T"]


async def test_readers_of_two_feeds_can_t_join_them(tmp_path: Path):
    mail = job()
    for queue in ("one", "other"):
        async with feed(tmp_path, queue, tell=Tell(sample="message")) as reports:
            await reports.tell(mail)
            reports.reporter._files.publish()
    one, other = (
        msgspec.json.decode(latest(tmp_path, queue=queue), type=Record) for queue in ("one", "other")
    )
    assert one.id != other.id and one.campaign != other.campaign and one.sample != other.sample


async def test_told_again_after_a_kill_it_is_there_once(tmp_path: Path):
    """What was on its way when the process was killed is told again; the file knows it by its id."""
    async with feed(tmp_path) as reports:
        (report,) = await reports.tell(job())
        reports.reporter._book._db.execute("UPDATE report SET state = 'sending'")
        copy = b"".join(job().encode())
        pack = reports.reporter._book._pack.compress(copy)
        reports.reporter._book._db.execute("INSERT INTO copy VALUES (?, ?, ?)", (report.id, job().id, pack))
    async with feed(tmp_path) as reports:
        (report,) = await reports.again()
        assert (report.state, report.word) == ("sent", "it was there already")
        reports.reporter._files.publish()
    assert len(latest(tmp_path).splitlines()) == 1


async def test_the_worker_s_tick_publishes(tmp_path: Path):
    async with feed(tmp_path, files=Files(every=Duration(0.001))) as reports:
        await reports.tell(job())
        await asyncio.sleep(0.01)
        reports.reporter.tick()
        assert latest(tmp_path)


async def test_another_worker_neither_sends_nor_publishes(tmp_path: Path):
    files = Files(every=Duration(0.001))
    async with feed(tmp_path, files=files) as sender, feed(tmp_path, files=files) as other:
        sender.reporter.tick()
        await other.reporter.process(job())
        other.reporter.tick()
        assert not (tmp_path / "state/feed/files/latest.jsonl").exists()
        await sender.again()
        await asyncio.sleep(0.01)
        sender.reporter.tick()
        assert latest(tmp_path)


async def test_without_room_reports_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with feed(tmp_path) as reports:
        reports.reporter._files._trouble = "files in /feed: No space left on device"
        (report,) = await reports.tell(job())
        assert (report.state, report.attempts) == ("gathering", 0)
        assert "No space left" in report.word
        reports.reporter._files._trouble = ""
        (report,) = await reports.again()
        assert report.state == "sent"


@pytest.mark.parametrize("format", ["jsonl", "stix"])
async def test_as_it_is_configured(tmp_path: Path, format: Format):
    config = parse(
        "pipeline: [feed]\n"
        f"paths: {{spool: {tmp_path}/spool, archive: {tmp_path}/archive, state: {tmp_path}/state}}\n"
        f"stages: {{feed: {{format: {format}, directory: {tmp_path}/www, files: {{every: 5m, size: 1MB}},\n"
        "  stix: {name: T, tlp: green, indicators: [ip, url]}, tell: {sample: header}}}\n"
    )
    stage = build(config, "feed")
    (preview,) = await stage.preview(job())
    stage.close()
    assert preview.to == "feed" and b"you won" in preview.text
    assert (tmp_path / "www").is_dir()
