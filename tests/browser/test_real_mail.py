"""Real phish and real broken mail in a real browser: a page is there within two seconds, and does nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browserkit import SETTLED, Elsewhere, Witness, clicked
from playwright.sync_api import BrowserContext
from webkit import config_at, fill, served

from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id

EVERY = 53
"""Of 2,558 messages in the corpus; all of them were tried once."""
SECONDS = 2.0


class Collection(NamedTuple):
    """Real mail in a trap: the address of its page, by the name of its file."""

    address: str
    pages: dict[str, str]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[Collection]:
    directory = tmp_path_factory.mktemp("collection")
    files = sorted(path for kind in ("phish", "malformed") for path in (corpus / kind).glob("*.eml"))[::EVERY]
    envelope = Envelope(client_ip="192.0.2.7", rcpts=[Rcpt(address="trap@mx.trap.example")])
    jobs = [Job(new_id(time.time() - 60), envelope, {}, path.read_bytes()) for path in files]
    fill(config_at(directory), jobs)
    with served(directory) as address:
        pages = {path.name: f"{address}/messages/{job.id}" for path, job in zip(files, jobs, strict=True)}
        yield Collection(address, pages)


def test_real_mail_is_shown_soon_and_does_nothing(
    collection: Collection, context: BrowserContext, outside: Elsewhere
) -> None:
    witness = Witness(context, collection.address)
    page = context.new_page()
    assert len(collection.pages) > 40
    framed = 0
    for name, address in collection.pages.items():
        began = time.monotonic()
        answer = page.goto(f"{address}?show=html")
        took = time.monotonic() - began
        assert answer
        assert (name, answer.status, page.url) == (name, 200, f"{address}?show=html")
        assert took < SECONDS, name
        framed += len(page.frames) > 1
        clicked(page)
    page.wait_for_timeout(SETTLED)
    assert framed > 20
    assert (witness.ran, witness.did, outside.asked) == ([], [], [])
