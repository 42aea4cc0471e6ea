"""Environment variables that identify the processes of one attempt."""

from typing import Final

WORKER_MARK: Final = "DISPATCHER_WORKER"
MARKS: Final = (WORKER_MARK, "DISPATCHER_RUN", "DISPATCHER_ATTEMPT")
"""Variables whose values together identify the processes of one attempt."""


def marks(worker: str, run: str, attempt: int) -> dict[str, str]:
    """Return the variables that identify the processes of one attempt."""
    return dict(zip(MARKS, (worker, run, str(attempt)), strict=True))
