"""What an executor has to tell, on its way to the one who asks for it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

from pps.executor import Event


class EventQueue:
    """Events in the order in which they were told; any thread tells, one asks."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._wake: Callable[[], object] = lambda: None

    def put(self, event: Event) -> None:
        """Add an event that can wait for others; `tell` follows."""
        self._events.put(event)

    def tell(self, event: Event) -> None:
        """Add an event, and call the function of `notify`."""
        self._events.put(event)
        self._wake()

    def take(self, timeout_s: float) -> Iterator[Event]:
        """Yield what happened, waiting at most ``timeout_s`` for the first event; ends when none is left."""
        try:
            yield self._events.get(timeout=timeout_s)
            while True:
                yield self._events.get_nowait()
        except queue.Empty:
            return

    def notify(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` at each `tell`, in the thread where that happens."""
        self._wake = wake
