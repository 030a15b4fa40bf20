"""AUTH: every way to say a name and a password is heard, and no password is ever kept or repeated."""

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.auth import MAX_LINE, MAX_NAME, attempt, harmless, hashed
from trap.config import Config, Smtp
from trap.face import Face

FACE = Face(Config(smtp=Smtp(hostname="mx.trap.example", face="postfix")))
KEY = b"k" * 32
SECRET = b"correct horse"
REFUSED = b"535 5.7.8 Error: authentication failed: (reason unavailable)\r\n"


def b64(said):
    return base64.b64encode(said).decode()


def talk(argument, *answers, accept=False, face=FACE):
    """One attempt: the challenges, the last reply, and what is recorded."""
    heard = []
    conversation = attempt(argument, face, KEY, accept=accept)
    try:
        challenge = next(conversation)
        for answer in answers:
            heard.append(base64.b64decode(challenge.removeprefix(b"334 ").removesuffix(b"\r\n")))
            challenge = conversation.send(answer.encode() if isinstance(answer, str) else answer)
    except StopIteration as end:
        assert len(heard) == len(answers), "it did not hear all of it"
        return (heard, *end.value)
    raise AssertionError(f"it goes on with {challenge!r}")


BOB = {"user": "bob", "password": hashed(SECRET, KEY)}


@pytest.mark.parametrize(
    ("said", "challenges"),
    [
        ([f"PLAIN {b64(b'%c' % 0 + b'bob' + b'%c' % 0 + SECRET)}"], []),
        (["plain", b64(b"\0bob\0" + SECRET)], [b""]),
        (["LOGIN", b64(b"bob"), b64(SECRET)], [b"Username:", b"Password:"]),
        ([f"Login {b64(b'bob')}", b64(SECRET)], [b"Password:"]),
    ],
    ids=["plain at once", "plain", "login", "login with its user"],
)
def test_name_and_password_are_heard(said, challenges):
    heard, reply, fact = talk(*said)
    assert heard == challenges
    assert reply == REFUSED
    assert fact == {"mechanism": said[0].split()[0].upper()} | BOB


def test_an_attempt_can_be_let_in():
    assert talk("LOGIN", b64(b"bob"), b64(SECRET), accept=True)[1:] == (
        b"235 2.7.0 Authentication successful\r\n",
        {"mechanism": "LOGIN"} | BOB,
    )


def test_on_whose_behalf_is_recorded_too():
    assert talk(f"PLAIN {b64(b'boss' + bytes(1) + b'bob' + bytes(1) + SECRET)}")[2]["authorize"] == "boss"


@pytest.mark.parametrize("said", [b"bob\0" + SECRET, b"bob\0" + SECRET + b"\0", b"\0bob\0" + SECRET])
def test_a_nul_too_few_or_too_many_does_not_make_the_password_a_name(said):
    assert talk(f"PLAIN {b64(said)}")[2] == {"mechanism": "PLAIN"} | BOB
    assert talk(f"PLAIN {b64(SECRET)}")[2] == {"mechanism": "PLAIN"} | BOB | {"user": ""}


def test_an_empty_password_is_told_from_any_other():
    assert talk(f"PLAIN {b64(b'%c' % 0 + b'bob' + b'%c' % 0)}")[2]["password"] == ""
    assert talk("LOGIN =", "=")[2] == {"mechanism": "LOGIN", "user": "", "password": ""}


def test_cram_md5_is_kept_by_the_answer_that_equal_passwords_give():
    challenges, reply, fact = talk("CRAM-MD5", b64(b"bob smith 0123456789abcdef0123456789abcdef"))
    assert reply == REFUSED
    assert fact["user"] == "bob smith"
    assert fact["password"] == hashed(b"0123456789abcdef0123456789abcdef", KEY)
    assert talk("CRAM-MD5", "=")[0] == challenges
    assert challenges[0].startswith(b"<")


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "NTLM", "DIGEST-MD5", "SCRAM-SHA-256", "GSSAPI"])
def test_mechanisms_we_do_not_speak_are_recorded_without_what_follows(mechanism):
    plain = Face(Config(smtp=Smtp(face="plain")))
    heard, reply, fact = talk(f"{mechanism} {b64(SECRET)}", face=plain)
    assert (heard, reply) == ([], b"504 5.5.4 Unknown mechanism\r\n")
    assert fact == {"mechanism": mechanism, "error": "mechanism"}


@pytest.mark.parametrize("argument", ["", "  ", b64(b"\0bob\0" + SECRET), "=", "x" * 21, "PLÄIN", "PLAIN\0"])
def test_what_is_no_mechanism_is_not_taken_for_one(argument):
    """A bot that forgets the mechanism says its password in that place."""
    assert talk(argument) == (
        [],
        b"501 5.5.4 Syntax: AUTH mechanism\r\n",
        {"mechanism": "", "error": "syntax"},
    )


def test_a_client_may_give_up():
    assert talk("PLAIN", "*")[1:] == (
        b"501 5.7.0 Authentication aborted\r\n",
        {"mechanism": "PLAIN", "error": "aborted"},
    )
    assert talk("LOGIN", b64(b"bob"), " * ")[2]["error"] == "aborted"


def test_what_is_not_base64_is_recorded_as_that():
    for said in (["PLAIN hunter2!"], ["PLAIN", "hunter2"], ["LOGIN", "YQ==", "ü"], ["PLAIN \udcff\udc80"]):
        assert talk(*said)[2] == {"mechanism": said[0].split()[0], "error": "base64"}


def test_an_endless_answer_is_cut_short():
    assert talk("PLAIN", "A" * (MAX_LINE + 4))[2]["error"] == "long"
    fact = talk("LOGIN", b64(b"x" * 9000), b64(b"y" * 9000))[2]
    assert len(fact["user"]) == MAX_NAME


def test_hashes_are_equal_for_equal_passwords_and_useless_without_the_key():
    assert hashed(SECRET, KEY) == hashed(SECRET, KEY) != hashed(SECRET, b"other")
    assert hashed(SECRET, KEY) != hashed(b"other", KEY)
    assert len(hashed(SECRET, KEY)) == 32


def test_a_line_that_is_no_command_may_be_a_password():
    assert harmless("PASS hunter2", after_auth=False) == "PASS"
    assert harmless("GET / HTTP/1.1", after_auth=False) == "GET / HTTP/1.1"
    assert harmless("aHVudGVyMg==", after_auth=True) == ""


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("a1 LOGIN bob hunter2", "a1 LOGIN"),
        (". authenticate plain hunter2", ". auth"),
        ("  PASS hunter2", "PASS"),
        ("pass\thunter2", "pass"),
        ("PASS login-hunter2", "PASS"),
        ("USER bob PASS hunter2", "USER bob PASS"),
        ("AUTH=PLAIN hunter2", "AUTH"),
    ],
)
def test_a_password_is_not_kept_wherever_other_protocols_say_it(line, kept):
    assert harmless(line, after_auth=False) == kept


answers = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(base64.b64encode),
    st.sampled_from([b"*", b"=", b"", b"AA", b"\xff", b"A" * 20_000]),
)
mechanisms = st.sampled_from(["PLAIN", "LOGIN", "CRAM-MD5", "NTLM", "Plain", ""])


@given(st.builds("{} {}".format, mechanisms, st.text(max_size=40)) | st.text(), st.lists(answers, max_size=4))
def test_every_attempt_comes_to_its_end(argument, said):
    conversation = attempt(argument, FACE, KEY, accept=False)
    try:
        challenge = next(conversation)
        for answer in [*said, b"*", b"*"]:
            assert challenge.startswith(b"334 ")
            challenge = conversation.send(answer)
    except StopIteration as end:
        reply, fact = end.value
        assert reply[:3] in {b"535", b"501"}
        assert reply.count(b"\r\n") == 1
        assert len(str(fact)) < 3000
    else:
        raise AssertionError("three answers were not enough")


passwords = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40
)


@given(passwords)
def test_no_password_stands_in_a_reply_a_record_or_an_error(password):
    raw = password.encode()
    ways = [
        [f"PLAIN {b64(bytes(1) + b'bob' + bytes(1) + raw)}"],
        [f"PLAIN {b64(b'bob' + bytes(1) + raw)}"],
        [f"PLAIN {b64(raw)}"],
        [f"PLAIN !{password}"],
        ["PLAIN", f"{password}!"],
        ["LOGIN", b64(b"bob"), b64(raw)],
        ["LOGIN", b64(b"bob"), f"{password}!"],
        [f"XOAUTH2 {password}"],
        [f"{password}= x"],
    ]
    for way in ways:
        conversation = attempt(way[0], FACE, KEY, accept=False)
        assert password not in repr(conversation)
        said = str(talk(*way))
        assert password not in said
        assert b64(raw) not in said


def test_an_attempt_that_is_dropped_midway_tells_nothing():
    conversation = attempt("LOGIN " + b64(b"bob"), FACE, KEY, accept=False)
    next(conversation)
    try:
        conversation.throw(RuntimeError("gone"))
    except RuntimeError as error:
        assert "bob" not in "".join(traceback.format_exception(error)).replace("test_auth", "")
