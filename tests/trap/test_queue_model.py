"""Long random histories of a spool, checked at every step against a model of a few dictionaries.

The model says where each job is and how often it failed; the spool, its log and the audit must say
the same, whatever is done in whatever order.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trap.audit import audit
from trap.claim import BAD, MAX_ATTEMPTS, Claim
from trap.config import Config, paths_below
from trap.envelope import Envelope
from trap.job import split_name
from trap.queue import Spool

BRANCHES = ["left", "right"]
QUEUES = ["first", "second", *BRANCHES]
NEXT = {"first": ["second"], "second": BRANCHES}


class SpoolHistory(RuleBasedStateMachine):
    """Everything that may be done to a spool, by workers, their deaths, the reaper and people."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.config = Config(pipeline=["first", "second", BRANCHES], paths=paths_below(self.directory))
        self.spool = Spool.open(self.config)
        self.workers = {name: self.spool[name].consumer() for name in QUEUES}
        self.dead: list[str] = []
        # the model
        self.waiting: dict[tuple[str, str], int] = {}
        self.held: dict[tuple[str, str], tuple[Claim, int]] = {}
        self.orphans: dict[tuple[str, str], int] = {}
        self.bad: dict[tuple[str, str], int] = {}
        self.notes: dict[tuple[str, str], set[str]] = {}
        self.accepted = 0
        self.ends: Counter[str] = Counter()

    def teardown(self) -> None:
        for worker in self.workers.values():
            worker.close()
        self.spool.close()
        self.spool.log.close()
        shutil.rmtree(self.directory)

    @rule(queue=st.sampled_from(QUEUES[:2]), size=st.integers(0, 3000))
    def put(self, queue: str, size: int) -> None:
        job_id = self.spool.put(queue, Envelope(), b"x" * size)
        self.waiting[queue, job_id] = 0
        self.notes[queue, job_id] = set()
        self.accepted += 1

    @rule(queue=st.sampled_from(QUEUES))
    def claim(self, queue: str) -> None:
        claim = self.workers[queue].claim()
        waiting = {job_id: attempt for (name, job_id), attempt in self.waiting.items() if name == queue}
        if claim is None:
            assert not waiting
            return
        assert self.waiting.pop((queue, claim.id)) == claim.attempt
        self.held[queue, claim.id] = (claim, claim.attempt)

    def _take_held(self, data: st.DataObject) -> tuple[str, Claim, int]:
        key = data.draw(st.sampled_from(sorted(self.held)))
        claim, attempt = self.held.pop(key)
        return key[0], claim, attempt

    @precondition(lambda self: self.held)
    @rule(data=st.data(), note=st.booleans())
    def forward(self, data: st.DataObject, note: bool) -> None:
        queue, claim, _ = self._take_held(data)
        to = NEXT.get(queue, [])
        notes = self.notes.pop((queue, claim.id))
        assert set(claim.job().notes) - {BAD} == notes
        claim.forward(to, {**claim.job().notes, queue: {"n": 1}} if note else None)
        for name in to:
            self.waiting[name, claim.id] = 0
            self.notes[name, claim.id] = notes | {queue} if note else notes
        if not to:
            self.ends[queue, "done"] += 1

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["drop", "shed", "purge"]))
    def end(self, data: st.DataObject, how: str) -> None:
        queue, claim, _ = self._take_held(data)
        getattr(claim, how)("because")
        self.ends[queue, how] += 1

    @precondition(lambda self: self.held)
    @rule(data=st.data(), first=st.booleans())
    def give_back(self, data: st.DataObject, first: bool) -> None:
        queue, claim, attempt = self._take_held(data)
        claim.give_back(first=first)
        self.waiting[queue, claim.id] = attempt

    def _failed(self, queue: str, job_id: str, attempt: int) -> None:
        place = self.bad if attempt + 1 >= MAX_ATTEMPTS else self.waiting
        place[queue, job_id] = attempt + 1

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        queue, claim, attempt = self._take_held(data)
        assert claim.fail("no luck", "Traceback") is (attempt + 1 >= MAX_ATTEMPTS)
        self._failed(queue, claim.id, attempt)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def condemn(self, data: st.DataObject) -> None:
        queue, claim, attempt = self._take_held(data)
        claim.condemn("unreadable")
        self.bad[queue, claim.id] = attempt + 1

    @rule(queue=st.sampled_from(QUEUES))
    def crash(self, queue: str) -> None:
        self.workers[queue].crash()
        self.workers[queue] = self.spool[queue].consumer()
        for key in [key for key in self.held if key[0] == queue]:
            self.orphans[key] = self.held.pop(key)[1]

    @rule()
    def recover(self) -> None:
        assert self.spool.recover() == len(self.orphans)
        for (queue, job_id), attempt in self.orphans.items():
            self._failed(queue, job_id, attempt)
        self.orphans.clear()

    @precondition(lambda self: self.bad)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        queue, job_id = data.draw(st.sampled_from(sorted(self.bad)))
        self.spool[queue].requeue(job_id, self.bad.pop((queue, job_id)))
        self.waiting[queue, job_id] = 0

    @precondition(lambda self: self.bad)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        queue, job_id = data.draw(st.sampled_from(sorted(self.bad)))
        self.spool[queue].discard_bad(job_id, self.bad.pop((queue, job_id)), "too old")
        self.ends[queue, "purge"] += 1

    @invariant()
    def ls_shows_the_state(self) -> None:
        for queue in QUEUES:
            waiting = [split_name(name) for name in self.spool[queue].waiting()]
            assert sorted(waiting) == sorted(
                (job_id, attempt) for (name, job_id), attempt in self.waiting.items() if name == queue
            )
            claimed = [key for key in [*self.held, *self.orphans] if key[0] == queue]
            assert self.spool[queue].stats()[:2] == (len(waiting), len(claimed))
        assert {(queue, job_id, attempt) for queue, job_id, attempt in self.spool.bad()} == {
            (*key, attempt) for key, attempt in self.bad.items()
        }

    @invariant()
    def the_account_is_the_models(self) -> None:
        account = audit(self.config, self.spool)
        assert account.balanced, account
        assert (account.missing, account.accepted) == ([], self.accepted)
        trunk = [key for key in [*self.waiting, *self.held, *self.orphans] if key[0] not in BRANCHES]
        assert account.in_flight == len(trunk)
        assert account.bad == len([key for key in self.bad if key[0] not in BRANCHES])
        for name, branch in account.branches.items():
            here = [key for key in [*self.waiting, *self.held, *self.orphans] if key[0] == name]
            assert branch.in_flight == len(here)
            assert branch.bad == len([key for key in self.bad if key[0] == name])
            assert (branch.done, branch.shed) == (self.ends[name, "done"], self.ends[name, "shed"])
            assert (branch.purged, sum(branch.dropped.values())) == (
                self.ends[name, "purge"],
                self.ends[name, "drop"],
            )


SpoolHistory.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestSpoolHistory = SpoolHistory.TestCase
