"""A TCP proxy that tests can disconnect or cut to make a server unreachable."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from harness.ports import HOST, free_port, listens
from harness.waiting import wait_until

_FORWARDER: Final = Path(__file__).with_name("forwarder.py")


class Proxy:
    """A free port that forwards to another port on this machine.

    The forwarder is a separate process: killing it closes all its connections at once; while it is
    suspended, nothing passes and nothing is closed, as if a network cable were unplugged.
    """

    def __init__(self, target: int, silence: float | None = None) -> None:
        """Choose a port; `up` starts forwarding.

        Args:
            target: the port to forward to.
            silence: seconds after which a silent response is cut, as reverse proxies do.
        """
        self._silence = [] if silence is None else [str(silence)]
        self.port = free_port()
        self.target = target
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the forwarder, the server's client."""
        assert self._process is not None
        return self._process.pid

    def url(self, url: str) -> str:
        """Return a server's URL with this port instead of the server's."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{HOST}:{self.port}").geturl()

    def up(self) -> None:
        """Start forwarding."""
        ports = [str(self.port), str(self.target)]
        command = [sys.executable, "-I", str(_FORWARDER), *ports, *self._silence]
        self._process = subprocess.Popen(command, start_new_session=True)
        wait_until(lambda: listens(self.port), "the proxy")

    def down(self) -> None:
        """Close all connections and refuse new ones."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """Let nothing pass, and close nothing; new connections get no response."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def heal(self) -> None:
        """Forward again, first what was sent in the meantime."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
