"""dedup - let the first copies of a campaign pass, count the others.

A spammer sends one text a million times, with another name, number or link in each. The first
`keep` copies within a `window` go on and show what there is to see; the others are dropped as
"duplicate" and are counted. What a copy is: stages.copies.fingerprint; how it is remembered:
stages.copies.campaigns.

Notes, on pass and drop alike:

* `campaign`: its id, 12 hexadecimal digits, derived from what the first copy said;
* `count`: copies so far, this one included, since the campaign was first seen (it is forgotten
  when no copy came for `remember`); `window_count`: those of the current window;
* `exact`: says the same as a remembered copy, but for what counts as no difference (numbers,
  links, addresses, layout); `similarity`: likeness to the most similar one, 0 for the first copy.

The answers are remembered by job id in the same transaction as the counts, so a job that comes
again after a crash is answered the same and counted once.
"""

import sqlite3
import time
from pathlib import Path

from stages.copies.campaigns import Campaigns, Sighting
from stages.copies.fingerprint import Fingerprint, fingerprint
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Drop, Pass, Unavailable, Verdict


class Dedup:
    """The stage.

    Args:
        state_dir: where the campaigns are remembered; on a persistent disk.
        keep: copies of a campaign that pass in each window; at least the first always does.
        window: begins with a copy of the campaign that finds none open.
        remember: how long a campaign is remembered after its last copy.
        max_bytes: disk that the memory may take; the oldest is forgotten early when it would be more. A
            message unlike all others takes some 600 bytes, a copy 50.
        similarity: from 0 to 1, what makes a copy: the share of word triples two texts have in common.

    Raises:
        ValueError: a setting makes no sense.
    """

    when_unavailable = "pass"

    def __init__(
        self,
        state_dir: Path,
        keep: int = 5,
        window: Duration = Duration("24h"),
        remember: Duration = Duration("7d"),
        similarity: float = 0.6,
        max_bytes: Size = Size("2GB"),
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep: {keep}: the first copy of a campaign always passes, so at least 1")
        if not 0 < similarity <= 1:
            raise ValueError(f"similarity: {similarity} is not above 0 and at most 1")
        if remember < 60:
            raise ValueError("remember: must be a minute at least")
        if not 0 < window <= remember:
            raise ValueError("window: must be longer than nothing and at most as long as remember")
        if max_bytes < 1 << 20:
            raise ValueError("max_bytes: must be 1MB at least")
        self._keep = keep
        self._window = window
        self._similarity = similarity
        self._state_dir = state_dir
        self._campaigns = Campaigns(state_dir, remember, max_bytes)

    def process(self, job: Job) -> Verdict:
        """Judge one job; see `process_batch`."""
        return self.process_batch([job])[0]

    def process_batch(self, jobs: list[Job]) -> list[Verdict]:
        """Judge jobs in their order, in one transaction.

        Raises:
            Unavailable: the state can't be read or written, or other workers hold it for too long.
        """
        seen = [fingerprint(job.message) for job in jobs]  # long work first: others wait for the transaction
        now = time.time()
        try:
            try:
                sightings = self._sight_all(jobs, seen, now)
            except sqlite3.DatabaseError as error:
                if not self._campaigns.repair(error):
                    raise
                sightings = self._sight_all(jobs, seen, now)
        except (OSError, sqlite3.DatabaseError) as error:
            self._campaigns.close()
            raise Unavailable(f"campaigns in {self._state_dir}: {error}") from error
        return [_verdict(sighting) for sighting in sightings]

    def tick(self) -> None:
        """Forget what is too old, also when no mail comes."""
        try:
            self._campaigns.turn(time.time())
        except (OSError, sqlite3.DatabaseError):
            self._campaigns.close()  # the next job says so

    def close(self) -> None:
        """Close the state's files."""
        self._campaigns.close()

    def _sight_all(self, jobs: list[Job], seen: list[Fingerprint], now: float) -> list[Sighting]:
        with self._campaigns.transaction(now):
            return [self._sight(job, print_, now) for job, print_ in zip(jobs, seen, strict=True)]

    def _sight(self, job: Job, seen: Fingerprint, now: float) -> Sighting:
        known = self._campaigns.sighting(job.id, job.received_at)
        if known:
            return known
        match = self._campaigns.nearest(seen, self._similarity)
        campaign = match.campaign if match else seen.exact
        if match is None or match.new:
            self._campaigns.learn(seen, campaign)
        count, window_count = self._campaigns.count(campaign, now, self._window)
        sighting = Sighting(
            campaign,
            count,
            window_count,
            exact=bool(match and match.exact),
            similarity=round(match.similarity, 3) if match else 0.0,
            dropped=window_count > self._keep,
        )
        self._campaigns.record(job.id, sighting)
        return sighting


def _verdict(sighting: Sighting) -> Verdict:
    notes = {
        "campaign": f"{sighting.campaign:012x}",
        "count": sighting.count,
        "window_count": sighting.window_count,
        "exact": sighting.exact,
        "similarity": sighting.similarity,
    }
    return Drop("duplicate", notes) if sighting.dropped else Pass(notes)
