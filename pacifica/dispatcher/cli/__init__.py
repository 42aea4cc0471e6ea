"""The command line.

The modules import their dependencies when a command runs, so that help, completion and the commands
that only call a server start quickly.
"""

from pacifica.dispatcher.cli.group import main

__all__ = ["main"]
