"""source: the message as it came, by line numbers."""

from hypothesis import given
from hypothesis import strategies as st

from trap.view.source import MAX_LINE, MAX_LINES, line_count, raw_lines


def test_lines_are_asked_for_by_number() -> None:
    message = b"".join(b"line %d\r\n" % n for n in range(1, 100_001))
    assert line_count(message) == 100_000
    assert raw_lines(message, 99_999, 10) == [(99_999, "line 99999"), (100_000, "line 100000")]
    assert raw_lines(message, 100_001, 10) == []
    assert len(raw_lines(message, 0, 10**9)) == MAX_LINES


def test_what_no_screen_should_see_is_escaped() -> None:
    assert raw_lines(b"a\x1b[2J\xff\tb\r\r\n", 1, 1) == [(1, "a\\x1b[2J\\xff\tb\\x0d")]


def test_long_lines_are_cut() -> None:
    assert raw_lines(b"a" * 1_000_000, 1, 1) == [
        (1, "a" * MAX_LINE + f" … {1_000_000 - MAX_LINE} more bytes")
    ]


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"bcd\n", b"x" * 70_000])), st.integers(1, 30))
def test_numbers_are_those_of_the_lines(pieces: list[bytes], first: int) -> None:
    message = b"".join(pieces)
    whole = message.split(b"\n")
    if whole[-1] == b"":
        whole.pop()
    assert line_count(message) == len(whole)
    assert [number for number, _ in raw_lines(message, first, 3)] == list(range(first, len(whole) + 1))[:3]
