"""Composition of the web tier: settings → database, broker, publisher, CherryPy application.

`pacifica.dispatcher.wsgi:application` runs under any WSGI server, in several processes.
"""

import atexit
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cherrypy
from cherrypy._cpwsgi_server import CPWSGIServer

from pacifica.dispatcher import config, orm, rest
from pacifica.dispatcher.config import Settings
from pacifica.dispatcher.errors import DispatcherError, ListenError
from pacifica.dispatcher.publisher import Publisher
from pacifica.dispatcher.tasks import Broker

_BEFORE_THE_SERVER: Final = 10  # it waits for its open answers
_FOREIGN_STREAMS: Final = 4  # of a server whose number of threads is not ours to know


@dataclass(frozen=True, slots=True)
class Web:
    """The web tier of one process: a WSGI application, its publisher, its open answers."""

    application: Callable[..., Any]
    publisher: Publisher
    streams: rest.Streams


def compose(settings: Settings, streams: int) -> Web:
    """Build the web tier; its publisher is not started yet.

    Args:
        settings: all settings.
        streams: how many answers may stay open at once.

    Raises:
        DispatcherError: the database could not be reached or prepared.
    """
    database = orm.Database(settings.database.peewee_url)
    database.prepare(settings.database.connect_attempts, settings.database.connect_wait)
    publisher = Publisher(database, Broker(settings.celery), settings.applications)
    places = rest.Streams(streams)
    service = rest.Service(
        database,
        settings.applications,
        publisher,
        settings.server.max_event_size,
        orm.Intake(database),
        rest.Webhook(settings.webhook),
        settings.celery.queue,
        places,
        settings.worker.directory.absolute(),
        settings.adapters,
    )
    return Web(rest.application(service), publisher, places)


def serve(settings: Settings, cherrypy_config: Path | None, ready: Callable[[str], None]) -> None:
    """Serve HTTP until a signal ends it; what was accepted is finished first.

    Args:
        settings: all settings.
        cherrypy_config: a CherryPy configuration file, which has the last word on the server.
        ready: is called with the server's URL when it listens.
    """
    server = settings.server
    web = compose(settings, server.streams)
    cherrypy.config.update(
        {
            "server.socket_host": server.address,
            "server.socket_port": server.port,
            "server.thread_pool": server.threads,
            "server.socket_queue_size": 128,
            "server.max_request_body_size": 0,
            "engine.autoreload.on": False,
            "checker.on": False,
            "log.screen": False,
        }
    )
    if cherrypy_config:
        cherrypy.config.update(str(cherrypy_config))
    _check_address(cherrypy.server.socket_host, cherrypy.server.socket_port)
    cherrypy.log.error_log.setLevel(logging.WARNING)
    # Not by cherrypy.tree, which would look for an application at each folder of the path.
    cherrypy.server.httpserver = _server(web)
    cherrypy.engine.subscribe("start", web.publisher.start)
    cherrypy.engine.subscribe("stop", web.publisher.stop)
    cherrypy.engine.subscribe("stop", web.streams.stop, priority=_BEFORE_THE_SERVER)
    ended = _end_asked_for()
    cherrypy.engine.start()
    try:
        ready(cherrypy.server.base())
        ended.wait()
    finally:
        cherrypy.engine.exit()


def _server(web: Web) -> CPWSGIServer:
    """CherryPy's server, with header fields and threads as we need them."""
    found = CPWSGIServer(cherrypy.server)
    found.wsgi_app = web.application
    found.ConnectionClass = rest.Connection
    found.requests = rest.Pool(found, found.requests.min, found.requests.max)
    web.streams.give_threads(found.requests.resize)
    return found


def _end_asked_for() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second one ends the process at once."""
    asked = threading.Event()

    def ask(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return asked


def _check_address(host: str, port: int) -> None:
    """Find out that the address cannot be had while there is nothing to be torn down yet."""
    try:
        with socket.create_server((host, port), family=_family(host)):
            return
    except OSError as exc:
        raise ListenError(f"cannot listen on {host}, port {port}: {exc.strerror}") from exc


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the interpreter's signature
    """Make `application` when a WSGI server first asks for it, in the process that serves it."""
    if name != "application":
        raise AttributeError(name)
    try:
        settings = config.load()
        web = compose(settings, min(_FOREIGN_STREAMS, settings.server.streams))
    except DispatcherError as exc:
        sys.stderr.write(f"{exc}\n")
        raise SystemExit(2) from exc
    web.publisher.start()
    atexit.register(web.publisher.stop)
    atexit.register(web.streams.stop)
    globals()["application"] = web.application
    return web.application
