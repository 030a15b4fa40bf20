"""Ours, asked like the others: see search_peers.py. Not a bench itself."""

import http.client
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import kit
from mailfactory import Mail
from search_pages import CAMPAIGNS, FACETS, LIMIT, Ask, Seen, moments
from search_peers import batches, network_of

from trap.archive.index import Index, index_files
from trap.archive.indexer import catch_up
from trap.archive.library import Library
from trap.archive.query import parse
from trap.archive.store import Store, folder, segments


def text(ask: Ask) -> str:
    """A page's query as people write it."""
    words = [
        ask.word,
        f"domain:{ask.domain}" if ask.domain else "",
        f"cidr:{ask.network}.0/24" if ask.network else "",
        f"date:{ask.since}..{ask.until}" if ask.since else "",
        f"-{ask.without}" if ask.without else "",
    ]
    return " ".join(filter(None, words))


def archive(directory: Path, mails: Callable[[], Iterable[Mail]]) -> float:
    """Store all mail; the CPU seconds it took."""
    store = Store(directory)
    used = 0.0
    for some in batches(mails()):
        began = time.process_time()
        store.put([mail.job for mail in some])
        used += time.process_time() - began
    store.close()
    return used


class Ours:
    """An archive as the web page and the command read it."""

    name = kit.OURS

    def __init__(self, base: Path) -> None:
        self.directory = base / "archive"
        self._library: Library | None = None

    @property
    def library(self) -> Library:
        """Of the archive, open from the first use on."""
        if self._library is None:
            self._library = Library(self.directory)
        return self._library

    def reopen(self) -> None:
        """Open it anew: its index was made anew."""
        if self._library is not None:
            self._library.close()
        self._library = None

    def fill(self, mails: Callable[[], Iterable[Mail]]) -> float:
        """Archive all mail unless that is done, and index it; the CPU seconds of indexing."""
        if not segments(self.directory):
            archive(self.directory, mails)
        began = time.process_time()
        index = Index.open(self.directory)
        catch_up(self.directory, index)
        index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        index.close()
        return time.process_time() - began

    def some(self, count: int, dice: random.Random) -> list[Seen]:
        """What some messages are searched by."""
        seen = []
        for moment in moments(count, dice):
            day = datetime.fromtimestamp(moment, UTC)
            for row in self.library.find(parse(f"date:..{day:%Y-%m-%dT%H:%M}"), limit=1):
                domain = row.mail_from.rpartition("@")[2]
                network = "" if ":" in row.client_ip else network_of(row.client_ip)
                words = [one for one in row.subject.split() if one.isascii() and one.isalpha()]
                seen.append(Seen(row.id, row.received_at, domain, network, words))
        return seen

    def ask(self, page: str, ask: Ask) -> int:
        """Make a page's data; how many messages are on it."""
        library = self.library
        if page == CAMPAIGNS:
            return len(library.campaigns("size", None, LIMIT))
        query = parse(text(ask))
        found = len(list(library.find(query, ask.before or None, LIMIT)))
        if page == FACETS:
            library.facets(query)
            library.histogram(query)
        return found

    def cpu(self) -> float:
        """CPU seconds so far: ours, it is a library."""
        return time.process_time()

    def size(self) -> int:
        """Bytes of the index."""
        return index_files(self.directory)[-1].stat().st_size

    def shares(self) -> tuple[int, int, int]:
        """Bytes of the index's words, of the rest of it, and of the archive without it."""
        found = self.library.index.db.execute(
            "SELECT sum(pgsize), sum(pgsize) FILTER (WHERE name GLOB 'words_*') FROM dbstat"
            " WHERE aggregate = 1"
        ).fetchone()
        held = sum(file.stat().st_size for file in folder(self.directory).iterdir())
        return found[1], found[0] - found[1], held


class OverHttp:
    """The same archive as a browser gets it: whole pages, each with list, facets and histogram."""

    name = "over HTTP"

    def __init__(self, base: Path) -> None:
        port = kit.free_port()
        words = ["-m", "trap", "--dir", str(base), "web", "--port", str(port)]
        quiet = subprocess.DEVNULL
        self._server = subprocess.Popen(
            [sys.executable, *words], cwd=kit.HERE.parent, stdout=quiet, stderr=quiet
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._base = base

    def __enter__(self) -> Self:
        end = time.monotonic() + 30
        while True:
            try:
                self._get("/healthz")
                return self
            except OSError:
                self._connection.close()
                if time.monotonic() > end or self._server.poll() is not None:
                    self.close()
                    raise kit.Missing("the web page, which does not come up") from None
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        self._connection.close()
        self._server.terminate()
        self._server.wait(15)

    def fill(self, mails: Callable[[], Iterable[Mail]]) -> float:
        """Nothing: the archive is there."""
        return 0.0

    def ask(self, page: str, ask: Ask) -> int:
        """Get a page; how many messages are on it."""
        if page == CAMPAIGNS:
            return len(set(_CAMPAIGN.findall(self._get("/campaigns"))))
        asked = {"q": text(ask), "before": ask.before}
        return len(set(_MESSAGE.findall(self._get(f"/messages?{urlencode(asked)}"))))

    def _get(self, path: str) -> bytes:
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
        except http.client.RemoteDisconnected:  # others had their turn for longer than it keeps a connection
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{answer.status} for {path}")
        return body

    def cpu(self) -> float:
        """CPU seconds so far of the server."""
        return kit.cpu_seconds(self._server.pid)

    def size(self) -> int:
        """Nothing of its own."""
        return 0


_MESSAGE = re.compile(rb'href="/messages/([0-9]{16}[0-9a-f]{8})')
_CAMPAIGN = re.compile(rb'href="/campaigns/([0-9a-f]+)')
