"""dnsbl - keep who hits the trap, and publish it: lists of addresses, domains and files that others can ask.

Who sends to a trap is noted, with what his message leads to and brings; so are servers that answer to
forged senders, in a list of their own. Evidence is a score that fades, and how many different traps were hit,
from how many networks: what is over the bar of a list is on it a few seconds later, and off again when it is
below, when nothing came for a while, or when somebody asked for that. Nothing that belongs to a large
sender, to private networks or to the trap itself is ever listed, nor is anything for mail that somebody may
have asked for, or that came to a typo trap.

Lists are files for rbldnsd, response policy zones, plain text and JSON (stages/listing/formats.py). Notes:

* counted: what of this message counts, by list;
* left_out: what does not, and why; or why nothing does.

It drops nothing. Backscatter comes here when the stage backscatter has `to: dnsbl`, and goes on behind it.
Behind dedup only the first copies of a campaign count, with the hosts that sent those; so it is better placed
before dedup, behind extract, dns and auth.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from stages.listing.allowed import Allowed, Operators
from stages.listing.desk import Desk
from stages.listing.evidence import Evidence, Gatherer
from stages.listing.publisher import Publisher
from stages.listing.removals import Removals
from stages.listing.store import Store
from stages.listing.terms import Lists, Publication, Removal
from stages.names.relays import Trusted
from trap.config import Size
from trap.job import Job
from trap.place import Place
from trap.stage import Pass, Unavailable, Verdict

MIN_BYTES = 1 << 20
LISTS, PUBLISH, REMOVAL = Lists(), Publication(), Removal()

log = logging.getLogger("spamtrap.dnsbl")


class Dnsbl:
    """The stage.

    Args:
        state_dir: where evidence is kept.
        place: who the trap is, and its secret.
        lists: what it takes to be on addresses, domains, files and backscatter; null for one that is not to
            be.
        publish: where, how often, and how much may change at once.
        removal: how who is listed gets off the list.
        allow: what is never listed: addresses, networks, domains, check sums; or the path of a file with
            them.
        traps: tags of recipients whose mail counts; all but typo, which never does, when not set.
        trusted: networks of our own. Of mail that they passed on, the client is the newest other address in
            its Received fields.
        max_bytes: of what is remembered; what has the lowest score is forgotten first.

    Raises:
        ValueError: a setting makes no sense.
        OSError: the file of `allow` can't be read.
    """

    when_unavailable = "wait"

    def __init__(  # noqa: PLR0913, PLR0917 - settings, each with a default
        self,
        state_dir: Path,
        place: Place,
        lists: Lists = LISTS,
        publish: Publication = PUBLISH,
        removal: Removal = REMOVAL,
        allow: str | list[str] = "",
        traps: list[str] | None = None,
        trusted: Sequence[str] = (),
        max_bytes: Size = Size("200MB"),
    ) -> None:
        bars = lists.bars
        for name, bar in bars.items():
            bar.check(f"lists: {name}")
        publish.check()
        removal.check()
        if max_bytes < MIN_BYTES:
            raise ValueError("max_bytes: must be 1MB at least")
        self._state_dir = state_dir
        self._operators = Operators(allow)
        own = Trusted(trusted)
        allowed = Allowed(self._operators, own.networks, place.identities)
        key = place.consumer_key("evidence")
        self._gatherer = Gatherer(bars, allowed, own, traps, key)
        self._store = Store(state_dir, bars, int(max_bytes))
        directory = Path(publish.directory) if publish.directory else state_dir / "lists"
        removals = Removals(self._store, removal, state_dir / "requests")
        self._publisher = Publisher(self._store, directory, publish, bars, allowed, removals)
        self._desk = Desk(self._store, bars, publish, directory, allowed, removals)

    @property
    def desk(self) -> Desk:
        """What people ask and tell: `spamtrap dnsbl`."""
        return self._desk

    def process(self, job: Job) -> Verdict:
        """Judge one job; see `process_batch`."""
        return self.process_batch([job])[0]

    def process_batch(self, jobs: list[Job]) -> list[Verdict]:
        """Count what jobs say, in one transaction.

        Raises:
            Unavailable: the state can't be read or written, or others hold it for too long.
        """
        found = [self._gatherer.gather(job) for job in jobs]  # before others have to wait for us
        try:
            try:
                return self._count_all(jobs, found)
            except sqlite3.DatabaseError as error:
                if not self._store.repair(error):
                    raise
                return self._count_all(jobs, found)
        except (OSError, sqlite3.Error) as error:
            self._store.close()
            raise Unavailable(f"evidence in {self._state_dir}: {error}") from error

    def tick(self) -> None:
        """Publish what is due."""
        self._operators.refresh()
        try:
            self._publisher.tick()
        except (OSError, sqlite3.Error) as error:
            if not (isinstance(error, sqlite3.Error) and self._store.repair(error)):
                self._store.close()
                log.error("lists can't be published now: %s", error)

    def close(self) -> None:
        """Close the state's file."""
        self._store.close()

    def _count_all(self, jobs: list[Job], found: list[Evidence]) -> list[Verdict]:
        now = time.time()
        with self._store.transaction():
            return [self._count(job, each, now) for job, each in zip(jobs, found, strict=True)]

    def _count(self, job: Job, evidence: Evidence, now: float) -> Verdict:
        """Count one job unless it is counted already; in a transaction."""
        if evidence.why:
            return Pass({"left_out": evidence.why})
        at = min(now, job.envelope.received_at or job.received_at)
        counted: dict[str, list[str]] = {}
        left_out = dict(evidence.left_out)
        again = self._store.counted(job.id)
        for hit in evidence.hits:
            if self._store.removed(hit.key, at):
                left_out[hit.key] = "removed lately"
                continue
            counted.setdefault(hit.list, []).append(hit.key)
            if not again:
                self._store.count(hit, at, evidence.witnesses)
        return Pass(({"counted": counted} if counted else {}) | ({"left_out": left_out} if left_out else {}))
