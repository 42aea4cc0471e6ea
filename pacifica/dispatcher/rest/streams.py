"""Answers that stay open: how many there may be at once, and when they have to end."""

import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import cherrypy

from pacifica.dispatcher.errors import DispatcherError


class TooManyStreamsError(DispatcherError):
    """As many answers as may be are open already."""


class Held:
    """A place that the request at hand has, until it has ended, however it does."""

    def __init__(self, stopping: threading.Event) -> None:
        """Look up the client's connection, which only some servers show."""
        self._stopping = stopping
        self._connection = _connection_number(cherrypy.request.wsgi_environ)

    def wait(self, seconds: float) -> bool:
        """Wait; says whether to go on: not when the server stops or the client has left."""
        return not self._stopping.wait(seconds) and not self._client_has_left()

    def _client_has_left(self) -> bool:
        """Whether it has closed the connection; False where that cannot be seen."""
        if self._connection is None or not hasattr(socket, "MSG_DONTWAIT"):
            return False
        connection = socket.socket(fileno=self._connection)
        try:
            return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            connection.detach()


class Streams:
    """The places of answers that stay open.

    Each holds a thread of the server, which has another one for that time; so they never use up
    those that accept events.
    """

    def __init__(self, places: int) -> None:
        """Offer places; none is taken."""
        self._places = places
        self._lock = threading.Lock()
        self._held = 0
        self._resize: Callable[[int], None] = _as_it_is
        self._stopping = threading.Event()

    def give_threads(self, resize: Callable[[int], None]) -> None:
        """Have a server's threads follow: `resize` is told how many places are taken."""
        self._resize = resize

    def try_hold(self) -> Held | None:
        """Take a place for the request at hand.

        Returns:
            None when there is none; nor in a server that has one thread for everything.
        """
        several = cherrypy.request.wsgi_environ.get("wsgi.multithread")
        if not several or not self._take(1):
            return None
        cherrypy.request.hooks.attach("on_end_request", partial(self._take, -1))
        return Held(self._stopping)

    def hold(self) -> Held:
        """Take a place as `try_hold` does.

        Raises:
            TooManyStreamsError: there is none.
        """
        held = self.try_hold()
        if held is None:
            raise TooManyStreamsError("too many answers are open already (streams)")
        return held

    def _take(self, number: int) -> bool:
        """Take so many places, or give them back; says whether there were any."""
        with self._lock:
            if self._held + number > self._places:
                return False
            self._held += number
            self._resize(self._held)
            return True

    def stop(self) -> None:
        """The server stops: whoever waits is woken, and shall end."""
        self._stopping.set()


def _as_it_is(_: int) -> None:
    """Leave a server that is not ours to change as it is."""


def _connection_number(environ: Mapping[str, Any]) -> int | None:
    """The descriptor of a request's connection, under gunicorn and under CherryPy's own server."""
    shown = environ.get("gunicorn.socket") or getattr(environ["wsgi.input"], "rfile", None)
    return None if shown is None else int(shown.fileno())
