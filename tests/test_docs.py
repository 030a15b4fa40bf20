"""The documents name what there is: every command, setting and stage."""

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args, get_origin

import msgspec
import pytest

from trap.cli import COMMANDS
from trap.config import Base, Config, Stage
from trap.configfile import Source, parse
from trap.plugin import check_stages, find, settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / "deploy/spamtrap.yaml").read_text()
GIVEN = {"trap_domains", "targets", "before", "place"}
"""What stages get without being configured, besides directories."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"`{command}\b", README)


def fields(kind: type[Base]) -> list[str]:
    """Names of all settings below a structure."""
    found = []
    for field in msgspec.structs.fields(kind):
        if kind is Stage and field.name == "settings":
            continue
        found.append(field.name)
        for each in (field.type, *get_args(field.type)):
            if isinstance(each, type) and get_origin(each) is None and issubclass(each, Base):
                found += fields(each)
    return found


@pytest.mark.parametrize("name", sorted(set(fields(Config))))
def test_every_setting_is_explained_in_the_example(name: str) -> None:
    assert re.search(rf"\b{name}:", EXAMPLE)


@pytest.mark.parametrize("stage", sorted(entry.name for entry in entry_points(group="spamtrap.stages")))
def test_every_stage_is_in_readme_and_example(stage: str) -> None:
    assert stage in README
    # Those that are not in the default pipeline stand there as comments.
    block = re.search(rf"^  (# )?{stage}:.*", EXAMPLE, re.MULTILINE | re.DOTALL)
    assert block
    part = block[0]
    for setting in settings(find(stage, None)):
        if not setting.endswith("_dir") and setting not in GIVEN:
            assert f"{setting}:" in part, f"{stage}: {setting}"


def test_the_example_is_a_good_configuration_and_says_the_defaults() -> None:
    config = parse(EXAMPLE, "deploy/spamtrap.yaml")
    check_stages(config, Source(EXAMPLE, "deploy/spamtrap.yaml"))
    default = parse("")
    for name in Config.__struct_fields__:
        if name not in {"stages", "paths"}:
            assert getattr(config, name) == getattr(default, name), name


@pytest.mark.parametrize("line", re.findall(r"^\s*spamtrap (.+?)(?:\s+#.*)?$", README, re.MULTILINE))
def test_every_command_line_of_the_readme_is_one(line: str) -> None:
    words = [word for word in line.split() if not word.startswith("-")]
    assert any(word in COMMANDS for word in words[:2]), line
