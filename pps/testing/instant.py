"""An executor that runs no command: each datum succeeds at once and leaves one small file of its own.

All else of a job is real: so a million results come about in minutes, and what a job costs beside its commands can be
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pfs.files.fileref import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.trees.page import Kind
from pps.executor import Capacity, DatumDone, DatumTask, Event, OutputFile, UnitDone, UnitId, WorkUnit
from pps.executors.eventqueue import EventQueue

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.store import Store
    from pps.spec import Transform


class InstantExecutor:
    """See `pps.executor.Executor`."""

    isolation = "none"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events = EventQueue()
        self._sessions: dict[UnitId, WriteSession] = {}
        self._ran = bytearray()

    @property
    def ran(self) -> list[str]:
        """The ids of the datums that were given out, in that order."""
        return [self._ran[at : at + 32].hex() for at in range(0, len(self._ran), 32)]

    def isolation_for(self, transform: Transform) -> str:
        """Return what `isolation` is."""
        return self.isolation

    def capacity(self) -> Capacity:
        """Return two slots."""
        return Capacity(2)

    def submit(self, unit: WorkUnit) -> UnitId:
        """Have all datums of a unit done."""
        session = self._sessions[unit.id] = self._store.session()
        contents = [b"output of %s" % task.id.encode() for task in unit.datums]
        ids = [chunk_id(content) for content in contents]
        session.put_chunks(list(zip(ids, contents, strict=True)))
        for task, id, content in zip(unit.datums, ids, contents, strict=True):
            output = OutputFile(_place(task), FileRef(Kind.FILE, len(content), TreeId(id)), False)
            self._events.put(DatumDone(unit.id, task.id, "success", (output,)))
            self._ran += bytes.fromhex(task.id)
        self._events.tell(UnitDone(unit.id))
        return unit.id

    def events(self, timeout_s: float) -> Iterator[Event]:
        """Yield what is done."""
        return self._events.take(timeout_s)

    def notify(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` when a unit is done."""
        self._events.notify(wake)

    def take_session(self, unit: UnitId) -> WriteSession:
        """Hand over what a unit wrote."""
        return self._sessions.pop(unit)

    def cancel(self, handle: UnitId, grace_s: float) -> None:
        """Do nothing: what was submitted is done."""

    def end_job(self, pipeline: str, job: str, attempt: int) -> None:
        """Do nothing: nothing is kept for a job."""

    def close(self) -> None:
        """Do nothing: there are no processes."""


def _place(task: DatumTask) -> bytes:
    return b"%s/%s" % (task.id[:2].encode(), task.id.encode())
