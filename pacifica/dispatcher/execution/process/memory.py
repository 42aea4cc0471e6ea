"""The kernel's count of processes that it killed for lack of memory, on Linux."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_MACHINE: Final = Path("/proc/vmstat")
_KEY: Final = b"oom_kill "
_SIZE: Final = 64 * 1024


def oom_kills() -> int:
    """Return the number so far, of this process's control group or else of the machine.

    It only grows; 0 if the system does not count.
    """
    with suppress(OSError):
        return _count(os.pread(_descriptor(), _SIZE, 0))
    return 0


@cache
def _descriptor() -> int:
    """Open the file that has the count, for as long as the process lives."""
    return os.open(counter(Path("/proc/self/cgroup")), os.O_RDONLY)


def counter(cgroups: Path, groups: Path = _GROUPS, machine: Path = _MACHINE) -> Path:
    """Return the file that has the count.

    Args:
        cgroups: the file that names a process's control groups.
        groups: the folder of all control groups.
        machine: the file that has the count of the whole machine.
    """
    paths = dict(line.split(":", 2)[1:] for line in cgroups.read_text().splitlines())
    version1 = groups / "memory" / paths.get("memory", "").lstrip("/") / "memory.oom_control"
    version2 = groups / paths.get("", "").lstrip("/") / "memory.events"
    files = (version1 if "memory" in paths else version2, machine)
    return next((file for file in files if _counts(file)), machine)


def _counts(file: Path) -> bool:
    with suppress(OSError):
        return _KEY in file.read_bytes()
    return False


def _count(content: bytes) -> int:
    _, _, rest = content.partition(_KEY)
    return int(rest.split(maxsplit=1)[0]) if rest else 0
