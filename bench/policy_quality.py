"""How well and how fast policy's own sets judge: `python bench/policy_quality.py`.

Precision on the corpus: its spam and phish that a set would mark as never to be reported, and its ham, by
what is known of the sender: nothing ("unknown"), what the Authentication-Results that stand in the message
say ("as said", which a forger may write, but the corpus' receivers did), or that he is proven whatever he
wrote ("proven", the worst case). Recall on letters of our own, a set and language each, as the corpus has no
such mail. `--show` names what is taken.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from email.message import EmailMessage
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from corpus import CORPUS, needed  # noqa: E402
from letters import LETTERS  # noqa: E402

from stages.policy import Policy  # noqa: E402
from trap.envelope import Envelope, Rcpt  # noqa: E402
from trap.job import Job, new_id  # noqa: E402
from trap.traces import registrable  # noqa: E402

SETS = ["opt-in", "password-reset", "receipts", "welcome", "calendar", "list-confirmation"]
PROVEN: dict[str, Any] = {"auth": {"dmarc": {"result": "pass"}}}
_RESULTS = re.compile(rb"^Authentication-Results:((?:.*\n[ \t])*.*)", re.MULTILINE | re.IGNORECASE)


def said(message: bytes) -> dict[str, Any]:
    """The notes that `auth` would make if it believed the message's Authentication-Results."""
    found = _RESULTS.search(message[: 1 << 15])
    if not found:
        return {}
    text = found[1].decode("latin-1").lower()
    dkim = re.findall(r"dkim=(\w+)[^;]*?header\.d=([\w.-]+)", text)
    spf = re.findall(r"spf=(\w+)[^;]*?smtp\.mailfrom=(?:[^\s;@]*@)?([\w.-]+)", text)
    dmarc = re.search(r"dmarc=(\w+)", text)
    passed = [domain for result, domain in [*dkim, *spf] if result == "pass"]
    shown = re.search(r"header\.from=([\w.-]+)", text)
    own = registrable(shown[1]) if shown else ""
    notes = {
        "dmarc": {"result": dmarc[1] if dmarc else "none", "domain": own},
        "aligned": [domain for domain in passed if own and registrable(domain) == own],
    }
    return {"auth": notes}


def letter(subject: str, text: str) -> bytes:
    """A letter of a shop's."""
    message = EmailMessage()
    message["From"], message["Subject"] = "Shop <no-reply@shop.example>", subject
    message.set_content(text)
    return message.as_bytes()


def main() -> None:
    """Judge every message with each set, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as apart:
        frequent = Policy(Path(apart), builtin=SETS)
        unreliable = Policy(Path(apart), builtin=["unreliable", "message-ids"])
        recall(frequent)
        precision(frequent, unreliable, options.corpus, options.show)


def recall(stage: Policy) -> None:
    """Print how many of our letters are recognised."""
    for title, notes in (("proven", PROVEN), ("unknown", {})):
        found = {
            kind: sum(
                any(rule.startswith(kind) for rule in hits(stage, letter(*texts), notes))
                for texts in letters.values()
            )
            for kind, letters in LETTERS.items()
        }
        row = ", ".join(f"{kind} {number} of {len(LETTERS[kind])}" for kind, number in found.items())
        print(f"letters, sender {title}: {row}")


def precision(frequent: Policy, unreliable: Policy, corpus: Path, show: bool) -> None:
    """Print what is taken of each class of the corpus."""
    taken: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    mails: Counter[str] = Counter()
    cost = []
    for line in (needed(corpus) / "index.jsonl").read_text().splitlines():
        record = json.loads(line)
        kind = record["cls"]
        message = (corpus / record["file"]).read_bytes()
        mails[kind] += 1
        for title, notes in (("unknown", {}), ("as said", said(message)), ("proven", PROVEN)):
            start = time.thread_time()
            rules = hits(frequent, message, notes)
            cost.append(time.thread_time() - start)
            taken[kind, title].update(rules)
            if show and rules:
                print(f"{kind:9} {title:8} {rules} {record['file'][:24]}")
        if rcpt := record.get("env_rcpt"):
            taken[kind, "recipient"].update(hits(unreliable, b"", {}, rcpt))
    print("class     sender     mails  taken     share  by rule")
    for (kind, title), rules in sorted(taken.items()):
        named = ", ".join(f"{rule} {number}" for rule, number in rules.most_common())
        total = rules.total()
        print(f"{kind:9} {title:9} {mails[kind]:6} {total:6} {total / mails[kind]:9.3%}  {named}")
    cost.sort()
    micros = "/".join(f"{1e6 * cost[int(share * (len(cost) - 1))]:.0f}" for share in (0.5, 0.99, 1))
    print(f"median/p99/max of a message: {micros} µs")


def hits(stage: Policy, message: bytes, notes: dict[str, Any], rcpt: str = "joe@trap.example") -> list[str]:
    """The rules that a message hits."""
    envelope = Envelope(rcpts=[Rcpt(address=rcpt)])
    found: list[str] = stage.process(Job(new_id(), envelope, notes, message)).notes.get("rules", [])
    return found


if __name__ == "__main__":
    main()
