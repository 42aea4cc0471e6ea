"""Live pages: server-sent events with a page's content (HTML standard, section 9.2).

The content of an address is rendered once for all its viewers. The number of addresses and the
time to render them are limited, in an order in which nobody can displace the pages that everybody
opens: first the common pages, then those with more viewers, then those opened earlier. The first
ones, as far as they fit into a tenth of a second, share a thirtieth of a core, so each is at most
three seconds old. The others share half of that.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pacifica.dispatcher.errors import DispatcherError, TooManyStreamsError
from pacifica.dispatcher.page import Html
from pacifica.dispatcher.rest.notices import Notices
from pacifica.dispatcher.rest.stream_slots import Slot

MAX_ADDRESSES: Final = 64
"""Maximum number of different live pages."""

_PAUSE: Final = 1.0  # seconds
_AFTER_NOTICE: Final = 0.2  # minimum age in seconds before the end of a run renews a page
_SHARE: Final = 30.0  # the part of a core for prompt pages is 1 / _SHARE; for others half of it
_PROMPT: Final = 0.1  # seconds of processor time in which the prompt pages are rendered once
_FORGET_AFTER: Final = 30.0  # seconds without a viewer
_GIVE_UP_AFTER: Final = 5.0  # the same if another page needs the place; without a slot, they poll
_KEEP_ALIVE: Final = 15.0  # seconds of silence before a comment is sent
_RETRY: Final = 3000  # milliseconds until a browser without a slot reconnects


@dataclass(slots=True, eq=False)
class _Content:
    """The content of an address; the text is empty until it was rendered."""

    is_common: bool
    opened: float
    requested: float
    viewers: int = 0
    text: str = ""
    tag: str = ""
    rendered: float | None = None
    took: float = 0.0  # processor time
    is_dropped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rank(self) -> tuple[bool, int, float]:
        """The order in which contents are served."""
        return not self.is_common, -self.viewers, self.opened

    def render(self, show: Callable[[], Html]) -> None:
        began = time.thread_time()
        try:
            self.text = show().content()
            self.tag = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        except DispatcherError:  # not found, or database unavailable: keep the content
            pass
        finally:
            self.rendered, self.took = time.monotonic(), time.thread_time() - began


@dataclass(frozen=True, slots=True)
class Viewer:
    """A viewer of a page, who must leave at the end."""

    _pages: "LivePages"
    _content: _Content
    _show: Callable[[], Html]
    _slot: Slot | None
    _known: str

    def changes(self) -> Iterator[bytes]:
        """Yield the content of the page after each change, as events `page` in JSON."""
        yield f"retry: {_RETRY}\n\n".encode()
        known, last_sent = self._known, time.monotonic()
        oldest = _PAUSE
        with self._pages.notices.waiting() as waiter:
            while not self._content.is_dropped:
                text, tag = self._pages.current(self._content, self._show, oldest)
                now = time.monotonic()
                if tag and tag != known:
                    known, last_sent = tag, now
                    yield f"id: {known}\nevent: page\ndata: {json.dumps(text)}\n\n".encode()
                elif now - last_sent >= _KEEP_ALIVE:
                    last_sent = now
                    yield b":\n\n"
                if self._slot is None:
                    return
                oldest = _AFTER_NOTICE if waiter.wait(_PAUSE) else _PAUSE
                if not self._slot.wait(0.0):
                    return

    def leave(self) -> None:
        """Release the slot and the page."""
        if self._slot is not None:
            self._slot.release()
            self._pages.leave(self._content)


class LivePages:
    """The content of each address that has viewers.

    Attributes:
        notices: they renew pages early.
    """

    def __init__(self, notices: Notices) -> None:
        """Start without viewers."""
        self.notices = notices
        self._lock = threading.Lock()
        self._contents: dict[str, _Content] = {}

    def join(
        self, address: str, show: Callable[[], Html], slot: Slot | None, known: str, *, common: bool
    ) -> Viewer:
        """Add a viewer of a page.

        Args:
            address: the address of the page, with its query.
            show: creates the page.
            slot: the slot of this response, which ends at once without one.
            known: the tag of the content that the browser has.
            common: True for a page that everybody opens.

        Raises:
            TooManyStreamsError: too many different pages are open.
        """
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            content = self._contents.get(address)
            if content is None:
                if len(self._contents) >= MAX_ADDRESSES:
                    self._make_room(now, common=common)
                content = self._contents[address] = _Content(common, now, now)
            content.requested = now
            content.viewers += slot is not None
        return Viewer(self, content, show, slot, known)

    def leave(self, content: _Content) -> None:
        """Remove a viewer with a slot."""
        with self._lock:
            content.viewers -= 1
            content.requested = time.monotonic()

    def current(
        self, content: _Content, show: Callable[[], Html], oldest: float
    ) -> tuple[str, str]:
        """Return the text and the tag of a content that is not much older than `oldest` seconds."""
        with self._lock:
            content.requested = now = time.monotonic()
            interval = max(oldest * 0.9, self._interval(content))
        # The first viewers wait for the content; later, one renews it while others keep theirs.
        if content.rendered is None or now - content.rendered >= interval:
            is_first = content.rendered is None
            if content.lock.acquire(blocking=is_first):
                try:
                    if content.rendered is None or not is_first:
                        content.render(show)
                finally:
                    content.lock.release()
        return content.text, content.tag

    def _interval(self, content: _Content) -> float:
        prompt = rest = 0.0
        is_prompt = False
        for each in sorted(self._contents.values(), key=lambda each: each.rank):
            fits = prompt + each.took <= _PROMPT
            if fits:
                prompt += each.took
            else:
                rest += each.took
            if each is content:
                is_prompt = fits
        return _SHARE * prompt if is_prompt else 2 * _SHARE * rest

    def _forget(self, now: float) -> None:
        for address, each in list(self._contents.items()):
            if not each.viewers and now - each.requested >= _FORGET_AFTER:
                del self._contents[address]

    def _make_room(self, now: float, *, common: bool) -> None:
        address, last = max(self._contents.items(), key=lambda item: item[1].rank)
        is_idle = not last.viewers and now - last.requested >= _GIVE_UP_AFTER
        if not is_idle and (last.is_common or not common):
            raise TooManyStreamsError(
                f"Too many different live pages ({MAX_ADDRESSES}); close some, or reload the page"
            )
        last.is_dropped = True
        del self._contents[address]
