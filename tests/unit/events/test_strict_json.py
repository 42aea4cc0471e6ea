"""JSON from outside: strict, and within limits."""

import json
import re

import pytest

from pacifica.dispatcher.errors import EventError
from pacifica.dispatcher.events import strict_json
from pacifica.dispatcher.events.strict_json import (
    MAX_DEPTH,
    array_elements,
    check,
    decode,
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
def test_json_is_read_as_python_reads_it(text: str) -> None:
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
        pytest.param("{} // why", "more text after its end, at character 2", id="comment"),
        pytest.param("{}{}", "more text after its end, at character 2", id="two values"),
        pytest.param("{}\0", "more text after its end, at character 2", id="trailing NUL"),
        pytest.param("{}\f", "more text after its end", id="form feed is no white space"),
        pytest.param("\u00a0{}", "line 1 column 1", id="no-break space is no white space"),
        pytest.param("\ufeff{}", "line 1 column 1", id="byte order mark"),
        pytest.param("NaN", "NaN is no JSON number", id="NaN"),
        pytest.param("[Infinity]", "Infinity is no JSON number", id="Infinity"),
        pytest.param('{"a": -Infinity}', "-Infinity is no JSON number", id="-Infinity"),
        pytest.param("1e999", "number 1e999 is too large", id="1e999"),
        pytest.param("-1E+999", "number -1E+999 is too large", id="-1E+999"),
        pytest.param("1." + "0" * 5000 + "e999", "is too large", id="long and too large"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(EventError, match=re.escape(message)) as caught:
        loads(text)
    assert str(caught.value).startswith("it is not JSON: ")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "-" + "9" * 5000, "[" + "9" * 100_000 + "]"],
    ids=["5,000 digits", "negative", "100,000 digits"],
)
def test_an_integer_too_long_to_read_is_refused_in_words_for_its_sender(text: str) -> None:
    with pytest.raises(EventError, match="digits") as caught:
        loads(text)
    assert "sys." not in str(caught.value), "advice for a Python programmer"


NESTINGS = [
    pytest.param("[", "", "]", id="empty arrays"),
    pytest.param("[", "1", "]", id="arrays around a number"),
    pytest.param('{"a":', "1", "}", id="objects"),
    pytest.param('[{"a":1},[', "2", "]]", id="arrays beside other things"),
]


def nested(opening: str, innermost: str, closing: str, depth: int) -> str:
    """A value with this many levels of arrays and objects."""
    levels = depth // len(closing)
    text = opening * levels + innermost + closing * levels
    return text if levels * len(closing) == depth else f"[{text}]"


@pytest.mark.parametrize(("opening", "innermost", "closing"), NESTINGS)
def test_nesting_is_read_to_the_very_limit(opening: str, innermost: str, closing: str) -> None:
    text = nested(opening, innermost, closing, MAX_DEPTH)
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(("opening", "innermost", "closing"), NESTINGS)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, MAX_DEPTH + 2, 1000, 100_000])
def test_nesting_beyond_the_limit_is_refused(
    opening: str, innermost: str, closing: str, depth: int
) -> None:
    with pytest.raises(EventError, match=f"nested deeper than {MAX_DEPTH} levels"):
        loads(nested(opening, innermost, closing, depth))


def test_nesting_that_is_never_closed_is_refused() -> None:
    with pytest.raises(EventError, match=f"nested deeper than {MAX_DEPTH} levels"):
        loads("[" * 100_000)


def test_a_name_given_twice_does_not_hide_nesting() -> None:
    with pytest.raises(EventError):
        loads('{"a": ' + "[" * 500 + "]" * 500 + ', "a": 1}')


def test_brackets_in_a_string_are_no_nesting() -> None:
    assert loads('"' + "[{" * 100_000 + '"') == "[{" * 100_000


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param(b'{"a": "\xff"}', 7, id="no UTF-8 byte"),
        pytest.param(b'"\xc3', 1, id="cut off in a character"),
        pytest.param(b'"\xed\xa0\x80"', 1, id="a surrogate in UTF-8"),
        pytest.param(b'"\xc0\x80"', 1, id="an overlong NUL"),
        pytest.param("{}".encode("utf-16"), 0, id="UTF-16"),
    ],
)
def test_what_is_not_utf_8_is_refused_with_its_place(body: bytes, place: int) -> None:
    with pytest.raises(EventError, match=rf"^it is not UTF-8: .* at byte {place}$"):
        decode(body)


def test_check_gives_the_text_as_it_was() -> None:
    assert check(' {"ä": 1.0} '.encode()) == ' {"ä": 1.0} '


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff"], ids=repr)
def test_check_refuses_what_is_no_json(body: bytes) -> None:
    with pytest.raises(EventError):
        check(body)


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
def test_the_elements_of_an_array_with_their_very_text(
    text: str, elements: list[tuple[object, str]]
) -> None:
    assert list(array_elements(text)) == elements


@pytest.mark.parametrize(
    "text", ["", " ", "{}", "null", "1", '"[]"', "x", "]"], ids=lambda text: text or "nothing"
)
def test_what_is_no_array_has_no_elements(text: str) -> None:
    with pytest.raises(EventError, match=r"^a batch is a JSON array of events$"):
        list(array_elements(text))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("[", "line 1 column 2", id="only begun"),
        pytest.param("[1", "character 2", id="not closed"),
        pytest.param("[{}", "character 3", id="not closed after an object"),
        pytest.param("[1,]", "line 1 column 4", id="comma before the end"),
        pytest.param("[1,", "line 1 column 4", id="cut off after a comma"),
        pytest.param("[,1]", "line 1 column 2", id="comma at the start"),
        pytest.param("[1 2]", "character 3", id="no comma"),
        pytest.param("[1}", "character 2", id="closed wrongly"),
        pytest.param("[1] x", "character 2", id="text behind"),
        pytest.param("[1]]", "character 2", id="closed twice"),
        pytest.param("[][]", "character 1", id="two arrays"),
        pytest.param("[1,NaN]", "NaN", id="no number"),
    ],
)
def test_a_broken_array_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(EventError, match=rf"^it is not JSON: .*{place}"):
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
def test_the_very_text_of_a_member(text: str, found: str | None) -> None:
    assert strict_json.member(text, "a") == found
