"""Every command: what it prints for people, for machines, and how it fails."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from clikit import Run

from trap import fsio, listening
from trap.cli import COMMANDS
from trap.cli.base import App, Group
from trap.cli.group import spamtrap as root
from trap.config import paths_below
from trap.configfile import parse
from trap.live import Board, Live

EML = b"Return-Path: <s@example.org>\r\nSubject: a prize\r\nFrom: s@example.org\r\n\r\nYou have won.\r\n"


def commands() -> list[list[str]]:
    """Every command and subcommand."""
    found = []
    for name in COMMANDS:
        command = root.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        if isinstance(command, Group):
            found += [[name, sub] for sub in command.list_commands(None)]  # type: ignore[arg-type]
        else:
            found.append([name])
    return found


@pytest.mark.parametrize("name", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, name: list[str]) -> None:
    result = run(*name, "--help")
    assert result.code == 0
    assert "Example:" in result.out
    assert f"spamtrap {' '.join(name)}" in result.out.partition("Example:")[2]
    assert "--dir" in result.out


def test_a_trap_that_nothing_came_to(run: Run, home: Path) -> None:
    status = run("status", "--json").json
    assert [queue["name"] for queue in status["queues"]] == ["first", "second"]
    assert {"name", "waiting", "claimed", "oldest_age_s", "workers"} <= set(status["queues"][0])
    assert {"bad", "accepted", "archived", "drops", "shed"} <= set(status)
    audit = run("audit", "--json")
    assert audit.code == 0
    assert audit.json["balanced"] is True
    wanted = {"accepted", "archived", "dropped", "shed", "purged", "bad", "in_flight", "missing", "balanced"}
    assert wanted <= set(audit.json)


def test_inject_show_and_purge(run: Run, home: Path) -> None:
    job_id = run("inject", "-f", "s@example.org", "trap@example.com", stdin=EML).out.strip()
    assert run("status", "--json").json["queues"][0]["waiting"] == 1
    [row] = run("queue", "ls", "first", "--json").rows
    assert (row["id"], row["mail_from"], row["subject"]) == (job_id, "s@example.org", "a prize")
    assert run("queue", "show", job_id, "--raw").out.encode() == EML
    shown = run("queue", "show", job_id, "--json").json
    assert shown["envelope"]["rcpts"] == [{"address": "trap@example.com"}]
    assert "a prize" in run("queue", "show", job_id).out
    assert run("queue", "purge", "--dry-run", "--json").json == {
        "purged": {"first": 1, "second": 0},
        "dry_run": True,
    }
    assert run("queue", "purge", "--older-than", "1h", "--json").json["purged"]["first"] == 0
    assert run("queue", "purge", "first", "--json").json == {"purged": {"first": 1}, "dry_run": False}
    assert run("audit", "--json").json["purged"] == 1


def test_a_bad_job_is_looked_at_and_requeued(run: Run, home: Path) -> None:
    job_id = run("inject", "trap@example.com", stdin=EML).out.strip()
    app = App()
    app.directory = home
    with app.spool["first"].consumer() as worker:
        claim = worker.claim()
        assert claim is not None
        claim.condemn("ValueError: too good to be true", "Traceback of the test")
    [row] = run("queue", "ls", "bad", "--json").rows
    assert (row["queue"], row["reason"]) == ("bad/first", "ValueError: too good to be true")
    assert "Traceback of the test" in run("queue", "show", job_id).out
    assert run("status", "--json").json["bad"] == 1
    assert run("queue", "requeue", job_id).out == "1 requeued\n"
    assert run("status", "--json").json["queues"][0]["waiting"] == 1
    assert run("queue", "requeue", job_id).code == os.EX_NOINPUT
    assert run("queue", "requeue").code == os.EX_USAGE
    for part in ("", job_id[:5]):
        assert run("queue", "show", part).code == os.EX_NOINPUT, "another job than the one that was named"


def test_no_job_is_younger_than_now_after_the_clock_was_set_back(run: Run, home: Path) -> None:
    job_id = run("inject", "trap@example.com", stdin=EML).out.strip()
    new = home / "spool" / "first" / "new"
    (new / f"{job_id}.0").rename(new / f"9{job_id[1:]}.0")
    assert run("status", "--json").json["queues"][0]["oldest_age_s"] == 0


def test_an_unreadable_job_is_told_in_one_line(run: Run, home: Path) -> None:
    job_id = run("inject", "trap@example.com", stdin=EML).out.strip()
    (home / "spool" / "first" / "new" / f"{job_id}.0").write_bytes(b"garbage")
    assert run("queue", "ls", "--json").rows[0]["reason"] == "unreadable, or gone by now"
    result = run("queue", "show", job_id)
    assert result.code == os.EX_DATAERR
    assert len(result.err.splitlines()) == 1


def test_listing_a_queue_reads_its_directory_once(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        run("inject", "trap@example.com", stdin=EML)
    listed = []
    names = fsio.names
    monkeypatch.setattr(fsio, "names", lambda directory: listed.append(directory) or names(directory))
    assert len(run("queue", "ls", "first", "--json").rows) == 3
    assert sum(directory.endswith("first/new") for directory in listed) == 1


def test_audit_names_what_is_missing(run: Run, home: Path) -> None:
    job_id = run("inject", "trap@example.com", stdin=EML).out.strip()
    next((home / "spool/first/new").iterdir()).unlink()
    result = run("audit", "--json")
    assert result.code == 1
    assert (result.json["missing"], result.json["balanced"]) == ([job_id], False)
    told = run("audit")
    assert told.code == 1
    assert f"missing: {job_id}" in told.out
    assert "NOT balanced" in told.out


@pytest.mark.parametrize("at", [0, 1])
def test_dir_may_stand_anywhere(run: Run, tmp_path: Path, at: int) -> None:
    line = ["config", "show", "--json"]
    line[at * 3 : at * 3] = ["--dir", str(tmp_path)]
    assert run(*line).json["paths"]["spool"] == str(tmp_path / "spool")


def test_try_judges_a_file(run: Run, home: Path) -> None:
    folder = home / "plugins"
    assert run("new-stage", "oversize", "--to", str(folder)).code == 0
    settings = str(folder / "oversize.yaml")
    small, large = home / "small.eml", home / "large.eml"
    small.write_bytes(EML)
    large.write_bytes(EML + b"x" * 2_000_000)
    rows = run("--config", settings, "try", "oversize", str(small), str(large), "--json").rows
    assert [(row["verdict"], row["reason"]) for row in rows] == [("pass", None), ("drop", "too large")]
    assert rows[0] == {
        "file": str(small),
        "verdict": "pass",
        "reason": None,
        "to": None,
        "notes": {"size": len(EML)},
    }
    assert "too large" in run("--config", settings, "try", "oversize", str(large)).out
    assert run("--config", settings, "try", "oversize", "-", "--json", stdin=EML).rows[0]["verdict"] == "pass"


def test_a_new_stage_is_ready_to_run(run: Run, home: Path) -> None:
    folder = home / "plugins"
    told = run("new-stage", "no-cats", "--to", str(folder))
    assert {path.name for path in folder.iterdir()} == {"no-cats.py", "no-cats.yaml", "test_no_cats.py"}
    assert "pytest" in told.out
    line = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, str(folder)]
    passed = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert passed.returncode == 0, passed.stdout
    assert "2 passed" in passed.stdout
    again = run("new-stage", "no-cats", "--to", str(folder))
    assert again.code == os.EX_USAGE
    assert "there already" in again.err
    assert run("new-stage", "No Cats").code == os.EX_USAGE


def test_what_config_show_prints_is_a_configuration_that_means_the_same(run: Run, home: Path) -> None:
    shown = run("config", "show").out
    (home / "spamtrap.yaml").write_text(shown)
    assert run("config", "check").code == 0
    assert run("config", "show").out == shown


def test_config_check_and_schema(run: Run, home: Path) -> None:
    assert "queues: first, second" in run("config", "check").out
    schema = run("config", "schema").json
    assert schema["properties"]["reaper"]["properties"]["max_age"]["pattern"]
    assert set(run("config", "show", "--json").json) == set(schema["properties"])


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (["stauts"], os.EX_USAGE, "No such command 'stauts'"),
        (["work", "frist"], os.EX_CONFIG, "did you mean first?"),
        (["queue", "ls", "frist"], os.EX_CONFIG, "did you mean first?"),
        (["work", "first"], os.EX_CONFIG, "first has `workers: 0`: it only holds what is put there"),
        (["queue", "show", "1234"], os.EX_NOINPUT, "no job 1234"),
        (["queue", "purge", "--older-than", "soon"], os.EX_USAGE, "'soon' is not a time span"),
        (["--config", "/nonexistent.yaml", "status"], os.EX_CONFIG, "/nonexistent.yaml: No such file"),
        (["try", "first"], os.EX_USAGE, "FILE"),
        (["up", "--listen", "nowhere"], os.EX_USAGE, "not HOST:PORT"),
    ],
)
def test_errors_are_one_line_and_a_code(run: Run, home: Path, line: list[str], code: int, told: str) -> None:
    result = run(*line)
    assert result.code == code
    assert told in result.err
    assert len(result.err.splitlines()) == 1
    assert "Traceback" not in result.err


def test_a_mistake_in_the_file_is_told_with_its_line(run: Run, home: Path) -> None:
    (home / "spamtrap.yaml").write_text("pipeline: [first]\nreeper: {}\n")
    result = run("status")
    assert result.code == os.EX_CONFIG
    assert result.err == f"spamtrap: {home}/spamtrap.yaml:2: reeper: no such setting (did you mean reaper?)\n"


def test_a_file_that_is_not_text_is_told_in_one_line(run: Run, home: Path) -> None:
    (home / "spamtrap.yaml").write_bytes(b"\xff\xfe")
    result = run("config", "check")
    assert result.code == os.EX_CONFIG
    assert len(result.err.splitlines()) == 1


def test_hostile_bytes_do_not_reach_the_terminal(run: Run, home: Path) -> None:
    run(
        "inject",
        "-f",
        "a\x1b[2Jb",
        "trap@example.com",
        stdin=b"Subject: \x1b]0;owned\x07\xff\r\n\r\n\x1b[31m\r\n",
    )
    for line in (["queue", "ls"], ["queue", "ls", "--json"], ["status"]):
        assert "\x1b" not in run(*line).out
    job_id = run("queue", "ls", "--json").rows[0]["id"]
    assert "\x1b" not in run("queue", "show", job_id).out
    assert "\x1b" not in run("queue", "show", job_id, "--json").out


def test_doctor_finds_out_why_no_mail_comes(run: Run, home: Path) -> None:
    (home / "spamtrap.yaml").write_text(
        "listen: [{port: 1}]\naccept: {domains: [.trap.example]}\npipeline: [dedup, virus]\n"
        f"stages: {{virus: {{clamd: {home}/none.ctl, when_unavailable: wait}}}}\n"
    )
    result = run("doctor", "--json")
    assert result.code == 1
    found = {row["what"]: (row["state"], row["text"]) for row in result.rows}
    assert found["configuration"][0] == "good"
    state, text = found["port 127.0.0.1:1"]
    assert state == "bad"
    assert text.startswith("Connection refused; is the sink running?")
    assert ("ports below 1024 need root" in text) == (os.geteuid() != 0)
    assert found["worker dedup"][0] == "bad"
    state, text = found[f"virus: {home}/none.ctl"]
    assert state == "bad"
    assert text.lower().startswith("no such file or directory")
    assert text.endswith("; its jobs wait")
    assert "*.trap.example. IN MX 10" in found["DNS .trap.example"][1]
    (home / "spamtrap.yaml").write_text("pipline: []\n")
    [row] = run("doctor", "--json").rows
    assert (row["state"], row["what"]) == ("bad", "configuration")


def test_doctor_looks_where_the_sink_says_it_listens(run: Run, home: Path) -> None:
    def greet() -> None:
        client, _ = server.accept()
        with client:
            client.sendall(b"220 trap\r\n")

    (home / "spamtrap.yaml").write_text("listen: [{port: 1}]\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        board = Board(msgspec.structs.replace(parse(""), paths=paths_below(home)))
        board.publish(Live(pid=1, addresses=[address]))
        greeter = threading.Thread(target=greet)
        greeter.start()
        found = {row["what"]: row for row in run("doctor", "--json").rows}
        greeter.join()
        board.close()
    assert found[f"port {address}"]["text"] == "220 trap"
    assert "port 127.0.0.1:1" not in found


def test_watch_writes_on_when_piped(home: Path) -> None:
    line = [sys.executable, "-m", "trap", "status", "--watch", "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        rows = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.terminate()
    assert all(row["accepted"] == 0 for row in rows)


def test_status_shows_what_an_earlier_configuration_left(run: Run, home: Path) -> None:
    run("inject", "trap@example.com", stdin=EML)
    (home / "spamtrap.yaml").write_text("pipeline: [other]\nstages: {other: {workers: 0}}\n")
    shown = {queue["name"]: queue for queue in run("status", "--json").json["queues"]}
    assert shown["first"]["configured"] is False
    assert shown["first"]["waiting"] == 1
    assert "first (not configured)" in run("status").out
    assert run("audit").code == 0
    app = App()
    app.directory = home
    with app.spool["first"].consumer() as worker:
        claim = worker.claim()
        assert claim is not None
        claim.condemn("for the test")
    refused = run("queue", "requeue", "--all")
    assert (refused.code, "no longer configured" in refused.err) == (os.EX_CONFIG, True)
    assert run("queue", "purge", "bad", "--json").json["purged"] == {"bad": 1}


def test_as_root_a_look_is_taken_as_the_configured_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of root's, made by a look before the first start, would stop the trap."""
    done = []
    somebody = object()
    monkeypatch.setattr(listening, "find_user", lambda name: somebody if name == "trap" else None)
    monkeypatch.setattr(listening, "provide", lambda paths, user: done.append(("provide", user)))
    monkeypatch.setattr(listening, "become", lambda user: done.append(("become", user)))
    (home / "spamtrap.yaml").write_text("pipeline: [first]\nuser: trap\n")
    app = App()
    app.directory = home
    assert not (home / "spool").exists()
    assert app.spool["first"].stats().waiting == 0
    assert done == [("provide", somebody), ("become", somebody)]


def test_totals_that_cant_be_read_are_told(run: Run, home: Path) -> None:
    run("status")
    (home / "state/maillog/settled.json").write_text("{")
    for command in ("status", "audit"):
        result = run(command)
        assert result.code == os.EX_IOERR
        assert "settled.json: not the totals of a mail log" in result.err


def test_config_check_builds_what_it_can(run: Run, home: Path) -> None:
    for text, told in (
        ("stages:\n  dedup:\n    keep: 0\n", "spamtrap.yaml:3: stages.dedup.keep: 0"),
        ("stages:\n  virus:\n    clamd: x\n", "spamtrap.yaml:3: stages.virus.clamd: 'x' is not the address"),
        (
            "stages:\n  virus:\n    to:\n    clamd: [/x, x:y]\n",
            "yaml:4: stages.virus.clamd: 'x:y' is not the",
        ),
        (
            "stages:\n  virus:\n    timeout: 90s\n",
            "spamtrap.yaml:3: stages.virus.timeout: 90 s is not below the stage's deadline, 60 s",
        ),
        ("user: nosuchuser\n", "spamtrap.yaml:1: user: there is no user 'nosuchuser'"),
        ("tls: {cert: /none.pem, key: /none.pem}\n", "tls.cert: no file /none.pem"),
        (f"paths: {{plugins: {home}/none}}\n", f"paths.plugins: no folder {home}/none"),
    ):
        (home / "spamtrap.yaml").write_text(text)
        result = run("config", "check")
        assert (result.code, told in result.err) == (os.EX_CONFIG, True), result.err
    assert not (home / "state").exists(), "a check leaves nothing behind"
