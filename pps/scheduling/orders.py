"""What people ask of the running controller: to stop a job, or to do datums again; files in ``.pfs/run/orders``.

An order is of use only to a controller that runs the job now, so nothing of it has to outlive that one: it takes the
files away as it reads them, and a new controller begins with none.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from pfs.errors import StorageError
from pfs.structs import ready


class StopJob(msgspec.Struct, frozen=True, tag="stop"):
    """End a job as killed."""

    pipeline: str
    job: str


class RestartDatum(msgspec.Struct, frozen=True, tag="restart"):
    """Begin again with what a job's workers are doing: one datum (its id, or paths of its inputs), or all that run."""

    pipeline: str
    job: str
    datum: str | None = None


Order = StopJob | RestartDatum


def orders_folder(run_dir: Path) -> Path:
    """Return the folder that orders are left in."""
    return run_dir / "orders"


class Orders:
    """The orders of one store's controller. Any process gives them; the controller takes them."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = orders_folder(run_dir)

    def give(self, order: Order) -> None:
        """Leave an order; it is seen whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        name = uuid.uuid4().hex
        draft = self._folder / f".{name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(order))
            draft.replace(self._folder / f"{name}.json")
        except OSError as error:
            raise StorageError(f"write {draft}", error.strerror or str(error)) from error

    def take(self) -> Iterator[Order]:
        """Yield what was ordered, and forget it."""
        for path in sorted(self._folder.glob("*.json")):
            with suppress(OSError, msgspec.DecodeError):
                data = path.read_bytes()
                path.unlink()
                yield msgspec.json.decode(data, type=ready(Order))

    def clear(self) -> None:
        """Forget what was for a controller that is gone; the folder stays, as somebody may watch it."""
        for path in self._folder.glob("*.json"):
            with suppress(OSError):
                path.unlink()
