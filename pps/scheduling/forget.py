"""What ``.meta`` does not keep: records, datum tables and logs of jobs that many newer ones came after."""

from __future__ import annotations

from pfs.ids import CommitId
from pfs.trees.edit import Delete, DeleteTree, Edit
from pfs.trees.tree import Tree
from pps.model.records import ORDER_DIR, deleted_key, folder_of, id_of, logs_of

KEPT_JOBS = 1000
"""Jobs of a pipeline that are kept: the newest, and that of the output's head."""
_AT_ONCE = 100


def forgotten(meta: Tree, *, head: CommitId | None) -> list[Edit]:
    """Return the edits that take away the oldest jobs beyond KEPT_JOBS, but ``head``; some hundred at most at once.

    Costs one look-up while there are no more.
    """
    folder = meta.stat(ORDER_DIR, want="dir")
    excess = 0 if folder is None else folder.count - KEPT_JOBS
    if excess <= 0:
        return []
    edits: list[Edit] = []
    for row in meta.list(ORDER_DIR, limit=min(excess, _AT_ONCE)):
        job = id_of(row)
        if job != head:
            edits += [Delete(row.key), DeleteTree(folder_of(job)), DeleteTree(logs_of(job)), Delete(deleted_key(job))]
    return edits
