"""What became of the datums of a job, as tables that are put together some rows at a time, whenever they are written.

What is known stays where it is: the plan, the results of jobs before, and how datums ended. So a job of a million
datums has no table of them in memory, however often it is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pps.datums.ended import EndedDatums
from pps.datums.plan import digest_values, places
from pps.datums.table import Result, by_id, ids_of, in_state, result_columns, rows_at, with_results, with_state
from pps.model.state import DatumState

if TYPE_CHECKING:
    import pyarrow as pa

    from pps.scheduling.jobplan import JobPlan

Rows = npt.NDArray[np.int64]
Tables = Callable[[], "Iterator[pa.Table]"]
"""Gives a table some rows at a time, sorted by id over all; as often as it is called."""
_BLOCK: Final = 16_384
_MOST_SHOWN: Final = 100_000


@dataclass(frozen=True, slots=True)
class JobTable:
    """The datums of a job: ``plan`` is None before it is made, ``base`` has the results there were then."""

    plan: JobPlan | None
    base: pa.Table
    ended: EndedDatums

    def datums(self) -> Iterator[pa.Table]:
        """Yield the job's datums with their states; those that had no turn are ``starting``."""
        plan = self.plan
        for start in range(0, 0 if plan is None else plan.total, _BLOCK):
            yield self._block(start, start + _BLOCK)

    def _block(self, start: int, stop: int) -> pa.Table:
        plan = self.plan
        assert plan is not None, "what has datums has a plan"
        ended = self.ended.rows(start=start, stop=stop)
        waits = plan.run[start:stop].copy()
        waits[ended - start] = False
        waiting = np.flatnonzero(waits).astype(np.int64) + start
        return by_id(
            with_state(_near(self.base, plan.source[start:stop][plan.skipped[start:stop]]), DatumState.SKIPPED),
            with_state(_near(self.base, plan.source[start:stop][plan.done[start:stop]]), DatumState.SUCCESS),
            self._ended(ended),
            with_results(_around(plan.table, waiting), _from_first(waiting), _unbegun(len(waiting))),
        )

    def _ended(self, rows: Rows) -> pa.Table:
        assert self.plan is not None, "what has datums has a plan"
        return with_results(_around(self.plan.table, rows), _from_first(rows), self.ended.columns(rows))

    def taken_over(self) -> Iterator[pa.Table]:
        """Yield what there is to be taken over when the job has succeeded: the results of its own datums alone."""
        for block in self.datums():
            yield with_state(in_state(block, DatumState.SUCCESS, DatumState.SKIPPED), DatumState.SUCCESS)

    def results(self) -> Iterator[pa.Table]:
        """Yield what there is to be taken over while the job goes on: what there was, and its new successes over it."""
        if self.plan is None or not len(fresh := self.ended.rows(DatumState.SUCCESS)):
            yield from (self.base.slice(start, _BLOCK) for start in range(0, len(self.base), _BLOCK))
            return
        there, new = ids_of(self.base), ids_of(self.plan.table)[fresh]
        at, kept = places(new, there), np.ones(len(there), dtype=np.bool_)
        old = at[_is_at(there, at, new)]
        kept[old] = False
        for (a, b), (c, d) in _cuts(at, len(there)):
            rows = np.flatnonzero(kept[a:b]).astype(np.int64) + a
            yield by_id(_near(self.base, rows), self._ended(fresh[c:d]))

    def gone(self) -> Iterator[bytes]:
        """Yield the ids of the results that are to be taken over no more: the job has no such datum, or it failed."""
        plan = self.plan
        gone = np.ones(len(self.base), dtype=np.bool_)
        if plan is not None:
            gone[plan.source[plan.skipped | plan.done]] = False
        if not gone.any():
            return
        ids = ids_of(self.base)[gone]
        if plan is not None and len(fresh := self.ended.rows(DatumState.SUCCESS)):
            new = ids_of(plan.table)[fresh]
            ids = ids[~_is_at(new, places(ids, new), ids)]
        yield from digest_values(ids)

    def planned(self) -> Iterator[pa.Table]:
        """Yield the job's datums as they were planned, for people to look at; see `livedatums`.

        Those that are taken over are left out where they are more than 100,000.
        """
        plan = self.plan
        if plan is None:
            return
        for rows, state in ((plan.skipped, DatumState.SKIPPED), (plan.done, DatumState.SUCCESS)):
            if 0 < np.count_nonzero(rows) <= _MOST_SHOWN:
                yield with_state(rows_at(self.base, plan.source[rows]), state)
        waiting = np.flatnonzero(plan.run).astype(np.int64)
        for start in range(0, len(waiting), _BLOCK):
            part = waiting[start : start + _BLOCK]
            yield with_results(_around(plan.table, part), _from_first(part), _unbegun(len(part)))


def _unbegun(count: int) -> pa.Table:
    return result_columns([Result(DatumState.STARTING)] * count)


def _around(table: pa.Table, rows: Rows) -> pa.Table:
    """Return the part of a table that has some rows, which ascend: to take rows costs what is taken from, in pieces."""
    return table.slice(int(rows[0]), int(rows[-1] - rows[0]) + 1) if len(rows) else table.slice(0, 0)


def _from_first(rows: Rows) -> Rows:
    return rows - rows[0] if len(rows) else rows


def _near(table: pa.Table, rows: Rows) -> pa.Table:
    return rows_at(_around(table, rows), _from_first(rows))


def _is_at(there: npt.NDArray[np.bytes_], at: Rows, wanted: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
    """Return for each of ``wanted`` whether it is what is ``there`` at its place."""
    if not len(there):
        return np.zeros(len(wanted), dtype=np.bool_)
    return np.asarray(there[np.minimum(at, len(there) - 1)] == wanted)


def _cuts(at: Rows, count: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield parts of two sorted columns that belong together: ``count`` rows, and what comes before rows ``at``."""
    olds = np.arange(0, count, _BLOCK)
    pairs = set(zip(olds.tolist(), np.searchsorted(at, olds).tolist(), strict=True))
    news = np.arange(0, len(at), _BLOCK)
    pairs |= set(zip(at[news].tolist(), news.tolist(), strict=True))
    ordered = [(0, 0), *sorted(pairs - {(0, 0)}), (count, len(at))]
    for (a, c), (b, d) in pairwise(ordered):
        yield (a, b), (c, d)
