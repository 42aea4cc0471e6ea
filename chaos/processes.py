"""Which processes belong to whom, and ending them by their numbers."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import psutil

from chaos.waiting import until

_DEAD: Final = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


def marked(**marks: str) -> list[psutil.Process]:
    """The living processes whose environment has these variables; an empty value means any."""
    return [
        process
        for process, environment in _environments()
        if all(
            name in environment and environment[name] in {value, value or environment[name]}
            for name, value in marks.items()
        )
    ]


def _environments() -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() not in _DEAD:
                yield process, process.environ()


def pool_of(worker: int) -> list[psutil.Process]:
    """The pool processes of a worker: its children that share its session."""
    with suppress(psutil.Error, OSError):
        children = psutil.Process(worker).children()
        return [each for each in children if os.getsid(each.pid) == worker]
    return []


def is_busy(pool_process: psutil.Process) -> bool:
    """Whether a pool process has a child, which is an application."""
    with suppress(psutil.Error):
        return bool(pool_process.children())
    return False


async def kill_marked(**marks: str) -> None:
    """Kill all processes whose environment has these variables, those that they start too."""

    def none_is_left() -> bool:
        found = marked(**marks)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        return not found

    await until(none_is_left, f"the end of the processes of {marks}", 20.0)
