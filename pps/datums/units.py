"""How many datums go into one unit of work: enough that giving it out costs little, few enough to share and to lose."""

from __future__ import annotations

from dataclasses import dataclass

from pps.spec.types import DatumSet

TARGET_S = 4.0
"""Seconds of work in a unit, aimed at from what the datums so far took."""
MOST_DATUMS = 256
MOST_BATCHED = 4096
"""Of datums that one process works on: it starts rarely then, and what a lost one takes with it is still bounded."""
MOST_BYTES = 256 << 20


@dataclass(slots=True)
class Sizing:
    """Learns how long datums take and says how large the next unit is. One thread.

    ``batched``: starting the command is what costs, so units are as large as leaves each slot some.
    """

    spec: DatumSet
    slots: int
    batched: bool = False
    _datums: int = 0
    _seconds: float = 0.0

    def learn(self, seconds: float) -> None:
        """Note how long one datum took."""
        self._datums += 1
        self._seconds += seconds

    def count(self, remaining: int) -> int:
        """Return how many datums the next unit takes at most, at least 1; ``remaining`` are not given out yet."""
        if self.spec.number:
            return self.spec.number
        if self.spec.size_bytes:
            return MOST_DATUMS
        share = -(-remaining // (self.slots * (self.spec.per_worker or 4)))
        if self.spec.per_worker:
            return max(share, 1)
        if self.batched:
            return max(min(share, MOST_BATCHED), 1)
        return max(min(share, self._by_time(), MOST_DATUMS), 1)

    def full(self, size_bytes: int) -> bool:
        """Say whether a unit whose inputs have this size takes no more."""
        if self.batched and not self.spec.size_bytes:
            # What all datums share would be counted for each of them.
            return False
        return size_bytes >= (self.spec.size_bytes or MOST_BYTES)

    def _by_time(self) -> int:
        if not self._datums:
            return 1
        mean = max(self._seconds / self._datums, 1e-4)
        return int(TARGET_S / mean)
