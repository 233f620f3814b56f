"""The tables of a job, as they are put together some rows at a time, against plain dictionaries."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.ids import CommitId
from pps.datums.ended import EndedDatums
from pps.datums.plan import compare
from pps.datums.table import (
    Result,
    columns_of,
    empty_table,
    entries,
    result_columns,
    with_results,
)
from pps.datums.table_builder import TableBuilder
from pps.model.state import DatumState
from pps.scheduling import jobtable
from pps.scheduling.jobplan import JobPlan
from pps.scheduling.jobtable import JobTable
from pps.spec.types import PfsInput

OLD, NEW = CommitId("a" * 32), CommitId("b" * 32)
_ends = st.sampled_from([None, DatumState.SUCCESS, DatumState.FAILED, DatumState.RECOVERED])
_case = st.tuples(
    st.dictionaries(st.integers(0, 40), st.integers(0, 1)),
    st.dictionaries(st.integers(0, 40), st.tuples(st.integers(0, 1), _ends)),
    st.integers(1, 7),
)


def identity(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def planned(datums: dict[int, int]) -> pa.Table:
    builder = TableBuilder([PfsInput("in", "images")])
    for number, content in datums.items():
        builder.add(identity(number), bytes([content]) * 32, [()])
    return builder.build()[0]


def before(datums: dict[int, int]) -> pa.Table:
    results = result_columns([Result(DatumState.SUCCESS, 1, ran_in=OLD)] * len(datums))
    return with_results(planned(datums), range(len(datums)), results)


def states(tables: list[pa.Table]) -> dict[bytes, tuple[DatumState, CommitId | None]]:
    found = [entry for table in tables for entry in entries(table)]
    assert [entry.id for entry in found] == sorted({entry.id for entry in found})
    return {entry.id: (entry.result.state, entry.result.ran_in) for entry in found}


@settings(max_examples=150, deadline=None)
@given(_case)
def test_the_tables_are_those_of_plain_dictionaries(
    case: tuple[dict[int, int], dict[int, tuple[int, DatumState | None]], int],
) -> None:
    base, datums, block = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobtable, "_BLOCK", block)
        check(base, datums)


def check(base: dict[int, int], datums: dict[int, tuple[int, DatumState | None]]) -> None:
    there, table = before(base) if base else empty_table(), planned({n: content for n, (content, _) in datums.items()})
    plan = compare(columns_of(table), columns_of(there))
    whole, none = np.arange(len(table)), np.zeros(len(table), dtype=np.bool_)
    ended = EndedDatums(len(table))
    job = JobTable(JobPlan(table, whole, whole, plan.run, ~plan.run, none, plan.source), there, ended)
    by_row = dict(enumerate(sorted(datums, key=identity)))
    for row, number in reversed(by_row.items()):
        state = datums[number][1]
        if plan.run[row] and state is not None:
            ended.add(row, Result(state, 1, ran_in=NEW))
    same = {n for n, (content, _) in datums.items() if base.get(n) == content}
    ran = {n: state for n, (_, state) in datums.items() if n not in same}
    fresh = {identity(n): (DatumState.SUCCESS, NEW) for n, state in ran.items() if state == DatumState.SUCCESS}
    old = {identity(n): (DatumState.SUCCESS, OLD) for n in base}
    kept = {identity(n): (DatumState.SUCCESS, OLD) for n in same}
    of_job = {identity(n): (state, NEW) if state else (DatumState.STARTING, None) for n, state in ran.items()}
    assert states(list(job.datums())) == of_job | dict.fromkeys(kept, (DatumState.SKIPPED, OLD))
    assert states(list(job.results())) == old | fresh
    assert states(list(job.taken_over())) == kept | fresh
    assert set(job.gone()) == old.keys() - kept.keys() - fresh.keys()


def test_a_job_without_a_plan_has_no_datums_and_leaves_what_there_is() -> None:
    there = before({1: 0, 2: 0, 3: 1})
    job = JobTable(None, there, EndedDatums(0))
    assert list(job.datums()) == list(job.planned()) == []
    assert states(list(job.results())) == states([there])
