"""Whatever dies or fails, at whatever system call: no accepted job is lost, and the account balances.

Each test does one thing to a job in a process that is killed before (or after, with what it wrote
cut in half) its first system call, then its second, and so on until it lives to its end; or in one
whose calls are refused. Then the spool is audited as it lies there, recovered, audited again, and
worked off, from its front and from its back.
"""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from faultkit import CAN_FAIL, CHANGES, die_after, die_before, every_call, fail_with, faulty, short_write

from trap.audit import Account, audit
from trap.claim import Claim
from trap.config import Config
from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.maillog import MailLog
from trap.queue import Spool

MESSAGE = b"Subject: still here\r\n\r\n" + b"x" * 5000
NOTES = {"second": {"seen": True}}


pytestmark = pytest.mark.usefixtures("files_are_closed")


def trap_below(directory: Path) -> Config:
    """A pipeline with everything that can happen to a job: a trunk, and two branches at its end."""
    return parse(
        f"pipeline: [first, second, [left, right]]\n"
        f"paths: {{spool: {directory}/spool, archive: {directory}/archive, state: {directory}/state}}\n"
    )


def reopened(spool: Spool) -> Spool:
    """The same spool as another process sees it."""
    return Spool(spool.root, MailLog(spool.root.parent / "state" / "maillog"), list(spool))


def claimed(spool: Spool, queue: str) -> Claim:
    claim = spool[queue].consumer().claim()
    assert claim
    return claim


def waiting_in(queue: str) -> Callable[[Spool], None]:
    def prepare(spool: Spool) -> None:
        spool.put(queue, Envelope(mail_from="a@b"), MESSAGE)

    return prepare


def failed_twice(spool: Spool) -> None:
    waiting_in("first")(spool)
    for _ in range(2):
        claimed(spool, "first").fail("no luck")


def bad(spool: Spool) -> None:
    failed_twice(spool)
    claimed(spool, "first").fail("no luck")


def orphans(spool: Spool) -> None:
    """Two jobs in the hand of a worker that died; for one it was the third time."""
    failed_twice(spool)
    waiting_in("first")(spool)
    worker = spool["first"].consumer()
    assert worker.claim()
    assert worker.claim()
    worker.crash()


def bad_one(spool: Spool) -> tuple[str, int]:
    ((_, job_id, attempt),) = spool.bad()
    return job_id, attempt


def nothing(spool: Spool) -> None:
    """Begin with an empty spool."""


def drafted(spool: Spool) -> None:
    """A large message that comes in pieces, for so many recipients that their names need more room."""
    draft = spool.draft()
    for piece in (MESSAGE[:1000], MESSAGE[1000:]):
        draft.write([piece])
    rcpts = [Rcpt(address=f"{'x' * 60}{number}@trap.example") for number in range(300)]
    spool.put("first", Envelope(rcpts=rcpts), draft)


DEEDS: dict[str, tuple[Callable[[Spool], None], Callable[[Spool], object]]] = {
    "put": (nothing, waiting_in("first")),
    "put a draft": (nothing, drafted),
    "pass": (waiting_in("first"), lambda spool: claimed(spool, "first").forward(["second"], NOTES)),
    "pass unchanged": (waiting_in("first"), lambda spool: claimed(spool, "first").forward(["second"])),
    "fan out": (
        waiting_in("second"),
        lambda spool: claimed(spool, "second").forward(["left", "right"], NOTES),
    ),
    "fan out unchanged": (
        waiting_in("second"),
        lambda spool: claimed(spool, "second").forward(["left", "right"]),
    ),
    "end": (waiting_in("second"), lambda spool: claimed(spool, "second").forward([], event="archived")),
    "drop": (waiting_in("first"), lambda spool: claimed(spool, "first").drop("duplicate", 0.1, {"of": "x"})),
    "shed": (waiting_in("first"), lambda spool: claimed(spool, "first").shed("too old")),
    "fail": (waiting_in("first"), lambda spool: claimed(spool, "first").fail("no luck")),
    "fail for good": (failed_twice, lambda spool: claimed(spool, "first").fail("no luck", "Traceback …")),
    "recover": (orphans, lambda spool: spool.recover()),
    "requeue": (bad, lambda spool: spool["first"].requeue(*bad_one(spool))),
    "discard": (bad, lambda spool: spool["first"].discard_bad(*bad_one(spool), "too old")),
}


def balanced(config: Config, spool: Spool) -> Account:
    account = audit(config, spool)
    assert account.missing == []
    assert account.balanced, account
    return account


def work_off(config: Config, spool: Spool, order: list[str]) -> None:
    """Take every job to the end of its way, as workers would that visit the queues in this order."""
    while any(spool[name].ids() for name in spool):
        spool.recover()
        for name in order:
            with spool[name].consumer() as worker:
                while claim := worker.claim():
                    assert claim.job().message == MESSAGE
                    claim.forward(config.after(name), event="archived" if name == "second" else "passed")


FORWARDS = ["first", "second", "left", "right"]
FAULTS = {
    "killed before": (die_before, CHANGES),
    "killed after": (die_after, CHANGES),
    "no room": (fail_with(errno.ENOSPC), CAN_FAIL),
    "broken": (fail_with(errno.EIO), CAN_FAIL),
    "half a line": (short_write, CAN_FAIL),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("deed", "order"),
    [(deed, FORWARDS) for deed in DEEDS] + [(deed, FORWARDS[::-1]) for deed in DEEDS if "fan" in deed],
)
def test_nothing_is_lost(tmp_path, deed, order, fault):
    prepare, act = DEEDS[deed]
    stage: list[Spool] = []

    def fresh(config: Config) -> Config:
        stage[:] = [Spool.open(config)]
        prepare(stage[0])
        return config

    config = fresh(trap_below(tmp_path / "1"))
    for at, done in every_call(lambda: act(reopened(stage[0])), *FAULTS[fault]):
        (spool,) = stage
        balanced(config, spool)
        spool.recover()
        balanced(config, spool)
        work_off(config, spool, order)
        account = balanced(config, spool)
        assert account.in_flight == 0
        if not deed.startswith("put"):
            assert account.accepted == (2 if deed == "recover" else 1)
        elif done:
            assert account.accepted == 1, "a put that returned is counted"
        config = fresh(trap_below(tmp_path / str(at + 1)))
    assert at > 5, "the deed makes calls that can go wrong"


def test_a_message_without_room_is_refused_and_leaves_nothing(tmp_path, spool):
    """What put wrote before the file system was full is gone again."""
    for name in ("open", "writev", "rename"):
        with faulty(1, fail_with(errno.ENOSPC), frozenset({name})), pytest.raises(OSError, match="No space"):
            spool.put("first", Envelope(), MESSAGE)
        assert [path for path in spool.root.rglob("*") if path.is_file()] == []


def test_an_unlogged_put_is_not_acknowledged(spool):
    """The job may be in the queue, but the client is told to come again."""
    with faulty(1, short_write, frozenset({"write"})), pytest.raises(OSError, match="No space"):
        spool.put("first", Envelope(), MESSAGE)


def test_no_room_for_notes_leaves_the_claim_as_it_was(spool):
    """The old file stays in place, whole, until the new one is."""
    spool.put("first", Envelope(), MESSAGE)
    claim = claimed(spool, "first")
    with faulty(1, fail_with(errno.ENOSPC), frozenset({"writev"})), pytest.raises(OSError, match="No space"):
        claim.forward(["second"], NOTES)
    claim.give_back()
    again = claimed(spool, "first")
    assert (again.attempt, again.job().notes, again.job().message) == (0, {}, MESSAGE)
    assert spool["second"].waiting() == []


def test_a_pass_that_failed_half_way_and_then_a_drop_is_one_end(tmp_path):
    """The log says passed, the link fails, the job goes back; then the reaper sheds it for room."""
    config = trap_below(tmp_path)
    spool = Spool.open(config)
    waiting_in("second")(spool)
    claim = claimed(spool, "second")
    with faulty(1, fail_with(errno.ENOSPC), frozenset({"link"})), pytest.raises(OSError, match="No space"):
        claim.forward(["left", "right"])
    claim.give_back()
    balanced(config, spool)
    claimed(spool, "second").shed("no room")
    account = balanced(config, spool)
    assert (account.accepted, account.shed, account.in_flight) == (1, 1, 0)


def test_half_a_line_in_the_log_spoils_no_other(tmp_path):
    """The disk fills up in the middle of a line; the next process begins behind it."""
    config = trap_below(tmp_path)
    spool = Spool.open(config)
    waiting_in("first")(spool)
    claim = claimed(spool, "first")
    with faulty(1, short_write, frozenset({"write"})), pytest.raises(OSError, match="No space"):
        claim.drop("duplicate")
    other = Spool(config.paths.spool, MailLog(config.paths.maillog), config.queues)
    waiting_in("first")(other)
    account = balanced(config, spool)
    assert (account.accepted, account.in_flight, account.torn_lines) == (2, 2, 1)
