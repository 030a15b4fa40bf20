"""deploy/: what is in there fits systemd, Postfix, and the program as it is."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from postfixkit import write
from support import need

from trap.cli.group import spamtrap
from trap.config import Config, Paths
from trap.configfile import parse

REPOSITORY = Path(__file__).parent.parent
DEPLOY = REPOSITORY / "deploy"
UNITS = DEPLOY / "systemd"
SERVICES = ["spamtrap-sink.service", "spamtrap-work@dedup.service", "spamtrap-reap.service"]
EXPOSURE = 1.5
"""What `systemd-analyze security` may give a service, of 10."""


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


def files() -> list[Path]:
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def systemd(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze with our units beside the system's."""
    return subprocess.run(
        [need("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"},
    )


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that exists everywhere in place of ours."""
    copy = tmp_path / "units"
    shutil.copytree(UNITS, copy)
    for service in copy.glob("*.service"):
        service.write_text(service.read_text().replace("/usr/local/bin/spamtrap", "/bin/true"))
    return copy


# systemd


def test_systemd_has_no_complaint_about_any_unit(units: Path) -> None:
    names = [path.name.replace("@.", "@dedup.") for path in units.iterdir() if path.is_file()]
    assert len(names) >= 7
    done = systemd(units, "verify", "--man=no", *names)
    # It loads units of the system too; what it says of those is not about ours.
    assert [line for line in done.stderr.splitlines() if "spamtrap" in line] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_sandboxed(units: Path, service: str) -> None:
    done = systemd(units, "security", "--offline=yes", "--no-pager", service)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE, done.stdout


def test_the_target_wants_a_worker_for_every_stage_of_the_default_pipeline() -> None:
    wanted = re.findall(r"spamtrap-work@([\w-]+)\.service", unit_settings(UNITS / "spamtrap.target"))
    assert wanted == Config().queues


def test_every_service_and_socket_stops_with_the_target() -> None:
    common = read("systemd/spamtrap-.service.d/10-common.conf")
    for text in [common, *(path.read_text() for path in UNITS.glob("*.socket"))]:
        assert "\nPartOf=spamtrap.target\n" in text


def test_the_sandbox_lets_the_services_write_where_the_trap_writes_and_nowhere_else() -> None:
    common = read("systemd/spamtrap-.service.d/10-common.conf")
    assert re.findall(r"^ReadWritePaths=(.*)$", common, re.MULTILINE) == [str(Paths().spool)]
    assert "\nStateDirectory=spamtrap\n" in common
    for path in (Paths().archive, Paths().state):
        assert path.is_relative_to("/var/lib/spamtrap")


def test_a_worker_is_given_longer_to_stop_than_its_longest_job_takes() -> None:
    given = re.search(
        r"^TimeoutStopSec=(\d+)s$", (UNITS / "spamtrap-work@.service").read_text(), re.MULTILINE
    )
    deadline = max(Config().stage(name).deadline for name in Config().queues)
    assert given and int(given[1]) > deadline


def test_the_mount_unit_is_what_tmpfs_setup_writes() -> None:
    written = subprocess.run(
        [REPOSITORY / "tmpfs-setup.sh", "--unit"], capture_output=True, text=True, check=True
    )
    assert (UNITS / "run-spamtrap.mount").read_text().partition("\n")[2] == written.stdout


def test_user_and_directories_are_made(tmp_path: Path) -> None:
    sysusers, tmpfiles = need("systemd-sysusers"), need("systemd-tmpfiles")
    (tmp_path / "etc").mkdir()
    subprocess.run([sysusers, f"--root={tmp_path}", DEPLOY / "sysusers.d/spamtrap.conf"], check=True)
    assert "spamtrap:" in (tmp_path / "etc/passwd").read_text()
    # A normal user can't give directories away, but can have them listed.
    subprocess.run(
        [tmpfiles, f"--root={tmp_path}", "--cat-config", DEPLOY / "tmpfiles.d/spamtrap.conf"],
        check=True,
        capture_output=True,
    )


def unit_settings(path: Path) -> str:
    """A unit without its comments."""
    return "\n".join(line for line in path.read_text().splitlines() if not line.startswith(("#", ";")))


# Postfix


@pytest.fixture
def postfix(tmp_path: Path) -> Path:
    """A configuration directory with our fragments and nothing else."""
    write(tmp_path / "main.cf", read("postfix/main.cf") + "compatibility_level = 3.6\n")
    write(tmp_path / "master.cf", read("postfix/master.cf"))
    return tmp_path


def postconf(directory: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [need("postconf"), "-c", directory, *arguments], capture_output=True, text=True, check=True
    )
    assert "unused parameter" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def test_postfix_reads_our_services_as_we_mean_them(postfix: Path) -> None:
    services = {line.split()[0]: line for line in postconf(postfix, "-M")}
    assert services.keys() == {"spamtrap-lmtp", "spamtrap-pipe"}
    assert services["spamtrap-lmtp"].split()[7] == "lmtp"
    assert "user=spamtrap" in services["spamtrap-pipe"]
    # Whatever exit code or reply comes back, the mail waits: a trap sends no bounces.
    assert all("-o soft_bounce=yes" in line for line in services.values())


def test_postfix_knows_every_parameter(postfix: Path) -> None:
    main = postfix / "main.cf"
    write(main, re.sub(r"^#(\w+ =)", r"\1", main.read_text(), flags=re.MULTILINE))
    said = dict(line.split(" =", 1) for line in postconf(postfix, "-n"))
    assert {
        "relay_domains",
        "transport_maps",
        "message_drop_headers",
        "maximal_queue_lifetime",
    } <= said.keys()
    # The most that Postfix allows; with more its queue manager does not start.
    assert said["maximal_queue_lifetime"].strip() == "100d"


def test_every_transport_is_a_service() -> None:
    transports = re.findall(r"^#?trap\.example\s+([\w-]+):", read("postfix/spamtrap-transport"), re.MULTILINE)
    services = re.findall(r"^([\w-]+) unix", read("postfix/master.cf"), re.MULTILINE)
    assert sorted(transports) == sorted(services)


def test_lmtp_ends_where_postfix_sends() -> None:
    port = re.search(r"inet:(127\.0\.0\.1:\d+)", read("postfix/spamtrap-transport"))
    assert port and f"ListenStream={port[1]}\n" in read("systemd/spamtrap-lmtp.socket")


# Container


def test_the_configuration_of_the_container_is_valid_and_listens_where_the_image_says() -> None:
    config = parse(read("container.yaml"))
    compose = yaml.safe_load(read("compose.yaml"))
    trap = compose["services"]["trap"]
    port = config.listen[0].port
    assert trap["ports"] == [f"25:{port}"]
    assert f"EXPOSE {port}\n" in read("Containerfile")
    clamd, _, clamd_port = str(config.stage("virus").settings["clamd"]).partition(":")
    assert clamd in compose["services"] and clamd_port == "3310"


def test_the_container_writes_only_to_its_spool_and_its_volume() -> None:
    trap = yaml.safe_load(read("compose.yaml"))["services"]["trap"]
    assert trap["read_only"] is True
    spool, tmp = trap["tmpfs"]
    assert spool.startswith(f"{Paths().spool}:") and tmp.startswith("/tmp:")
    for option in ("nosuid", "nodev", "noexec"):
        assert option in spool and option in tmp
    owner = re.search(r"--uid (\d+)", read("Containerfile"))
    assert owner and f"uid={owner[1]}" in spool
    assert "kept:/var/lib/spamtrap" in trap["volumes"]


def test_what_is_copied_into_the_image_exists() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", read("Containerfile"), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"trap", "stages", "pyproject.toml"} <= set(names)
    assert [name for name in names if not (REPOSITORY / name).exists()] == []


# All of it


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of `spamtrap` in deploy/: where, and its arguments."""
    for path in files():
        text = re.sub(r"\n\s+(?=--)", " ", path.read_text())  # continued lines
        for line in text.splitlines():
            pieces = re.findall(r"`([^`]+)`", line) if path.suffix == ".md" and "`" in line else [line]
            for piece in pieces:
                words = piece.split()
                for at, word in enumerate(words[:-1]):
                    named = word == "spamtrap" and path.suffix == ".md" and words[at - 1] not in {"-g", "-t"}
                    if word.endswith("=/usr/local/bin/spamtrap") or named:
                        yield f"{path.name}: {piece}", words[at + 1 :]


def test_every_command_exists_with_its_options() -> None:
    found = list(commands())
    assert {arguments[0] for _, arguments in found} >= {"sink", "work", "reap", "inject", "status"}
    for where, arguments in found:
        command: click.Command = spamtrap
        context = click.Context(spamtrap)
        for word in arguments:
            if isinstance(command, click.Group):
                deeper = command.get_command(context, word)
                assert deeper, f"{where}: no command {word}"
                command = deeper
            elif word == "--":
                break
            elif word.startswith("-"):
                known = {name for option in command.params for name in option.opts}
                assert word.partition("=")[0] in known, f"{where}: no option {word}"


def test_the_guide_names_every_file_and_every_file_it_names_exists() -> None:
    guide = read("README.md")
    for path in set(files()) - {DEPLOY / "README.md"}:
        name = path.relative_to(DEPLOY)
        top = f"{name.parts[0]}/" if len(name.parts) > 1 else name.name
        assert top in guide, path
    for unit in UNITS.iterdir():
        assert unit.name.replace("@.", "@STAGE.") in guide, unit
    named = re.findall(r"deploy/([\w./-]*\w)", guide)
    assert [name for name in named if not (DEPLOY / name).exists() and name != "spamtrap.yaml"] == []
