"""The address of the built-in server: whether it is free, and how clients reach it."""

import ipaddress
import shlex
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pacifica.dispatcher.errors import ListenError

_CONNECT_TIMEOUT: Final = 1.0  # seconds
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True)
class Address:
    """The address at which clients on this machine reach a server.

    Attributes:
        url: the URL of `/`, without the slash at its end.
        socket_file: the path of the Unix socket instead of the URL's host and port, if it has one.
    """

    url: str
    socket_file: str = ""

    def __str__(self) -> str:
        """Return the text that the command line client takes as its `--url`."""
        return f"unix:{self.socket_file}" if self.socket_file else f"{self.url}/"

    def curl(self, path: str) -> str:
        """Return the shell command that fetches a path."""
        option = f"--unix-socket {shlex.quote(self.socket_file)} " if self.socket_file else ""
        return f"curl -s {option}{shlex.quote(self.url + path)}"


def check_free(adapter: Any) -> None:  # noqa: ANN401 - CherryPy is untyped
    """Make sure that a server can listen, because a half-started one is harder to stop.

    A socket file that a dead server has left is removed.

    Args:
        adapter: CherryPy's settings of the server.

    Raises:
        ListenError: it cannot.
    """
    file, host, port = adapter.socket_file, adapter.socket_host, adapter.socket_port
    try:
        if file:
            _check_file(Path(file))
        else:
            _check_port(host, port)
    except (OSError, ValueError) as exc:
        place = f"unix:{file}" if file else f"{host}, port {port}"
        reason = getattr(exc, "strerror", None) or exc
        raise ListenError(f"Cannot listen on {place}: {reason}") from exc


def address_of(adapter: Any, server: Any, root: str) -> Address:  # noqa: ANN401 - CherryPy's
    """Return the address of a server that listens.

    Args:
        adapter: CherryPy's settings of the server.
        server: the server.
        root: the path under which its addresses begin.
    """
    scheme = "https" if server.ssl_adapter else "http"
    if adapter.socket_file:
        return Address(f"{scheme}://localhost{root}", str(Path(adapter.socket_file).absolute()))
    bound, port = server.socket.getsockname()[:2]
    found = ipaddress.ip_address(bound.partition("%")[0])
    host = _LOOPBACK[found.version] if found.is_unspecified else adapter.socket_host
    if ":" in host:
        host = f"[{host.replace('%', '%25')}]"  # RFC 6874
    if port != _DEFAULT_PORTS[scheme]:
        host = f"{host}:{port}"
    return Address(f"{scheme}://{host}{root}")


def remover(adapter: Any) -> Callable[[], None]:  # noqa: ANN401
    """Return a function that removes the socket file of a server, unless it is another one's."""
    file = adapter.socket_file and Path(adapter.socket_file)
    made = file and file.lstat().st_ino

    def remove() -> None:
        with suppress(FileNotFoundError):
            if file and file.lstat().st_ino == made:
                file.unlink()

    return remove


def _check_port(host: str, port: int) -> None:
    # The server tries all addresses of a name, too.
    problem: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in found:
        both = address[0] == "::" and socket.has_dualstack_ipv6()
        try:
            with socket.create_server(address, family=family, dualstack_ipv6=both):
                return
        except OSError as exc:
            problem = exc
    if problem:
        raise problem


def _check_file(file: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(file.lstat().st_mode):
            raise ListenError(f"Cannot listen on unix:{file}: not a socket; choose another path")
        if _is_served(file):
            raise ListenError(
                f"Cannot listen on unix:{file}: another server listens there; stop it or choose "
                "another path"
            )
        file.unlink()
    with socket.socket(socket.AF_UNIX) as trial:
        trial.bind(str(file))
    file.unlink()


def _is_served(file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_CONNECT_TIMEOUT)
        try:
            client.connect(str(file))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # busy, or not ours
            return True
    return True
