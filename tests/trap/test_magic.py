"""What a file is by its first bytes."""

import pytest

from trap.magic import belied, kind


@pytest.mark.parametrize(
    ("data", "declared", "found"),
    [
        (b"MZ\x90", "application/pdf", "application/vnd.microsoft.portable-executable"),
        (b"<html><script>", "image/png", "text/html"),
        (b"PK\x03\x04", "application/vnd.openxmlformats-officedocument", ""),
        (b"BZh91AY", "application/x-bzip2", ""),
        (b"\x78\x9f\x3e\x22", "application/ms-tnef", ""),
        (b"hello", "text/plain", ""),
    ],
)
def test_a_type_is_belied_by_the_first_bytes(data: bytes, declared: str, found: str) -> None:
    assert belied(data, declared) == found


@pytest.mark.parametrize(
    ("at", "magic", "found"),
    [
        (257, b"ustar", "application/x-tar"),
        (32769, b"CD001", "application/x-iso9660-image"),
        (8, b"WEBPVP8L", "image/webp"),
    ],
)
def test_some_say_so_only_further_on(at: int, magic: bytes, found: str) -> None:
    assert kind(bytes(at) + magic) == found
    assert kind(bytes(at) + magic[:-5]) == ""
