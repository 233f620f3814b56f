"""The datums of one job: listed once for their digests, compared with the results there are, and listed again to run.

The first pass keeps 100 to 200 bytes a datum, the second nothing, so a job of a million unchanged datums is a scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pfs.ids import CommitId
from pfs.trees.page import Kind
from pfs.trees.tree import Tree
from pps.datums.datum import Datum, DatumDigests, Item, datum_id
from pps.datums.inputs import datums
from pps.datums.plan import compare
from pps.datums.readset import difference
from pps.datums.table import Result, columns_of, mine
from pps.datums.table_builder import TableBuilder
from pps.executor import DatumDone, DatumInput, DatumTask
from pps.model.state import DatumState
from pps.model.variables import pipeline_variables
from pps.spec.types import PfsInput, Reprocess

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.store import Store
    from pfs.trees.row import Row
    from pps.model.catalog import Pipeline
    from pps.scheduling.queue import Branch

_TOGETHER: Final = 4096
"""Datums that are hashed in one call."""
_REMOVED: Final = Kind.REMOVED


class CommitMatches:
    """The commits that a job reads, as the input algebra takes them."""

    def __init__(self, store: Store, inputs: Mapping[Branch, CommitId]) -> None:
        self._store, self._commits = store, dict(inputs)

    def commit(self, leaf: PfsInput) -> CommitId:
        """Return the commit at which a leaf is read."""
        return self._commits[leaf.repo, leaf.branch]

    def tree(self, leaf: PfsInput) -> Tree:
        """Return all files of the commit at which a leaf is read."""
        return Tree(self._store.objects, self._store.history.get(leaf.repo, self.commit(leaf)).tree_root())

    def pages(self, leaves: Iterable[PfsInput]) -> tuple[str, ...]:
        """Return the root page of what is read of each leaf, in hex."""
        return tuple(self.tree(leaf).root.pid.hex() for leaf in leaves)

    def rows(self, leaf: PfsInput) -> Iterator[Row]:
        """Yield what matches a leaf's glob, in key order."""
        from pfs.expand import expand

        rows = expand(self.tree(leaf), leaf.glob)
        return (row for row in rows if row.kind != _REMOVED)  # what was purged is no input any more


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job does with its datums; rows of ``table`` (columns id, hash, inputs) are sorted by id.

    ``order``: each row's place among the datums as the input yields them; ``row_of`` the other way. Of each row one of
    these holds: it is in ``run``, in ``skipped`` or in ``done`` (processed by this same job before it was interrupted);
    ``source`` is the row of the base with its result, for the latter two. ``listed``: the datums that run, with their
    places, where they are known already.
    """

    table: pa.Table
    order: npt.NDArray[np.int64]
    row_of: npt.NDArray[np.int64]
    run: npt.NDArray[np.bool_]
    skipped: npt.NDArray[np.bool_]
    done: npt.NDArray[np.bool_]
    source: npt.NDArray[np.int64]
    listed: tuple[tuple[int, Datum], ...] | None = None

    @property
    def total(self) -> int:
        """How many datums there are."""
        return len(self.order)


def make_plan(pipeline: Pipeline, matches: CommitMatches, base: pa.Table, *, job: CommitId) -> JobPlan:
    """List the datums of a job and compare them with the results in ``base``."""
    digests = DatumDigests(transform=bytes.fromhex(pipeline.record.counts_as), salt=pipeline.record.salt)
    builder = TableBuilder(pipeline.leaves)
    found = datums(pipeline.spec.input, matches)
    while some := list(islice(found, _TOGETHER)):
        builder.add(*digests.of(some), some)
    table, order = builder.build()
    plan = compare(columns_of(table), columns_of(base))
    known = _reads_same(pipeline, matches, base, source=plan.source)
    done = known & mine(base, job)[plan.source] if len(base) else np.zeros(len(order), dtype=np.bool_)
    every_job = pipeline.spec.reprocess == Reprocess.EVERY_JOB
    skipped = np.zeros(len(order), dtype=np.bool_) if every_job else known & ~done
    row_of = np.empty_like(order)
    row_of[order] = np.arange(len(order), dtype=np.int64)
    return JobPlan(table, order, row_of, ~(skipped | done), skipped, done, plan.source)


def s3_trees(pipeline: Pipeline, matches: CommitMatches) -> dict[str, Tree]:
    """Return the inputs that are read over S3 and count, as the job reads them, by name."""
    return {leaf.name: matches.tree(leaf) for leaf in pipeline.leaves if leaf.s3 and not leaf.reference}


def _reads_same(
    pipeline: Pipeline, matches: CommitMatches, base: pa.Table, *, source: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return for each row with a row in the base whether its datum would read the same over S3; False for others.

    Datums of a cross mostly read alike, so each set of reads is compared once.
    """
    known = source >= 0
    trees = s3_trees(pipeline, matches)
    if not trees or not known.any():
        return known
    column, same = base.column("reads"), dict[bytes | None, bool]()
    for row in np.flatnonzero(known).tolist():
        reads = column[int(source[row])].as_py()
        if reads not in same:
            same[reads] = difference(reads, trees) is None
        known[row] = same[reads]
    return known


def tasks_to_run(pipeline: Pipeline, matches: CommitMatches, plan: JobPlan) -> Iterator[DatumTask]:
    """Yield the datums that run, in the order of the input; lists only as far as it is asked."""
    env = pipeline_variables(pipeline.name, pipeline.spec_commit)
    for place, datum in _listed_again(pipeline, matches, plan) if plan.listed is None else plan.listed:
        yield DatumTask(datum_id(datum).hex(), place, datum_inputs(datum), env, pipeline.spec.datum_tries)


def _listed_again(pipeline: Pipeline, matches: CommitMatches, plan: JobPlan) -> Iterator[tuple[int, Datum]]:
    by_place = np.zeros(plan.total, dtype=np.bool_)
    by_place[plan.order] = plan.run
    found = enumerate(datums(pipeline.spec.input, matches))
    return islice((one for one in found if by_place[one[0]]), int(np.count_nonzero(by_place)))


def datum_inputs(datum: Datum) -> tuple[DatumInput, ...]:
    """Return what a datum's command sees: for each leaf one value with all of its files, in their order."""
    items: dict[PfsInput, list[Item]] = {}
    for item in datum:
        items.setdefault(item.leaf, []).append(item)
    return tuple(_input(leaf, found) for leaf, found in items.items())


def _input(leaf: PfsInput, items: list[Item]) -> DatumInput:
    last = items[-1]
    return DatumInput(
        leaf.name,
        leaf.repo,
        leaf.branch,
        last.commit,
        last.path,
        tuple(item.row for item in items),
        leaf.empty_files,
        join_on=last.join_on,
        group_by=last.group_by,
        s3=leaf.s3,
        lazy=leaf.lazy,
    )


def input_bytes(task: DatumTask) -> int:
    """Return how many bytes are staged for a datum."""
    return sum(row.size for source in task.inputs for row in source.rows if source.has_bytes)


def result_of(task: DatumTask, done: DatumDone, job: CommitId) -> Result:
    """Return how a datum ended in a job, as its table has it."""
    state = DatumState(done.state)
    return Result(
        state,
        done.tries,
        done.exit_code,
        done.signal,
        done.seconds,
        done.bytes._replace(download=done.bytes.download or input_bytes(task)),
        "" if state == DatumState.SUCCESS else done.log_tail,
        done.error or "",
        job,
        done.reads,
    )
