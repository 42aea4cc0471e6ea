"""The end of a listening socket."""

import ctypes
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_SO_ATTACH_FILTER: Final = 26
_FILTER: Final = (  # classic BPF: code, jump if true, jump if false, constant
    (0x30, 0, 0, 13),  # load the flags of TCP
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFF_FFFF),  # pass
)
_PROGRAM: Final = b"".join(struct.pack("HBBI", *each) for each in _FILTER)


def ignore_new_connections(listener: socket.socket) -> None:
    """Make the system ignore attempts to connect, so that the accepted ones can be counted.

    When the listener is closed, the system resets those that it has accepted. It refuses those that
    it has ignored when the client repeats them. Only Linux can ignore all of them; elsewhere the
    system still accepts one or two.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_PROGRAM)
        described = struct.pack("HP", len(_FILTER), ctypes.addressof(program))
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
            return
    listener.listen(0)
