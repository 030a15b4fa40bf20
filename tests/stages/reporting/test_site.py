"""What answers mean for a report, and files of secrets."""

from pathlib import Path

import pytest

from stages.clients.http import Answer
from stages.reporting.site import Web, accepted, secrets, there
from trap.backend import Broken
from trap.reports import Later, Refused


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_taken(status: int):
    assert accepted(Answer(status, "OK", body=b"thank\nyou")) == f"{status} OK thank you"


@pytest.mark.parametrize("status", [400, 406, 409, 410, 411, 413, 414, 415, 418, 422, 451])
def test_refused_because_of_what_it_says(status: int):
    with pytest.raises(Refused, match=str(status)):
        accepted(Answer(status))


@pytest.mark.parametrize(
    "status",
    [
        300,
        301,
        302,
        303,
        304,
        307,
        308,
        401,
        402,
        403,
        404,
        405,
        407,
        408,
        423,
        425,
        429,
        500,
        502,
        503,
        504,
        599,
    ],
)
def test_not_its_fault(status: int):
    """It comes again: a key that has run out, a page that has moved, too much, too early, a fault."""
    with pytest.raises(Later, match=str(status)) as told:
        accepted(Answer(status, fields={"retry-after": "7"}))
    assert told.value.after == (7 if status >= 400 else 0)


def test_a_redirect_is_told_with_where_it_leads():
    with pytest.raises(Later, match=r"not followed.*https://else\.example/"):
        accepted(Answer(301, fields={"location": "https://else.example/"}))


def test_who_answers_anything_is_there_unless_it_is_a_fault():
    assert (
        there(Answer(405, "Method Not Allowed", {"server": "nginx"}))
        == "nginx answers 405 Method Not Allowed"
    )
    with pytest.raises(Broken, match="500 Oops"):
        there(Answer(500, "Oops"))


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o601])
def test_secrets_are_their_owner_s(tmp_path: Path, mode: int):
    path = tmp_path / "key"
    path.write_text("swordfish")
    path.chmod(mode)
    with pytest.raises(ValueError, match="chmod 600") as told:
        secrets(path)
    assert "swordfish" not in str(told.value)


def test_lines_of_secrets(tmp_path: Path):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text("# of Monday\n one \n\ntwo\n")
    assert secrets(path) == ["one", "two"]
    path.write_text("# none\n\n")
    with pytest.raises(ValueError, match="is empty"):
        secrets(path)
    with pytest.raises(FileNotFoundError):
        secrets(tmp_path / "none")


def test_usual_is_to_trust_whom_the_system_trusts():
    assert (Web().ca, Web().allow_http, Web().timeout) == (None, False, 20.0)
