"""The configuration: read once, frozen, and every mistake told in one line with its place.

Each file in tests/bad_config holds one mistake; its first line is the error that is due.
"""

from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trap import configfile
from trap.config import Config, Duration, Listener, Room, Size, Stage, default_paths, paths_below
from trap.configfile import ConfigError, load, nearest, parse
from trap.plugin import check_stages

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
BAD = sorted((Path(__file__).parent.parent / "bad_config").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_one_line_with_its_place(path):
    text = path.read_text()
    expected = text.splitlines()[0].removeprefix("# ")
    with pytest.raises(ConfigError) as raised:
        parse(text, path.name, check_stages)
    assert str(raised.value) == expected
    assert expected.startswith(f"{path.name}:")


def test_there_are_bad_files():
    assert len(BAD) > 40


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"user: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: 'utf-8' codec"):
        load(tmp_path / "latin.yaml")


def test_a_file_with_a_name_of_two_lines_is_one_line(tmp_path):
    (tmp_path / "two\nlines.yaml").write_text("x: 1\n")
    for name in ("two\nlines.yaml", "nowhere\n.yaml"):
        with pytest.raises(ConfigError) as raised:
            load(tmp_path / name)
        assert "\n" not in str(raised.value)


HUGE = st.integers(min_value=1 << 63) | st.just(1 << 20_000)  # the latter can't even be written in digits


@given(
    number=HUGE,
    setting=st.sampled_from(
        [
            (part, key)
            for part in ("smtp", "limits", "spool", "reaper", "maillog")
            for key in getattr(Config(), part).__struct_fields__
        ]
    ),
)
def test_no_number_is_beyond_what_a_machine_counts_to(number, setting):
    part, key = setting
    with pytest.raises(ConfigError, match=f"^x:1: {part}.{key}: is more than any machine has$"):
        parse(f"{part}: {{{key}: {number:#x}}}", "x")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_whatever_the_text_it_is_read_or_told_in_one_line(text):
    try:
        config = parse(text, "x.yaml")
    except ConfigError as error:
        assert str(error).startswith("x.yaml:")
        assert "\n" not in str(error)
    else:
        assert isinstance(config, Config)


def test_an_empty_file_is_the_defaults():
    for text in ("", "# only a comment\n", "---\n", "smtp:\nspool: {}\nstages:\n  dedup:\n"):
        config = parse(text)
        assert config.pipeline == ["dedup", "virus", "backscatter", "archive", ["report"]]
        assert config.paths == default_paths()
        assert config.smtp.max_size == 30 << 20
        assert config.stage("dedup") == Stage()


def test_off_is_a_word_where_it_is_a_choice():
    assert parse("smtp: {auth: off}").smtp.auth == parse("smtp: {auth: 'off'}").smtp.auth == "off"


def test_every_value_arrives_where_it_belongs(tmp_path):
    config = parse(
        """
listen: [{host: "::1", port: 25}, {unix: /run/x/lmtp, protocol: lmtp}, {port: 26, name: other}]
accept: {domains: [trap.example, .sub.example], addresses: {"old-*@corp.example": {tag: recycled}}}
route: [{rcpt: "ham@*", to: ham}]
pipeline: [dedup, archive, [report, forward]]
stages:
  dedup: {keep: 5, window: 24h, workers: 2, deadline: 500ms}
  ham: {use: archive, next: [report]}
reaper: {max_age: 6h, max_bytes: 75%, max_inodes: 1000, purge: "15 3 * * *"}
spool: {reserve: 2GB, fsync: true}
paths: {spool: /run/s, archive: /a, state: /s}
"""
    )
    assert [one.label for one in config.listen] == ["[::1]:25", "/run/x/lmtp", "other"]
    assert list(config.accept.domains) == ["trap.example", ".sub.example"]
    assert config.accept.addresses["old-*@corp.example"].tag == "recycled"
    assert config.queues == ["dedup", "archive", "report", "forward", "ham"]
    assert (config.trunk, config.branches, config.first) == (
        ["dedup", "archive"],
        ["report", "forward"],
        "dedup",
    )
    dedup = config.stage("dedup")
    assert (dedup.workers, dedup.deadline) == (2, 0.5)
    assert dedup.settings == {"keep": 5, "window": "24h"}
    assert config.reaper.max_age == 21600
    assert config.reaper.max_bytes.of(1000) == 750
    assert config.spool.reserve.of(10**12) == 2 << 30
    assert config.paths.maillog == Path("/s/maillog")


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        ("dedup", ["archive"]),
        ("archive", ["report", "forward"]),
        ("report", []),
        ("ham", ["report"]),
        ("hold", []),
    ],
)
def test_what_comes_after(stage, after):
    config = parse(
        "pipeline: [dedup, archive, [report, forward]]\nstages: {ham: {next: [report]}, hold: {workers: 0}}\n"
    )
    assert config.after(stage) == after


def test_nothing_in_it_can_be_changed():
    config = parse("stages: {dedup: {keep: 5}}")
    for part, name in ((config, "user"), (config.smtp, "timeout"), (config.stages["dedup"], "workers")):
        with pytest.raises(AttributeError):
            setattr(part, name, "x")
    assert isinstance(config, msgspec.Struct)


def test_accept_everything_may_be_said():
    assert parse("accept: everything") == parse("accept: {}")


# Values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5h", 5400),
        ("15m", 900),
        ("7d", 604800),
        ("2w", 1209600),
        ("20ms", 0.02),
        (5, 5),
    ],
)
def test_durations(text, seconds):
    assert Duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "h", "5 m", "5x", "-5s", "1e3", "five", -1, float("nan"), float("inf"), "9" * 400]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a time span"):
        Duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500),
        ("500kB", 512_000),
        ("30MB", 30 << 20),
        ("2 GB", 2 << 30),
        ("1.5k", 1536),
        ("1TiB", 1 << 40),
        (7, 7),
    ],
)
def test_sizes(text, size):
    assert Size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "5X", "-5", "five", -1])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is not a size"):
        Size(text)


def test_rooms_are_shares_or_sizes():
    assert Room("75%").of(200) == 150
    assert Room("2kB").of(10) == Room(2048).of(10**9) == 2048
    assert Room("50%") == Room(" 50 %".replace(" ", "")) != Room("51%")
    assert hash(Room("2kB")) == hash(Room(2048))
    assert repr(Room("75%")) == "75%"
    for text in ("101%", "-1%", "x%", "nan%", "%"):
        with pytest.raises(ValueError, match="is not a share"):
            Room(text)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("/run/x/lmtp", Listener(unix="/run/x/lmtp", protocol="lmtp")),
        ("127.0.0.1:24", Listener(host="127.0.0.1", port=24, protocol="lmtp")),
        ("[::1]:24", Listener(host="::1", port=24, protocol="lmtp")),
        ("::1:24", Listener(host="::1", port=24, protocol="lmtp")),
        ("localhost:0", Listener(host="localhost", port=0, protocol="lmtp")),
    ],
)
def test_lmtp_stands_for_protocol_and_address(said, meant):
    (listener,) = parse(f"listen: [{{lmtp: '{said}', name: inside}}]").listen
    assert listener == msgspec.structs.replace(meant, name="inside")


READ = [path for path in [*BAD, *DEPLOY.glob("*.yaml")] if path.stem != "not_yaml_endless"]


@pytest.mark.parametrize("path", READ, ids=lambda path: path.stem)
def test_what_libyaml_reads_is_what_pyyaml_reads(path):
    """It is ten times as fast, and `inject` starts for each message."""

    def nodes(node):
        if isinstance(node, yaml.ScalarNode):
            return node.tag, node.value, node.start_mark.line
        inside = [each for entry in node.value for each in (entry if isinstance(entry, tuple) else (entry,))]
        return node.tag, list(map(nodes, inside)), node.start_mark.line

    text = path.read_text()
    try:
        theirs = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            configfile._composed(text)
    else:
        assert nodes(configfile._composed(text)) == nodes(theirs)


def test_labels():
    assert Listener(host="192.0.2.1", port=25).label == "192.0.2.1:25"


def test_nearest_guesses_or_lists():
    assert nearest("virsu", ["virus", "dedup"]) == " (did you mean virus?)"
    assert nearest("zzz", ["virus", "dedup"]) == " (valid: dedup, virus)"


def test_paths_below_a_directory(tmp_path):
    paths = paths_below(tmp_path)
    assert (paths.spool, paths.archive, paths.maillog) == (
        tmp_path / "spool",
        tmp_path / "archive",
        tmp_path / "state" / "maillog",
    )


def test_places_that_are_not_given_are_the_default_ones(monkeypatch):
    """A file that names only its plugin folder must not send anybody to root's places."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    paths = parse("paths: {plugins: /x, archive: /y}").paths
    assert (str(paths.plugins), str(paths.archive)) == ("/x", "/y")
    assert (paths.spool, paths.state) == (default_paths().spool, default_paths().state)


@pytest.mark.parametrize(("uid", "spool"), [(0, "/run/spamtrap"), (1000, "/dev/shm/spamtrap-1000")])
def test_default_places_are_the_systems_for_root_and_ones_own_otherwise(monkeypatch, uid, spool):
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/me/data")
    paths = default_paths()
    assert str(paths.spool) == spool
    assert str(paths.state) == ("/var/lib/spamtrap/state" if uid == 0 else "/home/me/data/spamtrap/state")
