"""Pages that stay as the server has them: server-sent events (HTML standard, section 9.2).

What one address shows is made once for all who look at it, and so seldom that all addresses
together take a thirtieth of a core to make: with more of them, each is renewed less often.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pacifica.dispatcher.errors import DispatcherError
from pacifica.dispatcher.rest.streams import Held

_PAUSE: Final = 1.0  # seconds
_SHARE: Final = 30.0
_FORGOTTEN: Final = 30.0  # seconds after which nobody looks at an address any more
_SIGN_OF_LIFE: Final = 15.0
_RETRY: Final = 3000  # milliseconds after which a browser without a place asks again
_MAIN: Final = re.compile(r"<main[^>]*>(.*)</main>", re.DOTALL)
_TIME: Final = re.compile(r"(<time [^>]*>)[^<]*")
"""How long ago something was; the browser keeps that up itself."""


@dataclass(slots=True)
class _Shown:
    text: str
    tag: str
    made: float
    took: float
    asked: float


class LivePages:
    """What is shown at each address that somebody looks at."""

    def __init__(self) -> None:
        """Nobody looks at anything yet."""
        self._lock = threading.Lock()
        self._shown: dict[str, _Shown] = {}

    def follow(
        self, address: str, show: Callable[[], str], held: Held | None, known: str
    ) -> Iterator[bytes]:
        """The content of a page whenever it has changed, as events `page` in JSON.

        Args:
            address: the page's, with its query.
            show: makes the whole page.
            held: the place of this answer; without one it ends at once, and the browser asks again.
            known: the tag of what the browser has.
        """
        yield f"retry: {_RETRY}\n\n".encode()
        spoken = time.monotonic()
        going_on = True
        while going_on:
            try:
                shown = self._look(address, show)
            except DispatcherError:  # it is gone, or the database is away: the page stays
                shown = None
            now = time.monotonic()
            if shown and shown.tag != known:
                known, spoken = shown.tag, now
                yield f"id: {known}\nevent: page\ndata: {json.dumps(shown.text)}\n\n".encode()
            elif now - spoken >= _SIGN_OF_LIFE:
                spoken = now
                yield b":\n\n"
            going_on = held is not None and held.wait(_PAUSE)

    def _look(self, address: str, show: Callable[[], str]) -> _Shown:
        with self._lock:
            now = time.monotonic()
            kept = self._shown.get(address)
            everything = sum(each.took for each in self._shown.values())
            if kept is None or now - kept.made >= max(_PAUSE * 0.9, _SHARE * everything):
                found = _MAIN.search(show())
                text = found[1] if found else ""
                tag = hashlib.sha256(_TIME.sub(r"\1", text).encode()).hexdigest()[:16]
                kept = _Shown(text, tag, now, time.monotonic() - now, now)
            kept.asked = now
            self._shown = {
                each: shown
                for each, shown in {**self._shown, address: kept}.items()
                if now - shown.asked < _FORGOTTEN
            }
            return kept
