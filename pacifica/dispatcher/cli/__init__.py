"""The command line.

Its modules import what they need when a command runs, so that help, completion and the commands
that only ask a server start quickly.
"""

from pacifica.dispatcher.cli.group import main

__all__ = ["main"]
