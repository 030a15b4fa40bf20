"""Others who index and search the same mail: SQLite used naively, notmuch, tantivy. Not a bench itself.

Each is filled by `fill` and answers pages by `ask`; `fill` returns CPU seconds. SQLite and tantivy get
subject, sender and text ready made, without a parser's work, which is told apart.
"""

import os
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import kit
from mailfactory import Mail
from search_pages import DEEP, FACETS, LIMIT, Ask

BATCH = 1000
FACET_VALUES = 10


class Peer(Protocol):
    """Somebody who finds mail."""

    name: str

    def fill(self, mails: Callable[[], Iterable[Mail]]) -> float:
        """Index all mail; the CPU seconds it took."""

    def ask(self, page: str, ask: Ask) -> int:
        """Make a page's data; how many messages are on it."""

    def cpu(self) -> float:
        """CPU seconds so far of whoever does the work."""

    def size(self) -> int:
        """Bytes of the index."""


def batches(mails: Iterable[Mail]) -> Iterator[list[Mail]]:
    """Mail in handfuls."""
    every = iter(mails)
    while some := list(islice(every, BATCH)):
        yield some


def network_of(address: str) -> str:
    """The first three numbers of an IPv4 address."""
    return address.rpartition(".")[0]


def seconds(day: date) -> float:
    """Its midnight, since the epoch."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


class Naive:
    """One FTS5 table with everything in it, as anybody would begin."""

    name = "FTS5, naive"

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self.path = base / "naive.db"
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("PRAGMA cache_size = -65536")

    def fill(self, mails: Callable[[], Iterable[Mail]]) -> float:
        """Index all mail; the CPU seconds it took."""
        self.db.execute(
            "CREATE VIRTUAL TABLE mail USING fts5 (subject, sender, recipient, body, ip UNINDEXED,"
            " domain UNINDEXED, received UNINDEXED)"
        )
        used = 0.0
        for some in batches(mails()):
            began = time.process_time()
            rows = [
                (
                    mail.subject,
                    mail.sender,
                    " ".join(mail.job.envelope.rcpt_tos),
                    mail.text,
                    mail.job.envelope.client_ip,
                    mail.job.envelope.mail_from.rpartition("@")[2],
                    mail.job.received_at,
                )
                for mail in some
            ]
            self.db.execute("BEGIN")
            self.db.executemany("INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self.db.execute("COMMIT")
            used += time.process_time() - began
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return used

    def ask(self, page: str, ask: Ask) -> int:
        """Make a page's data; how many messages are on it."""
        words = [f'"{ask.word}"'] if ask.word else []
        words += [f'sender : "{ask.domain}"'] if ask.domain else []
        match = " AND ".join(words) + (f' NOT "{ask.without}"' if ask.without else "")
        conditions: list[tuple[str, str | float]] = [("mail MATCH ?", match)] if match else []
        conditions += [("ip LIKE ?", f"{ask.network}.%")] if ask.network else []
        if ask.since and ask.until:
            conditions += [("received >= ?", seconds(ask.since)), ("received < ?", seconds(ask.until))]
        where = " WHERE " + " AND ".join(sql for sql, _ in conditions) if conditions else ""
        values = [value for _, value in conditions]
        found = self.db.execute(
            f"SELECT rowid, subject, sender, ip, received FROM mail{where}"
            " ORDER BY rowid DESC LIMIT ? OFFSET ?",
            [*values, LIMIT, ask.skip],
        ).fetchall()
        if page == FACETS:
            self._facets(where, values)
        return len(found)

    def _facets(self, where: str, values: list[str | float]) -> None:
        self.db.execute(f"SELECT COUNT(*) FROM mail{where}", values).fetchall()
        for group in ("domain", "ip", "CAST(received AS INTEGER) / 86400"):
            sql = f"SELECT {group}, COUNT(*) FROM mail{where} GROUP BY 1 ORDER BY 2 DESC LIMIT ?"
            self.db.execute(sql, [*values, 200]).fetchall()

    def cpu(self) -> float:
        """CPU seconds so far: ours, it is a library."""
        return time.process_time()

    def size(self) -> int:
        """Bytes of the index, which holds the text as well."""
        return self.path.stat().st_size


class Tantivy:
    """A search engine in Rust, with columns for order and facets."""

    name = "tantivy"

    def __init__(self, base: Path) -> None:
        try:
            import tantivy  # noqa: PLC0415 - only whoever compares needs it
        except ImportError:
            raise kit.Missing("tantivy (PyPI: tantivy)") from None
        self.tantivy = tantivy
        self.path = base / "tantivy"
        new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        schema = tantivy.SchemaBuilder()
        for name in ("subject", "sender", "recipient", "body"):
            schema.add_text_field(name, stored=name in ("subject", "sender"))
        for name in ("domain", "network"):
            schema.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
        schema.add_integer_field("number", stored=True, fast=True, indexed=True)
        schema.add_integer_field("received", stored=True, fast=True, indexed=True)
        self.index = tantivy.Index(schema.build(), path=str(self.path), reuse=not new)
        self._searcher: Any = None

    def fill(self, mails: Callable[[], Iterable[Mail]]) -> float:
        """Index all mail; the CPU seconds it took."""
        writer = self.index.writer(128 << 20, 1)
        began, made, number = time.process_time(), 0.0, 0
        before = time.thread_time()
        for some in batches(mails()):
            made += time.thread_time() - before  # a thread of its own indexes meanwhile
            for mail in some:
                number += 1
                envelope = mail.job.envelope
                writer.add_document(
                    self.tantivy.Document(
                        subject=mail.subject,
                        sender=mail.sender,
                        recipient=" ".join(envelope.rcpt_tos),
                        body=mail.text,
                        domain=envelope.mail_from.rpartition("@")[2],
                        network=network_of(envelope.client_ip),
                        number=number,
                        received=int(mail.job.received_at),
                    )
                )
            before = time.thread_time()
        writer.commit()
        writer.wait_merging_threads()
        return time.process_time() - began - made

    def ask(self, page: str, ask: Ask) -> int:
        """Make a page's data; how many messages are on it."""
        if self._searcher is None:
            self.index.reload()
            self._searcher = self.index.searcher()
        terms = [f"+{ask.word}"] if ask.word else []
        terms += [f"-{ask.without}"] if ask.without else []
        terms += [f'+domain:"{ask.domain}"'] if ask.domain else []
        terms += [f'+network:"{ask.network}"'] if ask.network else []
        if ask.since and ask.until:
            terms.append(f"+received:[{seconds(ask.since):.0f} TO {seconds(ask.until) - 1:.0f}]")
        if page == DEEP:
            terms.append(f"+number:[0 TO {self._searcher.num_docs - ask.skip}]")
        query = self.index.parse_query(" ".join(terms) or "*", ["subject", "sender", "recipient", "body"])
        found = self._searcher.search(query, LIMIT, count=False, order_by_field="number")
        for _, address in found.hits:
            self._searcher.doc(address).to_dict()
        if page == FACETS:
            day = {"histogram": {"field": "received", "interval": 86_400}}
            groups = {
                name: {"terms": {"field": name, "size": FACET_VALUES}} for name in ("domain", "network")
            }
            self._searcher.aggregate(query, {**groups, "day": day})
        return len(found.hits)

    def cpu(self) -> float:
        """CPU seconds so far: ours, it is a library."""
        return time.process_time()

    def size(self) -> int:
        """Bytes of the index; of the text it has only words."""
        return sum(file.stat().st_size for file in self.path.iterdir())


class Notmuch:
    """The mail indexer of Debian, over a Maildir; each search is a process."""

    name = "notmuch"

    def __init__(self, base: Path) -> None:
        self.program = kit.program("notmuch", "notmuch")
        self.maildir = base / "Maildir"
        self.config = base / "notmuch-config"
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"[database]\npath={self.maildir}\n[user]\nname=t\nprimary_email=t@trap.example\n"
            "[new]\ntags=new\n[maildir]\nsynchronize_flags=false\n"
        )

    def fill(self, mails: Callable[[], Iterable[Mail]]) -> float:
        """Write a Maildir and index it; the CPU seconds of indexing."""
        for name in ("tmp", "new", "cur"):
            (self.maildir / name).mkdir(parents=True, exist_ok=True)
        for mail in mails():
            (self.maildir / "new" / f"{mail.job.id}.trap").write_bytes(mail.job.message)
        before = self.cpu()
        self._run("new", "--no-hooks", "--quiet")
        return self.cpu() - before

    def ask(self, page: str, ask: Ask) -> int:
        """Make a page's data; how many messages are on it. It knows nothing of clients' addresses."""
        terms = [
            ask.word,
            f"not {ask.without}" if ask.without else "",
            f"from:{ask.domain}" if ask.domain else "",
        ]
        if ask.since and ask.until:
            terms.append(f"date:{ask.since}..{ask.until - timedelta(1)}")
        query = " and ".join(filter(None, terms)) or "*"
        shown = self._run(
            *(
                "search",
                "--output=messages",
                "--sort=newest-first",
                f"--limit={LIMIT}",
                f"--offset={ask.skip}",
            ),
            query,
        )
        if page == FACETS:
            self._run("count", "--output=messages", query)
            self._run("address", "--output=sender", "--output=count", "--deduplicate=address", query)
        return shown.count(b"\n")

    def cpu(self) -> float:
        """CPU seconds so far of its processes."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def start(self, clock: Callable[[], float]) -> float:
        """Seconds of a search that finds nothing: the process, and opening the database."""
        taken = []
        for _ in range(20):
            began = clock()
            self._run("search", "--output=messages", "id:none@nowhere")
            taken.append(clock() - began)
        return sorted(taken)[len(taken) // 2]

    def _run(self, *words: str) -> bytes:
        env = {**os.environ, "NOTMUCH_CONFIG": str(self.config)}
        return subprocess.run([self.program, *words], env=env, capture_output=True, check=True).stdout

    def size(self) -> int:
        """Bytes of the database, without the mail."""
        return sum(file.stat().st_size for file in (self.maildir / ".notmuch").rglob("*") if file.is_file())


def emptied(directory: Path) -> Path:
    """The directory, made anew."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
