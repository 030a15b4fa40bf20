"""The walls of the design, held by reading the source: who imports whom, and who touches files' names."""

import ast
import gc
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("trap", "stages")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
TRAP = [name for name in SOURCES if name.split(".")[0] == "trap"]
STAGES = [name for name in SOURCES if name.split(".")[0] == "stages"]

FOUNDATION = {
    "confinement",
    "envelope",
    "job",
    "magic",
    "maillog",
    "config",
    "configcheck",
    "configfile",
    "configlimits",
    "configweb",
    "spawn",
    "command",
    "units",
    "traces",
    "fsio",
    "stage",
    "address",
    "board",
    "backend",
    "backendserver",
    "pace",
    "backendstate",
    "__init__",
}
SPOOL = {
    "queue",
    "claim",
    "ledger",
    "archive",
    "view",
    "plugin",
    "wake",
    "recipients",
    "body",
    "draft",
    "keys",
    "writer",
    "redact",
    "redaction",
    "reports",
    "place",
}
FRONT = {"cli", "__main__"}
"""What is named nowhere here is a part of a program: the sink, a worker, the reaper and their like."""

PROGRAMS = {"sink", "worker", "reaper", "supervisor", "replay", "web", "browse"}
FOR_STAGES = {"stage", "job", "envelope", "config", "archive", "traces"} | {"ledger", "maillog", "fsio"}
"""What a stage may use of trap/. The last three are for the report, which reads the mail log, and for
whoever replaces a file of its own; none of them leads to a queue."""
FOR_STAGES |= {"magic", "spawn", "confinement"} | {"address", "backend", "command"}
"""What files are, and children that open those for them; programs that are asked."""
FOR_STAGES |= {"redact", "redaction", "reports", "place", "units"}
"""What reporters know of their trap, and how they keep it to themselves."""
FOR_STAGES |= {"configfile", "configcheck"}
"""How mistakes in a file of a stage's own are told: by line, and with what may have been meant."""

RENAMING = {"rename", "renames", "link", "unlink", "rmdir", "symlink", "symlink_to", "hardlink_to", "rmtree"}
MAY_RENAME = {"trap.fsio", "trap.maillog"}


@cache
def tree(name: str) -> ast.Module:
    """A module's source, parsed."""
    # CPython 3.11 can't, if a finalizer parses at the same time, as does one that logs a traceback.
    gc.disable()
    try:
        return ast.parse(SOURCES[name].read_text())
    finally:
        gc.enable()


@cache
def imports(name: str) -> frozenset[str]:
    """Modules of ours that a module imports, anywhere in it, but for the names of types alone."""
    found = set()
    for_types = {
        inner
        for node in ast.walk(tree(name))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(name)):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in SOURCES else str(node.module))
    return frozenset(found & SOURCES.keys() - {name})


def part(name: str) -> str:
    """The word under trap/ that a module belongs to: "archive" for trap.archive.segment."""
    return [*name.split("."), "__init__"][1]


def height(name: str) -> int:
    word = part(name)
    return 0 if word in FOUNDATION else 1 if word in SPOOL else 3 if word in FRONT else 2


def test_imports_go_round_nowhere():
    order = list(TopologicalSorter({name: imports(name) for name in SOURCES}).static_order())
    assert len(order) == len(SOURCES)


@pytest.mark.parametrize("name", TRAP)
def test_imports_point_one_way(name):
    """cli -> sink, worker, reaper, web -> queue, archive, stage -> job, envelope, maillog, config, fsio."""
    upwards = {other for other in imports(name) if height(other) > height(name)}
    assert not upwards


@pytest.mark.parametrize("name", TRAP)
def test_the_machine_knows_no_stage(name):
    """Stages are found by the name that the configuration gives them, and only so."""
    assert not {other for other in imports(name) if other.split(".")[0] == "stages"}


@pytest.mark.parametrize("name", TRAP)
def test_programs_do_not_know_each_other(name):
    """Each is a process of its own; what they share lies below them."""
    if part(name) in PROGRAMS:
        assert not {other for other in imports(name) if part(other) in PROGRAMS - {part(name)}}


@pytest.mark.parametrize("name", STAGES)
def test_stages_use_what_any_plugin_may(name):
    used = {part(other) for other in imports(name) if other.split(".")[0] == "trap"}
    assert used <= FOR_STAGES


def test_modules_are_imported_by_name_in_one_place():
    """A stage is imported by what the configuration says; nothing else is imported that way."""
    dynamic = {
        name
        for name in SOURCES
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Attribute) and node.attr in {"import_module", "exec_module"}
    }
    assert "trap.plugin" in dynamic
    assert {name for name in dynamic if part(name) != "cli"} == {"trap.plugin"}


def renames(name: str) -> list[str]:
    """Calls in a module that give, take or change a file's name, other than by fsio."""
    found = []
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "shutil"}:
            found += [f"{node.lineno}: from {node.module} import {alias.name}" for alias in node.names]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else "?"
            ambiguous = owner in {"os", "shutil"} and node.func.attr in {
                "replace",
                "remove",
                "removedirs",
                "move",
            }
            if owner != "fsio" and (node.func.attr in RENAMING or ambiguous):
                found.append(f"{node.lineno}: {ast.unparse(node.func)}")
    return found


@pytest.mark.parametrize("name", TRAP)
def test_one_module_touches_names(name):
    """Only fsio renames, links or unlinks, and the mail log its own files."""
    if name not in MAY_RENAME:
        assert renames(name) == []


def test_the_search_for_renames_finds_some():
    """So that an empty list means something."""
    assert len(renames("trap.fsio")) > 4
    assert [call.split(": ")[1] for call in renames("trap.maillog")] == ["os.rename"]


RACE = re.compile(r"# RACE:.*\n(?:\s*#.*\n)*")
COMMENTS = [
    (f"{name}:{SOURCES[name].read_text()[: match.start()].count(chr(10)) + 1}", match[0])
    for name in TRAP
    for match in RACE.finditer(SOURCES[name].read_text())
]
TESTS = {
    found
    for path in (ROOT / "tests").rglob("*.py")
    for found in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize(("place", "comment"), COMMENTS, ids=[place for place, _ in COMMENTS])
def test_every_race_names_a_test_that_provokes_it(place, comment):
    named = set(re.findall(r"test_\w+", comment))
    assert named, "a race without a test"
    assert named <= TESTS


def test_races_are_written_down():
    assert len(COMMENTS) > 8


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_opens_with_what_it_is_for(name):
    body = tree(name).body
    assert not body or ast.get_docstring(tree(name))
