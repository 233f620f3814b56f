"""What a job takes from its cause: the id, and why it cannot run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.ids import CommitId, new_commit_id

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.scheduling.queue import Due


def job_id(store: Store, due: Due) -> CommitId:
    """Return the id of what caused the job, so that one id names all that it brought about.

    A fresh one where the pipeline has a job of that id: one that ended, or that an older version left undone.
    """
    for id in (due.cause, due.spare):
        if id is not None and store.history.find(due.pipeline.name, id) is None and due.pipeline.jobs.find(id) is None:
            return id
    return new_commit_id()


def why_broken(due: Due) -> str:
    """Say which inputs failed and why, as the reason of a job that cannot run."""
    names = ", ".join(f"{repo}@{branch} ({why})" for (repo, branch), why in sorted(due.broken.items()))
    return f"input failed: {names}"
