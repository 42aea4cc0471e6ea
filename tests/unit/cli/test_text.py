"""Text for terminals: control characters escaped, times abbreviated."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.cli.text import age, json_line, json_text, line, lines, took

ANY_TEXT = st.text(st.characters(codec=None))
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def unsafe(text: str) -> set[str]:
    """Return the control characters in a text."""
    return {each for each in text if unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"}}


@given(ANY_TEXT)
def test_no_control_character_is_left(text: str) -> None:
    assert not unsafe(line(text))
    assert unsafe(lines(text)) <= {"\n", "\t"}


@given(ANY_TEXT)
def test_json_for_programs_is_printable_and_equal(text: str) -> None:
    written = json_line({text: [text]})
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {text: [text]}


def test_json_for_people_is_indented() -> None:
    assert json_text({"a": "\x1b\u202eü"}, 2) == '{\n  "a": "\\u001b\\u202eü"\n}'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢 🙂", "plain ü 漢 🙂"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x7f\ud800", "\\x7f\\ud800"),
    ],
)
def test_control_characters_are_escaped_as_in_python(text: str, shown: str) -> None:
    assert line(text) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (86400 * 400, "400d")],
)
def test_an_age_has_one_unit(ago: float, shown: str) -> None:
    assert age((NOW - timedelta(seconds=ago)).isoformat(), NOW) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0s"), (59.94, "59.9s"), (61, "1m 1s"), (3725, "1h 2m"), (90000, "1d 1h")],
)
def test_a_duration_has_two_units(seconds: float, shown: str) -> None:
    assert took(NOW.isoformat(), (NOW + timedelta(seconds=seconds)).isoformat()) == shown


def test_without_a_start_there_is_no_duration() -> None:
    assert not took(None, None)
