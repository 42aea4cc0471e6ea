"""Composition of the web tier: settings → database, receiver, publisher, CherryPy application.

`pacifica.dispatcher.wsgi:application` runs under any WSGI server, in several processes. Each must
load it by itself, because the threads and connections of one do not work in another.
"""

from pacifica.dispatcher import installed_first  # noqa: F401

# isort: split
import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import cherrypy
from kombu.utils.compat import detect_environment

from pacifica.dispatcher import config, orm, rest
from pacifica.dispatcher.broker.configuration import ignore_environment
from pacifica.dispatcher.broker.connection import BrokerConnection
from pacifica.dispatcher.broker.publisher import Publisher
from pacifica.dispatcher.config import Settings
from pacifica.dispatcher.errors import (
    ConcurrencyError,
    DispatcherError,
    ListenError,
    SchemaError,
)
from pacifica.dispatcher.execution.process import ignore_hangup
from pacifica.dispatcher.intake.group_commit import GroupCommit
from pacifica.dispatcher.intake.receiver import Receiver
from pacifica.dispatcher.telemetry import emit

_BEFORE_SERVER: Final = 10  # priority; the server waits for its open responses
_SWITCH: Final = 0.001  # seconds; the loop waits for each busy thread to give way
_NOT_LOADED: Final = 4  # the exit code that ends gunicorn instead of starting another worker
_FOREIGN_STREAMS: Final = 4  # under a WSGI server with an unknown number of threads


@dataclass(frozen=True, slots=True)
class Web:
    """The web tier of one process, with its threads.

    Attributes:
        application: the WSGI application.
        body_limit: returns the maximum number of bytes of a request's body.
        publisher: publishes due runs.
        notices: reads notices of ended runs.
        slots: the slots for responses that stay open.
    """

    application: Callable[..., Any]
    body_limit: Callable[[rest.Head], int]
    publisher: Publisher
    notices: rest.Notices
    slots: rest.StreamSlots

    def start(self) -> None:
        """Start the background threads."""
        self.publisher.start()
        self.notices.start()

    def end_streams(self) -> None:
        """End the open responses."""
        self.slots.stop()
        self.notices.stop()

    def stop(self) -> None:
        """End the open responses and the threads; publish due runs one last time."""
        self.end_streams()
        self.publisher.stop()


def compose(
    settings: Settings, streams: int, outdated: Callable[[SchemaError], None] = lambda _: None
) -> Web:
    """Build the web tier.

    Args:
        settings: all settings.
        streams: maximum number of responses that stay open.
        outdated: called when a later version of the dispatcher has changed the tables too much for
            this one, which then refuses all writes.

    Raises:
        DispatcherError: the database is unavailable or could not be prepared.
    """
    ignore_environment()
    database = orm.Database(settings.database.peewee_url, reap=True)

    def begin() -> None:
        emit("database.opened", database=database.name, workers=orm.hosts(database))
        orm.report_orphans(database, settings.applications, settings.celery.queue)

    wait = settings.database.connect_wait
    database.prepare(settings.database.connect_attempts, wait, begin)
    publisher = Publisher(
        database, BrokerConnection(settings.celery), settings.applications, outdated=outdated
    )
    slots, notices = rest.StreamSlots(streams), rest.Notices(database)
    context = rest.Context(
        receiver=Receiver(database, settings.applications, GroupCommit(database), publisher.wake),
        max_event_size=settings.server.max_event_size,
        handshake=rest.Handshake(settings.webhook),
        slots=slots,
        root=settings.server.path,
        notices=notices,
        default_queue=settings.celery.queue,
        directory=settings.worker.directory.absolute(),
        adapters=settings.adapters,
        broker_trouble=lambda: publisher.broker_trouble,
    )
    limit = rest.body_limit(context)
    return Web(rest.application(context), limit, publisher, notices, slots)


def serve(
    settings: Settings,
    cherrypy_config: Path | None,
    ready: Callable[[rest.Address], None],
    stopping: threading.Event | None = None,
) -> None:
    """Serve HTTP until a signal arrives, then finish the accepted requests.

    Args:
        settings: all settings.
        cherrypy_config: a CherryPy configuration file, which overrides the server's settings.
        ready: called with the address when the server listens.
        stopping: set by the caller for the same effect as a signal.

    Raises:
        SchemaError: a later version of the dispatcher has changed the tables too much for this one.
        ListenError: the server cannot listen on its address, or has failed.
    """
    stopping = stopping or threading.Event()
    wanted = settings.server
    reasons: list[SchemaError] = []

    def outdated(exc: SchemaError) -> None:
        reasons.append(exc)
        stopping.set()

    web = compose(settings, wanted.streams, outdated)
    cherrypy.config.update(
        {
            "server.socket_host": wanted.address,
            "server.socket_port": wanted.port,
            "server.thread_pool": wanted.threads,
            "server.socket_queue_size": 128,
            "engine.autoreload.on": False,
            "checker.on": False,
            "log.screen": False,
        }
    )
    if cherrypy_config:
        cherrypy.config.update(str(cherrypy_config))
    rest.check_free(cherrypy.server)
    cherrypy.log.error_log.setLevel(logging.WARNING)
    # cherrypy.tree would search for an application at each parent of the path.
    cherrypy.server.httpserver = server = rest.Server(
        cherrypy.server,
        web.application,
        rest.Limits(
            max_body=web.body_limit,
            head_timeout=wanted.head_timeout,
            min_rate=wanted.min_rate,
            keep_alive=wanted.keep_alive,
            per_address=wanted.connections_per_address,
        ),
    )
    web.slots.grow_threads(server.requests.resize)
    cherrypy.engine.subscribe("start", web.start)
    cherrypy.engine.subscribe("stop", web.end_streams, priority=_BEFORE_SERVER)
    cherrypy.engine.subscribe("stop", web.publisher.stop)
    sys.setswitchinterval(_SWITCH)
    _set_by_signals(stopping)
    cherrypy.engine.subscribe("exit", stopping.set)  # also if the server fails
    ignore_hangup()
    cherrypy.engine.start()
    remove_socket_file = rest.remover(cherrypy.server)
    try:
        ready(rest.address_of(cherrypy.server, server, wanted.path))
        stopping.wait()
    finally:
        cherrypy.engine.exit()
        remove_socket_file()
    for exc in reasons:
        raise exc
    if server.interrupt:
        raise ListenError(f"The web server failed: {server.interrupt}; see its log")


def _set_by_signals(stopping: threading.Event) -> None:
    # A second signal ends the process at once.
    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the interpreter's signature
    """Create `application` when a WSGI server first uses it, in the serving process."""
    if name != "application":
        raise AttributeError(name)
    try:
        _check_threads()
        settings = config.load()
        web = compose(settings, min(_FOREIGN_STREAMS, settings.server.streams))
    except DispatcherError as exc:
        sys.stderr.write(f"{exc}\n")
        raise SystemExit(_NOT_LOADED) from exc
    web.start()
    atexit.register(web.stop)
    globals()["application"] = loaded = _Loaded(web.application)
    return loaded


def _check_threads() -> None:
    """Refuse servers that replace threads: waiting for the database would block all requests."""
    kind = detect_environment()
    if kind != "default":
        raise ConcurrencyError(
            f"Unsupported workers of the WSGI server: {kind}; use processes or threads, such as "
            "gunicorn --worker-class sync or gthread"
        )


class _Loaded:
    """The application, in the process that loaded it."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        """Watch for a server that continues in another process."""
        self._application = application
        self._process = os.getpid()
        self._serving = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._forking)

    def __call__(self, environ: object, start_response: object) -> Iterable[bytes]:
        """Serve a request, unless the process is not the one that loaded the application."""
        if os.getpid() != self._process:
            _refuse_another_process()
        self._serving = True
        return self._application(environ, start_response)

    def _forking(self) -> None:
        """End a server that loaded the application in advance: it forks before it serves."""
        if not self._serving and os.getpid() == self._process:
            _refuse_another_process()


def _refuse_another_process() -> NoReturn:
    sys.stderr.write(
        "Unsupported WSGI server: it loads the application in one process and serves it in "
        "another; turn that off, such as gunicorn's --preload, or turn on uWSGI's --lazy-apps\n"
    )
    sys.stderr.flush()
    os._exit(2)  # in a hook of the fork, an exception would be ignored
