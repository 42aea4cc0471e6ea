"""The pools of Celery that a worker can use."""

from collections.abc import Iterator
from typing import Any, Final

from celery.concurrency import get_implementation

from pacifica.dispatcher.errors import ConcurrencyError

_POOLS: Final = {"celery.concurrency.prefork", "celery.concurrency.solo"}


def check_pool(worker: Any) -> None:  # noqa: ANN401 - Celery's worker
    """Make sure that the worker's pool can run applications.

    Raises:
        ConcurrencyError: it cannot; the message says what to use instead.
    """
    for problem in _problems(worker):
        raise ConcurrencyError(problem)


def _problems(worker: Any) -> Iterator[str]:  # noqa: ANN401 - Celery's worker
    pool = get_implementation(worker.pool_cls).__module__
    if pool not in _POOLS:
        # The others run attempts in one process, which could not end one of them when it is stuck.
        name = pool.rpartition(".")[2]
        yield f"Unsupported pool {name!r}; use --pool prefork or --pool solo"
    if getattr(worker, "pool_start_method", "fork") != "fork":
        yield "Unsupported --pool-start-method: the pool must fork"
    if worker.time_limit or worker.soft_time_limit:
        yield (
            "Unsupported --time-limit or --soft-time-limit, which end the worker's own processes; "
            "set the timeout of the application instead"
        )
