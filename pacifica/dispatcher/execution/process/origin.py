"""The origin of an application's process: the proof that it descends from a worker.

A process that an application hands a job to (`at`, a batch system, a terminal multiplexer) copies
the application's environment, so variables prove nothing by themselves. Each application therefore
carries the processes that supervise it and adopt its orphans; the kernel's parent links and
control groups then show whether a process descends from them, even after their death.
"""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

ORIGIN: Final = "DISPATCHER_ORIGIN"
"""Environment variable that holds the origin of a process."""

_LEAVE_ORPHAN: Final = ("/bin/sh", "-c", "sleep 9 >&- & echo $!")
_PRECISION: Final = 2.0  # seconds by which two processes may differ about a time

INIT: Final = 1
"""The process that adopts orphans that no other process adopts."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a process.

    Attributes:
        supervisor: the process that started the application.
        main: the process that adopts its orphans after the supervisor's death; 0 if none does.
        began: the time at which that process began.
        reaper: the process that adopts its orphans after the death of both.
        cgroup: the control group of all of them; "/" if unknown.
    """

    supervisor: int
    main: int
    began: float
    reaper: int
    cgroup: str

    def __str__(self) -> str:
        """Return the value of the environment variable."""
        return f"{self.supervisor}:{self.main}:{self.began}:{self.reaper}:{self.cgroup}"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the origin in an environment, or None if it has no valid one."""
        parts = environment.get(ORIGIN, "").split(":", 4)
        try:
            supervisor, main, began, reaper, cgroup = parts
            return cls(int(supervisor), int(main), float(began), int(reaper), cgroup)
        except ValueError:
            return None

    def worker_lives(self) -> bool:
        """Return True if the main process, which adopts all orphans, is alive."""
        with suppress(psutil.Error):
            main = psutil.Process(self.main) if self.main else None
            return main is not None and abs(main.create_time() - self.began) < _PRECISION
        return False

    def shares_cgroup(self, pid: int) -> bool:
        """Return True if a process is in the control group, or below it."""
        path = cgroup_of(pid)
        return path == self.cgroup or path.startswith(f"{self.cgroup.rstrip('/')}/")


def cgroup_of(pid: int) -> str:
    """Return the path of a process's control group, as systemd sees it; "/" if unknown."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "/"
    paths = dict(line.split(":", 2)[1:] for line in lines.splitlines())
    return paths.get("name=systemd", paths.get("", "/"))


def find_reaper() -> int:
    """Return the process that adopts this process's orphans, by leaving one."""
    if sys.platform == "win32":
        return INIT
    with suppress(OSError, ValueError, psutil.Error):
        left = subprocess.run(_LEAVE_ORPHAN, stdout=subprocess.PIPE, check=False)  # noqa: S603 - ours
        orphan = psutil.Process(int(left.stdout))
        reaper = orphan.ppid()
        orphan.kill()
        return reaper
    return INIT
