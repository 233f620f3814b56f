"""What services have to do: serve the newest data, and record newer data that failed."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pfs.ids import CommitId
from pps.model.catalog import DAMAGE, Pipeline
from pps.scheduling.queue import Due, due_with_services, finished_ns, is_open, is_same, read_inputs

if TYPE_CHECKING:
    from pfs.errors import PfsError
    from pfs.store import Store


def newest_due(store: Store, pipelines: Sequence[Pipeline], damaged: MutableMapping[str, PfsError]) -> dict[str, Due]:
    """Return the job of each service that has newer data than its last job, or one that was interrupted.

    It reads the newest commits; those that came between have no job of their own. Failed ones that came after all
    others have one, with ``broken``, which only is to be recorded. ``pipelines`` and ``damaged`` as in `due_jobs`.
    """
    services = [pipeline for pipeline in pipelines if pipeline.spec.service and not pipeline.spec.spout]
    by_name, found = {pipeline.name: pipeline for pipeline in pipelines}, dict[str, Due]()
    refs = read_inputs(store, services)
    for pipeline in services:
        try:
            newest = _newest_of(store, pipeline, due_with_services(store, refs, pipeline, pipelines=by_name))
        except DAMAGE as error:
            damaged[pipeline.name] = error
            continue
        if newest is not None:
            awaited = newest.resume is None and is_open(store, newest)
            found[pipeline.name] = replace(newest, awaited=awaited)
    return found


def _newest_of(store: Store, pipeline: Pipeline, due: Sequence[Due]) -> Due | None:
    """Return what a service has to do with what is due: newer data first, then to record what failed after it."""
    unfinished = None if pipeline.record.stopped else pipeline.unfinished
    sound = [at for at, one in enumerate(due) if not one.broken]
    newest = due[sound[-1]] if sound else None
    if newest is not None and (unfinished is None or not is_same(newest, unfinished)):
        return replace(newest, resume=None)
    failed = due[sound[-1] + 1 :] if sound else due
    broken = next((one for one in failed if _is_later(store, one)), None)
    if broken is not None:
        return broken
    if unfinished is None or unfinished.spec_commit != pipeline.spec_commit:
        return None
    read = {(repo, branch): CommitId(commit) for _, repo, branch, commit in unfinished.inputs}
    position = {(head.repo, head.branch): head.commit for head in unfinished.position}
    return Due(pipeline, unfinished.cause, read, position, resume=unfinished)


def _is_later(store: Store, due: Due) -> bool:
    """Say whether what failed came after what is read otherwise."""
    pairs = ((branch[0], due.inputs[branch], due.position.get(branch)) for branch in due.broken)
    return any(
        kept is None or finished_ns(store.history.find(repo, failed)) > finished_ns(store.history.find(repo, kept))
        for repo, failed, kept in pairs
    )
