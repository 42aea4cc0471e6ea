"""The bytes received from a client, until they are a whole request."""

import re
from http import HTTPStatus
from typing import Final, Protocol

from pacifica.dispatcher.rest.http1.limits import Limits
from pacifica.dispatcher.rest.http1.syntax import (
    Head,
    ProtocolError,
    check_beginning,
    check_trailers,
    parse_head,
    refused,
)

_END: Final = b"\r\n\r\n"
_LINE_END: Final = b"\r\n"
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_MAX_CHUNK_LINE: Final = 1024
_MAX_TRAILERS: Final = 8 * 1024
_FREE_FRAMING: Final = 64 * 1024
_FRAMING_PER_BYTE: Final = 8


class _Body(Protocol):
    def read(self, received: bytearray) -> bool:
        """Move what belongs to the body; return True when the body is complete."""

    def __len__(self) -> int: ...

    def __bytes__(self) -> bytes: ...


class _SizedBody:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._data = b""

    def read(self, received: bytearray) -> bool:
        if len(received) < self._length:
            return False
        self._data = bytes(received[: self._length])
        del received[: self._length]
        return True

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return self._data


class _ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1); extensions and trailers are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._left = 0  # bytes of the current chunk
        self._framing = 0  # bytes received that are not data
        self._waits = False  # for the rest of a line or chunk
        self._next = self._read_size

    def read(self, received: bytearray) -> bool:
        while received:
            if self._next(received):
                return True
            if self._framing > _FREE_FRAMING + _FRAMING_PER_BYTE * len(self._data):
                raise refused("Too much between the chunks of the body")
            if self._waits:
                return False
        return False

    def _read_size(self, received: bytearray) -> bool:
        line = self._line(received, _MAX_CHUNK_LINE)
        if line is None:
            return False
        matched = _CHUNK_SIZE.fullmatch(line)
        if matched is None:
            raise refused("Invalid chunk size")
        self._left = int(matched[1], 16)
        if len(self._data) + self._left > self._limit:
            raise too_large(self._limit)
        self._next = self._read_data if self._left else self._read_trailer
        return False

    def _read_data(self, received: bytearray) -> bool:
        taken = min(self._left, len(received))
        self._data += received[:taken]
        del received[:taken]
        self._left -= taken
        self._waits = self._left > 0
        if not self._left:
            self._next = self._read_data_end
        return False

    def _read_data_end(self, received: bytearray) -> bool:
        if not _LINE_END.startswith(received[:2]):
            raise refused("Chunk longer than its size")
        self._waits = len(received) < len(_LINE_END)
        if not self._waits:
            self._drop(received, len(_LINE_END))
            self._next = self._read_size
        return False

    def _read_trailer(self, received: bytearray) -> bool:
        line = self._line(received, _MAX_TRAILERS)
        if line is None:
            return False
        if line:
            check_trailers(line + _LINE_END)
        return not line

    def _line(self, received: bytearray, limit: int) -> bytes | None:
        """Take a line without its end; None if it is not complete."""
        end = received.find(_LINE_END, 0, limit + len(_LINE_END))
        self._waits = end < 0
        if end < 0:
            if len(received) > limit:
                raise refused(f"Line longer than {limit} bytes between the chunks of the body")
            if b"\n" in received or b"\r" in received[:-1]:
                raise refused("Lines between the chunks of the body must end with CR and LF")
            return None
        line = bytes(received[:end])
        self._drop(received, end + len(_LINE_END))
        return line

    def _drop(self, received: bytearray, number: int) -> None:
        del received[:number]
        self._framing += number

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)


class Reception:
    """The bytes received on a connection, from which requests are taken one at a time.

    Attributes:
        head: the head of the request, when it is complete.
        received: the number of bytes received since then.
    """

    def __init__(self, limits: Limits) -> None:
        """Wait for the first request."""
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._skipped = False
        self.head: Head | None = None
        self.received = 0
        self._body: _Body = _SizedBody(0)
        self._complete = False

    def __len__(self) -> int:
        """Return the number of bytes that are kept."""
        return len(self._buffer) + len(self._body)

    @property
    def begun(self) -> bool:
        """True if a part of a request was received."""
        return self.head is not None or bool(self._buffer)

    def add(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data
        self.received += len(data)

    def advance(self) -> bool:
        """Continue to read the request; return True if it is complete.

        Raises:
            ProtocolError: the request must be refused, and nothing after it can be understood.
        """
        if self.head is None:
            self.head = head = self._read_head()
            if head is None:
                return False
            self.received = len(self._buffer)
            self._body = self._body_of(head)
        if not self._complete:
            self._complete = self._body.read(self._buffer)
        return self._complete

    def take(self) -> tuple[Head, bytes]:
        """Take the complete request, and wait for the next one."""
        head, body = self.head, bytes(self._body)
        assert head is not None and self._complete  # noqa: S101, PT018 - the caller checked
        self.head, self._body, self._complete = None, _SizedBody(0), False
        return head, body

    def _read_head(self) -> Head | None:
        buffer, limit = self._buffer, self._limits.max_head
        if not self._skipped and buffer.startswith(_LINE_END):
            del buffer[: len(_LINE_END)]  # one empty line may precede (RFC 9112, section 2.2)
            self._searched, self._skipped = 0, True
        end = buffer.find(_END, max(0, self._searched - len(_END) + 1), limit + len(_END))
        if end < 0:
            check_beginning(buffer, self._searched)
            if buffer.startswith(_LINE_END):
                raise refused("Empty request line")
            if len(buffer) >= limit + len(_END):
                raise self._too_long()
            self._searched = len(buffer)
            return None
        head = bytes(buffer[:end])
        del buffer[: end + len(_END)]
        self._searched, self._skipped = 0, False
        return parse_head(head)

    def _too_long(self) -> ProtocolError:
        limit = self._limits.max_head
        if self._buffer.find(_LINE_END, 0, limit) < 0:
            return refused(
                f"Request line longer than {limit} bytes", HTTPStatus.REQUEST_URI_TOO_LONG
            )
        return refused(
            f"Head larger than {limit} bytes", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        )

    def _body_of(self, head: Head) -> _Body:
        if head.length == 0:
            return _SizedBody(0)
        limit = self._limits.max_body(head)
        if head.length is None:
            return _ChunkedBody(limit)
        if head.length > limit:
            raise too_large(limit)
        return _SizedBody(head.length)


def too_large(limit: int) -> ProtocolError:
    """Return the exception for a body that is larger than permitted."""
    return refused(
        f"Body larger than {limit} bytes (max_event_size)", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    )
