"""Passwords: what a reader would take for one is tried first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_most

from stages.extraction.passwords import MAX_CANDIDATES, candidates


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("password: 1234", "1234"),
        ("Subject: Your invoice (password 88291)\n\nPlease find attached.", "88291"),
        ("The archive's code is **QW12er**.", "QW12er"),
        ('Use "open sesame7" or the password "Sesame7".', "Sesame7"),
        ("Use 5521 as the password to open it", "5521"),
        ("Password:\n\n    JKL-99\n\nregards", "JKL-99"),
        ("the file is protected. PIN\n771", "771"),
        ("pw=hunter2!", "hunter2!"),
        ("Das Passwort lautet: 7Xk2", "7Xk2"),
        ("Das Kennwort zum Öffnen ist 4711.", "4711"),
        ("Le mot de passe est « Fact2024 »", "Fact2024"),
        ("contraseña: abc", "abc"),
        ("La clave del archivo es 3391", "3391"),
        ("A senha é 0099", "0099"),
        ("La password per aprire: FT55", "FT55"),
        ("Het wachtwoord is 8812", "8812"),
        ("Hasło do pliku: fv_2024", "fv_2024"),
        ("Heslo k archivu je 6120", "6120"),
        ("Şifre: 7788", "7788"),
        ("пароль 7777", "7777"),
        ("Пароль к архиву: Qw1!", "Qw1!"),
        ("解压密码是2024abc", "2024abc"),
        ("密碼\uff1aabc123", "abc123"),
        ("パスワード\uff1aabc123", "abc123"),
        ("비밀번호: 4321", "4321"),
    ],
)
def test_a_password_in_the_text_is_tried_first(text: str, password: str) -> None:
    assert password in candidates(text)[:3]


def test_a_plain_word_is_tried_after_what_looks_like_a_password() -> None:
    found = candidates("the password to open the file is banana")
    assert "banana" in found
    assert found.index("infected") < found.index("banana")


def test_names_of_files_may_have_it() -> None:
    assert {"8812", "1717"} <= set(candidates("", ["report_pw8812.zip", "1717.zip"])[:4])


def test_a_line_of_its_own_may_be_it() -> None:
    assert candidates("Please see the file.\n\n  9A-77b  \n\nRegards")[0] == "9A-77b"


def test_without_any_hint_it_is_what_everybody_uses() -> None:
    assert candidates("hello friend")[:2] == ["infected", "1234"]


@given(st.text(), st.lists(st.text()))
def test_there_are_few_whatever_the_text(text: str, names: list[str]) -> None:
    found = candidates(f"password {text}", names)
    assert len(found) == len(set(found)) <= MAX_CANDIDATES
    assert all(found)


@pytest.mark.parametrize(
    "text",
    [
        "password " * 100_000,
        " * " * 100_000 + "(" * 100_000,
        "mot" + " " * 500_000,
        "x\n" * 300_000,
        "«" * 500_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    with at_most(0.5):
        candidates(text, ["1" * 100_000] * 100)
