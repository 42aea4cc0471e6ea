"""What is measured inside one process: reading an event, and matching it with many rules."""

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
from pacifica.dispatcher.filters import Sql

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
"""The rules that the applications have in turn; a query by path is asked of one in forty."""

_BY_PATH: Final = "jsonpath = $.data.files[?@.name == 'a.raw' && @.size > 10]"
_BY_PATH_EVERY: Final = 40


def read(_: object) -> Iterator[Figure]:
    """The time to read and validate one event of 1 KB."""
    attributes = {"id": "1", "source": "/bench", "type": "org.example", "subject": "a.raw"}
    data = {"files": [{"name": "a.raw", "size": 12}], "text": "x" * 800}
    body = json.dumps({"specversion": "1.0", **attributes, "data": data}).encode()
    headers = [("ce-specversion", "1.0"), *((f"ce-{k}", v) for k, v in attributes.items())]
    payload = json.dumps(data).encode()
    structured = _microseconds(lambda: events.receive("application/cloudevents+json", body))
    binary = _microseconds(lambda: events.receive("application/json", payload, headers))
    plain = _microseconds(lambda: json.loads(body))
    yield Figure("1 KB event read, structured", structured, "µs", plain, "json.loads", most=30)
    yield Figure("1 KB event read, binary", binary, "µs", plain, "json.loads")


def match(_: object) -> Iterator[Figure]:
    """The time to find out whether a comparison holds, and which of many applications get it."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "config.ini")
        file.write_text("\n".join(_sections()), encoding="utf-8")
        applications = config.load(file, {}).applications.values()
    event = events.parse(
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
    """The time that something takes, the median of some rounds of a tenth of a second."""
    act()
    rounds = []
    for _ in range(_ROUNDS):
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < 0.1:
            act()
            count += 1
        rounds.append(spent / count)
    return statistics.median(rounds) * 1e6
