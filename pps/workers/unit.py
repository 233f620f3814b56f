"""One unit of datums, run to its end: what the datums write goes into the unit's session, what happened to ``emit``.

A worker is a thread of an executor with a scratch directory of its own. It reads no clock for decisions but the
timeout's, and decides nothing about the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pfs.packs.session import WriteSession
from pfs.store import Store
from pps.executor import DatumTask, WorkUnit
from pps.workers.attempt import Datum
from pps.workers.attempts import Attempts
from pps.workers.batch import run_batch
from pps.workers.progress import Emit, run_datum
from pps.workers.scratch import Workplace
from pps.workers.sessions import Sessions
from pps.workers.setting import Setting
from pps.workers.staging import Staging
from pps.workers.stop import Stop

_AHEAD: Final = 32
"""Datums whose small files are read at once."""


def run_unit(
    setting: Setting, unit: WorkUnit, *, scratch: Path, emit: Emit, stop: Stop, into: Store | None = None
) -> WriteSession:
    """Run the datums of ``unit`` in order and return what they wrote; ``scratch`` is a directory for this worker alone.

    When the store does not take what a datum puts out, a unit of several is given up, so that each is tried again in a
    unit of its own; a datum that is alone has failed, and keeps its log. A full disk is no fault of any datum.
    ``into``: the store that takes what they write, by default that of the setting.

    Raises:
        CancelledError: ``stop`` was set; the datum that ran has no DatumDone.
        StorageFullError: there is no room for the input or the output of a datum.
        PfsError: the store or the spawner failed, so that no datum of the unit can count.
        OSError: there is no place to work in.
    """
    workplace = Workplace(scratch)
    sessions = Sessions(setting.store if into is None else into, alone=len(unit.datums) == 1)
    try:
        tasks = _warmed(setting.staging, unit.datums)
        datums = (Datum(setting, unit, task, sessions, workplace, stop) for task in tasks)
        if unit.transform.datum_batching:
            run_batch(Attempts(datums, emit))
        else:
            for datum in datums:
                run_datum(datum, emit)
    except BaseException:
        sessions.now.abandon()
        raise
    return sessions.now


def _warmed(staging: Staging, tasks: Sequence[DatumTask]) -> Iterator[DatumTask]:
    for start in range(0, len(tasks), _AHEAD):
        few = tasks[start : start + _AHEAD]
        staging.warm(few)
        yield from few
