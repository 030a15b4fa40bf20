"""Codes that are drawn in the text: read as those in images are."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby

import pytest
from codes import drawn
from hypothesis import given
from hypothesis import strategies as st
from support import at_most

from stages.extraction.attachments import examine
from stages.extraction.budget import Budget
from stages.extraction.qr import Reader
from stages.extraction.qr_drawn import MAX_PICTURES, pictures

URL = "https://evil.example/login?user=me"
Rows = list[list[bool]]


def modules() -> Rows:
    image = drawn(URL, scale=1)
    width, height = image.size
    return [[image.getpixel((x, y)) < 128 for x in range(width)] for y in range(height)]


def halves(rows: Rows, chars: str) -> str:
    """Two rows in one line: neither is dark, the upper one, the lower one, both."""
    pairs = zip(rows[::2], [*rows[1::2], [False] * len(rows[0])], strict=False)
    return "\n".join("".join(chars[a + 2 * b] for a, b in zip(*pair, strict=True)) for pair in pairs)


def table(rows: Rows, cell: Callable[[bool], str]) -> str:
    return "".join(("<table>", *(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows), "</table>"))


def spans(row: list[bool]) -> str:
    runs = ((dark, len(list(run))) for dark, run in groupby(row))
    return "".join(f'<td colspan="{n}" bgcolor={"#000000" if dark else "#FFFFFF"}>&nbsp;' for dark, n in runs)


DRAWN: dict[str, Callable[[Rows], str]] = {
    "half blocks": lambda rows: halves(rows, " ▀▄█"),
    "half blocks, light on dark": lambda rows: halves(rows, "█▄▀ "),
    "half blocks in HTML": lambda rows: f"<pre>{halves(rows, ' ▀▄█')}</pre>".replace("\n", "<br>").replace(
        " ", "&nbsp;"
    ),
    "blocks": lambda rows: "\n".join("".join("██" if dark else "  " for dark in row) for row in rows),
    "hashes": lambda rows: "\n".join("".join("##" if dark else "  " for dark in row) for row in rows),
    "squares": lambda rows: "\n".join("".join("⬛" if dark else "⬜" for dark in row) for row in rows),
    "table with styles": lambda rows: table(
        rows, lambda dark: f'<td style="width:4px;background-color:{"#000" if dark else "#fefefe"}"></td>'
    ),
    "table in a table": lambda rows: (
        "<table><tr><td>"
        + table(rows, lambda dark: f"<td bgcolor={'black' if dark else 'white'}>")
        + "</table>"
    ),
    "table with classes": lambda rows: (
        "<style>td.a{background:rgb(9, 9, 9)}.b{background:#fff}</style>"
        + table(rows, lambda dark: '<td class="a">' if dark else '<td class="x b">')
    ),
    "table with spans": lambda rows: "".join(("<TABLE>", *(f"<tr>{spans(row)}" for row in rows), "</TABLE>")),
}


@pytest.fixture(scope="module")
def codes() -> Iterator[Reader]:
    with closing(Reader(seconds=10)) as reader:
        yield reader


@pytest.mark.parametrize("how", DRAWN)
def test_a_drawn_code_is_read(codes: Reader, how: str) -> None:
    body = f"Scan this:\n\n{DRAWN[how](modules())}\n\nYours"
    assert examine([], "", Budget(5, 1000, 100), codes, [body]).qr == [URL]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "plain text",
        "# a list\n# of two",
        "<table><tr><td>1<td>2</table>",
        "████\n" * 3,
        "=" * 80 + "\n" * 50,
    ],
)
def test_what_is_no_drawing_is_no_picture(body: str) -> None:
    assert pictures(body) == []


@given(st.text(st.sampled_from("█▀▄ \n#<>td/rable&;")))
def test_any_text_may_be_looked_at(body: str) -> None:
    assert len(pictures(body)) <= MAX_PICTURES


@pytest.mark.parametrize(
    "body",
    [
        "<td " * 300_000,
        "<table><tr>" * 100_000,
        "<style>" + ".a{background:" * 100_000,
        "█" * 2_000_000,
        "<td>█\n" * 200_000,
        "<" * 1_000_000,
        "<td class=" * 200_000,
        ("█" * 60 + "\n") * 30_000,
    ],
    ids=range(8),
)
def test_no_body_takes_long(body: str) -> None:
    with at_most(2.0, body[:20]):
        pictures(body)
