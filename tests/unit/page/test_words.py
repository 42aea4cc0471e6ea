"""Durations, times, rules, payloads, and commands to copy."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifica.dispatcher.events import Json
from pacifica.dispatcher.page import words
from tests.factories import make_event

HOUR = 3_600.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-1.0, "0 ms"),
        (0.0, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (1.0, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60.0, "1 min"),
        (200.0, "3 min 20 s"),
        (HOUR, "1 h"),
        (HOUR + 1, "1 h"),
        (2 * DAY + 4 * HOUR + 60, "2 d 4 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "now"),
        (-0.9, "now"),
        (-5.0, "in 5.0 s"),
        (1.0, "1 s ago"),
        (59.9, "59 s ago"),
        (61.0, "1 min ago"),
        (HOUR, "1 h ago"),
        (2.9 * DAY, "2 d ago"),
    ],
)
def test_an_age_has_its_largest_unit(seconds: float, text: str) -> None:
    assert words.ago(seconds) == text


def test_an_exact_time_is_utc() -> None:
    assert words.exact(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"exact": {"type": "a"}}, "type is a"),
        ({"prefix": {"source": "/i"}}, "source begins with /i"),
        ({"suffix": {"subject": ".dat", "id": "1"}}, "subject ends with .dat and id ends with 1"),
        ({"sql": "id LIKE 'a%'"}, "sql: id LIKE 'a%'"),
        ({"not": {"exact": {"type": "a"}}}, "not (type is a)"),
        (
            {"any": [{"exact": {"type": "a"}}, {"all": [{"sql": "b"}, {"sql": "c"}]}]},
            "(type is a) or ((sql: b) and (sql: c))",
        ),
    ],
)
def test_a_rule_in_words(document: Json, text: str) -> None:
    assert words.rule(document) == text


def test_pretty_json_keeps_non_ascii_letters() -> None:
    assert words.pretty({"name": "Müller"}, 100) == '{\n  "name": "Müller"\n}'


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(_TEXTS, _TEXTS)
def test_a_shell_parses_the_curl_command(text: str, path: str) -> None:
    sent = json.dumps({"data": text}, ensure_ascii=False)
    command = words.curl(sent, f"http://127.0.0.1/{path}")
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    printed = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    header = "Content-Type: application/cloudevents+json"
    wanted = ["-H", header, "--data-binary", sent, f"http://127.0.0.1/{path}"]
    assert printed.decode().split("\0")[:-1] == wanted


@pytest.mark.parametrize(
    ("members", "payload"),
    [
        ({}, None),
        ({"data": None}, ("JSON", 4, "null")),
        ({"data": {"a": "ä"}}, ("JSON", 11, '{\n  "a": "ä"\n}')),
        ({"data": "x", "datacontenttype": "application/json"}, ("application/json", 3, '"x"')),
        ({"data": "<ä>", "datacontenttype": "text/xml"}, ("text/xml", 4, "<ä>")),
        ({"data": [1], "datacontenttype": "text/xml"}, ("text/xml", 3, "[\n  1\n]")),
        ({"data_base64": "w6Q="}, ("bytes", 2, "ä")),
        ({"data_base64": "/w==", "datacontenttype": "a/b"}, ("a/b, in Base64", 1, "/w==")),
    ],
)
def test_the_payload_of_an_event(
    members: dict[str, Json], payload: tuple[str, int, str] | None
) -> None:
    found = words.payload(make_event(1, **members), 1000)
    assert (found and (found.kind, found.size, found.text)) == payload


def test_json_whose_indentation_is_too_long_is_on_one_line() -> None:
    value: Json = [1] * 100
    for _ in range(100):
        value = [value]
    assert words.pretty(value, 1000) == json.dumps(value)
    assert len(words.pretty_beginning(value, 1000)) == 1001
