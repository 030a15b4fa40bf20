"""policy - drop, route or mark mail by patterns over envelope, header, text and notes.

Rules are looked at in order: those of `rules`, then the sets of `builtin`. All fields of a rule's `when` must
fit. One with `drop` or `to` ends it there; one with `never_report` marks the message and goes on; one with
neither only counts. Notes of a message that hit any: {"rules": names, "never_report": bool}.

What never_report is for: reporters must leave such mail out. Confirmations, receipts and their like come to
traps because somebody typed a wrong address or was given it by a bot; who sent them is no spammer.

Phish looks like such mail on purpose. The sets therefore ask for words in the subject and in the text, and
for a sender who has not failed to answer for the domain he shows (`alignment`, by the notes of `auth`,
which should stand before policy). Mail that says "reset your password" in another's name stays spam.

Rules are read when the stage starts: after a change, restart its workers. `spamtrap policy` shows the hits.
"""

import logging
from pathlib import Path
from typing import Any

import msgspec

from stages.policies.fields import Message
from stages.policies.hits import Counter, Hits
from stages.policies.rules import Rule, Where, from_file, ours, read
from trap.backend import Finding
from trap.configcheck import nearest
from trap.job import Job
from trap.stage import Drop, Pass, Verdict

log = logging.getLogger("spamtrap.policy")


class Row(msgspec.Struct):
    """What a rule has done, for `spamtrap policy`."""

    rule: str
    action: str
    hits: int
    share: float
    """Of all messages that the stage has seen."""
    last_at: float
    """Seconds since the epoch; 0: never."""
    last_job: str


class Policy:
    """The stage.

    Args:
        state_dir: for the counts.
        rules: a list of rules, or the path of a file with one.
        builtin: names of sets of ours; as a map, each with the queue that such mail goes to instead of
            being marked.
        targets: queues that mail may be passed to; any when not given.
        before: stages that mail has come through, of which there may be notes; any when not given.

    Raises:
        ValueError: a rule is none; as text, where and why.
        OSError: state_dir can't be used.
    """

    def __init__(
        self,
        state_dir: Path,
        rules: list[dict[str, Any]] | str | None = None,
        builtin: list[str] | dict[str, str | None] | None = None,
        targets: list[str] | None = None,
        before: list[str] | None = None,
    ) -> None:
        own = from_file(Path(rules)) if isinstance(rules, str) else read(rules or [], _mistake)
        self._rules: list[Rule] = [*own, *ours(builtin or [])]
        for rule in self._rules:
            if rule.to and targets is not None and rule.to not in targets:
                raise ValueError(
                    f"rule {rule.name!r}: no queue {rule.to!r} from here{nearest(rule.to, targets)}"
                )
        self._lacking = {} if before is None else _lacking(self._rules, before)
        self._warned = False
        self._counter = Counter(state_dir)

    def process(self, job: Job) -> Verdict:
        """Look at all rules, as far as the first that drops or routes."""
        if self._lacking and not self._warned:
            self._warned = True
            for stage, rules in self._lacking.items():
                log.warning("%s: %s", stage, _without(rules))
        message = Message(job)
        hit: list[str] = []
        marked = False
        decided: Rule | None = None
        for rule in self._rules:
            if rule.fits(message):
                hit.append(rule.name)
                marked = marked or rule.never_report
                if rule.drop is not None or rule.to:
                    decided = rule
                    break
        self._counter.count(hit, job.id)
        notes: dict[str, Any] = {"rules": hit, "never_report": marked} if hit else {}
        if decided and decided.drop is not None:
            return Drop(decided.drop, notes)
        return Pass(notes, to=decided.to if decided else None)

    def tick(self) -> None:
        """Save the counts.

        Raises:
            OSError: they can't be written now.
        """
        self._counter.save()

    def close(self) -> None:
        """Save the counts."""
        self._counter.save(wait=True)

    async def check(self) -> list[Finding]:
        """For `spamtrap doctor`: whether the stages stand in front whose notes the rules ask for."""
        return [Finding(stage, good=False, text=_without(rules)) for stage, rules in self._lacking.items()]

    def rows(self) -> list[Row]:
        """Every rule with its hits, those that never hit too; then what is left of rules that are gone."""
        totals = self._counter.read()
        known = {rule.name: rule.action for rule in self._rules}
        gone = {name: "(gone)" for name in totals.rules if name not in known}
        return [
            Row(name, action, hits.hits, hits.hits / max(1, totals.messages), hits.last_at, hits.last_job)
            for name, action in (known | gone).items()
            for hits in [totals.rules.get(name, Hits())]
        ]


def _lacking(rules: list[Rule], before: list[str]) -> dict[str, list[str]]:
    """Stages whose notes are asked for, and that mail has not come through; the rules that ask."""
    lacking: dict[str, list[str]] = {}
    for rule in rules:
        for stage in rule.stages - set(before):
            lacking.setdefault(stage, []).append(rule.name)
    return lacking


def _without(rules: list[str]) -> str:
    more = f" and {len(rules) - 3} more" if len(rules) > 3 else ""
    return (
        f"does not stand before this stage in the pipeline: rules that ask for its notes "
        f"({', '.join(rules[:3])}{more}) find none"
    )


def _mistake(where: Where, text: str) -> ValueError:
    """An error in a list of rules that stands in the configuration itself."""
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return ValueError(f"rules{dotted}: {text}")
