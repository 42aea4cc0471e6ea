"""The lifecycle of a worker: its own threads and resources, driven by Celery's signals."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NoReturn

from billiard.process import current_process
from celery import signals
from celery.worker import state

from pacifica.dispatcher import config, orm
from pacifica.dispatcher.broker.connection import BrokerConnection
from pacifica.dispatcher.broker.publisher import Publisher
from pacifica.dispatcher.config import Settings
from pacifica.dispatcher.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    DatabaseUnavailableError,
    DatabaseUnfitError,
    DispatcherError,
    SchemaError,
    UnavailableError,
)
from pacifica.dispatcher.execution.local import LocalExecutor
from pacifica.dispatcher.execution.process import (
    StopRequest,
    adopt_orphans,
    ignore_hangup,
    restore_signals,
    use_kill_helper,
)
from pacifica.dispatcher.telemetry import ERROR, WARNING, emit, limit_handlers
from pacifica.dispatcher.worker.cancellations import Cancellations
from pacifica.dispatcher.worker.lease import LOCK_WAIT, Heartbeat, Lease
from pacifica.dispatcher.worker.pools import check_pool
from pacifica.dispatcher.worker.recorder import first_line
from pacifica.dispatcher.worker.recovery import Recovery, Surroundings
from pacifica.dispatcher.worker.roster import Roster
from pacifica.dispatcher.worker.runner import Runner
from pacifica.dispatcher.worker.troubles import Troubles

LIFELINE: Final = "DISPATCHER_LIFELINE"
"""Environment variable; if set, a worker stops as soon as its standard input ends."""

_OF_EACH_TASK: Final = ("celery.worker.strategy", "celery.app.trace")
"""Loggers with two lines for each wake-up that say less than `run.started` and `run.finished`."""

_LASTING: Final = (DatabaseUnfitError, BrokerRefusedError)  # until somebody changes something
_STOP_WITHIN: Final = 30.0  # seconds from the end of the applications to the end of the worker


class Worker:
    """The receiver of a Celery worker's signals and of its task."""

    def __init__(self) -> None:
        """Defer all preparation: the settings are read when Celery needs them."""
        self._lease = Lease()
        self._cancellations = Cancellations()
        self._roster = Roster()
        self._troubles = Troubles()
        self._scarcity = orm.Scarcity()
        self._clock = orm.Clock()
        # Held while this process forks, in this order: one for each thread that uses the database,
        # so that none waits for another, and a fork that waits for one does not stop the others.
        self._fork_locks = [threading.RLock() for _ in range(3)]
        self._abandoned: str | None = None  # the reason that this process has logged last
        self._runner: Runner | None = None
        self._runner_process = 0
        self._services: _Services | None = None
        self._others = ""

    @cached_property
    def settings(self) -> Settings:
        """The settings; without valid ones, the worker exits."""
        try:
            return config.load()
        except DispatcherError as exc:
            _give_up(exc)

    @cached_property
    def stop(self) -> StopRequest:
        """The request to stop, shared by this worker's processes."""
        return StopRequest()

    @property
    def directory(self) -> Path:
        """The folder that contains the attempts' folders and the workers' locks."""
        return self.settings.worker.directory.absolute()

    def connect_signals(self) -> None:
        """Connect to the signals of Celery's worker in this process."""
        signals.after_setup_logger.connect(_set_up_log)
        signals.after_setup_task_logger.connect(_limit_log)
        signals.worker_init.connect(self.before_pool)
        signals.worker_process_init.connect(self.in_pool)
        signals.worker_ready.connect(self.ready)
        signals.worker_shutting_down.connect(self.stopping)
        signals.worker_shutdown.connect(self.stopped)

    def take_wakeup(self, run: str) -> None:
        """Make one attempt at a run that is due."""
        try:
            self._own_runner().make_attempt(run)
        except DatabaseUnavailableError as exc:
            emit("claim.failed", WARNING, run=run, reason=str(exc))
        except Exception as exc:  # noqa: BLE001 - recovery takes up the run
            if first_line(exc) != self._abandoned:
                emit("attempt.abandoned", ERROR, exception=exc, run=run)
            self._abandoned = first_line(exc)

    def before_pool(self, sender: Any, **_: object) -> None:  # noqa: ANN401 - Celery's worker
        """Prepare the database, the lease and the objects that the pool's processes inherit."""
        adopt_orphans()
        use_kill_helper(self.settings.worker.kill_helper)
        try:
            check_pool(sender)
            self._check_queues(sender)
            self._services = self._compose(sender)
            self._others = self._services.prepare(self.settings)
        except DispatcherError as exc:
            _give_up(exc)
        assert self.stop  # noqa: S101 - created here, before the pool forks
        if hasattr(os, "register_at_fork"):
            for lock in reversed(self._fork_locks):  # the last one registered is taken first
                os.register_at_fork(
                    before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
                )
        self._services.heartbeat.start()

    def in_pool(self, **_: object) -> None:
        """Prepare a process of the pool."""
        self.stop.inherited()
        self._roster.inherited(getattr(current_process(), "index", -1))  # its number in the pool
        adopt_orphans()
        ignore_hangup()
        gc.freeze()  # the objects that exist by now live as long as the process

    def ready(self, **_: object) -> None:
        """Start the publisher and recovery, now that the worker takes runs."""
        assert self._services is not None  # noqa: S101 - created by `before_pool`
        ignore_hangup()  # Celery would start over, and end what is running
        self._services.publisher.start()
        self._services.recovery.start()
        emit("database.opened", database=self._services.database.name, workers=self._others)
        emit("worker.started", worker=self._lease.worker)
        if LIFELINE in os.environ:
            threading.Thread(target=_stop_with_parent, name="lifeline", daemon=True).start()

    def stopping(self, **_: object) -> None:
        """Give running applications some time to end, and the worker itself a little longer."""
        grace = self.settings.worker.stop_grace
        longest = max(each.kill_after for each in self.settings.applications.values())
        _call_after(grace, self.stop.request)
        _call_after(grace + longest + _STOP_WITHIN, self._abort)

    def stopped(self, **_: object) -> None:
        """Stop the services, now that no application runs any more."""
        worker = self._lease.worker
        if self._services is not None:
            self._services.stop()
        emit("worker.stopped", worker=worker)

    def _abort(self) -> None:
        """End at once: something hangs. What the pool still runs ends with this process."""
        emit("worker.aborted", ERROR, worker=self._lease.worker)
        os._exit(1)

    def _check_queues(self, sender: Any) -> None:  # noqa: ANN401 - Celery's worker
        """Prepare the worker's queues; Celery waits for a broker that is away."""
        connection = BrokerConnection(self.settings.celery)
        try:
            connection.prepare(sender.app.amqp.queues.consume_from)
        except BrokerRefusedError:
            raise
        except BrokerUnavailableError as exc:
            emit("worker.waiting", WARNING, reason=str(exc))
        finally:
            connection.close()

    def _stop_outdated(self, exc: SchemaError) -> None:
        """Stop as if asked to, but with exit code 2."""
        sys.stderr.write(f"{exc}\n")
        self.stopping()
        state.should_stop = 2  # type: ignore[assignment] # its stub knows only None

    def _own_runner(self) -> Runner:
        # A forked child must not use its parent's connections.
        if self._runner is None or self._runner_process != os.getpid():
            self._runner_process = os.getpid()
            restore_signals()  # now, because the pool ignores signals after `in_pool`
            self._runner = Runner(
                database=self._pool_database(),
                applications=self.settings.applications,
                directory=self.directory,
                home=self.settings.home,
                host=socket.gethostname(),
                executor=LocalExecutor(self.stop),
                stop=self.stop,
                lease=self._lease,
                cancellations=self._cancellations,
                roster=self._roster,
                troubles=self._troubles,
            )
        return self._runner

    def _compose(self, sender: Any) -> "_Services":  # noqa: ANN401 - Celery's worker
        # Each thread of the main process has a database of its own.
        settings, host = self.settings, socket.gethostname()
        queues = tuple(sorted(sender.app.amqp.queues.consume_from))
        registration = orm.Registration(
            host=host,
            lock=orm.new_uuid(),
            length=settings.worker.lease,
            queues=queues,
            processes=_processes(sender.concurrency),
            applications=_applications(settings, queues),
        )
        length = settings.worker.lease
        limited = orm.Waits(lock=min(2.0, length / 4), statement=max(1.0, length / 3))
        of_publisher, of_recovery, of_heartbeat = self._fork_locks
        database = self._database(of_heartbeat, orm.Waits(lock=LOCK_WAIT), kept=True)
        heartbeat = Heartbeat(database, self._lease, registration, self.directory)
        sending = BrokerConnection(settings.celery)
        publisher = Publisher(
            self._database(of_publisher, limited),
            sending,
            settings.applications,
            outdated=self._stop_outdated,
        )
        surroundings = Surroundings(
            database=self._database(of_recovery, limited),
            lease=self._lease,
            roster=self._roster,
            stopping=_is_stopping,
            length=length,
            host=host,
            directory=self.directory,
            cancellations=self._cancellations,
            applications=settings.applications,
            executor=LocalExecutor(self.stop),
            default_queue=settings.celery.queue,
            depth=BrokerConnection(settings.celery).depth,
            wake=publisher.wake,
        )
        return _Services(database, heartbeat, publisher, Recovery(surroundings))

    def _database(
        self, fork_lock: threading.RLock, waits: orm.Waits, *, kept: bool = False
    ) -> orm.Database:
        """Return a database for one thread of the main process, with a connection of its own."""
        return orm.Database(
            self.settings.database.peewee_url,
            connections=1,
            waits=waits,
            scarcity=self._scarcity,
            clock=self._clock,
            kept=kept,
            quiet=fork_lock,
        )

    def _pool_database(self) -> orm.Database:
        """Return the database of a process of the pool, with a connection while it needs one."""
        return orm.Database(
            self.settings.database.peewee_url,
            connections=1,
            scarcity=self._scarcity,
            clock=self._clock,
            reap=True,
        )


@dataclass(frozen=True, slots=True)
class _Services:
    """The threads of a worker's main process, and the heartbeat's database."""

    database: orm.Database
    heartbeat: Heartbeat
    publisher: Publisher
    recovery: Recovery

    def prepare(self, settings: Settings) -> str:
        """Upgrade the tables and begin the lease; return the hosts of the other workers."""
        others = ""

        def begin() -> None:
            nonlocal others
            others = orm.hosts(self.database)
            orm.report_orphans(self.database, settings.applications, settings.celery.queue)
            self.heartbeat.begin()

        wait = settings.database.connect_wait
        self.database.prepare(settings.database.connect_attempts, wait, begin)
        return others

    def stop(self) -> None:
        """Stop all of them, the heartbeat last, because the others act under the lease."""
        self.recovery.stop()
        self.publisher.stop()
        self.heartbeat.stop()


def _applications(settings: Settings, queues: Collection[str]) -> tuple[str, ...]:
    """Return the names of the applications whose queue is among these."""
    applications, default = settings.applications.values(), settings.celery.queue
    return tuple(each.name for each in applications if (each.queue or default) in queues)


def _processes(concurrency: int | str) -> int:
    # The size of a Celery worker's pool, an integer or "auto".
    return concurrency if isinstance(concurrency, int) else os.cpu_count() or 1


def _limit_log(logger: logging.Logger, **_: object) -> None:
    limit_handlers(logger)


def _set_up_log(logger: logging.Logger, loglevel: int, **_: object) -> None:
    limit_handlers(logger)
    for name in _OF_EACH_TASK if loglevel > logging.DEBUG else ():
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_stopping() -> bool:
    # Set before a cold shutdown ends; the signal `worker_shutting_down` comes after it.
    return state.should_stop is not None or state.should_terminate is not None


def _call_after(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _give_up(exc: DispatcherError) -> NoReturn:
    passing = isinstance(exc, UnavailableError) and not isinstance(exc, _LASTING)
    sys.stderr.write(f"{exc}\n")
    raise SystemExit(1 if passing else 2)


def _stop_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
