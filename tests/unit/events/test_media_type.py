"""What a Content-Type says."""

import pytest

from pacifica.dispatcher.events.media_type import charset, essence, is_json, is_text


@pytest.mark.parametrize(
    ("content_type", "name", "encoding"),
    [
        ("", "", None),
        (" Text/PLAIN ", "text/plain", None),
        ("text/plain;charset=UTF-8", "text/plain", "utf-8"),
        ('text/plain; a="charset=x"; Charset="Latin-1"', "text/plain", "latin-1"),
        ("text/plain;", "text/plain", None),
    ],
)
def test_the_parts_of_a_content_type(content_type: str, name: str, encoding: str | None) -> None:
    assert (essence(content_type), charset(content_type)) == (name, encoding)


@pytest.mark.parametrize(
    ("content_type", "json", "text"),
    [
        ("application/json", True, False),
        ("text/json; charset=utf-8", True, True),
        ("application/cloudevents+JSON", True, False),
        ("text/plain", False, True),
        ("application/jsonl", False, False),
        ("json", False, False),
        ("", False, False),
    ],
)
def test_the_kind_of_a_content_type(content_type: str, *, json: bool, text: bool) -> None:
    assert (is_json(content_type), is_text(content_type)) == (json, text)
