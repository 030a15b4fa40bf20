"""spamtrap dnsbl: who is listed, why, and how he gets off the list."""

from pathlib import Path

import pytest
from clikit import Run
from listkit import letter

from stages.dnsbl import Dnsbl
from trap.configfile import load
from trap.plugin import build

CONFIG = """\
pipeline: [dnsbl, second]
accept: {{domains: {{trap.example: {{}}}}}}
paths: {{spool: {home}/spool, archive: {home}/archive, state: {home}/state}}
stages:
  second: {{workers: 0}}
  dnsbl:
    allow: [198.51.100.0/24]
    publish: {{at_least: 2, max_change: 0%}}
    lists:
      addresses: {{min_score: 0.5, min_traps: 1}}
      domains: {{min_score: 0.5, min_traps: 1, min_networks: 1}}
"""


@pytest.fixture
def stage(home: Path) -> Dnsbl:
    """The stage of a trap that has seen one message, and published."""
    (home / "spamtrap.yaml").write_text(CONFIG.format(home=home))
    made: Dnsbl = build(load(home / "spamtrap.yaml"), "dnsbl")
    made.process(letter(links=["bad.example"]))
    publish(made)
    return made


def publish(stage: Dnsbl) -> None:
    stage._publisher._next = 0.0
    stage._publisher._stamp = None
    stage.tick()
    stage.close()


def test_ls_shows_what_is_published(run: Run, stage: Dnsbl) -> None:
    result = run("dnsbl", "ls")
    assert result.code == 0, result.err
    head, address, domain = [line.split() for line in result.out.splitlines()]
    assert head == ["list", "entry", "score", "hits", "traps", "networks", "first", "last", "until"]
    assert address[:6] == ["addresses", "192.0.2.7", "1", "1", "1", "1"]
    assert domain[:2] == ["domains", "bad.example"]
    (row,) = run("dnsbl", "ls", "domains", "--json").rows
    assert (row["key"], row["hits"]) == ("bad.example", 1)
    assert len(run("dnsbl", "ls", "--limit", "1", "--json").rows) == 1


def test_show_tells_what_is_known_and_why_not(run: Run, stage: Dnsbl) -> None:
    assert "192.0.2.7: on addresses" in run("dnsbl", "show", "192.0.2.7").out
    assert "not listed\nnever listed: Google" in run("dnsbl", "show", "www.gmail.com").out
    assert run("dnsbl", "show", "198.51.100.9", "--json").json["never"] == "allowed"
    result = run("dnsbl", "show", "what is this")
    assert (result.code, result.out) == (64, "")
    assert "'what is this' is neither an address, a domain nor the sha256 or md5 of a file" in result.err


def test_remove_takes_off_all_lists_for_a_while(run: Run, stage: Dnsbl) -> None:
    assert (
        "192.0.2.7 is removed; what it does counts again from 20" in run("dnsbl", "remove", "192.0.2.7").out
    )
    publish(stage)
    assert [row["key"] for row in run("dnsbl", "ls", "--json").rows] == ["bad.example"]
    assert "removed 1 times" in run("dnsbl", "show", "192.0.2.7").out


def test_allow_and_its_undoing(run: Run, stage: Dnsbl) -> None:
    result = run("dnsbl", "allow", "192.0.2.0/24", "www.bad.example", "--why", "ours\x1b[31m")
    assert result.out == "192.0.2.0/24 is never listed\nbad.example is never listed\n"
    publish(stage)
    assert run("dnsbl", "ls", "--json").rows == []
    assert [row["why"] for row in run("dnsbl", "allow", "--json").rows] == ["ours\\x1b[31m"] * 2
    assert run("dnsbl", "allow").out.splitlines()[1].split()[0] == "192.0.2.0/24"
    assert run("dnsbl", "allow", "--undo", "bad.example").out == "bad.example may be listed again\n"
    assert run("dnsbl", "allow", "--undo", "bad.example").code == 66
    publish(stage)
    assert [row["key"] for row in run("dnsbl", "ls", "--json").rows] == ["bad.example"]


def test_status_and_release(run: Run, stage: Dnsbl) -> None:
    stage.process_batch([letter(f"203.0.113.{number}") for number in range(5)])
    publish(stage)
    result = run("dnsbl", "status")
    assert [line.split()[1:3] for line in result.out.splitlines()[1:5]] == [
        ["addresses", "2"],
        ["domains", "1"],
        ["files", "0"],
        ["backscatter", "0"],
    ]
    assert "addresses: 4 entries to add are held for" in result.out
    assert result.out.endswith("and go out in 6h\n")
    assert run("dnsbl", "status", "--json").rows[0]["held"][0]["number"] == 4
    assert run("dnsbl", "release", "domains").out == "0 released\n"
    assert run("dnsbl", "release").out == "4 released\n"
    assert "go out at once: released" in run("dnsbl", "status").out
    publish(stage)
    assert run("dnsbl", "status", "--json").rows[0]["listed"] == 6


def test_without_the_stage_it_says_so(run: Run, home: Path) -> None:
    result = run("dnsbl", "status")
    assert (result.code, result.out) == (78, "")
    assert "no stage publishes lists; put dnsbl into the pipeline" in result.err
