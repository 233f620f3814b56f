"""The plan of a job from that of the job before it: a million datums of which one changed are not listed again.

The results that can be taken over are then the datums of the last job, all of them, so what the new job has is these
but for what changed between the commits that both read. Where that is not so, or not known, there is no such plan, and
the datums are listed (jobplan.py): both ways give the same datums with the same digests, to run and to take over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pfs.glob import Glob
from pfs.ids import CommitId
from pfs.trees.tree import Tree
from pps.datums.datum import Datum, DatumDigests, Item, datum_id
from pps.datums.plan import Digests, digests, order_of, places
from pps.datums.rematch import rematched
from pps.datums.table import ids_of, merged, rows_at
from pps.datums.table_builder import TableBuilder
from pps.model.state import JobState
from pps.scheduling.jobplan import CommitMatches, JobPlan
from pps.spec.types import Input, PfsInput, Reprocess, UnionInput

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.store import Store
    from pps.model.catalog import Pipeline
    from pps.model.records import JobRecord

_LEAST = 1024
_SHARE = 8
"""With more changed files than `_LEAST` and this part of the datums, a listing costs less."""


class _Changed(NamedTuple):
    """Ids of datums that are not what they were, and the datums that are there now, in the order of the input."""

    gone: Digests
    fresh: tuple[Datum, ...]


def plan_by_change(store: Store, pipeline: Pipeline, matches: CommitMatches, base: pa.Table) -> JobPlan | None:
    """Return the plan of a job from what changed since the last one, None where only a listing can give it.

    ``base``: the results that can be taken over. Cost: that of the changes, and some copies of columns.
    """
    last = _last_job(pipeline, base)
    before = None if last is None else trees_before(store, pipeline, last)
    if before is None:
        return None
    changed = _changes(pipeline, matches, before, most=max(_LEAST, len(base) // _SHARE))
    return None if changed is None else _plan(pipeline, base, changed)


def _last_job(pipeline: Pipeline, base: pa.Table) -> JobRecord | None:
    """Return the last job if its datums are the results there are."""
    last = pipeline.jobs[-1] if pipeline.jobs else None
    if last is None or last.state != JobState.SUCCESS or last.meta_commit != pipeline.meta:
        return None
    same_datums = last.spec_commit == pipeline.spec_commit and last.counters.total == len(base)
    with_others = pipeline.spec.reprocess == Reprocess.EVERY_JOB or any(leaf.s3 for leaf in pipeline.leaves)
    return last if same_datums and not with_others else None


def trees_before(store: Store, pipeline: Pipeline, last: JobRecord) -> list[Tree] | None:
    """Return what each leaf's repo held for the last job; None if that is not known, or was purged since."""
    if len(last.pages) != len(pipeline.leaves):
        return None
    found = []
    for (_name, repo, _branch, commit), page in zip(last.inputs, last.pages, strict=True):
        record = store.history.find(repo, CommitId(commit))
        if record is None or record.tree_root().pid.hex() != page:
            return None
        found.append(Tree(store.objects, record.tree_root()))
    return found


def _changes(pipeline: Pipeline, matches: CommitMatches, before: Sequence[Tree], *, most: int) -> _Changed | None:
    gone: list[bytes] = []
    fresh: list[Datum] = []
    for leaf, old in zip(pipeline.leaves, before, strict=True):
        found = rematched(Glob(leaf.glob), old, matches.tree(leaf), most=most)
        if found is None or (found and not _is_list(pipeline.spec.input)):
            return None
        commit = matches.commit(leaf)
        gone += [datum_id((Item(leaf, commit, old),)) for old, _ in found if old is not None]
        fresh += [(Item(leaf, commit, new),) for _, new in found if new is not None]
    return _Changed(digests(b"".join(gone)), tuple(fresh))


def _is_list(node: Input) -> bool:
    """Say whether each match of each leaf is a datum by itself."""
    if isinstance(node, UnionInput):
        return all(_is_list(child) for child in node.children)
    return isinstance(node, PfsInput)


def _plan(pipeline: Pipeline, base: pa.Table, changed: _Changed) -> JobPlan | None:
    ids, gone = ids_of(base), changed.gone[order_of(changed.gone)]
    rows = places(gone, ids)
    if (gone[1:] == gone[:-1]).any() or not _are_at(ids, rows, gone):
        return None
    kept_rows = np.delete(np.arange(len(base), dtype=np.int64), rows)
    kept = rows_at(base.select(["id", "hash", "inputs"]), kept_rows)
    fresh, order = _table(pipeline, changed.fresh)
    new, old = ids_of(fresh), ids_of(kept)
    at = places(new, old)
    if (new[1:] == new[:-1]).any() or (len(old) and (old[np.minimum(at, len(old) - 1)] == new).any()):
        return None
    source = np.insert(kept_rows, at, -1)
    whole = np.arange(len(source), dtype=np.int64)
    by_place = np.empty_like(order)
    by_place[order] = at + np.arange(len(at), dtype=np.int64)
    listed = tuple(zip(by_place.tolist(), changed.fresh, strict=True))
    run = source < 0
    none = np.zeros(len(source), dtype=np.bool_)
    return JobPlan(merged(kept, fresh, at), whole, whole, run, ~run, none, source, listed)


def _are_at(ids: Digests, rows: np.ndarray[tuple[int], np.dtype[np.int64]], wanted: Digests) -> bool:
    inside = rows < len(ids)
    return bool(inside.all()) and bool((ids[rows] == wanted).all())


def _table(pipeline: Pipeline, found: Sequence[Datum]) -> tuple[pa.Table, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    naming = DatumDigests(transform=bytes.fromhex(pipeline.record.counts_as), salt=pipeline.record.salt)
    builder = TableBuilder(pipeline.leaves)
    builder.add(*naming.of(found), found)
    return builder.build()
