"""The official conformance tests of CESQL, skipped if their directory is missing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pacifica.dispatcher import events
from pacifica.dispatcher.rules.cesql import CesqlError, Expression, Result

KIT = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "cesql-tck"
EVENT = {"specversion": "1.0", "id": "id", "source": "/source", "type": "type"}


class Loader(yaml.SafeLoader):
    """A YAML loader that keeps timestamps as text, as in an event."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, found) for tag, found in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_cases(file: Path) -> Iterator[dict[str, Any]]:
    """Return the cases of a file; an expression such as true or 10 is kept as text."""
    text = file.read_text(encoding="utf-8")
    for case, node in zip(
        yaml.load(text, Loader)["tests"],  # noqa: S506 - a SafeLoader
        yaml.load(text, yaml.BaseLoader)["tests"],  # noqa: S506 - yields only text
        strict=True,
    ):
        yield {**case, "expression": node["expression"]}


FILES = sorted(KIT.glob("*.yaml"))
CASES = [
    pytest.param(case, id=f"{file.stem}: {case['name']}")
    for file in FILES
    for case in read_cases(file)
]


def evaluated(expression: str, event: dict[str, Any]) -> Result:
    """Evaluate an expression; a compile error counts as an evaluation error."""
    attributes = events.parse_event(json.dumps(event)).attributes
    try:
        return Expression.compile(expression).evaluate(attributes)
    except CesqlError as exc:
        return Result(value=False, errors=(exc,))


@pytest.mark.skipif(not FILES, reason=f"the conformance tests are not at {KIT}")
def test_the_kit_is_complete() -> None:
    assert (len(FILES), len(CASES)) == (18, 275)


@pytest.mark.skipif(not FILES, reason=f"the conformance tests are not at {KIT}")
@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_kit(case: dict[str, Any]) -> None:
    event = case.get("event", EVENT) | case.get("eventOverrides", {})
    found = evaluated(case["expression"], event)
    expected = [case["error"]] if "error" in case else []
    assert [each.kind.value for each in found.errors] == expected
    if "result" in case:
        assert (type(found.value), found.value) == (type(case["result"]), case["result"])
