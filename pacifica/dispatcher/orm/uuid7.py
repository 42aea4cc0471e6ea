"""Version 7 UUIDs (RFC 9562, section 5.7): keys that sort by time."""

import os
import struct
import time
from typing import Final

_BATCH: Final = struct.Struct("=64Q")


class _Entropy:
    """Random 64-bit numbers, read in batches to save system calls."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._numbers.clear)  # or they would share them

    def take(self) -> int:
        while True:
            try:
                return self._numbers.pop()
            except IndexError:
                self._numbers.extend(_BATCH.unpack(os.urandom(_BATCH.size)))


_entropy: Final = _Entropy()


def new_uuid(now: float | None = None) -> str:
    """Make a UUID from the time in steps of 244 ns (section 6.2, method 3) and random bits.

    Args:
        now: seconds since the epoch; by default, the time of this host.
    """
    nanoseconds = time.time_ns() if now is None else int(now * 1e9)
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    value = milliseconds << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64
    value |= 0x2 << 62 | _entropy.take() >> 2
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
