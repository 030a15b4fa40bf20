"""Proves that every accepted message is somewhere: compares the ledger with the spool.

accepted = archived + done + dropped (by reason) + shed + purged + bad + in flight, for the trunk of
the pipeline; and the same for each parallel branch, with what entered it in place of accepted. A
job for which none of these holds is missing, and is named.
"""

import time
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from trap.claim import BAD
from trap.config import Config
from trap.ledger import Ledger, Way, count, ended
from trap.queue import Spool

ROUNDS = 4
PAUSE = 0.1
"""A job that seems to be missing is looked for this many times, this many seconds apart."""

Places = dict[str, set[str]]
"""Job id -> queues it has a name in, "bad/queue" when put aside."""


class Ends(msgspec.Struct):
    """How jobs ended, counted."""

    done: int = 0
    """Went the whole way. In the trunk: through a pipeline that archives nothing."""
    archived: int = 0
    dropped: dict[str, int] = {}
    shed: int = 0
    purged: int = 0
    bad: int = 0
    in_flight: int = 0
    missing: list[str] = []

    def add(self, how: str, number: int = 1) -> None:
        """Count `number` jobs that ended as `how` says: a field's name, or "dropped reason"."""
        if how.startswith("dropped "):
            count(self.dropped, how.removeprefix("dropped "), number)
        else:
            setattr(self, how, getattr(self, how) + number)

    @property
    def sum(self) -> int:
        """All jobs that are accounted for."""
        ended = self.done + self.archived + sum(self.dropped.values()) + self.shed + self.purged
        return ended + self.bad + self.in_flight


class Branch(Ends):
    """The account of one branch."""

    entered: int = 0


class Account(Ends):
    """What became of every message, as `spamtrap audit --json` prints it."""

    accepted: int = 0
    balanced: bool = False
    branches: dict[str, Branch] = {}
    torn_lines: int = 0
    """Half lines in the log, left by a full disk."""


def audit(config: Config, spool: Spool) -> Account:
    """Account for every message. Safe while the trap runs: what seems to be missing is looked for again.

    Raises:
        OSError: the log or the spool can't be read.
    """
    suspects: dict[str, Way] | None = None
    for _ in range(ROUNDS):
        before = _places(spool)
        ledger = Ledger.read(config.paths.maillog, config.branches)
        after = _places(spool)
        lost = {
            job_id: way
            for job_id, way in ledger.ways.items()
            if _absent(way, before[job_id] | after[job_id])
            and (suspects is None or suspects.get(job_id) == way)
        }
        if not lost:
            break
        # RACE: the trap runs, and a job moved on between the listing and the log. Only what stays
        # where it was in every reading, and has no name, is missing. (test_audit_under_load)
        suspects = lost
        time.sleep(PAUSE)
    return _account(ledger, after, lost)


def tally(config: Config) -> Account:
    """The same account by the log alone: quick, and no proof.

    Raises:
        OSError: the log can't be read.
    """
    return _account(Ledger.read(config.paths.maillog, config.branches), {}, {})


def _places(spool: Spool) -> Places:
    places: Places = defaultdict(set)
    for job_id, queue in spool.snapshot():
        places[job_id].add(queue)
    return places


def _absent(way: Way, places: Iterable[str]) -> set[str]:
    """The queues a job should be in and is not.

    A line of the log precedes its deed, so a crash can leave a job where it came from: a name in a
    queue that the ledger does not expect explains one that is not where it should be.
    """
    absent = set(way.tokens) - set(places)
    strays = set(places) - set(way.tokens)
    return set() if strays else absent


def _account(ledger: Ledger, places: Places, lost: dict[str, Way]) -> Account:
    account = Account(torn_lines=ledger.torn["lines"])
    branches = {name: Branch() for name in sorted(ledger.branches)}
    account.branches = branches
    for how, number in ledger.totals.trunk.items():
        account.accepted += number
        account.add(how, number)
    for name, totals in ledger.totals.branches.items():
        for how, number in totals.items():
            branch = branches.setdefault(name, Branch())
            branch.entered += number
            branch.add(how, number)
    for job_id in ledger.ways.keys() | places.keys():
        way = ledger.ways.get(job_id) or Way()
        names = places.get(job_id, set()) | set(way.tokens)
        absent = _absent(way, places.get(job_id, ())) if job_id in lost else set()
        account.accepted += 1
        trunk = {name for name in names if not ledger.in_branch(name)}
        _count(account, job_id, trunk, absent, ledger.trunk_end(way))
        for name, branch in branches.items():
            standing = names & {name, f"{BAD}/{name}"}
            if standing or name in way.ends:
                branch.entered += 1
                _count(branch, job_id, standing, absent, ended(*way.ends.get(name, ("done", ""))))
    account.balanced = account.sum == account.accepted and all(
        branch.sum == branch.entered for branch in branches.values()
    )
    return account


def _count(ends: Ends, job_id: str, standing: set[str], absent: set[str], end: str) -> None:
    """Count one job by the queues it stands in, or by its end when it stands in none."""
    if standing & absent:
        ends.missing.append(job_id)
    elif not standing:
        ends.add(end)
    else:
        ends.add(BAD if all(name.startswith(f"{BAD}/") for name in standing) else "in_flight")
