"""Processes: a child with its whole tree, and the state that a worker's processes share.

Nothing here knows about runs. All differences between POSIX and Windows are confined to this
package.
"""

from pacifica.dispatcher.execution.process.child import (
    TICK,
    Child,
    Program,
    Sink,
    start_child,
)
from pacifica.dispatcher.execution.process.children import adopt_orphans, origin, start
from pacifica.dispatcher.execution.process.clock import now
from pacifica.dispatcher.execution.process.descriptors import usable_descriptors
from pacifica.dispatcher.execution.process.hangup import ignore_hangup
from pacifica.dispatcher.execution.process.listening import ignore_new_connections
from pacifica.dispatcher.execution.process.lock import hold, is_free
from pacifica.dispatcher.execution.process.origin import ORIGIN
from pacifica.dispatcher.execution.process.process_tree import Life, end_tree, life_of
from pacifica.dispatcher.execution.process.signal_defaults import restore_signals
from pacifica.dispatcher.execution.process.signals import kill_helper, use_kill_helper
from pacifica.dispatcher.execution.process.stop import StopRequest

__all__ = [
    "ORIGIN",
    "TICK",
    "Child",
    "Life",
    "Program",
    "Sink",
    "StopRequest",
    "adopt_orphans",
    "end_tree",
    "hold",
    "ignore_hangup",
    "ignore_new_connections",
    "is_free",
    "kill_helper",
    "life_of",
    "now",
    "origin",
    "restore_signals",
    "start",
    "start_child",
    "usable_descriptors",
    "use_kill_helper",
]
