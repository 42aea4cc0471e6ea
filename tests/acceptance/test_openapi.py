"""Schemathesis checks a running server against its OpenAPI document."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import DEADLINE, Site, http

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
UNKNOWN = "01a20997-c0e5-77ee-8e00-a2944b68dfdf"
BINARY = "*/*"

Document = dict[str, Any]


def operations(document: Document) -> Iterator[Document]:
    """Yield every operation of a document."""
    for path in document["paths"].values():
        yield from path.values()


def takes_events(operation: Document) -> bool:
    """Return True if an operation accepts events in binary mode."""
    return BINARY in operation.get("requestBody", {}).get("content", {})


def structured(document: Document) -> None:
    """Remove binary mode, in which validity depends on headers and body together."""
    for each in filter(takes_events, operations(document)):
        del each["requestBody"]["content"][BINARY]
        each["requestBody"]["required"] = True
        each["parameters"] = [p for p in each["parameters"] if not p["name"].startswith("ce-")]


def structured_valid(document: Document) -> None:
    """Remove integers as well: 1.0 is an integer to JSON Schema, but not to CloudEvents."""
    structured(document)
    event = document["components"]["schemas"]["CloudEvent"]
    for each in event["patternProperties"].values():
        each["anyOf"] = [kind for kind in each["anyOf"] if kind["type"] != "integer"]


def binary(document: Document) -> None:
    """Keep only events in binary mode, and require their headers."""
    document["paths"] = {
        address: methods
        for address, methods in document["paths"].items()
        if "post" in methods and takes_events(methods["post"])
    }
    for each in filter(takes_events, operations(document)):
        each["requestBody"]["content"] = {"application/octet-stream": {}}
        for parameter in each["parameters"]:
            parameter["required"] = parameter["name"].startswith("ce-")


def restrict_paths(document: Document, existing: dict[str, str]) -> None:
    """Restrict path parameters to an existing and an unknown value."""
    for each in operations(document):
        for parameter in each.get("parameters", []):
            if parameter["in"] == "path" and parameter["name"] in existing:
                parameter["schema"] = {"enum": [existing[parameter["name"]], UNKNOWN]}


MODES: dict[Callable[[Document], None], list[str]] = {
    structured_valid: [
        *("--mode", "positive"),
        # An adapter's templates decide which body it accepts.
        *("--exclude-path", "/receive/{adapter}"),
    ],
    structured: ["--mode", "negative"],
    binary: [
        *("--include-method", "POST"),
        # Headers are unquoted and percent-decoded first, which no schema can express.
        *("--exclude-checks", "positive_data_acceptance"),
    ],
}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
def test_every_response_matches_the_document(site: Site, mode: Callable[[Document], None]) -> None:
    site.configure(CONFIG)
    site.start_standalone()
    event = site.post().json["uuid"]
    runs = {each["application"]: each["uuid"] for each in site.wait_status(event, "failed")["runs"]}
    document = http(f"{site.url}/openapi.json").json
    mode(document)
    existing = {"event": event, "run": runs["hello"], "name": "left.txt", "application": "hello"}
    restrict_paths(document, {**existing, "adapter": "lab"})
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
        timeout=2 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
