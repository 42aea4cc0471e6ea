"""The limit on the open files of a process."""

import math
import sys
from typing import Final

if sys.platform != "win32":
    import resource

_RESERVED: Final = 32  # for what must go on: the database, the broker, the log
_SHARE: Final = 4  # … but at most this fraction of a small limit


def usable_descriptors() -> float:
    """Return the number of descriptors that connections of clients may use up."""
    if sys.platform == "win32":
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return limit - min(_RESERVED, limit // _SHARE)
