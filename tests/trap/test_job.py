"""A job's file: three objects, read back as they were written, or refused as corrupt."""

import re
import time

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.envelope import Envelope, Rcpt
from trap.job import MAX_HEADER_BYTES, CorruptJob, Headers, Job, encode, id_time, new_id, split_name

ID = "1700000000000000deadbeef"
ENVELOPE = Envelope(client_ip="192.0.2.1", helo="caf\udce9", mail_from="a@b")
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=9)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


def decoded(data: bytes) -> Job:
    return Job.decode(ID, data)


# The file


@given(notes=st.dictionaries(st.text(max_size=5), PLAIN, max_size=3), message=st.binary(max_size=200))
def test_what_is_written_is_read(notes, message):
    job = decoded(b"".join(encode(ENVELOPE, notes, message)))
    assert (job.envelope, job.notes, job.message) == (ENVELOPE, notes, message)
    assert b"".join(job.encode()) == b"".join(encode(ENVELOPE, notes, message))


def test_the_file_is_a_msgpack_stream_and_its_head_is_read_without_the_message():
    """Three objects any msgpack library reads, in the order envelope, notes, message."""
    data = b"".join(encode(ENVELOPE, {"dedup": {"n": 1}}, b"x" * 100_000))
    unpacker = msgpack.Unpacker(unicode_errors="surrogateescape")
    unpacker.feed(data[:200])
    assert unpacker.unpack() == ENVELOPE.to_map()
    assert unpacker.unpack() == {"dedup": {"n": 1}}
    assert decoded(data).size == 100_000


WIRE = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(helo=WIRE, odd=WIRE, far=st.integers(0, 5000), message=st.binary(max_size=9))
def test_what_a_client_said_is_read_byte_for_byte(helo, odd, far, message):
    """Text that is not UTF-8 takes another way through the packer, a long head another through the reader."""
    dialect = {"raw": [odd.encode("utf-8", "surrogateescape"), odd, 2**63, None]}
    envelope = Envelope(helo=helo, errors=["x" * far], rcpts=[Rcpt(address=odd, tag="t")], dialect=dialect)
    data = b"".join(encode(envelope, {}, message))
    assert (decoded(data).envelope, decoded(data).message) == (envelope, message)
    unpacker = msgpack.Unpacker(unicode_errors="surrogateescape")
    unpacker.feed(data)
    assert [*unpacker] == [envelope.to_map(), {}, message]


@given(before=st.integers(0, 3), after=st.binary(max_size=9), notes=st.booleans(), behind=st.booleans())
def test_a_client_cannot_forge_the_end_of_the_notes(before, after, notes, behind):
    """What looks like empty notes and the begin of a message, in the envelope, in a note, in the message."""
    forged = b"\x80\xc6" + (before + len(after) + 5).to_bytes(4, "big")
    text = ("x" * before + forged.decode("utf-8", "surrogateescape")) * 3
    envelope = Envelope(helo=text, dialect={"raw": forged * 2, "map": {}})
    known = {"a": {"b": forged, "c": {}}} if notes else {}
    message = (forged if behind else b"") + after
    job = decoded(b"".join(encode(envelope, known, message)))
    assert (job.envelope, job.notes, job.message) == (envelope, known, message)


@given(st.binary(max_size=300))
def test_garbage_is_a_corrupt_job_and_nothing_else(data):
    with pytest.raises(CorruptJob):
        decoded(data)


@given(st.data())
def test_a_damaged_file_is_a_corrupt_job_or_a_job(data):
    """Cut anywhere, or with bytes changed: never an exception of another kind, never a huge allocation."""
    whole = bytearray(b"".join(encode(ENVELOPE, {"a": {"b": [1, "c", 2.5, None]}}, b"Subject: x\r\n\r\n")))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)
    ):
        whole[at] = value
    for damaged in (cut, whole):
        try:
            decoded(bytes(damaged))
        except CorruptJob as error:
            assert str(error).startswith(ID)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x80",  # the message is missing
        b"\x80\x80\xc4\x01xy",  # something follows
        b"\x80\x90\xc4\x00",  # notes are a list
        b"\x90\x80\xc4\x00",  # the envelope is a list
        b"\x80\x80\xa1x",  # the message is text
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        b"\xdf\xff\xff\xff\xff",  # a map of four billion
        b"\x80\x80\xc6\xff\xff\xff\xff",  # a message of four gigabytes
        b"\x81\x90\x80\x80\xc4\x00",  # a list as a key
        b"\x80" + b"\x91" * 5000 + b"\xc0\xc4\x00",  # nested beyond reason
        b"\xc1",  # a byte that means nothing
        b"\xd6\xff\x00\x00\x00\x00",  # a time stamp
    ],
    ids=lambda data: data[:12].hex(),
)
def test_what_is_no_job(data):
    with pytest.raises(CorruptJob):
        decoded(data)


def test_notes_may_hold_any_text():
    """JSON and MIME parsers make surrogates that stand for no byte; they are stored as escapes."""
    job = decoded(b"".join(encode(ENVELOPE, {"s": {"bytes": "\udce9"}}, b"")))
    assert job.notes == {"s": {"bytes": "\udce9"}}
    job = decoded(b"".join(encode(ENVELOPE, {"s": {"lone \ud800": ["\udfff"]}}, b"")))
    assert job.notes == {"s": {"lone \\ud800": ["\\udfff"]}}


@pytest.mark.parametrize("note", [object(), {1, 2}, 2**70, [[]]])
def test_notes_that_are_not_plain_data_are_refused(note):
    deep = note
    for _ in range(2000):
        deep = [deep]
    with pytest.raises((TypeError, OverflowError, ValueError, RecursionError)):
        encode(ENVELOPE, {"s": {"deep": deep}}, b"")


# Names and times


def test_ids_sort_by_time_and_tell_it():
    ids = [new_id(at) for at in (1.0, 1.5, 999_999_999.0, 1_700_000_000.123456, 5_000_000_000.0)]
    assert ids == sorted(ids)
    assert id_time(ids[3]) == pytest.approx(1_700_000_000.123456, abs=1e-6)
    assert abs(id_time(new_id()) - time.time()) < 60
    assert len({new_id(1.0) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (f"{ID}.0", (ID, 0)),
        (f"{ID}.3", (ID, 3)),
        (f"{ID}.9999", (ID, 9999)),
        (f"{ID}.03", None),  # would be found again under another name
        (f"{ID}.", None),
        (ID, None),
        (f"{ID}.0\n", None),
        (f"{ID}.\u0663", None),
        (f"\u0661{ID[1:]}.0", None),
        (f"{ID.upper()}.0", None),
        ("README", None),
    ],
)
def test_split_name(name, split):
    assert split_name(name) == split


@given(st.text(max_size=40))
def test_split_name_of_anything(name):
    split = split_name(name)
    assert split is None or f"{split[0]}.{split[1]}" == name


# Headers


def test_headers_are_found_unfolded_and_undecoded():
    headers = Headers(
        b"Received: one\r\n\tand more\r\nReceived: two\r\nSUBJECT:  =?utf-8?q?x?=  \r\n"
        b"X-Odd : spaced\r\nX-Empty:\r\nno colon here\r\nX-Last: caf\xe9 \xc3\xa9\r\n\r\nX-Body: no\r\n"
    )
    assert headers.get("subject") == "=?utf-8?q?x?=  "
    assert headers.get_all("Received") == ["one\tand more", "two"]
    assert headers.get("x-odd") == "spaced"
    assert headers.get("x-empty") == ""
    assert headers.get("X-Last") == "caf\udce9 \xe9"
    assert headers.get("x-body") is None
    assert headers.get_all("x-body") == []
    assert headers.names() == ["received", "subject", "x-odd", "x-empty", "x-last"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_headers_with_either_line_end(end):
    headers = Headers(end.join([b"A: 1", b" 2", b"B: 3", b"", b"C: 4"]))
    assert (headers.get("a"), headers.get("b"), headers.get("c")) == ("1 2", "3", None)


@pytest.mark.parametrize("message", [b"\r\nX: body\r\n\r\n", b"\nX: body\n\n", b"", b"\r\n", b"just text"])
def test_a_message_without_a_header(message):
    assert Headers(message).names() == []


@given(st.binary(max_size=400) | st.text(":\r\n \tA\x00é-", max_size=200).map(str.encode))
def test_headers_never_raise(message):
    headers = Headers(message)
    for name in headers.names():
        assert headers.get(name) == headers.get_all(name)[0]
        assert "\n" not in headers.get(name)


MEGABYTE = 1 << 20
HOSTILE = {
    "one name": lambda: b"A" * MEGABYTE,
    "a name and blanks": lambda: b"A" * (MEGABYTE // 2) + b" " * (MEGABYTE // 2),
    "blanks": lambda: b" " * MEGABYTE,
    "blanks after the colon": lambda: b"A:" + b" " * MEGABYTE,
    "one value": lambda: b"A: " + b"x" * MEGABYTE,
    "folds": lambda: b"A: x" + b"\r\n " * (MEGABYTE // 3),
    "folds of blanks": lambda: b"A: x" + (b"\n" + b" " * 60) * (MEGABYTE // 61),
    "returns": lambda: b"A: x" + b"\r" * MEGABYTE,
    "returns and folds": lambda: b"A: x" + b"\r\r\n\t\r" * (MEGABYTE // 5),
    "short lines": lambda: b"A\n" * (MEGABYTE // 2),
    "one field again and again": lambda: b"A:\n" * (MEGABYTE // 3),
    "many fields": lambda: b"".join(b"A%d:\n" % number for number in range(MEGABYTE // 9)),
    "blank lines of sorts": lambda: b"A: x" + b"\r\n \r\n" * (MEGABYTE // 5),
    "no end": lambda: b"A b\r" * (MEGABYTE // 4),
    "colons": lambda: b":" * MEGABYTE,
    "zeros": lambda: b"\x00" * MEGABYTE,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
def test_headers_are_linear_on_hostile_input(kind):
    """Work that grows with the square of a megabyte would not end before the time-out does."""
    Headers(HOSTILE[kind]())


def test_headers_are_searched_so_far_and_no_further():
    headers = Headers(b"A: " + b"x" * MAX_HEADER_BYTES + b"\r\nB: y\r\n\r\n")
    assert headers.get("b") is None
    assert len(headers.get("a")) == MAX_HEADER_BYTES - 3


# What a stage sees


def test_a_job_parses_lazily():
    job = Job.from_message(b"Subject: hi\r\n\r\nbody\r\n", ENVELOPE)
    assert job.size == 21
    assert job.envelope is ENVELOPE
    assert abs(job.received_at - time.time()) < 60
    assert "headers" not in vars(job)
    assert "mail" not in vars(job)
    assert job.headers is job.headers
    assert job.mail.subject == "hi"
    assert re.fullmatch(r"[0-9]{16}[0-9a-f]{8}", job.id)
