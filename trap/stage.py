"""The plugin contract: what a stage may answer.

A stage is a plain class. Its constructor's keywords are its settings; `process(job)` returns
`Pass` or `Drop`, or raises `Unavailable` when the program it leans on is away. It may be
`async def`, and it may offer

* `process_batch(jobs)` returning one verdict a job, when it gains from batches,
* `tick()`, called about once a second between jobs and when idle, for what is due by time,
* `close()`, called once at a graceful stop,
* class attributes `log_as`, the mail-log event of its passes ("archived", "reported", …), and
  `when_unavailable`, its choice between "wait" and "pass" where the configuration makes none,
* `backends`, the trap.backend.Backends it asks, when it is `async`: the worker then knows by itself when
  nobody can be asked, and `status`, `metrics` and `doctor` show them,
* class attribute `keeps`, true when it keeps what it has to ask and asks in its own time: then its backends
  need not be there for a job to go on,
* `async def finish()`, called once at a graceful stop, while its event loop still runs, when it has tasks of
  its own,
* `async def preview(job)`, returning a list of `Preview`, for `spamtrap try` to show what it would send,
* `async def check()`, returning a list of trap.backend.Finding, for what else `doctor` should look at.

Nothing else is asked of it: no base class, no registry.
"""

from dataclasses import dataclass, field
from typing import Any

from trap.envelope import Envelope

Notes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A message that was wrapped in another, and how it was sent.

    Args:
        message: its bytes.
        envelope: its own session, as far as that is known; who wrapped it belongs into the notes.
    """

    message: bytes
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Pass:
    """The job goes on to the next queue, or to queue `to` when one is named.

    Args:
        notes: what the stage recorded; plain data (str, bytes, int, float, bool, None, list, dict).
        to: name of another queue of the configuration, instead of the next one.
        sample: takes the place of envelope and message from here on, for a stage that unwraps forwarded mail.
    """

    notes: Notes = field(default_factory=dict)
    to: str | None = None
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The job ends here.

    Args:
        reason: a few distinct words that reports count by ("duplicate", "virus Eicar-Test-Signature").
        notes: details, kept in the mail log.
    """

    reason: str
    notes: Notes = field(default_factory=dict)


Verdict = Pass | Drop


@dataclass(frozen=True, slots=True)
class Preview:
    """What a stage would send of a message.

    Args:
        to: whom.
        text: the exact bytes.
        why_not: why it would not be sent all the same; "" when it would.
    """

    to: str
    text: bytes
    why_not: str = ""


class Unavailable(Exception):
    """The stage's backend is away: the job is not charged with it.

    The stage's setting `when_unavailable` decides: `wait` keeps the job queued and asks again
    later, `pass` lets it go on with a note that says it was not judged.
    """
