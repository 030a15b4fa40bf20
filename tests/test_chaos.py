"""The whole pipeline, every stage on, while those it asks are stopped and started at random."""

import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chaoskit import ASKING, Cast, undisturbed
from trapkit import Trap

MESSAGES = 100

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    with ExitStack() as stack:
        yield Cast(tmp_path_factory.mktemp("cast"), stack)


def test_every_message_is_accounted_for_whatever_befalls_the_backends(
    cast: Cast, corpus: Path, tmp_path: Path
) -> None:
    files = sorted(corpus.glob("*/*.eml"))
    random.Random(7).shuffle(files)
    mail = tmp_path / "mail"
    mail.mkdir()
    for file in files[:MESSAGES]:
        (mail / file.name).symlink_to(file)
    home = tmp_path / "trap"
    home.mkdir()
    trap = Trap(home, cast.settings())
    trap.start()
    try:
        words = ["replay", str(mail), "--to", f"127.0.0.1:{trap.port}", "--rate", "40"]
        with cast.tormented(seed=7, pause=0.6) as acts, (tmp_path / "replay.log").open("wb") as log:
            subprocess.run(trap.command(*words), stdout=log, stderr=log, timeout=120, check=True)
        trap.settled()
        account = trap.json("audit")
        states = undisturbed(lambda: trap.json("status"))
        checked = trap.run("archive", "verify")
    finally:
        trap.stop()
    assert sum(acts.values()) > 5
    assert account["accepted"] == MESSAGES
    assert (account["missing"], account["bad"], account["in_flight"]) == ([], 0, 0)
    assert account["archived"] + sum(account["dropped"].values()) == MESSAGES
    assert {one["stage"] for one in states} >= set(ASKING)
    assert {one["state"] for one in states} == {"up"}
    assert "damaged" not in checked.lower()
