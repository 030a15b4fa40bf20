"""A session in words: each key that the sink notes has a sentence; what a client says is only text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from trap import session as sink
from trap.envelope import Envelope, Rcpt
from trap.view.session import facts, oddities

SAID = {
    "pipelining": "unasked",
    "unknown_verbs": ["XFOO", "GET"],
    "auth": [{"mechanism": "LOGIN", "user": "joe", "password": "0123456789abcdef", "authorize": "root"}],
    "http": "GET /",
    "proxy": "192.0.2.1",
}


def test_every_key_of_the_sink_has_a_sentence() -> None:
    told = (sink.__doc__ or "").partition("Its keys")[2]
    keys = re.findall(r"`(\w+)`", told)
    assert len(keys) > 10
    for key in keys:
        [sentence] = oddities(Envelope(dialect={key: SAID.get(key, True)}))
        assert sentence.startswith("It "), key
        assert sentence.endswith("."), key


def test_an_attempt_to_log_in_is_told_without_its_password() -> None:
    [sentence] = oddities(Envelope(dialect={"auth": SAID["auth"]}))
    assert "LOGIN as “joe”, on behalf of “root”" in sentence
    assert "0123456789ab…" in sentence
    assert "0123456789abcdef" not in sentence
    [broken] = oddities(Envelope(dialect={"auth": [{"mechanism": "", "error": "syntax"}]}))
    assert broken == "It tried to log in with no mechanism; broken off by bad syntax."


def test_a_key_of_a_later_version_is_shown_as_it_is() -> None:
    assert oddities(Envelope(dialect={"juggling": [1, 2]})) == ["juggling: [1, 2]"]


def test_what_was_said_is_told_in_its_order() -> None:
    envelope = Envelope(
        client_ip="192.0.2.7",
        client_port=4711,
        helo="mail.a.example",
        helo_verb="EHLO",
        mail_from="joe@a.example",
        mail_params=["SIZE=5"],
        rcpts=[Rcpt(address=f"trap{number}@b.example", tag="web") for number in range(30)],
        connected_at=100.0,
        first_command_at=100.5,
        received_at=103.0,
        commands=5,
        errors=["550 no"],
    )
    found = facts(envelope)
    names = [fact.name for fact in found]
    assert names[:1] == ["client"]
    assert names.index("EHLO") < names.index("MAIL FROM") < names.index("RCPT TO") < names.index("we refused")
    values = {fact.name: fact.value for fact in found}
    assert values["client"] == "192.0.2.7 port 4711"
    assert values["MAIL FROM"] == "<joe@a.example> SIZE=5"
    assert values["RCPT TO"] == "and 10 more"
    assert values["pace"] == "first command after 0.5s, message complete after 3.0s"
    assert {fact.search for fact in found} >= {"ip:192.0.2.7", "helo:mail.a.example", "from:joe@a.example"}


def test_the_null_sender_can_be_searched_for() -> None:
    [sender] = [fact for fact in facts(Envelope()) if fact.name == "MAIL FROM"]
    assert (sender.value, sender.search) == ("<>", 'from:"<>"')


@given(st.text(max_size=2000), st.dictionaries(st.text(max_size=20), st.text(max_size=2000), max_size=5))
def test_whatever_a_client_says_is_bounded_text(said: str, dialect: dict[str, str]) -> None:
    envelope = Envelope(helo=said, mail_from=said, rcpts=[Rcpt(address=said)], errors=[said], dialect=dialect)
    for text in [*(fact.value for fact in facts(envelope)), *oddities(envelope)]:
        assert text.isprintable()
        assert len(text) < 600
