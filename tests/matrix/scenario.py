"""What is broken at every write: an operation on a prepared store, and what has to become visible all at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pfs.backends.base import Backend
from pfs.store import Store
from tests.matrix.place import Place, Style
from tests.matrix.state import State, visible

Act = Callable[[Place, Backend], object]
Show = Callable[[Store, Collection[str]], State]
ALL: tuple[Style, ...] = ("local", "disk", "bucket")


@dataclass(frozen=True)
class Scenario:
    """An operation. ``act`` does it over a backend that may fail; a PfsError says that it was not acknowledged."""

    name: str
    act: Act
    prepare: Callable[[Store, Path], object]
    show: Show = visible
    unit: Literal["store", "repo", "nothing"] = "store"
    """What is old or new as a whole; nothing: whatever happens, nothing that can be seen changes."""
    lost: str = ""
    """An object that is not there before, as the operation is to put up with."""
    styles: tuple[Style, ...] = ALL
    disk_step: int = 1
    """Every so manieth system call is broken, where there are very many alike."""


def over(work: Callable[[Store], object]) -> Act:
    """Return what opens the store, does the work and closes the store."""

    def act(place: Place, backend: Backend) -> None:
        with place.open(backend) as store:
            work(store)

    return act
