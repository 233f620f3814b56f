"""The datums of past and running jobs, as they are looked up by people."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pfs.errors import InvalidInputError, NotFoundError
from pfs.trees.tree import Tree
from pps.datums.table import Entry, decode_table, empty_table, entries, find, in_state, mine, rows_at
from pps.model.infos import DatumFile, DatumInfo, Times
from pps.model.records import META_BRANCH, RESULTS, JobRecord, table_key
from pps.model.state import DatumState
from pps.scheduling.livedatums import live_table

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.store import Store
    from pps.model.catalog import Pipeline


def job_datums(
    store: Store, pipeline: Pipeline, job: JobRecord, *, states: Collection[DatumState] = ()
) -> Iterator[Entry]:
    """Yield the datums of a job by id, in one of ``states`` if any are given.

    Of a job that has not ended, what `datums_of` has.
    """
    table = datums_of(store, pipeline, job)
    yield from entries(in_state(table, *states) if states else table)


def find_datum(store: Store, pipeline: Pipeline, job: JobRecord, ref: str) -> Entry:
    """Return one datum by its id in hex or an unambiguous beginning of it.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: several begin like that.
    """
    if len(ref) == 64:
        whole = _find_whole(datums_of(store, pipeline, job), ref)
        found = [] if whole is None else [whole]
    else:
        found = [entry for entry in job_datums(store, pipeline, job) if ref and entry.id.hex().startswith(ref)]
    if not found:
        place = f"{pipeline.name}@{job.id}"
        raise NotFoundError(f"datum {ref!r} not found in job {place}: `pps list-datum {place}` shows its datums")
    if len(found) > 1:
        raise InvalidInputError(f"datum {ref!r} is ambiguous: give more of its id")
    return found[0]


def _find_whole(table: pa.Table, ref: str) -> Entry | None:
    try:
        return find(table, bytes.fromhex(ref))
    except ValueError:
        return None


def datums_of(store: Store, pipeline: Pipeline, job: JobRecord) -> pa.Table:
    """Return the datums of a job, sorted by id.

    Of one that runs: as its controller shows them (`pps.scheduling.livedatums`), a moment old. Of one that was left,
    or runs on another machine: those that a checkpoint has saved.
    """
    if job.state.is_final:
        return _stored(store, pipeline, table_key(job.id))
    live = live_table(store.path / "run", pipeline.name, job.id)
    if live is not None:
        return live
    saved = _stored(store, pipeline, RESULTS)
    return rows_at(saved, np.flatnonzero(mine(saved, job.id)).astype(np.int64)) if len(saved) else saved


def _stored(store: Store, pipeline: Pipeline, key: bytes) -> pa.Table:
    from pps.model.job_records import read_row

    row = Tree(store.objects, pipeline.meta_root).stat(key, want="file")
    if row is None:
        return empty_table()
    return decode_table(read_row(store, row), where=f"{pipeline.name}@{META_BRANCH}:/{key.decode()}")


def datum_info(job: JobRecord, entry: Entry) -> DatumInfo:
    """Return the public value of a datum of a job."""
    sources = job.input_commits()
    files = [(sources[given.leaf], given.path) for given in entry.inputs if given.leaf < len(sources)]
    result = entry.result
    return DatumInfo(
        id=entry.id.hex(),
        job=job.id,
        pipeline=job.pipeline,
        state=result.state,
        inputs=tuple(DatumFile(one.name, one.repo, one.branch, one.commit, path) for one, path in files),
        hash=entry.hash.hex(),
        tries=result.tries,
        exit_code=result.exit_code,
        signal=result.signal,
        seconds=Times(*result.seconds),
        input_bytes=result.bytes.download,
        output_bytes=result.bytes.upload,
        log_tail=result.log_tail,
        reason=result.reason,
        ran_in=result.ran_in,
    )
