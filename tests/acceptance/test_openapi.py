"""The description of the interface is true: schemathesis asks a running server all that it says."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Site, http

CONFIG = """
[application:hello]
exact.type = test
command = sh -c "echo hello; echo oops >&2; echo more > left.txt"
keep = always
[application:failing]
exact.type = test
command = false
[adapter:lab]
kind = generic
secret = none
id = {data.id}
source = /lab
type = lab
"""
NOWHERE = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
BINARY = "*/*"

Document = dict[str, Any]


def operations(document: Document) -> Iterator[Document]:
    """Every method of every address."""
    for path in document["paths"].values():
        yield from path.values()


def takes_events(operation: Document) -> bool:
    """Whether an event can come in binary mode."""
    return BINARY in operation.get("requestBody", {}).get("content", {})


def structured(document: Document) -> None:
    """Leave everything but binary mode: there headers and body decide together what is right."""
    for each in filter(takes_events, operations(document)):
        del each["requestBody"]["content"][BINARY]
        each["requestBody"]["required"] = True
        each["parameters"] = [p for p in each["parameters"] if not p["name"].startswith("ce-")]


def structured_and_right(document: Document) -> None:
    """Leave integers out as well: 1.0 is one to JSON Schema, and none to CloudEvents."""
    structured(document)
    event = document["components"]["schemas"]["CloudEvent"]
    for each in event["patternProperties"].values():
        each["anyOf"] = [kind for kind in each["anyOf"] if kind["type"] != "integer"]


def binary(document: Document) -> None:
    """Leave events in binary mode only, whose headers are required then."""
    document["paths"] = {
        address: methods
        for address, methods in document["paths"].items()
        if "post" in methods and takes_events(methods["post"])
    }
    for each in filter(takes_events, operations(document)):
        each["requestBody"]["content"] = {"application/octet-stream": {}}
        for parameter in each["parameters"]:
            parameter["required"] = parameter["name"].startswith("ce-")


def with_things(document: Document, things: dict[str, str]) -> None:
    """Ask for what is there, as well as for what is not."""
    for each in operations(document):
        for parameter in each.get("parameters", []):
            if parameter["in"] == "path" and parameter["name"] in things:
                parameter["schema"] = {"enum": [things[parameter["name"]], NOWHERE]}


MODES: dict[Callable[[Document], None], list[str]] = {
    structured_and_right: [
        *("--mode", "positive"),
        # what an adapter wants in a body its templates say
        *("--exclude-path", "/receive/{adapter}"),
    ],
    structured: ["--mode", "negative"],
    binary: [
        *("--include-method", "POST"),
        # quotes and percent-encoding in a header are undone first, which no schema can say
        *("--exclude-checks", "positive_data_acceptance"),
    ],
}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_every_answer_is_as_described(site: Site, mode: Callable[[Document], None]) -> None:
    site.configure(CONFIG)
    site.start_standalone()
    event = site.post().json["uuid"]
    runs = {each["application"]: each["uuid"] for each in site.wait_status(event, "failed")["runs"]}
    document = http(f"{site.url}/openapi.json").json
    mode(document)
    things = {"event": event, "run": runs["hello"], "name": "left.txt", "application": "hello"}
    with_things(document, {**things, "adapter": "lab"})
    file = site.folder / "openapi.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", file, "--url", site.url),
            *("--checks", "all", "--phases", "coverage,fuzzing", "--max-examples", "20"),
            *("--generation-deterministic", "--no-color", *MODES[mode]),
        ],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
