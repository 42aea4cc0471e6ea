"""The threads that respond to requests, and the queue in which requests wait for them."""

import threading
from collections import deque
from typing import Any

from cheroot.workers import threadpool

_RESERVED = 2  # threads, unless there are few

_ThreadPool: Any = threadpool.ThreadPool  # the stub lacks what subclasses need


class Pool(_ThreadPool):  # type: ignore[misc] # of Any
    """The web server's threads: a fixed number, and more on demand.

    Each thread keeps a database connection, so starting all of them at once would waste memory.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - cheroot's
        """Prepare the pool without starting threads."""
        super().__init__(*arguments, **named)
        self._resizing = threading.Lock()
        self._queue = Lanes()
        self.get = self._queue.get

    def start(self) -> None:
        """Start the fixed number of threads."""
        self._queue.resize(self.min, 0)
        super().start()

    def resize(self, more: int) -> None:
        """Set the number of threads above the minimum; surplus threads end when they are idle."""
        with self._resizing:
            self._queue.resize(self.min, more)
            self._clear_dead_threads()
            ending = len(self._pending_shutdowns)
            missing = self.min + more - (len(self._threads) - ending)
            self._threads.extend(self._spawn_worker() for _ in range(missing))
            if missing < 0:
                self.shrink(ending - missing)


class Lanes:
    """A queue in which what is urgent overtakes what is not, and always has a few threads.

    So events are accepted, and a monitor gets its answer, while many people look at large pages.
    """

    def __init__(self) -> None:
        """Serve one thread."""
        self._changed = threading.Condition()
        self._urgent = deque[Any]()
        self._others = deque[Any]()
        self._running = set[int]()  # threads with something that is not urgent
        self._most = 1

    def resize(self, fixed: int, more: int) -> None:
        """Serve a fixed number of threads, of which some are reserved, and more of them."""
        with self._changed:
            self._most = fixed - min(_RESERVED, fixed // 2) + more
            self._changed.notify_all()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401, FBT001, FBT002, ARG002 - the signature of queue.Queue
        """Add a connection, or cheroot's request that a thread ends."""
        with self._changed:
            (self._urgent if getattr(item, "is_urgent", True) else self._others).append(item)
            self._changed.notify()

    def get(self) -> Any:  # noqa: ANN401 - a connection or cheroot's request that a thread ends
        """Take the next item, when there is one that the calling thread may handle."""
        me = threading.get_ident()
        with self._changed:
            if me in self._running:
                self._running.discard(me)
                self._changed.notify()
            while True:
                if self._urgent:
                    return self._urgent.popleft()
                if self._others and len(self._running) < self._most:
                    self._running.add(me)
                    return self._others.popleft()
                self._changed.wait()

    def qsize(self) -> int:
        """Return the number of waiting items."""
        return len(self._urgent) + len(self._others)
