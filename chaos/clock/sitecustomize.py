"""Python imports this module at its start if its folder is in PYTHONPATH: a clock to be moved.

The file CHAOS_CLOCK contains the seconds by which the clock is ahead; without it, it is right.
"""

import os
import time
from pathlib import Path
from typing import Final

_LOOKS_EVERY: Final = 0.1  # seconds
_file = Path(os.environ.get("CHAOS_CLOCK", "/nonexistent"))
_real, _real_ns = time.time, time.time_ns
_looked, _ahead = 0.0, 0.0


def _offset() -> float:
    global _looked, _ahead  # noqa: PLW0603 - time.time is a function of the module
    at = time.monotonic()
    if at - _looked > _LOOKS_EVERY:
        _looked = at
        try:
            _ahead = float(_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            _ahead = 0.0
    return _ahead


time.time = lambda: _real() + _offset()
time.time_ns = lambda: _real_ns() + int(_offset() * 1e9)
