"""Deleting a job that has ended: what ``.meta`` keeps of it goes, its output commit stays."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from pfs.errors import BranchMovedError, ConflictError
from pfs.files.ingest import put_stream
from pfs.ids import CommitId, new_commit_id
from pfs.model import NewCommit
from pfs.trees.edit import Delete, DeleteTree, Edit, Put, edit
from pfs.trees.page import Changed
from pps.model.catalog import Catalog, Pipeline
from pps.model.records import META_BRANCH, JobRecord, deleted_key, folder_of, logs_of, order_key

if TYPE_CHECKING:
    from pfs.store import Store

_ROUNDS = 5


def delete_job(store: Store, record: JobRecord) -> None:
    """Delete the record of a job, with its datum table and the logs that its datums wrote.

    The newest job and that of the output's head say where the next one begins: of these the logs go, and the rest is
    kept out of sight until later ones came. Deleting a job makes none due again.

    Raises:
        ConflictError: it has not ended.
        BranchMovedError: jobs of the pipeline ended at this moment, again and again; nothing changed.
        NotFoundError: the pipeline was deleted.
    """
    if not record.state.is_final:
        raise ConflictError(
            f"job {record.pipeline}@{record.id} has not ended: `pps stop-job {record.pipeline}@{record.id}` ends it"
        )
    for round_no in range(_ROUNDS):
        pipeline = Catalog(store).get(record.pipeline)
        try:
            _publish(store, pipeline, record)
            return
        except BranchMovedError:
            if round_no == _ROUNDS - 1:
                raise


def _publish(store: Store, pipeline: Pipeline, record: JobRecord) -> None:
    session = store.session()
    now_ns, id = store.clock_ns(), new_commit_id()
    changed = Changed(bytes.fromhex(id), now_ns)
    if record.id in _needed(pipeline):
        empty = put_stream(session, store.params, BytesIO(b""), jobs=1)
        edits: list[Edit] = [Put(deleted_key(record.id), empty.kind, empty.size, empty.tid)]
    else:
        edits = [Delete(order_key(record.number, record.id)), DeleteTree(folder_of(record.id))]
    root = edit(session, pipeline.meta_root, [*edits, DeleteTree(logs_of(record.id))], changed=changed)
    commit = NewCommit(
        branch=META_BRANCH,
        root=root,
        id=id,
        started_ns=now_ns,
        parents=() if pipeline.meta is None else (pipeline.meta,),
        message=f"job {record.id} deleted",
        rewrites=pipeline.rewrites,
    )
    store.repo(pipeline.name).publish([commit], session)


def _needed(pipeline: Pipeline) -> set[CommitId]:
    """Return the jobs that the next one goes on from: the newest, the newest that ended, that of the output's head."""
    ended = next((one.id for one in reversed(pipeline.jobs) if one.state.is_final), None)
    newest = pipeline.jobs.newest
    return {id for id in (ended, newest.id if newest else None, pipeline.output) if id is not None}
