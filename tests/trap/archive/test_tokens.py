"""tokens: what is taken out of a text is put back, whatever the text."""

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.tokens import Joiner, found, split

SIGNATURE = base64.b64encode(random.Random(1).randbytes(256))
pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\xff", b"\xff\x00", b"\xff\x06", b"=\r\n", SIGNATURE, SIGNATURE[:21], SIGNATURE * 4]),
    st.from_regex(rb"[A-Za-z0-9+/]{18,90}=?", fullmatch=True),
)


@given(texts=st.lists(st.lists(pieces).map(b"".join), max_size=4))
def test_texts_come_back(texts: list[bytes]) -> None:
    """Several texts share one string of tokens."""
    parts = [split(text, lambda token: len(token) % 5 == 0) for text in texts]
    joiner = Joiner(b"".join(tokens for _, tokens in parts))
    assert [joiner.join(rest) for rest, _ in parts] == texts


def test_a_signature_costs_what_it_holds() -> None:
    rest, tokens = split(b"b=" + SIGNATURE, lambda _: False)
    assert len(rest) < 10
    assert len(tokens) in range(253, 257)


@pytest.mark.parametrize(
    "text", [b"A" * 100, b"0123456789abcdef" * 4, b"Donaudampfschifffahrtsgesellschaft", b""]
)
def test_what_repeats_itself_stays(text: bytes) -> None:
    assert split(text, lambda _: False) == (text, b"")


def test_a_token_that_comes_again_stays() -> None:
    assert split(SIGNATURE, lambda token: token in set(found(SIGNATURE))) == (SIGNATURE, b"")


def test_a_text_full_of_tokens() -> None:
    """What is not taken out stays as it is."""
    text = b" ".join(base64.b64encode(random.Random(n).randbytes(18)) for n in range(12_000))
    rest, tokens = split(text, lambda _: False)
    assert len(tokens) < 11_000 * 18
    assert Joiner(tokens).join(rest) == text
