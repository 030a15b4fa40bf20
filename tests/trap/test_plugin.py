"""Stages are found by dotted path, file or entry point, and built with checked settings."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trap.config import Config, Duration, Size, Stage
from trap.configfile import ConfigError, parse
from trap.job import Job
from trap.plugin import build, check_stages, find, settings
from trap.stage import Drop, Pass

OVERSIZE = """
from trap.stage import Drop, Pass

class Oversize:
    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit

    def process(self, job):
        return Drop("oversize") if job.size > self.limit else Pass()
"""


@pytest.fixture
def plugins(tmp_path) -> Path:
    """A plugin folder with one plugin."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "oversize.py").write_text(OVERSIZE)
    return folder


@pytest.fixture(autouse=True)
def _forget_modules():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("spamtrap_plugin_", "mypkg")):
            del sys.modules[name]


def configured(plugins: Path, **stage: Any) -> Config:
    config = parse(f"pipeline: [oversize]\npaths: {{state: {plugins.parent}/state, plugins: {plugins}}}\n")
    return msgspec.structs.replace(config, stages={"oversize": Stage(**stage)})


# Finding


@pytest.mark.parametrize("use", ["oversize", "oversize.py"])
def test_a_file_in_the_plugin_folder(plugins, use):
    stage = find(use, plugins)(limit=3)
    assert stage.process(Job.from_message(b"four")) == Drop("oversize")
    assert stage.process(Job.from_message(b"two")) == Pass()


def test_a_dotted_path(plugins, monkeypatch):
    package = plugins / "mypkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mod.py").write_text(OVERSIZE)
    monkeypatch.syspath_prepend(str(plugins))
    assert find("mypkg.mod:Oversize", None).__name__ == "Oversize"


def test_an_entry_point(tmp_path, monkeypatch):
    """What `pip install` of somebody's package leaves."""
    (tmp_path / "mypkg_stage.py").write_text(OVERSIZE)
    info = tmp_path / "mypkg_stage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypkg-stage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spamtrap.stages]\nhuge = mypkg_stage:Oversize\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find("huge", None).__name__ == "Oversize"
    with pytest.raises(ConfigError, match="did you mean huge"):
        find("hueg", None)


@pytest.mark.parametrize("name", ["dedup", "virus", "backscatter", "archive", "report"])
def test_built_in_stages_are_entry_points_like_any_other(name):
    assert settings(find(name, None))


def test_a_stage_with_process_batch_alone(plugins):
    (plugins / "bulk.py").write_text("class Bulk:\n    def process_batch(self, jobs):\n        return []\n")
    assert find("bulk", plugins).__name__ == "Bulk"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "should hold one class with a process method, not 0"),
        (
            OVERSIZE + OVERSIZE.replace("Oversize", "Other"),
            "should hold one class with a process method, not 2",
        ),
        ("class A:\n    pass\n", "not 0"),
        ("raise RuntimeError('boom')", "stage 'odd' can't be imported: RuntimeError: boom"),
        ("import no_such_module", "stage 'odd' can't be imported: ModuleNotFoundError: No module named"),
        ("def broken(:", "stage 'odd' can't be imported: SyntaxError"),
    ],
)
def test_a_file_that_is_no_stage(plugins, text, error):
    (plugins / "odd.py").write_text(text)
    with pytest.raises(ConfigError) as raised:
        find("odd", plugins)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("use", "error"),
    [
        ("nowhere.mod:Class", "can't be imported: ModuleNotFoundError"),
        ("json:Nothing", "can't be imported: AttributeError"),
        ("json:dumps", "is not a class with a process method"),
        ("json:JSONDecoder", "is not a class with a process method"),
        ("oversiez", "no stage 'oversiez' (did you mean oversize?)"),
        ("zzz", "(valid: archive"),
        ("", "no stage ''"),
    ],
)
def test_no_such_stage(plugins, use, error):
    with pytest.raises(ConfigError) as raised:
        find(use, plugins)
    assert error in str(raised.value)


# Settings


def test_settings_are_the_constructors_keywords(plugins):
    assert list(settings(find("oversize", plugins))) == ["limit"]


def test_an_unknown_setting_stops_the_start(plugins):
    with pytest.raises(
        ConfigError, match=r"stages\.oversize\.limti: no such setting \(did you mean limit\?\)"
    ):
        build(configured(plugins, settings={"limti": 5}), "oversize")


def test_a_file_line_is_told_when_the_file_is_at_hand(plugins):
    text = f"pipeline: [oversize]\npaths: {{plugins: {plugins}}}\nstages:\n  oversize:\n    limit: 5 kB\n"
    with pytest.raises(
        ConfigError, match=r"x.yaml:5: stages\.oversize\.limit: expected whole number, got text"
    ):
        parse(text, "x.yaml", check_stages)


TYPED = """
from pathlib import Path
from typing import Literal
from trap.config import Duration, Size

class Typed:
    def __init__(self, *, number: int = 1, share: float = 0.5, word: str = "", flag: bool = False,
                 path: Path | None = None, words: list[str] | None = None,
                 table: dict[str, int] | None = None,
                 mode: Literal["a", "b"] = "a", window: Duration = Duration("1h"), size: Size = Size("1MB"),
                 anything=None, odd: "re.Pattern" = None):
        self.__dict__.update(locals())

    def process(self, job):
        ...
"""


@pytest.mark.parametrize(
    ("key", "given", "made"),
    [
        ("number", 5, 5),
        ("share", 1, 1.0),
        ("word", "x", "x"),
        ("flag", True, True),
        ("path", "/x", Path("/x")),
        ("words", ["a"], ["a"]),
        ("table", {"a": 1}, {"a": 1}),
        ("mode", "b", "b"),
        ("window", "2h", 7200.0),
        ("size", "2kB", 2048),
        ("anything", [1, {"x": None}], [1, {"x": None}]),
    ],
)
def test_values_are_converted_to_what_is_annotated(plugins, key, given, made):
    (plugins / "oversize.py").write_text(TYPED.replace(', odd: "re.Pattern" = None', ""))
    stage = build(configured(plugins, settings={key: given}), "oversize")
    assert getattr(stage, key) == made
    assert type(getattr(stage, key)) in {type(made), Duration, Size}


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("number", "5"),
        ("number", True),
        ("number", 1.5),
        ("share", "x"),
        ("word", 5),
        ("flag", 1),
        ("path", 5),
        ("words", "a"),
        ("words", [1]),
        ("table", {"a": "x"}),
        ("mode", "c"),
        ("window", "x"),
        ("window", -1),
        ("size", "x"),
    ],
)
def test_values_that_do_not_fit_are_told(plugins, key, given):
    (plugins / "oversize.py").write_text(TYPED.replace(', odd: "re.Pattern" = None', ""))
    with pytest.raises(ConfigError) as raised:
        build(configured(plugins, settings={key: given}), "oversize")
    assert str(raised.value).startswith(f"stages.oversize.{key}: ")
    assert "\n" not in str(raised.value)


def test_annotations_that_cannot_be_read_are_told(plugins):
    (plugins / "oversize.py").write_text(TYPED)
    with pytest.raises(ConfigError, match="Typed's settings can't be read: name 're' is not defined"):
        build(configured(plugins, settings={"number": 5}), "oversize")


def test_a_type_yaml_cannot_give_is_told(plugins):
    (plugins / "oversize.py").write_text("import re\n" + TYPED)
    with pytest.raises(
        ConfigError, match=r"stages\.oversize\.odd: the stage asks for .*Pattern.*, which YAML"
    ):
        build(configured(plugins, settings={"odd": "x"}), "oversize")


def test_a_setting_without_default_must_be_given(plugins):
    (plugins / "oversize.py").write_text(OVERSIZE.replace(" = 1_000_000", ""))
    with pytest.raises(ConfigError, match=r"stages\.oversize\.limit: is missing"):
        build(configured(plugins), "oversize")


def test_a_constructor_that_refuses_is_told(plugins):
    (plugins / "oversize.py").write_text(
        OVERSIZE.replace("self.limit = limit", "raise ValueError('too odd')")
    )
    with pytest.raises(ConfigError, match=r"stages\.oversize: too odd"):
        build(configured(plugins), "oversize")


def test_a_constructor_may_raise_anything(plugins):
    (plugins / "oversize.py").write_text(
        OVERSIZE.replace("self.limit = limit", "raise RuntimeError('out of sorts')")
    )
    with pytest.raises(ConfigError, match=r"stages\.oversize: RuntimeError: out of sorts"):
        build(configured(plugins), "oversize")


def test_a_disk_that_is_full_is_no_mistake_in_the_configuration(plugins):
    full = "__import__('errno').ENOSPC, 'no room', '/state/full.db'"
    (plugins / "oversize.py").write_text(OVERSIZE.replace("self.limit = limit", f"raise OSError({full})"))
    with pytest.raises(OSError, match="no room"):
        build(configured(plugins), "oversize")


def test_places_are_filled_in_unless_they_are_configured(plugins):
    (plugins / "oversize.py").write_text(
        "from pathlib import Path\nclass Placed:\n"
        "    def __init__(self, state_dir: Path, archive_dir: Path, maillog_dir: Path) -> None:\n"
        "        self.places = [state_dir, archive_dir, maillog_dir]\n"
        "    def process(self, job):\n        ...\n"
    )
    config = configured(plugins, settings={"archive_dir": f"{plugins}/elsewhere"})
    stage = build(config, "oversize")
    assert stage.places == [config.paths.state / "oversize", plugins / "elsewhere", config.paths.maillog]
    assert stage.places[0].is_dir()
    assert stage.places[2].is_dir()
    assert not stage.places[1].exists(), "a configured place is the operator's own"


def test_a_stage_by_another_name(plugins):
    config = msgspec.structs.replace(
        configured(plugins), stages={"second-look": Stage(use="oversize", settings={"limit": 7})}
    )
    assert build(config, "second-look").limit == 7


def test_a_class_without_a_constructor(plugins):
    (plugins / "oversize.py").write_text("class Bare:\n    def process(self, job):\n        ...\n")
    assert build(configured(plugins), "oversize")
    with pytest.raises(ConfigError, match="no such setting"):
        build(configured(plugins, settings={"x": 1}), "oversize")


def test_a_queue_that_only_holds_needs_no_stage():
    parse("stages: {ham: {workers: 0}}", "x.yaml", check_stages)
