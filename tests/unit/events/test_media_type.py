"""Content-Type headers."""

import time

import pytest

from pacifica.dispatcher.events.media_type import charset, essence, is_json, is_text


@pytest.mark.parametrize(
    ("content_type", "name", "encoding"),
    [
        ("", "", None),
        (" Text/PLAIN ", "text/plain", None),
        ("text/plain;charset=UTF-8", "text/plain", "utf-8"),
        ('text/plain; a="charset=x"; Charset="Latin-1"', "text/plain", "latin-1"),
        ('text/plain; charset="ut\\f-8"', "text/plain", "utf-8"),
        ('text/plain; a=";charset=x', "text/plain", None),
        ("text/plain; charset = utf-8 ; charset=x", "text/plain", "utf-8"),
        ("text/plain;", "text/plain", None),
        ("text/plain;;=a;charset", "text/plain", ""),
        (f"text/plain; charset*{'9' * 5000}=a", "text/plain", None),
        ("text/plain; charset*=a\0b'en'x", "text/plain", None),
    ],
)
def test_the_parts_of_a_content_type(content_type: str, name: str, encoding: str | None) -> None:
    assert (essence(content_type), charset(content_type)) == (name, encoding)


@pytest.mark.parametrize("pump", [";", '\\"', "a=;", '"', " "])
def test_a_long_content_type_is_parsed_in_linear_time(pump: str) -> None:
    content_type = f'a/b; a="{pump * 200_000}'
    began = time.process_time()
    assert charset(content_type) is None
    assert time.process_time() - began < 2


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
def test_json_and_text_types_are_recognised(content_type: str, *, json: bool, text: bool) -> None:
    assert (is_json(content_type), is_text(content_type)) == (json, text)
