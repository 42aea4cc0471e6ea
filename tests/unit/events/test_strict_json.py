"""Strict JSON and its limits."""

import json
import re

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import strict_json
from pacifica.dispatcher.events.strict_json import (
    MAX_DEPTH,
    array_elements,
    check_json,
    decode_utf8,
    loads,
)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        " \t\r\n{} \t\r\n",
        "-0",
        "1e308",
        "1e-999",
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\N{GRINNING FACE}\x7f\ufffe"',
        '{"a": [1, 2.5, true, "b", null, {}]}',
        "[" + "[]," * MAX_DEPTH + "1]",
        "9" * 4300,
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_json_is_parsed_as_by_python(text: str) -> None:
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "line 1 column 1", id="nothing"),
        pytest.param(" \n ", "line 2 column 2", id="white space"),
        pytest.param("hello", "line 1 column 1", id="a bare word"),
        pytest.param("{'a': 1}", "double quotes at line 1 column 2", id="single quotes"),
        pytest.param('{"a": 1,}', "line 1 column", id="comma before the end"),
        pytest.param('{"a": 1', "line 1 column 8", id="cut off"),
        pytest.param('{"a": 01}', "line 1 column 8", id="leading zero"),
        pytest.param('"a', "line 1 column 1", id="open string"),
        pytest.param('"\t"', "control character", id="raw control character"),
        pytest.param('"\\x41"', "line 1 column", id="unknown escape"),
        pytest.param("{} // why", "unexpected text after the value at character 2", id="comment"),
        pytest.param("{}{}", "unexpected text after the value at character 2", id="two values"),
        pytest.param("{}\0", "unexpected text after the value at character 2", id="trailing NUL"),
        pytest.param("{}\f", "unexpected text after the value", id="form feed is not white space"),
        pytest.param("\u00a0{}", "line 1 column 1", id="no-break space is not white space"),
        pytest.param("\ufeff{}", "line 1 column 1", id="byte order mark"),
        pytest.param("NaN", "NaN is not a JSON number", id="NaN"),
        pytest.param("[Infinity]", "Infinity is not a JSON number", id="Infinity"),
        pytest.param('{"a": -Infinity}', "-Infinity is not a JSON number", id="-Infinity"),
        pytest.param("1e999", "number 1e999 is too large", id="1e999"),
        pytest.param("-1E+999", "number -1E+999 is too large", id="-1E+999"),
        pytest.param("1." + "0" * 5000 + "e999", "is too large", id="long and too large"),
    ],
)
def test_invalid_json_is_rejected_with_its_position(text: str, message: str) -> None:
    with pytest.raises(EventError, match=re.escape(message)) as caught:
        loads(text)
    assert str(caught.value).startswith("Invalid JSON: ")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "-" + "9" * 5000, "[" + "9" * 100_000 + "]"],
    ids=["5,000 digits", "negative", "100,000 digits"],
)
def test_an_integer_with_too_many_digits_is_rejected(text: str) -> None:
    with pytest.raises(EventError, match="digits") as caught:
        loads(text)
    assert "sys." not in str(caught.value), "advice meant for Python programmers"


NESTINGS = [
    pytest.param("[", "", "]", id="empty arrays"),
    pytest.param("[", "1", "]", id="arrays around a number"),
    pytest.param('{"a":', "1", "}", id="objects"),
    pytest.param('[{"a":1},[', "2", "]]", id="arrays among other values"),
]


def nested(opening: str, innermost: str, closing: str, depth: int) -> str:
    """Return a JSON text with this many levels of arrays and objects."""
    levels = depth // len(closing)
    text = opening * levels + innermost + closing * levels
    return text if levels * len(closing) == depth else f"[{text}]"


@pytest.mark.parametrize(("opening", "innermost", "closing"), NESTINGS)
def test_maximum_nesting_is_accepted(opening: str, innermost: str, closing: str) -> None:
    text = nested(opening, innermost, closing, MAX_DEPTH)
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(("opening", "innermost", "closing"), NESTINGS)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, MAX_DEPTH + 2, 1000, 100_000])
def test_nesting_beyond_the_limit_is_rejected(
    opening: str, innermost: str, closing: str, depth: int
) -> None:
    with pytest.raises(EventError, match=f"nested deeper than {MAX_DEPTH} levels"):
        loads(nested(opening, innermost, closing, depth))


def test_unclosed_nesting_is_rejected() -> None:
    with pytest.raises(EventError, match=f"nested deeper than {MAX_DEPTH} levels"):
        loads("[" * 100_000)


def test_a_duplicate_name_does_not_hide_nesting() -> None:
    with pytest.raises(EventError):
        loads('{"a": ' + "[" * 500 + "]" * 500 + ', "a": 1}')


def test_brackets_in_a_string_do_not_count_as_nesting() -> None:
    assert loads('"' + "[{" * 100_000 + '"') == "[{" * 100_000


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param(b'{"a": "\xff"}', 7, id="an invalid byte"),
        pytest.param(b'"\xc3', 1, id="cut off in a character"),
        pytest.param(b'"\xed\xa0\x80"', 1, id="a surrogate in UTF-8"),
        pytest.param(b'"\xc0\x80"', 1, id="an overlong NUL"),
        pytest.param("{}".encode("utf-16"), 0, id="UTF-16"),
    ],
)
def test_invalid_utf_8_is_rejected_with_its_position(body: bytes, place: int) -> None:
    with pytest.raises(EventError, match=rf"^Invalid UTF-8: .* at byte {place}$"):
        decode_utf8(body)


def test_check_json_returns_the_text_unchanged() -> None:
    assert check_json(' {"ä": 1.0} '.encode()) == ' {"ä": 1.0} '


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff"], ids=repr)
def test_check_json_rejects_invalid_json(body: bytes) -> None:
    with pytest.raises(EventError):
        check_json(body)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        pytest.param("[]", [], id="empty"),
        pytest.param(" [ \n ] ", [], id="empty with white space"),
        pytest.param("[1]", [(1, "1")], id="one"),
        pytest.param(
            ' [ {"a": 1.0} ,\n"[,]" ] ', [({"a": 1.0}, '{"a": 1.0}'), ("[,]", '"[,]"')], id="two"
        ),
        pytest.param('["\\u00e4","ä"]', [("ä", '"\\u00e4"'), ("ä", '"ä"')], id="text as sent"),
    ],
)
def test_array_elements_come_with_their_exact_text(
    text: str, elements: list[tuple[object, str]]
) -> None:
    assert list(array_elements(text)) == elements


@pytest.mark.parametrize(
    "text", ["", " ", "{}", "null", "1", '"[]"', "x", "]"], ids=lambda text: text or "nothing"
)
def test_a_non_array_is_rejected(text: str) -> None:
    with pytest.raises(EventError, match=r"^A batch must be a JSON array of events$"):
        list(array_elements(text))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("[", "line 1 column 2", id="unclosed and empty"),
        pytest.param("[1", "character 2", id="not closed"),
        pytest.param("[{}", "character 3", id="not closed after an object"),
        pytest.param("[1,]", "line 1 column 4", id="comma before the end"),
        pytest.param("[1,", "line 1 column 4", id="cut off after a comma"),
        pytest.param("[,1]", "line 1 column 2", id="comma at the start"),
        pytest.param("[1 2]", "character 3", id="no comma"),
        pytest.param("[1}", "character 2", id="closed by a brace"),
        pytest.param("[1] x", "character 2", id="trailing text"),
        pytest.param("[1]]", "character 2", id="closed twice"),
        pytest.param("[][]", "character 1", id="two arrays"),
        pytest.param("[1,NaN]", "NaN", id="not a number"),
    ],
)
def test_a_malformed_array_is_rejected_with_its_position(text: str, place: str) -> None:
    with pytest.raises(EventError, match=rf"^Invalid JSON: .*{place}"):
        list(array_elements(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": [1.50, 2]}', "[1.50, 2]"),
        (' {"b":{"a":1},"c":"a" ,"a" : {"a": 2} , "d": 3} ', '{"a": 2}'),
        ('{"\\u0061":"\\/"}', '"\\/"'),
        ('{"a": null}', "null"),
        ("{}", None),
        ('{"b": {"a": 1}, "A": 2}', None),
    ],
)
def test_the_exact_text_of_a_member(text: str, found: str | None) -> None:
    assert strict_json.member_text(text, "a") == found
