"""backscatter - throw away what machines answer to mail the trap never sent.

Spam forged in the trap's name comes back as bounces, delivery notices, vacation replies,
challenges, virus notices, abuse reports and read receipts. A trap never sends, so each is
backscatter: classified by kind, its evidence noted, and dropped, or routed to a queue of its own.

A message that carries an executable or an archive, its own or in what it returns, goes on with a
note: a "bounce" of that sort is malware, and a sample worth keeping.
"""

from difflib import get_close_matches
from typing import Any, get_args

from stages.bounces.bounce import Finding, recognise
from stages.bounces.evidence import THRESHOLD, Kind
from stages.bounces.payload import carried
from trap.job import Job
from trap.stage import Drop, Pass, Verdict

KINDS: tuple[str, ...] = get_args(Kind)


class Backscatter:
    """The stage.

    Args:
        to: the queue backscatter is routed to; without one it is dropped.
        kinds: the kinds to act upon, all when empty; others go on, with their note.

    Raises:
        ValueError: a name in `kinds` is no kind of backscatter.
    """

    def __init__(self, to: str | None = None, kinds: list[str] | None = None) -> None:
        for kind in kinds or []:
            if kind not in KINDS:
                near = get_close_matches(kind, KINDS, n=1, cutoff=0.0)[0]
                raise ValueError(f"kinds: no kind of backscatter is called {kind!r}; did you mean {near!r}?")
        self.to = to
        self.kinds = frozenset(kinds or KINDS)

    def process(self, job: Job) -> Verdict:
        """Classify `job`; drop or route it when it is backscatter of a kind acted upon."""
        finding = recognise(job)
        if finding.kind is None:
            return Pass(_notes(finding, "suspected")) if finding.score > THRESHOLD // 2 else Pass()
        notes = _notes(finding, finding.kind)
        if payload := carried(job.message):
            return Pass(notes | {"carries": payload})
        if finding.kind not in self.kinds:
            return Pass(notes)
        return Pass(notes, to=self.to) if self.to else Drop(f"backscatter {finding.kind}", notes)


def _notes(finding: Finding, kind: str) -> dict[str, Any]:
    notes: dict[str, Any] = {"kind": kind, "score": finding.score, "evidence": list(finding.evidence)}
    if finding.recipients:
        notes["recipients"] = list(finding.recipients)
    return notes
