"""dedup_quality - how well the stage finds the corpus' campaigns, and what it costs.

    python bench/dedup_quality.py [--seeds 1 2 3] [--similarity 0.6]

Feeds spam and phish to the stage one at a time, in an order shuffled by each seed, and compares the
campaign ids it gave at once with the reference clustering of index.jsonl, pair by pair:
precision = of the pairs given one campaign, those in one cluster; recall = of the pairs in one
cluster, those given one campaign. The corpus is found by SPAMTRAP_CORPUS, else ../shared/corpus.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from corpus import CORPUS, needed

from stages.dedup import Dedup
from trap.job import Job


def pairs(groups: Counter) -> int:
    return sum(n * (n - 1) // 2 for n in groups.values())


def score(given: list[str], reference: list[str]) -> tuple[float, float]:
    together = pairs(Counter(zip(given, reference, strict=True)))
    return together / max(1, pairs(Counter(given))), together / max(1, pairs(Counter(reference)))


def line(name: str, times: list[float]) -> str:
    if not times:
        return f"  {name:24} none"
    cuts = statistics.quantiles((1000 * t for t in times), n=100)
    return f"  {name:24} n={len(times):5}  median {cuts[49]:6.2f}  p99 {cuts[98]:6.2f}"


def run(records: list[dict], settings: dict) -> tuple[list[str], list[float], Counter]:
    given, times, verdicts = [], [], Counter()
    with tempfile.TemporaryDirectory() as state:
        stage = Dedup(state_dir=Path(state), **settings)
        for record in records:
            job = Job.from_message((CORPUS / record["file"]).read_bytes())
            start = time.perf_counter()
            verdict = stage.process(job)
            times.append(time.perf_counter() - start)
            given.append(verdict.notes["campaign"])
            verdicts[type(verdict).__name__] += 1
        stage.close()
    return given, times, verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--similarity", type=float, default=0.6)
    options = parser.parse_args()
    records = [json.loads(row) for row in (needed() / "index.jsonl").read_text().splitlines()]
    records = [record for record in records if record["cls"] in ("spam", "phish")]
    scores = []
    for seed in options.seeds:
        order = records.copy()
        random.Random(seed).shuffle(order)
        given, times, verdicts = run(order, {"similarity": options.similarity})
        scores.append(score(given, [record["cluster"] for record in order]))
        print(f"seed {seed}: precision {scores[-1][0]:.4f} recall {scores[-1][1]:.4f}, {dict(verdicts)}")
        for kind in ("spam", "phish"):
            chosen = [(t, r) for t, r in zip(times, order, strict=True) if r["cls"] == kind]
            print(line(f"{kind}, ms", [t for t, _ in chosen]))
            print(line(f"{kind} of 100 kB up, ms", [t for t, r in chosen if r["bytes"] >= 100_000]))
    precision, recall = (statistics.mean(column) for column in zip(*scores, strict=True))
    print(f"mean: precision {precision:.4f} recall {recall:.4f}")


if __name__ == "__main__":
    main()
