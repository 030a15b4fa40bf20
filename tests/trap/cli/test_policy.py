"""spamtrap policy: rules and their hits."""

import json
from pathlib import Path

import pytest
from clikit import Run

from trap.configfile import load
from trap.envelope import Envelope
from trap.job import Job
from trap.plugin import build

CONFIG = """\
pipeline: [policy, second]
paths: {{spool: {home}/spool, archive: {home}/archive, state: {home}/state}}
stages:
  second: {{workers: 0}}
  policy:
    rules:
      - {{name: shop, when: {{helo: shop}}, drop: shop}}
      - {{name: never, when: {{helo: nobody}}, to: second}}
    builtin: [list-confirmation]
"""


@pytest.fixture
def counted(home: Path) -> str:
    """A trap whose policy has seen three messages; returns the id of the one that was hit last."""
    (home / "spamtrap.yaml").write_text(CONFIG.format(home=home))
    stage = build(load(home / "spamtrap.yaml"), "policy")
    jobs = [Job.from_message(b"", Envelope(helo=helo)) for helo in ("shop", "x", "shop")]
    for job in jobs:
        stage.process(job)
    stage.close()
    return jobs[-1].id


def test_every_rule_with_its_hits(run: Run, counted: str):
    result = run("policy")
    assert result.code == 0, result.err
    head, shop, never, *ours = [line.split() for line in result.out.splitlines()]
    assert head == ["rule", "action", "hits", "share", "last", "last", "job"]
    assert shop[:5] == ["shop", "drop:", "shop", "2", "66.67%"]
    assert shop[-1] == counted
    assert never == ["never", "to:", "second", "0", "-", "never"]
    assert {line[0] for line in ours} == {"list-confirmation/mailman", "list-confirmation/other"}


def test_for_machines(run: Run, counted: str):
    rows = [json.loads(line) for line in run("policy", "--json").out.splitlines()]
    assert {key: rows[0][key] for key in ("stage", "rule", "hits", "last_job")} == {
        "stage": "policy",
        "rule": "shop",
        "hits": 2,
        "last_job": counted,
    }
    assert rows[1]["last_at"] == 0


def test_of_a_trap_without_rules(run: Run, home: Path):
    result = run("policy")
    assert result.code == 78
    assert "no stage has rules; put policy into the pipeline" in result.err


def test_a_mistake_in_a_file_of_rules_is_found_by_config_check(run: Run, home: Path):
    (home / "rules.yaml").write_text("- name: x\n  when: {client_ip: 192.0.2.300}\n")
    (home / "spamtrap.yaml").write_text(
        f"pipeline: [policy]\nstages:\n  policy:\n    rules: {home}/rules.yaml\n"
    )
    result = run("config", "check")
    assert result.code == 78
    assert f"{home}/rules.yaml:2: [0].when.client_ip: '192.0.2.300' is no network" in result.err
