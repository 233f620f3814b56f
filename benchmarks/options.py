"""How a run of the benchmarks is to be: sizes, rounds, who takes part, where its files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """``scale`` 1 has the sizes of docs/performance.md. Empty ``contestants`` or ``datasets`` are all."""

    scale: float
    rounds: int
    place: Path
    contestants: Sequence[str] = ()
    datasets: Sequence[str] = ()

    @property
    def quick(self) -> bool:
        """Whether it is only to be seen that everything runs."""
        return self.scale < 0.05


@dataclass(frozen=True, slots=True)
class Need:
    """What a suite will take, about: bytes of disk at once, and seconds on two cores of 2026."""

    disk_bytes: int
    seconds: float
