"""The end of DATA is found whatever the pieces, and only where it is."""

import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap import body as trap_body
from trap.body import Body


@pytest.fixture(scope="module", autouse=True, params=[0, trap_body.FEW])
def few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Dots are gone through one by one, or all at once: it is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trap_body, "FEW", request.param)
        yield


# What a hostile message is made of: everything that looks like an end of data, and text.
SCRAPS = [
    b"\r\n",
    b"\n",
    b"\r",
    b".",
    b"..",
    b"\0",
    b"text",
    b"\r\n.",
    b"\n.\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\xff",
]
hostile = st.lists(st.sampled_from(SCRAPS), max_size=30).map(b"".join)


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    return [wire[a:b] for a, b in pairwise(edges)]


def receive(wire: list[bytes], limit: int = 10**6, bare_lf: bool = False) -> tuple[Body, bytes | None]:
    """Feed the pieces until the message ends; return the body and all that came after."""
    body = Body(limit, bare_lf=bare_lf)
    for at, piece in enumerate(wire):
        rest = body.feed(piece)
        if rest is not None:
            return body, rest + b"".join(wire[at + 1 :])
    return body, None


def message_of(body: Body) -> bytes:
    return b"".join(body.take())


def stuffed(message: bytes) -> bytes:
    """What a correct client sends for a message that ends with CRLF."""
    return re.sub(rb"(\A|\r\n)\.", rb"\1..", message) + b".\r\n"


def stuffed_as_smtplib_does(message: bytes) -> bytes:
    """The same from a client for which a bare LF begins a line too."""
    return re.sub(rb"(?m)^\.", b"..", message) + b".\r\n"


@given(hostile.map(lambda text: text + b"\r\n"), st.lists(st.integers(0, 500), max_size=12), hostile)
def test_any_message_in_any_pieces_comes_out_as_it_was(message, cuts, after):
    wires = [stuffed_as_smtplib_does(message)]
    if not re.search(rb"(?<!\r)\n\.\.", message):  # the one thing that can't be told from stuffing
        wires.append(stuffed(message))
    for wire in wires:
        body, rest = receive(pieces(wire + after, cuts))
        assert (message_of(body), rest, body.oversize) == (message, after, False)


@given(hostile, st.lists(st.integers(0, 500), max_size=12), st.booleans(), st.integers(0, 40))
def test_the_pieces_never_matter(wire, cuts, bare_lf, limit):
    def outcome(parts: list[bytes]) -> tuple[object, ...]:
        body, rest = receive(parts, limit, bare_lf)
        return rest, rest is not None and (message_of(body), body.oversize)

    assert outcome(pieces(wire, cuts)) == outcome([wire])


def test_an_empty_message_ends_at_once():
    body, rest = receive([b".\r\nQUIT\r\n"])
    assert (message_of(body), rest) == (b"", b"QUIT\r\n")


def test_the_last_dot_of_a_piece_may_be_the_one_that_counts():
    body, rest = receive([b"x.\n.", b"y.\r\n.", b"\r\n"])
    assert (message_of(body), rest) == (b"x.\n.y.\r\n", b"")


def test_a_dot_that_was_not_stuffed_is_taken_for_one_that_was():
    body, _ = receive([b".lonely\r\n.\r\n"])
    assert message_of(body) == b"lonely\r\n"


def test_after_a_bare_newline_a_lone_dot_is_content_and_two_are_one_stuffed():
    body, _ = receive([b"a\n.b\n..c\r\n.\r\n"])
    assert message_of(body) == b"a\n.b\n.c\r\n"


def test_without_any_crlf_a_bare_dot_line_ends_it():
    body, rest = receive([b"a\n..b\n.", b"\nQUIT\n"], bare_lf=True)
    assert (message_of(body), rest, body.bare_lf) == (b"a\n.b\n", b"QUIT\n", True)


def test_one_crlf_in_the_message_and_a_bare_dot_line_ends_it_no_more():
    body, rest = receive([b"a\r", b"\nb\n.\nRCPT TO:<x>\n", b"c\r\n.\r\n"], bare_lf=True)
    assert (message_of(body), rest, body.bare_lf) == (b"a\r\nb\n.\nRCPT TO:<x>\nc\r\n", b"", False)


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_limit_counts_the_message_and_not_its_stuffing(extra):
    message = b".a\r\n" * 25
    body, rest = receive(pieces(stuffed(message), list(range(0, 200, 7))), limit=100 + extra)
    assert (body.oversize, rest) == (extra < 0, b"")
    assert message_of(body) == (b"" if extra < 0 else message)


def test_what_is_too_long_is_not_kept_while_it_is_read():
    body = Body(1000)
    for _ in range(1000):
        assert body.feed(b"x" * 1000) is None
        assert body.kept <= 1000
    assert body.feed(b"\r\n.\r\nNOOP\r\n") == b"NOOP\r\n"
    assert body.oversize


@pytest.mark.parametrize("line", [b"..\r\n", b"..\n", b".\n", b"..\r\n..\n"], ids=repr)
@pytest.mark.parametrize("bare_lf", [False, True])
def test_a_message_of_dots_does_not_hold_others_up(line, bare_lf):
    """It took a second for 10 MB, in which nobody else was heard."""
    end = b"\n.\n" if bare_lf and b"\r" not in line else b"\r\n.\r\n"
    line = b".x\n" if end == b"\n.\n" else line
    wire = [line * 50_000] * 20
    began = time.process_time()
    _, rest = receive([*wire, end], limit=1 << 30, bare_lf=bare_lf)
    assert rest == b""
    assert time.process_time() - began < 50e-9 * sum(map(len, wire)) + 0.1


VECTORS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\r\r\n",
    b"\r\n.\r\0\n",
]


@pytest.mark.parametrize("vector", VECTORS, ids=repr)
def test_look_alikes_do_not_end_it(vector):
    assert_is_content(vector)


def test_the_look_alikes_of_the_corpus_do_not_end_it(corpus):
    for vector in json.loads((corpus / "protocol/eod_vectors.json").read_text())["vectors"]:
        assert_is_content(bytes.fromhex(vector["hex"]))


def assert_is_content(vector: bytes) -> None:
    text = b"Subject: x\r\n\r\nbefore" + vector + b"MAIL FROM:<smuggled@example.com>\r\n"
    body, rest = receive([text + b".\r\n"])
    assert rest == b""
    assert message_of(body) == text.replace(b"\r\n.", b"\r\n")
    one_by_one, _ = receive([bytes([byte]) for byte in text + b".\r\n"])
    assert message_of(one_by_one) == text.replace(b"\r\n.", b"\r\n")
