"""tmpfs-setup.sh, run for real: mounts in a mount namespace of the test's own, so nothing outside changes."""

import os
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
from support import lack, need

SCRIPT = Path(__file__).parent.parent / "tmpfs-setup.sh"
JOB = "1234567890123456abcdef01.0"
ROOT = os.geteuid() == 0
NOBODY = 65534


@cache
def namespace() -> tuple[str, ...]:
    """The command before a command that gives it mounts of its own; a normal user becomes root in it."""
    command = (need("unshare"), "--mount") if ROOT else (need("unshare"), "--map-root-user", "--mount")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        lack("mount namespaces are not allowed here")
    return command


def run(script: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run shell lines in a fresh mount namespace; `$setup` in them is the script under test."""
    variables["setup"] = SCRIPT
    settings = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    return subprocess.run(
        [*namespace(), "sh", "-c", settings + script], capture_output=True, text=True, check=False
    )


def run_as_user(script: str, prepare: str = "") -> subprocess.CompletedProcess[str]:
    """Run shell lines as user 65534 with a /dev/shm of its own, where root runs `prepare` first."""
    drop = (
        f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"
        if ROOT
        else f"unshare --user --map-user={NOBODY} --map-group={NOBODY}"
    )
    # Handed over as text: the user may not be allowed to read this checkout.
    lines = f'setup() {{ sh -c {shlex.quote(SCRIPT.read_text())} tmpfs-setup.sh "$@"; }}\ncd /\n{script}'
    return run(
        f"mount -t tmpfs -o mode=1777 shm /dev/shm\nmine=/dev/shm/spamtrap-{NOBODY}\n{prepare}\n"
        f"exec {drop} env mine=$mine sh -c {shlex.quote(lines)}"
    )


# As root


def test_mounts_a_tmpfs_with_the_size_inodes_and_mode_asked_for(tmp_path: Path) -> None:
    done = run(
        "$setup --size 8M --inodes 1k --mode 0700 $dir && grep $dir /proc/self/mounts && stat -c %a $dir",
        dir=tmp_path / "spool",
    )
    assert done.returncode == 0, done.stderr
    said, mount, mode = done.stdout.splitlines()
    assert "mounted" in said and "8M and 1024 files at most" in said
    options = mount.split()[3].split(",")
    assert {"nosuid", "nodev", "noexec", "size=8192k", "nr_inodes=1024"} <= set(options)
    assert mode == "700"


def test_nothing_on_it_can_be_run(tmp_path: Path) -> None:
    done = run(
        "$setup $dir >/dev/null && printf '#!/bin/sh\\n' > $dir/x && chmod +x $dir/x && $dir/x",
        dir=tmp_path / "spool",
    )
    assert "denied" in done.stderr


@pytest.mark.skipif(not ROOT, reason="needs users besides one's own")
def test_the_owner_is_a_name_or_a_number_with_or_without_a_group(tmp_path: Path) -> None:
    done = run(
        "for owner in nobody nobody:daemon 4711 4711:12; do $setup --owner $owner $dir >/dev/null;"
        " stat -c %u:%g $dir; done; id -u nobody; id -g nobody; id -g daemon",
        dir=tmp_path / "spool",
    )
    *owners, nobody, nogroup, daemon = done.stdout.splitlines()
    assert owners == [f"{nobody}:{nogroup}", f"{nobody}:{daemon}", "4711:4711", "4711:12"]


def test_run_again_it_changes_what_was_asked_for_and_keeps_the_rest(tmp_path: Path) -> None:
    done = run(
        f"""
        $setup --size 8M --inodes 1k --mode 0700 $dir >/dev/null
        mkdir -p $dir/dedup/new && echo mail > $dir/dedup/new/{JOB}
        $setup --size 16M $dir
        grep -c $dir /proc/self/mounts; grep -o 'size=[^ ]*' /proc/self/mounts | tail -1
        stat -c %a $dir; cat $dir/dedup/new/{JOB}
        """,
        dir=tmp_path / "spool",
    )
    said, mounts, options, mode, mail = done.stdout.splitlines()
    assert "changed" in said
    assert mounts == "1"
    assert options.startswith("size=16384k,nr_inodes=1024")
    assert (mode, mail) == ("700", "mail")


def test_it_does_not_shrink_below_what_is_in_it(tmp_path: Path) -> None:
    done = run(
        "$setup --size 8M $dir >/dev/null; head -c 4M /dev/zero > $dir/x; $setup --size 1M $dir; echo $?;"
        " stat -c %s $dir/x",
        dir=tmp_path / "spool",
    )
    assert done.stdout.split() == ["1", str(4 << 20)]
    assert "is more in" in done.stderr


def test_it_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / JOB).touch()
    done = run("$setup $dir", dir=tmp_path / "spool")
    assert done.returncode == 1
    assert "is not empty; a mount would hide what is in it" in done.stderr


def test_check_says_what_is_as_it_should_be(tmp_path: Path) -> None:
    done = run(
        "$setup --size 25% --owner $(id -u) $dir >/dev/null; $setup --check --size 25% --owner $(id -u) $dir",
        dir=tmp_path / "spool",
    )
    assert done.returncode == 0, done.stdout
    lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert lines == [["ok", name] for name in ("mounted", "options", "size", "owner", "mode", "free", "free")]


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("umount $dir", "FAIL  mounted  nothing at "),
        ("mount -o remount,exec,nosuid,nodev spamtrap $dir", "FAIL  options  missing: noexec;"),
        ("mount -o remount,size=4M,nosuid,nodev,noexec spamtrap $dir", "FAIL  size     4M, 8M asked for"),
        ("chmod 0755 $dir", "FAIL  mode     755, nothing for others"),
        ("head -c 7900k /dev/zero > $dir/x", "FAIL  free     3% of the bytes"),
        ("cd $dir; seq 62 | xargs touch", "FAIL  free     1% of the inodes"),
    ],
)
def test_check_finds_what_is_not(tmp_path: Path, broken: str, line: str) -> None:
    done = run(
        f"$setup --size 8M --inodes 64 --owner $(id -u) $dir >/dev/null\n{broken}\n"
        "$setup --check --size 8M --owner $(id -u) $dir",
        dir=tmp_path / "spool",
    )
    assert done.returncode == 1
    failed = [said for said in done.stdout.splitlines() if said.startswith("FAIL")]
    assert len(failed) == 1 and failed[0].startswith(line), done.stdout


@pytest.mark.skipif(not ROOT, reason="needs users besides one's own")
def test_check_finds_the_wrong_owner(tmp_path: Path) -> None:
    done = run("$setup --owner nobody $dir >/dev/null; $setup --check --owner 0 $dir", dir=tmp_path / "spool")
    assert done.returncode == 1
    assert "FAIL  owner    nobody:" in done.stdout


def test_unmount_takes_it_away_and_is_content_when_it_is_gone(tmp_path: Path) -> None:
    done = run(
        "$setup $dir >/dev/null; $setup --unmount $dir && $setup --unmount $dir;"
        " grep -c $dir /proc/self/mounts",
        dir=tmp_path / "spool",
    )
    first, second, mounts = done.stdout.splitlines()
    assert "unmounted" in first and "nothing to do" in second and mounts == "0"


@pytest.mark.parametrize("place", ["dedup/new", "dedup/work/12-ab", "bad"])
def test_unmount_is_refused_while_there_are_jobs(tmp_path: Path, place: str) -> None:
    done = run(
        f"$setup $dir >/dev/null; mkdir -p $dir/{place}; touch $dir/{place}/{JOB};"
        "$setup --unmount $dir; echo $?; $setup --unmount --force $dir; echo $?",
        dir=tmp_path / "spool",
    )
    assert "1 jobs are in" in done.stderr and "--force" in done.stderr
    assert [line for line in done.stdout.split() if line.isdigit()] == ["1", "0"]


def test_what_was_never_accepted_does_not_hold_up_unmount(tmp_path: Path) -> None:
    done = run(
        f"$setup $dir >/dev/null; mkdir -p $dir/tmp/12-ab; touch $dir/tmp/12-ab/{JOB}; $setup --unmount $dir",
        dir=tmp_path / "spool",
    )
    assert done.returncode == 0, done.stderr


# Without root


def test_a_user_gets_a_private_directory_in_memory_and_is_told(tmp_path: Path) -> None:
    done = run_as_user("setup; setup; stat -c '%u %a' $mine; setup --check; echo $?")
    first, second, owner, *check, code = done.stdout.splitlines()
    assert first == second
    assert first.endswith(f"not root, so no tmpfs of its own: using /dev/shm/spamtrap-{NOBODY} (mode 0700)")
    assert owner == f"{NOBODY} 700"
    assert [line.split()[:2] for line in check] == [
        ["ok", name] for name in ("mounted", "owner", "free", "free")
    ]
    assert code == "0"


def test_a_user_can_take_it_away_again_but_not_jobs_by_accident() -> None:
    done = run_as_user(
        f"setup >/dev/null; mkdir -p $mine/a/new; touch $mine/a/new/{JOB}; setup --unmount; echo $?;"
        "setup --unmount --force; setup --unmount; ls /dev/shm"
    )
    refused, removed, gone = done.stdout.splitlines()
    assert refused == "1" and "1 jobs are in" in done.stderr
    assert "removed" in removed and "nothing to do" in gone


@pytest.mark.parametrize(
    "prepare",
    [
        "mkdir -m 0777 $mine",
        "ln -s /tmp $mine",
        "ln -s /nowhere $mine",
        "touch $mine",
        pytest.param(
            f"mkdir -m 0700 $mine; chown {NOBODY - 1} $mine",
            marks=pytest.mark.skipif(not ROOT, reason="needs users besides one's own"),
        ),
    ],
)
def test_a_prepared_directory_is_not_used(prepare: str) -> None:
    done = run_as_user(
        "setup; echo $?; setup --check >/dev/null; echo $?; setup --unmount --force; echo $?", prepare
    )
    assert done.stdout.split() == ["1", "1", "1"]
    assert "was prepared by somebody else" in done.stderr


def test_check_without_anything_fails() -> None:
    done = run_as_user("setup --check; echo $?")
    assert done.stdout.splitlines()[-1] == "1"
    assert done.stdout.startswith("FAIL  mounted  neither a tmpfs at /run/spamtrap nor /dev/shm/spamtrap-")


def test_a_user_can_not_choose_the_directory() -> None:
    done = run_as_user("setup /tmp/elsewhere; echo $?; ls /dev/shm")
    assert done.stdout == "1\n"
    assert "only root can mount at /tmp/elsewhere" in done.stderr


# The command line


def setup(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--size", "0"], "0 is no size"),
        (["--size=101%"], "101% is no size"),
        (["--size", "1G\n"], "is no size"),
        (["--size"], "--size needs a value"),
        (["--inodes", "many"], "many is no number of files"),
        (["--owner", "a b"], "a b is no USER[:GROUP]"),
        (["--mode", "1777"], "1777 is no mode"),
        (["--quick"], "no option --quick"),
        (["--check", "--force"], "--force goes with --unmount"),
        (["/run/a", "/run/b"], "one directory, not two"),
        ([""], "the directory's name is empty"),
        (["run/spamtrap"], "run/spamtrap is no absolute path below /"),
        (["//"], "// is no absolute path below /"),
        (["/run/spam trap"], "only A-Z"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_64(arguments: list[str], complaint: str) -> None:
    done = setup(*arguments)
    assert done.returncode == 64
    assert complaint in done.stderr and done.stderr.startswith("tmpfs-setup.sh: ")
    assert done.stdout == ""


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    for name in ("link", "link/"):
        done = setup("--check", str(tmp_path / name))
        assert done.returncode == 1 and "is a symbolic link" in done.stderr


def test_help_names_every_option() -> None:
    said = setup("--help").stdout
    handled = {word for word in SCRIPT.read_text().split() if word.startswith("--") and word.endswith(")")}
    assert len(handled) >= 6
    assert all(option.rstrip(")").split("=")[0] in said for option in handled)


@pytest.mark.parametrize("directory", ["/run/spamtrap", "/run/spam-trap", "/srv/.trap/a_b", "/run//a/"])
def test_the_unit_has_the_name_that_systemd_gives_it(directory: str) -> None:
    escape = need("systemd-escape")
    name = subprocess.run(
        [escape, "--path", "--suffix=mount", directory], capture_output=True, text=True, check=True
    )
    unit = setup("--unit", "--size", "30%", directory).stdout
    assert unit.splitlines()[0] == f"# /etc/systemd/system/{name.stdout.strip()}"
    assert "nosuid,nodev,noexec,size=30%%,nr_inodes=1m,uid=spamtrap,gid=spamtrap,mode=0750" in unit


def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run([need("shellcheck"), SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""
