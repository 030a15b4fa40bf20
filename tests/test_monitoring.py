"""deploy/ watches what there is: every metric that a rule or a panel names is one that the trap exposes."""

import json
import re
from pathlib import Path

import pytest
import yaml

from trap.backendstate import BackendState
from trap.live import Live
from trap.metrics import exposition
from trap.status import QueueStatus, Room, Status

DEPLOY = Path(__file__).parent.parent / "deploy"
_NAME = re.compile(r"\bspamtrap_\w+")


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """Names of the metrics of a trap where everything has happened once."""
    queue = QueueStatus("dedup", 1, 1, 1.0, 1, 1.0, 1, True)
    sink = Live(pid=1, refused={"errors": 1})
    room = Room("/run/spamtrap", True, 1, 0.5, 1, 0.5)
    backend = BackendState("clamd", "/run/clamav/clamd.ctl", "virus")
    ends = (1, 1, 1, {"duplicate": 1}, 1, 1, 1, 1.0)
    text = exposition(
        Status([queue], *ends, room, sink, [sink], [backend], {"virus": 1}, {"arf": {"sent": 1}})
    )
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def test_alert_rules(exposed: set[str]) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
    assert len(rules) >= 8
    for rule in rules:
        named = set(_NAME.findall(rule["expr"]))
        assert named <= exposed, rule["alert"]
        assert named or rule["alert"] == "SpamtrapGone"
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_dashboard(exposed: set[str]) -> None:
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) > 15
    for expression in expressions:
        named = set(_NAME.findall(expression))
        assert named, expression
        assert named <= exposed
    cells = [
        (x, y)
        for panel in board["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie on one another"
