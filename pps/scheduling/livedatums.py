"""The datums of a job while it runs, for people to look at: in ``.pfs/run``, beside its record (live.py).

``<job>.planned`` is an Arrow stream of the job's datums as they were planned, written once when the job has run for a
moment; ``<job>.states`` has a line for each that began or ended since, the latest of which counts. So showing costs
what happened, not what there is. Nothing here is needed after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from pfs.ids import CommitId
from pps.datums.table import Result, by_id, ids_of, result_columns, rows_at, with_results
from pps.executor import Bytes, DatumDone, Seconds
from pps.model.state import DatumState
from pps.scheduling.lease import HolderLocks

if TYPE_CHECKING:
    import pyarrow as pa

RUNS_NOW = "it runs now"
_Line = tuple[str, str, int, int | None, int | None, Seconds, Bytes, str]
"""Id in hex, then as the columns of a datum table: state, tries, exit code, signal, times, bytes, reason."""


class LiveDatums:
    """What one job shows of its datums. One thread; an unwritable disk is no error of the job."""

    def __init__(self, run_dir: Path, pipeline: str, job: CommitId) -> None:
        self._planned, self._states = _paths(run_dir, pipeline, job)
        self._is_planned = False
        self._news: dict[str, _Line] = {}
        self._attempts: dict[str, int] = {}
        self._tried: dict[str, int] = {}

    def begun(self, datum: str, attempt_no: int) -> None:
        """Note that an attempt at a datum began."""
        self._attempts[datum] = attempt_no
        self.tell(datum, Result(DatumState.STARTING, self._tried.get(datum, 0) + attempt_no, reason=RUNS_NOW))

    def tries(self, done: DatumDone) -> int:
        """Return the attempts at a datum that has ended, with those of before somebody had it begun again."""
        self._attempts.pop(done.datum, None)
        return done.tries + self._tried.get(done.datum, 0)

    def wait_again(self, datums: Iterable[str], *, restarted: bool = False) -> None:
        """Note that datums wait, as what was done of their unit does not count; ``restarted``: its attempts do."""
        for datum in datums:
            attempts = self._attempts.pop(datum, 0)
            if restarted and attempts:
                self._tried[datum] = self._tried.get(datum, 0) + attempts
            self.tell(datum, Result(DatumState.STARTING, self._tried.get(datum, 0)))

    def tell(self, datum: str, result: Result) -> None:
        """Note how a datum stands now; it is shown with the next `show`."""
        how = (result.state.value, result.tries, result.exit_code, result.signal)
        self._news[datum] = (datum, *how, result.seconds, result.bytes, result.reason)

    def show(self, planned: Callable[[], Iterator[pa.Table]]) -> None:
        """Write what is new; before the first of it the datums that were planned."""
        if not self._news:
            return
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in self._news.values())
        self._news = {}
        with suppress(OSError):
            if not self._is_planned:
                self._is_planned = True
                self._write_planned(planned())
            with self._states.open("ab") as file:
                file.write(lines)

    def _write_planned(self, tables: Iterator[pa.Table]) -> None:
        import pyarrow as pa

        from pps.datums.table import schema

        draft = self._planned.with_suffix(".draft")
        self._planned.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file, pa.ipc.new_stream(file, schema()) as writer:
            for table in tables:
                writer.write_table(table)
        draft.replace(self._planned)

    def clear(self) -> None:
        """Forget what was shown."""
        for path in (self._planned, self._states):
            with suppress(OSError):
                path.unlink()


def live_table(run_dir: Path, pipeline: str, job: CommitId) -> pa.Table | None:
    """Return the datums of a job as a running controller shows them, sorted by id; None: none does."""
    import pyarrow as pa

    planned, states = _paths(run_dir, pipeline, job)
    if not planned.exists() or not HolderLocks(run_dir).any_alive():
        return None
    try:
        with planned.open("rb") as file, pa.ipc.open_stream(file) as reader:
            table = by_id(reader.read_all())
        lines = states.read_bytes().splitlines() if states.exists() else []
    except (OSError, pa.ArrowException):
        return None
    return _with_states(table, list(_latest(lines)), job)


def _latest(lines: list[bytes]) -> Iterator[_Line]:
    """Yield the last line of each datum; one that is being written yet is passed over."""
    decoder, seen = msgspec.json.Decoder(_Line), set[str]()
    for raw in reversed(lines):
        with suppress(msgspec.DecodeError):
            line = decoder.decode(raw)
            if line[0] not in seen:
                seen.add(line[0])
                yield line


def _with_states(table: pa.Table, lines: list[_Line], job: CommitId) -> pa.Table:
    if not lines or not len(table):
        return table
    ids = ids_of(table)
    told = np.frombuffer(b"".join(bytes.fromhex(line[0]) for line in lines), dtype="S32")
    at = np.minimum(np.searchsorted(ids, told), len(ids) - 1)
    known = ids[at] == told
    columns = result_columns([_result(line, job) for line, is_known in zip(lines, known, strict=True) if is_known])
    rows = at[known].astype(np.int64)
    rest = np.ones(len(table), dtype=np.bool_)
    rest[rows] = False
    others = rows_at(table, np.flatnonzero(rest).astype(np.int64))
    return by_id(others, with_results(table.select(["id", "hash", "inputs"]), rows, columns))


def _result(line: _Line, job: CommitId) -> Result:
    _, state, tries, exit_code, signal, seconds, sizes, reason = line
    return Result(DatumState(state), tries, exit_code, signal, seconds, sizes, "", reason, job)


def _paths(run_dir: Path, pipeline: str, job: CommitId) -> tuple[Path, Path]:
    folder = run_dir / "jobs" / pipeline
    return folder / f"{job}.planned", folder / f"{job}.states"
