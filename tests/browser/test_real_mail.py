"""Real phish and real broken mail in a real browser: a page is there within two seconds, and does nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browserkit import SETTLED, Elsewhere, Witness, clicked
from playwright.sync_api import BrowserContext
from support import at_most, every
from webkit import config_at, fill, running

from trap.envelope import Envelope, Rcpt
from trap.job import Job, new_id

EVERY = 53
"""Of 2,558 messages in the corpus; all are tried with SPAMTRAP_EVERY=1, in some minutes."""
SECONDS = 2.0
"""Of a processor, for the server."""


class Collection(NamedTuple):
    """Real mail in a trap: its server, and the address of each by the name of its file."""

    address: str
    server: int
    pages: dict[str, str]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[Collection]:
    directory = tmp_path_factory.mktemp("collection")
    files = every((path for kind in ("phish", "malformed") for path in (corpus / kind).glob("*.eml")), EVERY)
    envelope = Envelope(client_ip="192.0.2.7", rcpts=[Rcpt(address="trap@mx.trap.example")])
    jobs = [Job(new_id(time.time() - 60), envelope, {}, path.read_bytes()) for path in files]
    fill(config_at(directory), jobs)
    with running(directory) as (address, server):
        pages = {path.name: f"{address}/messages/{job.id}" for path, job in zip(files, jobs, strict=True)}
        yield Collection(address, server, pages)


@pytest.mark.timeout(900)
def test_real_mail_is_shown_soon_and_does_nothing(
    collection: Collection, context: BrowserContext, outside: Elsewhere
) -> None:
    witness = Witness(context, collection.address)
    page = context.new_page()
    framed = 0
    for name, address in collection.pages.items():
        with at_most(SECONDS, name, collection.server):
            answer = page.goto(f"{address}?show=html")
        assert answer
        assert (name, answer.status, page.url) == (name, 200, f"{address}?show=html")
        framed += len(page.frames) > 1
        clicked(page)
    page.wait_for_timeout(SETTLED)
    assert framed > len(collection.pages) / 3
    assert (witness.ran, witness.did, outside.asked) == ([], [], [])
