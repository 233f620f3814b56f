"""How long to wait before a command that ended is started again, and before a job is saved again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses in seconds: the first, then twice as long each time up to the longest.

    A run of ``steady_s`` was a good one, and the pause after it is the first again. ``next_s`` is the pause to come.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    steady_s: float = 60.0
    next_s: float = 0.0

    def after(self, ran_s: float) -> tuple[float, Backoff]:
        """Return the pause after a run that took so long, and what follows."""
        pause = self.first_s if ran_s >= self.steady_s else max(self.next_s, self.first_s)
        return pause, replace(self, next_s=min(2 * pause, self.longest_s))


def saving_pause_ns(least_ns: int, took_ns: int) -> int:
    """Return the pause after a checkpoint that took so long, so that saving is a tenth of the time at most.

    Each writes the whole table of results. ``least_ns`` 0 saves all the time, whatever it costs.
    """
    return max(least_ns, 9 * took_ns) if least_ns else 0
