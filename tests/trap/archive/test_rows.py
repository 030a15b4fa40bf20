"""rows: what a row holds in few bytes comes back as it was."""

from hypothesis import given
from hypothesis import strategies as st

from trap.archive.rows import job_id, packed_ip, recipients, stamp, unpacked_ip
from trap.job import new_id


@given(st.integers(0, 10**16 - 1), st.integers(0, (1 << 32) - 1))
def test_ids(micros: int, random: int) -> None:
    wanted = f"{micros:016d}{random:08x}"
    time, kept = stamp(wanted)
    assert job_id(time, kept) == wanted
    assert -(1 << 31) <= kept < 1 << 31, "four bytes, with a sign"
    assert stamp(new_id(1.5))[0] == 1_500_000


@given(
    st.ip_addresses().map(str)
    | st.text()
    | st.sampled_from(["unix", "::FFFF:1.2.3.4", "1.2.3.04", "fe80::1%lo"])
)
def test_clients(text: str) -> None:
    assert unpacked_ip(packed_ip(text)) == text
    assert len(packed_ip("192.0.2.1")) == 4 and len(packed_ip("2001:db8::1")) == 16


def test_recipients() -> None:
    assert recipients("a@b.example") == ["a@b.example"]
    assert recipients('["a@b.example","c@d.example"]') == ["a@b.example", "c@d.example"]
    assert recipients("[]") == []
    assert recipients('["[1.2.3.4]"]') == ["[1.2.3.4]"]
