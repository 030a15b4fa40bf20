"""Whatever is said, in whatever packets, whatever happens meanwhile: nothing is split, merged, or left.

What is played is described in tests/wirekit.py, what it is compared with in tests/fuzzmodel.py. More of
it: SPAMTRAP_FUZZ=100000 pytest tests/trap/test_fuzz.py, or bench/fuzz.py.
"""

import gc
import os
from collections.abc import Iterator
from random import Random

import hypothesis
import pytest
from fuzzkit import BEGIN, BODIES, COMMANDS, Fuzzer, codes, complaints
from fuzzmodel import end_of_data
from hypothesis import given
from hypothesis import strategies as st
from wirekit import STEPS, Step

from trap.body import Body

SESSIONS = int(os.environ.get("SPAMTRAP_FUZZ") or 4000)
FULL = "spool: [Errno 28] No space left on device"


@pytest.fixture(scope="module")
def fuzzer() -> Iterator[Fuzzer]:
    """Doors that hostile sessions come to; the garbage collector must have nothing to do."""
    gc.collect()  # what other tests left
    gc.disable()
    fuzzer = Fuzzer()
    with complaints() as log:
        yield fuzzer
    fuzzer.close()
    gc.enable()
    assert [line.getMessage() for line in log if not line.getMessage().startswith(FULL)] == []


def test_hostile_sessions(fuzzer):
    seed = Random().getrandbits(32)
    for number in range(SESSIONS):
        random = Random(seed + number)
        try:
            fuzzer.session(random)
        except Exception:
            print(f"again: bench/fuzz.py --seed {seed + number - 1} --sessions 1")
            raise


piece = st.sampled_from([*COMMANDS, *BODIES, *BEGIN]) | st.binary(max_size=20)
packet = st.lists(piece, min_size=1, max_size=8).map(b"".join)


@hypothesis.settings(deadline=None, max_examples=max(300, SESSIONS // 10))
@given(script=st.lists(packet | st.sampled_from(STEPS), max_size=20), door=st.integers(0, 3))
def test_hostile_sessions_that_are_made_smaller_when_they_hurt(fuzzer, script, door):
    header = fuzzer.doors[door][2]
    begun: list[Step] = [header] if header else []
    fuzzer.play(fuzzer.doors[door], begun + [step for step in script if step])


@given(text=st.lists(st.sampled_from(BODIES), max_size=12).map(b"".join), crlf=st.booleans())
def test_the_model_and_the_sink_agree_on_the_end_of_data(text, crlf):
    body = Body(10**6, bare_lf=not crlf)
    rest = body.feed(text) if text else None
    found = end_of_data(text, crlf)
    assert (rest is None) == (found is None)
    if found is not None:
        assert (b"".join(body.take()), rest, not body.bare_lf) == found


def test_what_is_no_reply_is_found():
    assert codes(b"220 x\r\n250-a\r\n250 b\r\n") == ["220", "250"]
    with pytest.raises(AssertionError, match="no reply"):
        codes(b"220 x\r\n250 a\nb\r\n")
