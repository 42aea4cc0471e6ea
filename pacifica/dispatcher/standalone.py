"""Everything on one machine: the web tier here, a worker as a watched child, files as broker."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pacifica.dispatcher import wsgi
from pacifica.dispatcher.config import Settings
from pacifica.dispatcher.tasks import LIFELINE

_log = logging.getLogger(__name__)

_RESTART_AFTER: Final = 1.0
_KILL_AFTER: Final = 15.0


class WorkerChild:
    """A Celery worker in a child process: started again when it dies, stopped with its parent."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; `start` starts it."""
        self._grace = settings.worker.stop_grace
        others = {each.queue for each in settings.applications.values() if each.queue}
        self._queues = sorted({settings.celery.queue, *others})
        self._environment = {
            **os.environ,
            "BROKER_URL": settings.celery.broker_url,
            LIFELINE: "stdin",
            **({"DISPATCHER_CONFIG": str(settings.file.absolute())} if settings.file else {}),
        }
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        """Start the worker and watch it."""
        self._spawn()
        self._watcher.start()

    def stop(self) -> None:
        """Ask the worker, if it was started, to stop; wait for it, and kill it if it does not."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()

    def _watch(self) -> None:
        while not self._stopping.wait(0.2):
            process = self._running()
            if process.poll() is not None:
                _log.warning("the worker died (%s); starting another", process.returncode)
                self._stopping.wait(_RESTART_AFTER)
                self._spawn()
        _log.warning("stopping; applications that run get %g s to end", self._grace)
        process = self._running()
        process.terminate()
        try:
            process.wait(self._grace + _KILL_AFTER)
        except subprocess.TimeoutExpired:
            _log.warning("the worker does not stop; killing it")
            process.kill()
            process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # noqa: S101 - `start` made it
        return self._process

    def _spawn(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [
                sys.executable,
                "-m",
                "celery",
                "--quiet",
                "-A",
                "pacifica.dispatcher.tasks",
                "worker",
                "--loglevel",
                "WARNING",
                "--without-gossip",
                "--without-mingle",
                "--queues",
                ",".join(self._queues),
                *(["--pool", "solo"] if sys.platform == "win32" else []),
            ],
            env=self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches this process, which stops the child in turn
        )


def run(settings: Settings, cherrypy_config: Path | None, ready: Callable[[str], None]) -> None:
    """Serve and work on this machine until a signal ends it.

    Args:
        settings: all settings; the broker is replaced by files in ./broker.
        cherrypy_config: as `wsgi.serve` takes it.
        ready: is called with the server's URL when it listens.
    """
    folder = Path("broker").absolute().as_uri().removeprefix("file://")
    broker = replace(settings.celery, broker_url=f"filesystem://localhost{folder}")
    settings = replace(settings, celery=broker)
    worker = WorkerChild(settings)

    def start_worker(url: str) -> None:
        worker.start()
        ready(url)

    try:
        wsgi.serve(settings, cherrypy_config, start_worker)
    finally:
        worker.stop()
