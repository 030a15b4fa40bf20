"""glyphs: text of hostile bytes that eyes can trust."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.view.glyphs import codec, decoded, is_right, visible, visible_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\r\ntext\r", "plain\ntext\n"),
        ("tab\tstays", "tab\tstays"),
        ("wide\u3000and\u00a0hard", "wide and hard"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("z\u200bw", "z⟨U+200B⟩w"),
        ("\x1b[31m", "⟨U+001B⟩[31m"),
        ("\u034f \u200c\u034f \u200c" * 20, "⟨80 invisible characters⟩"),
        ("\u202e" * 20, "⟨20 invisible characters: U+202E⟩"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("\udc80", "⟨U+DC80⟩"),
    ],
)
def test_what_hides_or_turns_text_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_nothing_hides(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not set(shown) & set("\x00\x1b\r\u200b\u202a\u202e\u2066\ufeff")
    assert "\n" not in visible_line(text)


@pytest.mark.parametrize(
    "charset", ["zlib", "hex", "rot13", "punycode", "idna", "unicode_escape", "no", "", "a\0b"]
)
def test_not_every_codec_is_a_charset(charset: str) -> None:
    assert codec(charset) == ""


@given(
    st.binary(),
    st.sampled_from(["utf-8", "utf-7", "utf-16", "iso-2022-jp", "gb2312", "big5", "x", "hz", "koi8-r"]),
)
def test_any_bytes_are_text(data: bytes, charset: str) -> None:
    assert isinstance(decoded(data, charset), str)
    if is_right(data, charset):
        assert decoded(data, charset) == data.decode(codec(charset))
