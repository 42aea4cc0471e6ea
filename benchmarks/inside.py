"""Measures within one process: parse an event, and match it against many rules."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.table import Figure
from pacifica.dispatcher import config, events
from pacifica.dispatcher.applications import matching
from pacifica.dispatcher.rules import Sql

_ROUNDS: Final = 7
_APPLICATIONS: Final = 200
_RULES: Final = (
    "exact.type = org.example.other",
    "prefix.source = /elsewhere\nsuffix.subject = .raw",
    "sql = type = 'org.example' AND EXISTS missing",
    "sql = subject LIKE '%.txt' OR sequence > 100",
    'filters = [{"any": [{"exact": {"type": "x"}}, {"not": {"prefix": {"source": "/"}}}]}]',
    "exact.type = org.example.other\njsonpath = $.data.files[?@.name == 'a.raw' && @.size > 10]",
    "exact.type = org.example\nsuffix.subject = .raw",
    "exact.type = org.example\nsql = INT(sequence) % 2 = 1",
)
"""The rules of the applications, in turn."""

_BY_PATH: Final = "jsonpath = $.data.files[?@.name == 'a.raw' && @.size > 10]"
_BY_PATH_EVERY: Final = 40
"""The interval at which an application has the rule `_BY_PATH` instead."""


def read(_: object) -> Iterator[Figure]:
    """Measure the time to parse and validate an event of 1 KB."""
    attributes = {"id": "1", "source": "/bench", "type": "org.example", "subject": "a.raw"}
    data = {"files": [{"name": "a.raw", "size": 12}], "text": "x" * 800}
    body = json.dumps({"specversion": "1.0", **attributes, "data": data}).encode()
    headers = [("ce-specversion", "1.0"), *((f"ce-{k}", v) for k, v in attributes.items())]
    payload = json.dumps(data).encode()
    structured = _microseconds(lambda: events.parse_request("application/cloudevents+json", body))
    binary = _microseconds(lambda: events.parse_request("application/json", payload, headers))
    plain = _microseconds(lambda: json.loads(body))
    yield Figure("1 KB event read, structured", structured, "µs", plain, "json.loads", most=30)
    yield Figure("1 KB event read, binary", binary, "µs", plain, "json.loads")


def match(_: object) -> Iterator[Figure]:
    """Measure the time of one comparison, and of matching an event against many applications."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "config.ini")
        file.write_text("\n".join(_sections()), encoding="utf-8")
        applications = config.load(file, {}).applications.values()
    event = events.parse_event(
        '{"specversion": "1.0", "id": "1", "source": "/bench", "type": "org.example",'
        ' "subject": "a.raw", "sequence": 7, "data": {"files": [{"name": "a.raw", "size": 12}]}}'
    )
    assert matching(applications, event)
    comparison = Sql.parse("type = 'org.example'")
    assert comparison.matches(event)
    spent = _microseconds(lambda: comparison.matches(event))
    yield Figure("one comparison in CESQL", spent, "µs", most=10)
    spent = _microseconds(lambda: matching(applications, event)) / 1000
    yield Figure(f"one event, {_APPLICATIONS} applications", spent, "ms", most=1)


def _sections() -> Iterator[str]:
    for number in range(_APPLICATIONS):
        rule = _RULES[number % len(_RULES)] if number % _BY_PATH_EVERY else _BY_PATH
        yield f"[application:a{number}]\n{rule}\ncommand = true\n"


def _microseconds(act: Callable[[], object]) -> float:
    """Return the time of a call, the median of several rounds of a tenth of a second."""
    act()
    rounds = []
    for _ in range(_ROUNDS):
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < 0.1:
            act()
            count += 1
        rounds.append(spent / count)
    return statistics.median(rounds) * 1e6
