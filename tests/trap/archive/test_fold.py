"""fold: base64 is stored as what it stands for, and comes back as it was written."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.fold import fold, unfold


def lines(data: bytes, width: int = 76, end: bytes = b"\r\n") -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[at : at + width] + end for at in range(0, len(text), width))


@pytest.mark.parametrize("width", [40, 64, 76, 100, 998])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [4000, 4001, 4002, 4003])
def test_a_run_of_base64_is_stored_decoded(width: int, end: bytes, size: int) -> None:
    data = bytes(range(256)) * 16
    message = b"Subject: x" + end * 2 + lines(data[:size], width, end) + b"--b--" + end
    pieces = fold(message)
    assert [width, end == b"\r\n", data[:size]] in pieces
    assert unfold(pieces) == message


@pytest.mark.parametrize(
    "odd",
    [
        lines(b"x" * 900).replace(b"\r\n", b"\n", 1),  # line endings mixed
        lines(b"x" * 900, 75),  # not a multiple of four
        lines(b"x" * 900)[:-2] + b"=\r\n",  # padding where none is due
        lines(b"x" * 901).replace(b"=", b""),  # padding missing
        lines(b"x" * 901)[:-6] + b"B==\r\n",  # bits set that stand for nothing
        lines(b"x" * 900)[:-1],  # torn line ending
        lines(b"x" * 900, 76) + lines(b"y" * 900, 60),  # two runs without anything between
        b"A" * 50_000,
    ],
)
def test_what_would_not_come_back_is_left_alone(odd: bytes) -> None:
    assert unfold(fold(odd)) == odd
    assert unfold(fold(b"head\r\n\r\n" + odd + b"\r\ntail")) == b"head\r\n\r\n" + odd + b"\r\ntail"


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.builds(
                lines, st.binary(max_size=3000), st.integers(1, 120), st.sampled_from([b"\n", b"\r\n", b"\r"])
            ),
            st.sampled_from([b"\r\n", b"\n", b"=", b"A" * 76 + b"\r\n", b"A" * 77 + b"\n"]),
        )
    )
)
def test_every_message_comes_back(parts: list[bytes]) -> None:
    message = b"".join(parts)
    assert unfold(fold(message)) == message


def test_every_message_of_the_corpus_comes_back(corpus: Path) -> None:
    for path in corpus.glob("*/*.eml"):
        message = path.read_bytes()
        assert unfold(fold(message)) == message, path
