"""Live pages: server-sent events with a page's content (HTML standard, section 9.2).

The content of an address is rendered once for all its viewers. All addresses together take at most
a thirtieth of a core: the more of them are open, the less often each is rendered.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.page import Html
from pacifica.dispatcher.rest.notices import Notices
from pacifica.dispatcher.rest.stream_slots import Slot

_PAUSE: Final = 1.0  # seconds
_AFTER_NOTICE: Final = 0.2  # minimum age in seconds before the end of a run renews a page
_SHARE: Final = 30.0
_FORGET_AFTER: Final = 30.0  # seconds without a viewer
_KEEP_ALIVE: Final = 15.0  # seconds of silence before a comment is sent
_RETRY: Final = 3000  # milliseconds until a browser without a slot reconnects


@dataclass(slots=True)
class _Content:
    text: str
    tag: str
    rendered: float
    took: float
    requested: float


class LivePages:
    """The content of each address that has viewers."""

    def __init__(self, notices: Notices) -> None:
        """Start without viewers; notices renew pages early."""
        self._notices = notices
        self._lock = threading.Lock()
        self._contents: dict[str, _Content] = {}

    def follow(
        self, address: str, show: Callable[[], Html], slot: Slot | None, known: str
    ) -> Iterator[bytes]:
        """Yield the content of a page after each change, as events `page` in JSON.

        Args:
            address: the address of the page, with its query.
            show: creates the page.
            slot: the slot of this response, which ends at once without one.
            known: the tag of the content that the browser has.
        """
        yield f"retry: {_RETRY}\n\n".encode()
        last_sent = time.monotonic()
        oldest = _PAUSE
        with self._notices.waiting() as waiter:
            while True:
                try:
                    content = self._current(address, show, oldest)
                except DispatcherError:  # not found, or database unavailable: keep the page
                    content = None
                now = time.monotonic()
                if content and content.tag != known:
                    known, last_sent = content.tag, now
                    yield f"id: {known}\nevent: page\ndata: {json.dumps(content.text)}\n\n".encode()
                elif now - last_sent >= _KEEP_ALIVE:
                    last_sent = now
                    yield b":\n\n"
                if slot is None:
                    return
                oldest = _AFTER_NOTICE if waiter.wait(_PAUSE) else _PAUSE
                if not slot.wait(0.0):
                    return

    def _current(self, address: str, show: Callable[[], Html], oldest: float) -> _Content:
        with self._lock:
            now = time.monotonic()
            kept = self._contents.get(address)
            total = sum(each.took for each in self._contents.values())
            if kept is None or now - kept.rendered >= max(oldest * 0.9, _SHARE * total):
                text = show().content()
                tag = hashlib.sha256(text.encode()).hexdigest()[:16]
                kept = _Content(text, tag, now, time.monotonic() - now, now)
            kept.requested = now
            self._contents = {
                each: content
                for each, content in {**self._contents, address: kept}.items()
                if now - content.requested < _FORGET_AFTER
            }
            return kept
