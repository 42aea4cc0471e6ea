"""Celery: the app, one thin task, the sender of wake-ups, and what a worker starts and stops.

`celery -A pacifica.dispatcher.tasks worker` starts a worker. It reads its settings as the other
tiers do: $DISPATCHER_CONFIG, ./config.ini, … .
"""

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from celery import Celery, signals
from kombu.exceptions import OperationalError

from pacifica.dispatcher import config, orm, spool
from pacifica.dispatcher.config import CelerySettings, Settings
from pacifica.dispatcher.errors import BrokerUnavailableError, DispatcherError
from pacifica.dispatcher.process import Stop
from pacifica.dispatcher.publisher import Publisher
from pacifica.dispatcher.recovery import Recovery
from pacifica.dispatcher.runner import Runner

LIFELINE = "DISPATCHER_LIFELINE"
"""When this is in its environment, a worker stops as soon as its standard input ends."""

_TASK = "pacifica.dispatcher.run"
_CONNECT_TIMEOUT = 4  # seconds
_NOT_FOUND = "404"  # AMQP 0-9-1, section 1.2


def celery_configuration(settings: CelerySettings) -> dict[str, object]:
    """Celery's configuration.

    Wake-ups are acknowledged early and kept in the broker's memory only, because the database knows
    what is waiting and brings back what gets lost.
    """
    scheme = urlsplit(settings.broker_url).scheme
    transport: dict[str, object] = {}
    if scheme == "filesystem":
        folder = Path(unquote(urlsplit(settings.broker_url).path))
        messages, control = folder / "messages", folder / "control"
        for each in (messages, control):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        transport = {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.02,  # seconds
        }
    elif "amqp" in scheme:
        transport = {"confirm_publish": True}
    return {
        "broker_url": "filesystem://" if scheme == "filesystem" else settings.broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": transport,
        "task_default_queue": settings.queue,
        "task_default_delivery_mode": "transient",
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 1,
    }


class Broker:
    """A connection to the broker, for one thread; it is made when it is first needed."""

    def __init__(self, settings: CelerySettings) -> None:
        """Choose the broker; nothing is connected yet."""
        self._app = Celery(set_as_current=False)
        self._app.conf.update(celery_configuration(settings))
        self._queue = self._app.amqp.queues[settings.queue]
        self._connection: Any = None
        self._producer: Any = None

    def send(self, run: str) -> None:
        """Send the wake-up of a run.

        Raises:
            BrokerUnavailableError: the broker does not take it.
        """
        message = self._app.amqp.as_task_v2(run, _TASK, args=(run,), ignore_result=True)
        self._twice(
            lambda: self._producer.publish(
                message.body,
                exchange="",
                routing_key=self._queue.name,
                delivery_mode="transient",
                headers=message.headers,
                **message.properties,
            )
        )

    def depth(self) -> int:
        """How many wake-ups lie in the queue.

        Raises:
            BrokerUnavailableError: the broker does not say.
        """
        name = self._queue.name
        try:
            declared = self._twice(lambda: self._channel().queue_declare(name, passive=True))
        except _NoQueueError:
            return 0
        return int(declared.message_count)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OSError, OperationalError):
                self._connection.release()
        self._connection = self._producer = None

    def _channel(self) -> Any:  # noqa: ANN401 - kombu is untyped
        return self._producer.channel

    def _twice(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - kombu is untyped
        """Act; once more on a new connection when the old one turns out to be dead."""
        if self._connection is not None:
            with suppress(BrokerUnavailableError):
                return self._once(act)
        return self._once(act)

    def _once(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - kombu is untyped
        connection = self._connection or self._app.connection_for_write(
            connect_timeout=_CONNECT_TIMEOUT, heartbeat=0
        )
        errors = (*connection.connection_errors, *connection.channel_errors)
        try:
            if self._connection is None:
                self._connection = connection
                self._producer = self._app.amqp.Producer(connection, auto_declare=False)
                self._queue(self._channel()).declare()
            return act()
        except (OSError, OperationalError, *errors) as exc:
            self.close()
            if str(getattr(exc, "reply_code", "")) == _NOT_FOUND:
                raise _NoQueueError(str(exc)) from exc
            raise BrokerUnavailableError(f"the broker does not answer: {exc}") from exc


class _NoQueueError(DispatcherError):
    """The broker has no such queue; Redis forgets one with its last message."""


spool.install()
app = Celery("pacifica.dispatcher")


class _Worker:
    """What one Celery worker needs beside Celery; its signals and its task come here."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._stop: Stop | None = None
        self._runner: Runner | None = None
        self._process = 0
        self._services: list[Publisher | Recovery] = []

    @property
    def settings(self) -> Settings:
        """The settings; a worker that has none cannot start."""
        if self._settings is None:
            try:
                self._settings = config.load()
            except DispatcherError as exc:
                _give_up(exc)
        return self._settings

    @property
    def stop(self) -> Stop:
        """The request to stop that this worker's processes share."""
        if self._stop is None:
            self._stop = Stop()
        return self._stop

    @property
    def runner(self) -> Runner:
        """This process's runner; a child that was forked does not use its parent's connections."""
        if self._runner is None or self._process != os.getpid():
            self._process = os.getpid()
            self._runner = Runner(
                database=orm.Database(self.settings.database.peewee_url),
                applications=self.settings.applications,
                directory=self.settings.worker.directory.absolute(),
                home=self.settings.home,
                host=socket.gethostname(),
                stop=self.stop,
            )
        return self._runner

    def before_pool(self, **_: object) -> None:
        """Prepare the database, and what the pool's processes inherit."""
        settings = self.settings.database
        try:
            database = orm.Database(settings.peewee_url)
            database.prepare(settings.connect_attempts, settings.connect_wait)
        except DispatcherError as exc:
            _give_up(exc)
        database.close()
        assert self.stop  # noqa: S101 - made here, before the pool forks

    def in_pool(self, **_: object) -> None:
        """A process of the pool has started: what it has by now lives as long as it does."""
        self.stop.inherited()
        gc.freeze()

    def ready(self, **_: object) -> None:
        """The worker takes work: publish what is due, look for what was lost."""
        self._services = [
            Publisher(
                orm.Database(self.settings.database.peewee_url), Broker(self.settings.celery)
            ),
            Recovery(
                orm.Database(self.settings.database.peewee_url), Broker(self.settings.celery).depth
            ),
        ]
        for service in self._services:
            service.start()
        if LIFELINE in os.environ:
            threading.Thread(target=_stop_with_parent, name="lifeline", daemon=True).start()

    def stopping(self, **_: object) -> None:
        """The worker takes no more work: running applications get some time to end."""
        timer = threading.Timer(self.settings.worker.stop_grace, self.stop.request)
        timer.daemon = True
        timer.start()

    def stopped(self, **_: object) -> None:
        """No application runs any more."""
        for service in self._services:
            service.stop()


def _give_up(exc: DispatcherError) -> NoReturn:
    sys.stderr.write(f"{exc}\n")
    raise SystemExit(2)


def _stop_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


_worker = _Worker()
app.add_defaults(lambda: celery_configuration(_worker.settings.celery))
signals.worker_init.connect(_worker.before_pool)
signals.worker_process_init.connect(_worker.in_pool)
signals.worker_ready.connect(_worker.ready)
signals.worker_shutting_down.connect(_worker.stopping)
signals.worker_shutdown.connect(_worker.stopped)


@app.task(name=_TASK)
def run(uuid: str) -> None:
    """Run is due: make one attempt at it."""
    _worker.runner.run(uuid)
