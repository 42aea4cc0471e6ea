"""The Celery app and its one task.

`celery -A pacifica.dispatcher.tasks worker` starts a worker, which finds its settings like the
other tiers do: in $DISPATCHER_CONFIG, ./config.ini, …
"""

from pacifica.dispatcher import installed_first  # noqa: F401

# isort: split
from celery import Celery

from pacifica.dispatcher.broker.configuration import (
    TASK,
    celery_configuration,
    ignore_environment,
)
from pacifica.dispatcher.broker.consumer import QuietConsumer
from pacifica.dispatcher.broker.reconnection import ReconnectingAmqp
from pacifica.dispatcher.worker.lifecycle import Worker

ignore_environment()
app = Celery("pacifica.dispatcher", amqp=ReconnectingAmqp, fixups=[])
_worker = Worker()
_worker.connect_signals()
app.add_defaults(
    lambda: {**celery_configuration(_worker.settings.celery), "worker_consumer": QuietConsumer}
)


@app.task(name=TASK)
def take_wakeup(run: str) -> None:
    """Make one attempt at a run that is due."""
    _worker.take_wakeup(run)
