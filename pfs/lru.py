"""A cache bounded by weight, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Keeps the values used last, up to ``capacity`` units of weight (bytes, usually); O(1), thread-safe.

    A value heavier than the whole capacity is not kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def weight(self) -> int:
        """Units held now."""
        return self._weight

    def __contains__(self, key: K) -> bool:
        """Say whether the value is held, without marking it as used."""
        with self._lock:
            return key in self._held

    def get(self, key: K) -> V | None:
        """Return the value and mark it as used, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, *, weight: int) -> None:
        """Keep ``value``; the least recently used ones make room."""
        with self._lock:
            self._drop(key)
            if weight > self._capacity:
                return
            self._held[key] = (value, weight)
            self._weight += weight
            while self._weight > self._capacity:
                self._drop(next(iter(self._held)))

    def discard(self, key: K) -> None:
        """Forget ``key`` if it is held."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        dropped = self._held.pop(key, None)
        if dropped is not None:
            self._weight -= dropped[1]
