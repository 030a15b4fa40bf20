"""body: the text of a message, for reading."""

import pytest
from bombs import TEXT, html, mixed
from hypothesis import given
from hypothesis import strategies as st

from trap.view import parts
from trap.view.body import MAX_TEXT, readable, text


def read(message: bytes) -> tuple[str, bool, list[str]]:
    return text(parts.tree(message), message)


def plain(body: bytes, charset: str = "utf-8", encoding: str = "8bit") -> bytes:
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


def test_what_text_parts_say_is_the_text() -> None:
    assert read(mixed(TEXT, b"Content-Type: text/html\r\n\r\n<p>other", TEXT)) == (
        "hello there\n\n\n⁂\n\nhello there\n",
        False,
        [],
    )


def test_without_any_the_html_is_read() -> None:
    assert read(html(b"<p>Dear&nbsp;friend,<p>you won")) == ("Dear friend,\n\nyou won", True, [])
    assert (
        read(mixed(b"Content-Type: text/plain\r\n\r\n  \r\n", b"Content-Type: text/html\r\n\r\n<p>hi"))[0]
        == "hi"
    )


def test_an_attached_text_is_a_file() -> None:
    attached = b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nfile\r\n"
    assert read(mixed(TEXT, attached))[0] == "hello there\n"


def test_a_charset_that_lies_is_guessed_and_said() -> None:
    assert read(plain(b"caf\xe9", "utf-8")) == ("café", False, ["part 0 is not in utf-8, as it says"])
    assert read(plain("日本".encode("cp932"), "shift_jis"))[0] == "日本"
    assert read(plain(b"caf=C3=A9", "utf-8", "quoted-printable"))[0] == "café"
    assert read(plain(b"Y2Fmw6k", "utf-8", "base64"))[0] == "café"


def test_letters_of_two_scripts_in_one_word_are_said() -> None:
    assert read(plain("W\u0435 \u0430re pl\u0435\u0430sed to inf\u043erm you".encode()))[2] == [
        "words mix letters of different scripts that look alike"
    ]
    assert read(plain("Dear \u0418\u0432\u0430\u043d, hello".encode()))[2] == []


def test_a_long_text_is_cut() -> None:
    shown = read(plain(b"a" * 2 * MAX_TEXT))[0]
    assert shown.endswith(f"\n\n[only the first {MAX_TEXT} characters are shown]")
    assert len(shown) < MAX_TEXT + 100


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<h1>A</h1><p>b<br>c</p><p>d", "A\n\nb\nc\n\nd"),
        ("<ul><li>a<li>b</ul>c", "• a\n• b\n\nc"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
        ("V<b>ia</b>gra<!-- x --><style>p{}</style><script>x", "Viagra"),
        ('<a href="https://evil.example/?a=1&amp;b=2">bank</a>', "bank <hxxps://evil[.]example/?a=1&b=2>"),
        ('<a href="#top">up</a>', "up"),
        ('<img src=x alt="Your bank">', "[Your bank]"),
        ("a < b &lt;b&gt; &#99999999999999;", "a < b <b>"),
    ],
)
def test_html_is_made_readable(source: str, text: str) -> None:
    assert readable(source) == text


@given(
    st.lists(
        st.sampled_from(
            ["<a href=http://x.example/>", "<", ">", "&lt;", "<p", "</a>", "<br>", "x", "<!--", '"']
        )
    )
)
def test_any_html_can_be_read(pieces: list[str]) -> None:
    assert "http://" not in readable("".join(pieces)) or "<" not in pieces
