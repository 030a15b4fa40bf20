"""qr: codes are read in images of all kinds, and no image does any harm."""

import os
import signal
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from unittest.mock import Mock

import pytest
from codes import Image, drawn, saved
from support import eventually

from stages.extraction import qr
from stages.extraction.qr import Reader, Unreadable
from trap.worker import DeadlineExceeded

URL = "https://evil.example/login?id=42"


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with closing(Reader(seconds=10)) as reader:
        yield reader


def test_the_libraries_are_here() -> None:
    assert qr.is_available()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_code_is_read_in_any_kind_of_image(reader: Reader, kind: str) -> None:
    assert reader.read(saved(drawn(URL + kind), kind)) == [URL + kind]


@pytest.mark.parametrize("form", ["QRCode", "Aztec", "DataMatrix"])
def test_codes_of_several_forms_are_read(reader: Reader, form: str) -> None:
    assert reader.read(saved(drawn(URL, form))) == [URL]


def test_black_on_nothing_is_black_on_white(reader: Reader) -> None:
    """Mail is read on white: what is transparent is."""
    dots = drawn(URL)
    image = Image.new("RGBA", dots.size, (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), mask=dots.point(lambda grey: 255 - grey))
    assert reader.read(saved(image)) == [URL]


def test_white_on_black_and_turned_is_read(reader: Reader) -> None:
    assert reader.read(saved(drawn(URL).point(lambda grey: 255 - grey))) == [URL]
    assert reader.read(saved(drawn(URL).rotate(30, expand=True, fillcolor=255))) == [URL]


def test_a_code_in_a_large_picture_is_read(reader: Reader) -> None:
    page = Image.new("RGB", (4000, 3000), "white")
    page.paste(drawn(URL, scale=20), (1500, 900))
    page.paste(drawn("second", scale=20), (200, 100))
    assert sorted(reader.read(saved(page, "JPEG"))) == sorted((URL, "second"))


def test_what_a_code_says_is_fit_to_be_shown(reader: Reader) -> None:
    (text,) = reader.read(saved(drawn("a\x1b[31mb")))
    assert text.isprintable()


def test_an_image_without_a_code_has_none(reader: Reader) -> None:
    assert reader.read(saved(Image.effect_noise((300, 200), 60))) == []


def bomb(side: int) -> bytes:
    """A PNG of so many pixels, all black: small, until it is unpacked."""
    row = bytes(side + 1)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    parts = (
        (b"IHDR", side.to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"),
        (b"IDAT", packed),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in parts
    )


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"hello", "no image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "."),
        (bomb(20_000), "20000 x 20000 pixels"),
        (bytes(qr.MAX_IMAGE + 1), "larger than"),
        (saved(drawn(URL))[:150], "."),
    ],
    ids=["text", "broken", "bomb", "large file", "cut off"],
)
def test_what_can_not_be_read_says_why(reader: Reader, image: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        reader.read(image)


def test_an_image_of_the_largest_size_has_room(reader: Reader) -> None:
    assert reader.read(bomb(4990)) == []


def test_what_was_read_once_is_remembered() -> None:
    image = saved(drawn(URL))
    with closing(Reader(seconds=10)) as reader:
        assert reader.read(image) == [URL]
        reader._ask = None  # type: ignore[assignment, method-assign]
        assert reader.read(image) == [URL]


def test_a_reader_that_died_is_replaced_unseen() -> None:
    with closing(Reader(seconds=10)) as reader:
        assert reader.read(saved(drawn("1"))) == ["1"]
        assert reader._child
        process = reader._child._process
        process.kill()
        eventually(lambda: process.poll() is not None)
        assert reader.read(saved(drawn("2"))) == ["2"]


def test_an_image_that_its_reader_dies_of_is_unreadable_and_no_more() -> None:
    with closing(Reader(seconds=10)) as reader:
        assert reader.read(saved(drawn("1"))) == ["1"]
        assert reader._child
        pid = reader._child._process.pid
        os.kill(pid, signal.SIGSTOP)  # so that it dies after it was asked
        death = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        death.start()
        with pytest.raises(Unreadable, match="its reader broke"):
            reader.read(saved(drawn("2")))
        death.join()
        assert reader.read(saved(drawn("3"))) == ["3"]


def test_a_reader_that_hangs_is_ended_and_replaced() -> None:
    with closing(Reader(seconds=1)) as reader:
        assert reader.read(saved(drawn("1"))) == ["1"]
        assert reader._child
        hung = reader._child._process
        os.kill(hung.pid, signal.SIGSTOP)
        with pytest.raises(Unreadable, match="not read within 1 s"):
            reader.read(saved(drawn("2")))
        assert hung.returncode == -signal.SIGKILL
        assert reader.read(saved(drawn("2"))) == ["2"]


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a worker comes from outside, at any time."""
    with closing(Reader(seconds=10)) as reader:
        assert reader.read(saved(drawn("1"))) == ["1"]
        with monkeypatch.context() as patch:
            patch.setattr(qr._Child, "_receive", Mock(side_effect=DeadlineExceeded))
            with pytest.raises(DeadlineExceeded):
                reader.read(saved(drawn("2")))
        assert reader.read(saved(drawn("3"))) == ["3"]


def test_the_child_may_open_nothing(reader: Reader) -> None:
    reader.read(saved(drawn(URL)))
    assert reader._child
    with open(f"/proc/{reader._child._process.pid}/limits") as limits:
        said = {line[:26].strip(): line[26:].split()[0] for line in limits}
    assert said["Max open files"] == "3"
    assert said["Max file size"] == said["Max processes"] == "0"
    assert said["Max address space"] == str(512 << 20)
