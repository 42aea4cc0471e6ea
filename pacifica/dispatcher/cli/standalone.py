"""Standalone mode: the web tier, a supervised worker process, and files as the broker."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from pacifica.dispatcher import rest, wsgi
from pacifica.dispatcher.config import Settings
from pacifica.dispatcher.errors import WorkerRefusedError
from pacifica.dispatcher.periodic import Periodic
from pacifica.dispatcher.telemetry import WARNING, emit
from pacifica.dispatcher.worker.lifecycle import LIFELINE

_INTERVAL: Final = 0.2  # seconds
_RESTART_AFTER: Final = 1.0
_KILL_AFTER: Final = 15.0
_REFUSED: Final = 2  # the exit code of a worker whose configuration an operator has to change


class WorkerChild:
    """A Celery worker in a child process, restarted if it dies and stopped with its parent.

    Attributes:
        refused: True if the worker named a problem and exited; it is not restarted then.
    """

    def __init__(self, settings: Settings, refuse: Callable[[], None]) -> None:
        """Prepare the worker without starting it.

        Args:
            settings: all settings.
            refuse: called when the worker has refused to run.
        """
        self.refused = False
        self._refuse = refuse
        self._grace = settings.worker.stop_grace
        others = {each.queue for each in settings.applications.values() if each.queue}
        self._queues = sorted({settings.celery.queue, *others})
        self._environment = {
            **os.environ,
            "BROKER_URL": settings.celery.broker_url,
            LIFELINE: "stdin",
            **({"DISPATCHER_CONFIG": str(settings.file.absolute())} if settings.file else {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = Periodic("watcher", self._watch, at_end=self._end)

    def start(self) -> None:
        """Start the worker and watch it."""
        self._spawn()
        self._watcher.start()

    def stop(self) -> None:
        """Stop the worker if it was started; kill it if it does not stop in time."""
        self._watcher.stop(threading.TIMEOUT_MAX)  # it has limits of its own

    def _watch(self) -> float:
        code = self._running().poll()
        if code is not None:
            emit("worker.died", WARNING, exit_code=code)
            if code == _REFUSED:
                self.refused = True
                self._refuse()
                return threading.TIMEOUT_MAX
            self._watcher.pause(_RESTART_AFTER)
            self._spawn()
        return _INTERVAL

    def _end(self) -> None:
        process = self._running()
        if process.poll() is not None:
            return
        emit("worker.stopping", WARNING, grace=self._grace)
        process.terminate()
        try:
            process.wait(self._grace + _KILL_AFTER)
        except subprocess.TimeoutExpired:
            emit("worker.killed", WARNING)
            process.kill()
            process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # noqa: S101 - `start` made it
        return self._process

    def _spawn(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [
                sys.executable,
                "-P",
                "-m",
                "celery",
                "--quiet",
                "-A",
                "pacifica.dispatcher.tasks",
                "worker",
                "--loglevel",
                "WARNING",
                "--queues",
                ",".join(self._queues),
                *(["--pool", "solo"] if sys.platform == "win32" else []),
            ],
            env=self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must reach only this process, which stops the child
        )


def run_standalone(
    settings: Settings, cherrypy_config: Path | None, ready: Callable[[rest.Address], None]
) -> None:
    """Serve HTTP and run applications on this machine until a signal arrives.

    Args:
        settings: all settings; the broker is replaced by files in ./broker.
        cherrypy_config: a CherryPy configuration file, as for `wsgi.serve`.
        ready: called with the address when the server listens.

    Raises:
        WorkerRefusedError: the worker cannot run until somebody changes something.
    """
    folder = Path("broker").absolute().as_uri().removeprefix("file://")
    broker = replace(settings.celery, broker_url=f"filesystem://localhost{folder}")
    settings = replace(settings, celery=broker)
    stopping = threading.Event()
    worker = WorkerChild(settings, stopping.set)

    def start_worker(address: rest.Address) -> None:
        worker.start()
        ready(address)

    try:
        wsgi.serve(settings, cherrypy_config, start_worker, stopping)
    finally:
        worker.stop()
    if worker.refused:
        raise WorkerRefusedError(
            f"Worker refused to run (exit code {_REFUSED}); solve the problem that it named above"
        )
