"""What the web server does otherwise than cheroot: reading header fields, and its threads."""

import threading
from typing import Any

from cheroot import server
from cheroot.workers import threadpool


class HeaderReader(server.HeaderReader):
    """Reads the fields of a request, but those with `_` in their names: WSGI takes it for `-`."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:  # noqa: ANN401 - a file of cheroot's
        """Read them into a mapping."""
        found: dict[bytes, bytes] = {} if hdict is None else hdict
        found.update(super().__call__(rfile, _Fields()))
        return found

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class _Fields(dict[bytes, bytes]):
    """Fields by name; cheroot would keep the last of several, and the last line of one."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        """Join fields of one name (RFC 9110, section 5.3); cheroot does that with some itself.

        No attribute of an event is a list: what joins those is what no field can hold.
        """
        if name in self and name not in server.comma_separated_headers:  # type: ignore[attr-defined] # no stub
            separator = b"\n" if name.startswith(b"Ce-") else b", "
            value = separator.join((self[name], value))
        super().__setitem__(name, value)


class _Request(server.HTTPRequest):
    header_reader = HeaderReader()


class Connection(server.HTTPConnection):
    """A connection of the web server that reads header fields so."""

    RequestHandlerClass = _Request


_ThreadPool: Any = threadpool.ThreadPool  # its stub knows nothing of what it has for subclasses


class Pool(_ThreadPool):  # type: ignore[misc] # of Any
    """The web server's threads: those that it always has, and more while they are needed.

    Each thread keeps a connection to the database, so it would cost memory to have all from the
    start.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - cheroot's
        """Make none yet."""
        super().__init__(*arguments, **named)
        self._resizing = threading.Lock()

    def resize(self, more: int) -> None:
        """Have so many more than at the least: new ones at once, others end when they are idle."""
        with self._resizing:
            self._clear_dead_threads()
            ending = len(self._pending_shutdowns)
            missing = self.min + more - (len(self._threads) - ending)
            self._threads.extend(self._spawn_worker() for _ in range(missing))
            if missing < 0:
                self.shrink(ending - missing)
