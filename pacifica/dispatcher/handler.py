"""The child process of a Python handler: it gets DIRECTORY and MODULE:NAME as arguments."""

import importlib
import io
import json
import os
import sys
from pathlib import Path

from pacifica.dispatcher import events


def main(directory: str, target: str) -> None:
    """Call the handler with the event of $DISPATCHER_EVENT; write what it returns as the result.

    Args:
        directory: where modules are looked for first.
        target: the handler as MODULE:NAME, a callable or a class with `handle(event)`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what it prints is seen while it runs
    sys.path.insert(0, directory)
    module, _, name = target.partition(":")
    handler = getattr(importlib.import_module(module), name)
    if isinstance(handler, type):
        handler = handler().handle
    event = events.parse(Path(os.environ["DISPATCHER_EVENT"]).read_text(encoding="utf-8"))
    result = json.dumps(handler(event), allow_nan=False)
    Path(os.environ["DISPATCHER_RESULT"]).write_text(result, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
