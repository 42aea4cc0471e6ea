"""Stored handles: texts of the form SCHEME:REST that identify an attempt to its executor."""

from typing import Final

_LOCAL: Final = "local:"


def local_handle(pid: int) -> str:
    """Return the handle of an attempt made by the worker process with this id."""
    return f"{_LOCAL}{pid}"


def local_pid(handle: str | None) -> int | None:
    """Return the process id in a handle of the local executor, or None for any other handle."""
    if handle is None or not handle.startswith(_LOCAL):
        return None
    return int(handle.removeprefix(_LOCAL))
