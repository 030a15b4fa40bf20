"""Passwords and tokens as the configuration keeps them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from trap.configweb import PASSWORD, TOKEN
from trap.web import passwords


def test_a_password_is_right_or_wrong() -> None:
    kept = passwords.hashed("correct horse")
    assert PASSWORD.fullmatch(kept)
    assert passwords.is_right("correct horse", kept)
    assert not passwords.is_right("correct horsf", kept)
    assert not passwords.is_right("", kept)


def test_two_with_the_same_password_are_kept_differently() -> None:
    assert passwords.hashed("the same") != passwords.hashed("the same")


@settings(deadline=None, max_examples=10)
@given(st.text(max_size=50))
def test_nothing_is_right_for_what_is_no_hash(text: str) -> None:
    assert not passwords.is_right(text, text)


def test_a_token_belongs_to_one_program() -> None:
    token, kept = passwords.new_token()
    other, other_kept = passwords.new_token()
    assert TOKEN.fullmatch(kept)
    tokens = {"grafana": kept, "cron": other_kept}
    assert passwords.owner(token, tokens) == "grafana"
    assert passwords.owner(other, tokens) == "cron"
    assert passwords.owner(token + "x", tokens) is None
    assert passwords.owner(kept, tokens) is None, "what the configuration holds opens nothing"
