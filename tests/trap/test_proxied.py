"""The PROXY header: taken in any pieces, bounded, and read as aiosmtpd reads it when it may wait."""

import asyncio
import struct

import pytest
from aiosmtpd.proxy_protocol import get_proxy
from hypothesis import given
from hypothesis import strategies as st

from trap.proxied import MAX_V2, Proxied, ProxyHeader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n"


def v2(command, family, block, signature=SIGNATURE):
    return signature + struct.pack("!BBH", command, family, len(block)) + block


INET = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 40000, 25)
INET6 = bytes.fromhex("20010db8000000000000000000000001" * 2) + struct.pack("!HH", 40000, 25)
BOTH = ("192.0.2.1", 40000), ("198.51.100.2", 25)
NOBODY = ("", 0), ("", 0)


@pytest.mark.parametrize(
    ("header", "ends"),
    [
        (V1, BOTH),
        (
            b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n",
            (("2001:db8::1", 40000), ("2001:db8::2", 25)),
        ),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 40000 25\r\n", (("192.0.2.1", 40000), ("::1", 25))),
        (b"PROXY UNKNOWN\r\n", NOBODY),
        (b"PROXY UNKNOWN 2001:db8::1 2001:db8::2 1 2\r\n", NOBODY),
        (v2(0x21, 0x11, INET), BOTH),
        (v2(0x21, 0x11, INET + b"\x04\0\x03abc"), BOTH),
        (v2(0x21, 0x21, INET6), (("2001:db8::1", 40000), ("2001:db8::1", 25))),
        (v2(0x21, 0x31, bytes(216)), NOBODY),
        (v2(0x21, 0x00, b"whatever"), NOBODY),
        (v2(0x20, 0x00, b""), NOBODY),
        (v2(0x20, 0x11, INET), NOBODY),
    ],
)
def test_who_is_passed_on(header, ends):
    assert ProxyHeader().feed(header + b"EHLO x\r\n") == Proxied(*ends, b"EHLO x\r\n")


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (b"EHLO x\r\n", "there is none"),
        (b"PROXY\r\n", "there is none"),
        (b"PROXY" + b"X" * 120, "there is none"),
        (b"PROXY " + b"X" * 120, "no end of line within 107 bytes"),
        (b"PROXY " + b"X" * 100 + b"\r\n", "no end of line within 107 bytes"),
        (b"PROXY \r\n", "unrecognized family"),
        (b"PROXY TCP4\r\n", ""),
        (b"PROXY TCP4 192.0.2.1 2001:db8::1 1 2\r\n", "not IPv4"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.999 1 2\r\n", "address malformed"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 70000\r\n", "out of bounds"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "extraneous"),
        (b"PROXY TCP4 192.0.2.1\n192.0.2.2 1 2\r\n", "malformed"),
        (SIGNATURE[:-1] + b"X", "there is none"),
        (v2(0x31, 0x11, INET), "illegal version"),
        (v2(0x22, 0x11, INET), "unsupported command"),
        (v2(0x21, 0x51, INET), "unsupported family"),
        (v2(0x21, 0x14, INET), "unsupported protocol"),
        (v2(0x21, 0x21, INET), "truncated address"),
        (v2(0x21, 0x11, bytes(MAX_V2 + 1)), "are too many"),
    ],
)
def test_what_is_no_header_is_told_in_one_line(header, error):
    with pytest.raises(ValueError, match=f"PROXY header: .*{error}") as raised:
        ProxyHeader().feed(header)
    assert "\n" not in str(raised.value)


def test_a_hostile_header_is_told_before_it_is_whole():
    with pytest.raises(ValueError, match="too many"):
        ProxyHeader().feed(SIGNATURE + b"\x21\x11\xff\xff")
    with pytest.raises(ValueError, match="none"):
        ProxyHeader().feed(b"G")


pieces_of_v1 = st.lists(
    st.sampled_from(
        [b"TCP4", b"TCP6", b"UNKNOWN", b"192.0.2.1", b"::1", b"1", b"65536", b"", b"\xff", b"\n"]
    ),
    max_size=7,
).map(lambda words: b"PROXY " + b" ".join(words) + b"\r\n")
blocks = st.sampled_from([INET, INET6, INET + b"\x04\0\x01a", b""]) | st.binary(max_size=300)
pieces_of_v2 = st.builds(
    v2,
    st.sampled_from([0x20, 0x21]) | st.integers(0, 255),
    st.sampled_from([0x11, 0x21]) | st.integers(0, 255),
    blocks,
)
headers = pieces_of_v1 | pieces_of_v2 | st.binary(max_size=40)


def answer(data, cuts=()):
    """What is made of the data when it comes in pieces: a result, None, or "refused"."""
    parser, begin = ProxyHeader(), 0
    try:
        for end in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
            if (said := parser.feed(data[begin:end])) is not None:
                return said._replace(rest=said.rest + data[end:])
            begin = end
    except ValueError:
        return "refused"
    return None


@given(headers, st.binary(max_size=30), st.lists(st.integers(0, 400), max_size=10))
def test_however_the_bytes_are_split_the_answer_is_the_same(header, more, cuts):
    assert answer(header + more, cuts) == answer(header + more)
    assert answer(header + more, range(len(header + more))) == answer(header + more)


@given(headers)
def test_aiosmtpd_that_waits_for_its_bytes_agrees(header):
    async def waiting():
        reader = asyncio.StreamReader()
        reader.feed_data(header)
        reader.feed_eof()
        return await get_proxy(reader)

    ours = answer(header)
    try:
        theirs = asyncio.run(waiting())
    except EOFError:
        assert ours in {None, "refused"}
        return
    if isinstance(ours, Proxied):
        assert theirs.valid
        known = theirs.command != 0 and not isinstance(theirs.src_addr, bytes | None)
        assert ours.client == ((str(theirs.src_addr), theirs.src_port) if known else ("", 0))
    else:
        assert not theirs.valid
