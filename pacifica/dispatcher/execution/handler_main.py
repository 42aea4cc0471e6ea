"""The child process of a Python handler; its arguments are DIRECTORY and MODULE:NAME."""

import importlib
import io
import json
import os
import sys
from collections.abc import Awaitable
from pathlib import Path

from pacifica.dispatcher import events


def main(directory: str, target: str) -> None:
    """Call the handler with the event in $DISPATCHER_EVENT; write its return value as the result.

    Args:
        directory: searched for modules before installed packages, after the standard library.
        target: the handler as MODULE:NAME, a callable or a class with `handle(event)`; both may be
            asynchronous.
    """
    _accept_any_text()
    sys.path.insert(_after_the_standard_library(), directory)
    module, _, name = target.partition(":")
    handler = getattr(importlib.import_module(module), name)
    if isinstance(handler, type):
        handler = handler().handle
    event = events.parse_event(Path(os.environ["DISPATCHER_EVENT"]).read_text(encoding="utf-8"))
    returned = handler(event)
    if isinstance(returned, Awaitable):
        import asyncio  # noqa: PLC0415 - its import costs more than most handlers

        returned = asyncio.run(_wait_for(returned))
    result = json.dumps(returned, allow_nan=False)
    Path(os.environ["DISPATCHER_RESULT"]).write_text(result, encoding="utf-8")
    _close_output()


def _accept_any_text() -> None:
    # Any text, whatever the locale is, and each line as soon as it is complete.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


async def _wait_for(returned: Awaitable[object]) -> object:
    return await returned


def _close_output() -> None:
    # A handler that closed its output has done nothing wrong; Python would exit with code 120.
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (AttributeError, OSError, ValueError):
            setattr(sys, name, None)


def _after_the_standard_library() -> int:
    installed = {"site-packages", "dist-packages"}
    found = (index for index, each in enumerate(sys.path) if Path(each).name in installed)
    return next(found, len(sys.path))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
