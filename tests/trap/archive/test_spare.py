"""spare: damage within a stripe is put right, more of it is not called right."""

from hypothesis import given
from hypothesis import strategies as st

from trap.archive.spare import STRIPES, healed, spare

data_of = st.binary(min_size=1, max_size=400)


@given(data=data_of, at=st.integers(0, 399), noise=st.binary(min_size=1, max_size=7))
def test_damage_shorter_than_a_stripe(data: bytes, at: int, noise: bytes) -> None:
    noise = noise[: -(-len(data) // STRIPES)]
    at = at % len(data)
    bad = (data[:at] + noise + data[at + len(noise) :])[: len(data)]
    assert healed(bad, spare(data)) == data


def test_two_places() -> None:
    data = bytes(range(128))
    assert healed(b"x" + data[1:40] + b"x" + data[41:], spare(data)) is None


def test_nothing() -> None:
    assert healed(b"", spare(b"")) == b""


@given(data=data_of, at=st.integers(0, 270))
def test_damage_of_what_is_kept(data: bytes, at: int) -> None:
    """Nothing is raised, and no more comes out than went in; whoever asks has a checksum of the whole."""
    kept = bytearray(spare(data))
    kept[at % len(kept)] ^= 1
    found = healed(data, bytes(kept))
    assert found is None or len(found) == len(data)
