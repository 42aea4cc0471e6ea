"""Search installed modules before those in the working directory.

Each program of ours imports this module first. `python -m`, `celery -A` and gunicorn put the
working directory first, where Python would find a `queue.py` instead of its own.
"""

import os
import sys
from contextlib import suppress

_here = {""}
with suppress(OSError):  # the directory was deleted
    _here.add(os.getcwd())  # noqa: PTH109 - as it is in sys.path
sys.path.sort(key=_here.__contains__)  # the sort is stable: only the working directory moves
