"""Celery: the app, one thin task, the sender of wake-ups, and what a worker starts and stops.

`celery -A pacifica.dispatcher.tasks worker` starts a worker. It reads its settings as the other
tiers do: $DISPATCHER_CONFIG, ./config.ini, … .
"""

import gc
import logging
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
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.exceptions import OperationalError

from pacifica.dispatcher import config, orm, spool
from pacifica.dispatcher.config import CelerySettings, Settings
from pacifica.dispatcher.errors import (
    BrokerUnavailableError,
    DatabaseUnavailableError,
    DispatcherError,
)
from pacifica.dispatcher.lease import Heartbeat, Lease
from pacifica.dispatcher.process import Stop, adopt_orphans
from pacifica.dispatcher.publisher import Publisher
from pacifica.dispatcher.recovery import Recovery, Surroundings
from pacifica.dispatcher.runner import Runner

_log = logging.getLogger(__name__)

LIFELINE = "DISPATCHER_LIFELINE"
"""When this is in its environment, a worker stops as soon as its standard input ends."""

_TASK = "pacifica.dispatcher.run"
_CONNECT_TIMEOUT = 4  # seconds
_NOT_FOUND = "404"  # AMQP 0-9-1, section 1.2


def celery_configuration(settings: CelerySettings) -> dict[str, object]:
    """Celery's configuration.

    Wake-ups are acknowledged early and kept in the broker's memory only, because the database knows
    what is waiting and brings back what gets lost. Celery's mailboxes for remote control are those
    of the installation, and not exclusive: else RabbitMQ would keep a worker from starting while
    another one has its name, of whatever program, or what it was before still holds a connection.
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
        "control_exchange": f"dispatcher-{settings.queue}",
        "control_queue_durable": True,
        "control_queue_exclusive": False,
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
        self._default = settings.queue
        self._declared: set[str] = set()
        self._connection: Any = None
        self._producer: Any = None

    def send(self, run: str, queue: str) -> None:
        """Send the wake-up of a run to a queue; an empty name is the installation's.

        Raises:
            BrokerUnavailableError: the broker does not take it.
        """
        message = self._app.amqp.as_task_v2(run, _TASK, args=(run,), ignore_result=True)
        name = queue or self._default

        def publish() -> None:
            if name not in self._declared:
                self._app.amqp.queues[name](self._channel()).declare()
                self._declared.add(name)
            self._producer.publish(
                message.body,
                exchange="",
                routing_key=name,
                delivery_mode="transient",
                headers=message.headers,
                **message.properties,
            )

        self._twice(publish)

    def depth(self, queue: str) -> int:
        """How many wake-ups lie in a queue; an empty name is the installation's.

        Raises:
            BrokerUnavailableError: the broker does not say.
        """
        name = queue or self._default
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
        self._declared.clear()

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
            return act()
        except (OSError, OperationalError, *errors) as exc:
            self.close()
            if str(getattr(exc, "reply_code", "")) == _NOT_FOUND:
                raise _NoQueueError(str(exc)) from exc
            raise BrokerUnavailableError(f"the broker does not answer: {exc}") from exc


class _NoQueueError(DispatcherError):
    """The broker has no such queue; Redis forgets one with its last message."""


class _Connection(Connection):
    """A worker's connection: one that is lost is tried again each second, however long it takes.

    Celery itself waits two seconds longer after each try, up to thirty.
    """

    def _ensure_connection(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - kombu is untyped
        quickly = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 0.5}
        return super()._ensure_connection(*args, **{**quickly, **options})


class _Amqp(AMQP):
    """Celery's way to the broker, over such connections."""

    Connection = _Connection


spool.install()
app = Celery("pacifica.dispatcher", amqp=_Amqp)


class _Worker:
    """What one Celery worker needs beside Celery; its signals and its task come here."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._stop: Stop | None = None
        self._runner: Runner | None = None
        self._process = 0
        self._lease = Lease()
        self._quiet = threading.RLock()
        self._services: list[Publisher | Recovery | Heartbeat] = []

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
                lease=self._lease,
            )
        return self._runner

    def before_pool(self, sender: Any, **_: object) -> None:  # noqa: ANN401 - Celery's worker
        """Prepare the database and the lease, and what the pool's processes inherit."""
        settings = self.settings
        adopt_orphans()
        try:
            database = self._database()
            database.prepare(settings.database.connect_attempts, settings.database.connect_wait)
            registration = orm.Registration(
                host=socket.gethostname(),
                lock=orm.new_uuid(),
                length=settings.worker.lease,
                queues=tuple(sorted(sender.app.amqp.queues.consume_from)),
                processes=_processes(sender.concurrency),
            )
            directory = settings.worker.directory.absolute()
            heartbeat = Heartbeat(database, self._lease, registration, directory)
            heartbeat.begin()
        except DispatcherError as exc:
            _give_up(exc)
        assert self.stop  # noqa: S101 - made here, before the pool forks
        if hasattr(os, "register_at_fork"):
            quiet = self._quiet
            os.register_at_fork(
                before=quiet.acquire, after_in_parent=quiet.release, after_in_child=quiet.release
            )
        heartbeat.start()
        self._services = [heartbeat]

    def _database(self) -> orm.Database:
        """A database for a thread of the main process, which is not inside it while that forks."""
        return orm.Database(self.settings.database.peewee_url, quiet=self._quiet)

    def in_pool(self, **_: object) -> None:
        """A process of the pool has started: what it has by now lives as long as it does."""
        self.stop.inherited()
        adopt_orphans()
        gc.freeze()

    def ready(self, **_: object) -> None:
        """The worker takes work: publish what is due, look for what was lost."""
        settings = self.settings
        publisher = Publisher(self._database(), Broker(settings.celery), settings.applications)
        around = Surroundings(
            database=self._database(),
            lease=self._lease,
            length=settings.worker.lease,
            host=socket.gethostname(),
            directory=settings.worker.directory.absolute(),
            applications=settings.applications,
            depth=Broker(settings.celery).depth,
            wake=publisher.wake,
        )
        for service in (publisher, Recovery(around)):
            service.start()
            self._services.insert(0, service)
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


def _processes(concurrency: int | str) -> int:
    """How many processes a Celery worker's pool has; "auto" is as many as it finds cores."""
    return concurrency if isinstance(concurrency, int) else os.cpu_count() or 1


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
    try:
        _worker.runner.run(uuid)
    except DatabaseUnavailableError as exc:
        _log.warning("run %s waits: %s", uuid, exc)
