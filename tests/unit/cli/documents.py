"""Factories of a server's documents."""

from typing import Any

EVENT = "01a209a6-de79-792e-b3d9-4c43386c993a"
RUN = "01a209a6-de7a-713c-b057-217dea95c68a"
OTHER = "01a209a6-de7b-7000-8000-000000000000"


def run_document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a run."""
    return {
        "uuid": RUN,
        "application": "hello",
        "status": "succeeded",
        "attempt": 1,
        "exit_code": 0,
        "signal": None,
        "result": None,
        "error": None,
        "queued": "2026-11-23T18:24:20.601Z",
        "started": "2026-11-23T18:24:20.619Z",
        "finished": "2026-11-23T18:24:21.623Z",
        "host": "vm",
        "due": None,
        "crashes": 0,
        "losses": 0,
        "cancelling": False,
        "origin": None,
        "superseded": False,
        **members,
    }


def attempt_document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return an attempt."""
    return {
        "number": 1,
        "host": "vm",
        "started": "2026-11-23T18:24:20.619Z",
        "finished": "2026-11-23T18:24:21.623Z",
        "exit_code": 0,
        "signal": None,
        "error": None,
        **members,
    }


def status_document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the status of an event."""
    return {
        "uuid": EVENT,
        "status": "succeeded",
        "result": None,
        "event": {"specversion": "1.0", "id": "1", "source": "/readme", "type": "org.example"},
        "received": "2026-11-23T18:24:20.601Z",
        "runs": [run_document()],
        **members,
    }
