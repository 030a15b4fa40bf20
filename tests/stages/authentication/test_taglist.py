"""taglist: lists of tag=value, as the RFC has them and as others write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.authentication.taglist import BadTags, joined, parse, words


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", {}),
        (" ; ", None),
        ("a=1", {"a": "1"}),
        ("a=1;", {"a": "1"}),
        ("a=1; ", {"a": "1"}),
        ("a=1;;", None),
        (" a = 1 ;\r\n\tb2_c = x y ", {"a": "1", "b2_c": "x y"}),
        ("a=", {"a": ""}),
        ("a=b=c==", {"a": "b=c=="}),
        ("a=1; A=2", {"a": "1", "A": "2"}),
        ("a=1; a=1", None),
        ("=1", None),
        ("1a=1", None),
        ("a b=1", None),
        ("word", None),
        ("ä=1", None),
    ],
)
def test_lists(text: str, tags: dict[str, str] | None) -> None:
    if tags is None:
        with pytest.raises(BadTags):
            parse(text)
    else:
        assert parse(text) == tags


def test_values_that_are_lists() -> None:
    assert words("From : To:\r\n Subject") == ["from", "to", "subject"]


def test_values_that_are_folded() -> None:
    assert joined("AB\r\n CD \tEF=") == "ABCDEF="


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    try:
        tags = parse(text)
    except BadTags as error:
        assert str(error)
    else:
        assert len(tags) <= text.count("=")
