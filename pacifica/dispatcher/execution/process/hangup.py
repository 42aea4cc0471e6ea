"""The end of the terminal."""

import signal


def ignore_hangup() -> None:
    """Let this process continue when its terminal is closed or somebody sends SIGHUP."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Celery's pool would replace a handler
