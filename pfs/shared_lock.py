"""A lock that many hold shared, or one alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Held by any number of threads shared, or by one alone; who waits to be alone goes before new sharers.

    Not reentrant: a thread that holds it, either way, and asks again may wait for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._sharers = 0
        self._waiting = 0
        self._taken = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it together with others."""
        with self._changed:
            while self._taken or self._waiting:
                self._changed.wait()
            self._sharers += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharers -= 1
                if not self._sharers:
                    self._changed.notify_all()

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let nobody new in meanwhile; those that hold it are not waited for. For one who holds it shared."""
        with self._changed:
            self._waiting += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it alone."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        """Wait until nobody holds it, then hold it alone until `give_back`."""
        with self._changed:
            self._waiting += 1
            try:
                while self._taken or self._sharers:
                    self._changed.wait()
                self._taken = True
            finally:
                self._waiting -= 1

    def give_back(self) -> None:
        """End what `take` began; any thread may."""
        with self._changed:
            self._taken = False
            self._changed.notify_all()
