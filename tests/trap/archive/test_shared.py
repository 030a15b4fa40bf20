"""shared: what two messages say is in the dictionary, what one says is not."""

import pytest

from trap.archive import shared
from trap.archive.shared import Counter, Shared

ALIKE = [[b"Dear %d,\nbuy our pills\nnow or never\n" % number] for number in range(6)]


def known(messages: list[list[bytes]]) -> Shared:
    found = Shared()
    for texts in messages:
        found.add(texts)
    return found


def test_lines_that_two_messages_have() -> None:
    assert known(ALIKE[:2]).lines(ALIKE[:2]) == b"buy our pills\nnow or never\n"
    assert known(ALIKE[:1]).lines(ALIKE[:1]) == b""


def test_a_line_that_one_message_says_twice() -> None:
    messages = [[b"the same line\nthe same line\n"], [b"another one\n"]]
    assert known(messages).lines(messages) == b""


def test_of_near_copies_the_first_is_whole() -> None:
    assert known(ALIKE).lines(ALIKE, ALIKE[2:3]) == b"buy our pills\nnow or never\nDear 2,\n"


def test_when_they_are_too_many_the_frequent_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "LINES", 20)
    messages = [[b"seldom said\nmostly said\n"]] * 2 + [[b"mostly said\n"]] * 2
    assert known(messages).lines(messages) == b"mostly said\n"
    monkeypatch.setattr(shared, "LINES", 5)
    assert known(messages).lines(messages) == b"mostl"


def test_of_a_long_text_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_LOOK", 14)
    assert known(ALIKE[:2]).lines(ALIKE[:2]) == b""
    monkeypatch.setattr(shared, "_LOOK", 30)
    assert b"buy our pills\n" in known(ALIKE[:2]).lines(ALIKE[:2])


def test_tokens() -> None:
    token = b"kZ8vT1xQm4Rw2Lp9Yc7Hd3"
    assert known([[token], [token]]).token(token)
    assert not known([[token], [b"x"]]).token(token)


def test_counting() -> None:
    counter = Counter()
    for _ in range(3):
        counter.add(["a", "a", "b"])
    counter.add(["a"])
    assert [counter.came("a", times) for times in (1, 2, 3, 4)] == [True] * 4
    assert [counter.came("b", times) for times in (1, 2, 3, 4)] == [True, True, True, False]
    assert not counter.came("c", 1)
