"""Makes as much mail as an archive is to hold, the same mail each time. Not a bench itself.

* Structures, texts and files are those of the corpus (mailtemplates.py); what varies is ours (mailtext.py).
* Campaigns come as on the internet: who had many copies gets more, so that a few are large and half of
  them are one message. The copies of one differ as those of spam do.
* Words follow Zipf's law over three million of them: most words of the archive are in few messages.
* Some words are in exactly so many messages, spread over all of it (MARKED). They are what searches of known
  size ask for.
* It came over half a year, up to END, less at night than by day.
"""

import math
import random
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mailtemplates import templates
from mailtext import Campaign, begun, helo, rank, word, words, written

from trap.envelope import Envelope, Rcpt
from trap.job import Job

END = 1_793_491_200
"""2026-11-01, 00:00 UTC."""
SPAN = 182 * 86_400
MARKED = {"one": (1, 100), "ten": (10, 100), "thousand": (1000, 100), "tenth": (0.1, 20), "half": (0.5, 8)}
"""Name of a kind of marked words: in how many messages each is (below 1: which share), and how many such."""
NEW, LATELY, LATE = 0.2, 0.5, 2_000
"""Share of messages that begin a campaign; of the others, share that are copies of one of the last LATE."""
_KEPT = 20_000
"""Campaigns kept in memory."""
_RHYTHM = 10_000
"""Seconds that a message comes earlier or later by, as the time of day is."""
_TAGS = ("pristine", "pristine", "recycled", "typo", "published", "")


class Mail(NamedTuple):
    """A message, and what a parser would find in it: for indexes that are filled with fields."""

    job: Job
    subject: str
    sender: str
    text: str


def marked(kind: str) -> list[str]:
    """The marked words of a kind of MARKED."""
    return [f"mark{kind}{word(number)}" for number in range(MARKED[kind][1])]


class Factory:
    """Makes mail.

    Args:
        corpus: where the templates are.
        count: how many messages.
        seed: another one makes other mail.
        pool: how many templates.
    """

    def __init__(self, corpus: Path, count: int, seed: int = 1, pool: int = 1000) -> None:
        self.count = count
        self._seed = seed
        self._templates = templates(corpus, pool, seed)
        self._campaigns: dict[int, Campaign] = {}
        self._rare: dict[int, list[str]] = {}
        """Marked words by the number of a message they are in."""
        self._frequent: list[tuple[str, int, int, int]] = []
        """Marked words that are in the messages n for which (n * step + first) % count is below a bound."""
        dice = random.Random(f"{seed} marks")
        for kind, (often, _) in MARKED.items():
            for mark in marked(kind):
                first, step = dice.randrange(count), self._step(dice)
                if often < 1:
                    self._frequent.append((mark, first, step, round(often * count)))
                    continue
                for at in range(min(count, int(often))):
                    self._rare.setdefault((at * step + first) % count, []).append(mark)

    def mails(self) -> Iterator[Mail]:
        """All of it, oldest first."""
        dice = random.Random(self._seed)
        belongs, copies = array("I"), array("I")
        for number in range(self.count):
            if not number or dice.random() < NEW:
                campaign = len(copies)
                copies.append(0)
            else:
                late = min(number, LATE) if dice.random() < LATELY else number
                campaign = belongs[number - 1 - dice.randrange(late)]
            belongs.append(campaign)
            copies[campaign] += 1
            yield self._mail(number, self._campaign(campaign), copies[campaign], dice)

    def _step(self, dice: random.Random) -> int:
        """From one message to the next with a word: all have their turn before one has its second."""
        while math.gcd(step := dice.randrange(1, self.count + 1), self.count) > 1:
            pass
        return step

    def _campaign(self, number: int) -> Campaign:
        found = self._campaigns.get(number)
        if not found:
            if len(self._campaigns) >= _KEPT:
                for old in list(self._campaigns)[: _KEPT // 2]:
                    del self._campaigns[old]
            dice = random.Random(f"{self._seed} {number}")
            found = self._campaigns[number] = begun(number, dice, self._templates)
        return found

    def _marks(self, number: int) -> list[str]:
        """The marked words of a message."""
        count = self.count
        frequent = [
            mark for mark, first, step, bound in self._frequent if (number * step + first) % count < bound
        ]
        return self._rare.get(number, []) + frequent

    def _mail(self, number: int, campaign: Campaign, copy: int, dice: random.Random) -> Mail:
        own = " ".join([*words(dice, 10), *self._marks(number)])
        link = f"{campaign.link}?id={dice.getrandbits(40):x}"
        at = END - SPAN + SPAN * number / self.count
        at += _RHYTHM * math.sin(at % 86_400 / 86_400 * math.tau)
        name, domain = dice.choice(campaign.names), dice.choice(campaign.domains)
        user = name.replace(" ", ".").lower() if copy % 2 else word(rank(dice, 100_000))
        sender = f"{user}@{domain}"
        envelope = _envelope(campaign, sender, at, dice)
        message = written(campaign, envelope, name, sender, own, link)
        job_id = f"{int(at * 1_000_000):016d}{dice.getrandbits(32):08x}"
        job = Job(job_id, envelope, _notes(campaign, copy), message)
        return Mail(job, campaign.subject, f"{name} <{sender}>", f"{campaign.text} {own} {link}")


def _notes(campaign: Campaign, copy: int) -> dict[str, Any]:
    """What the stages before the archive noted."""
    notes: dict[str, Any] = {
        "virus": {"clean": True, "engine": "ClamAV 1.0.9/27812"},
        "dedup": {
            "campaign": f"{(campaign.number + 1) * 0x1E3779B97F4B % (1 << 47):012x}",
            "count": copy,
            "window_count": copy % 5 + 1,
            "exact": copy % 4 == 2,
            "similarity": 0.0 if copy == 1 else 0.875,
        },
    }
    if campaign.template.kind == "bounce":
        kind = ("bounce", "delay", "autoreply")[campaign.number % 3]
        notes["backscatter"] = {"kind": kind, "score": 7, "evidence": ["null sender"]}
    return notes


def _envelope(campaign: Campaign, sender: str, at: float, dice: random.Random) -> Envelope:
    network = dice.choice(campaign.networks)
    ip = f"{network}{dice.randrange(1, 255):{'x' if ':' in network else 'd'}}"
    recipients = {rank(dice, 4000) for _ in range(1 + rank(dice, 3))}
    return Envelope(
        listener="0.0.0.0:25",
        client_ip=ip,
        client_port=dice.randrange(1024, 65536),
        server_ip="198.51.100.25",
        server_port=25,
        helo=helo(campaign, sender.rpartition("@")[2], ip),
        helo_verb="EHLO" if campaign.number % 4 else "HELO",
        mail_from="" if campaign.template.kind == "bounce" else sender,
        rcpts=[
            Rcpt(address=f"{word(who)}@trap{who % 12}.example", tag=_TAGS[who % len(_TAGS)])
            for who in sorted(recipients)
        ],
        tls_version="TLSv1.3" if campaign.number % 5 < 2 else "",
        connected_at=at - 2.5,
        first_command_at=at - 2.25,
        received_at=at,
        commands=5,
    )
