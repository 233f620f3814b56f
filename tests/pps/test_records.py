"""What is stored of pipelines, jobs and datums: golden bytes, round trips, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pfs.errors import CorruptionError
from pfs.ids import NO_PAGE, CommitId, TreeId
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pps.datums.datum import Datum, Item
from pps.datums.ended import EndedDatums
from pps.datums.plan import digest_values
from pps.datums.table import (
    Result,
    by_id,
    columns_of,
    decode_table,
    empty_table,
    encode_table,
    entries,
    find,
    ids_of,
    in_state,
    mine,
    result_columns,
    rows_at,
    with_results,
    with_state,
    without,
)
from pps.datums.table_builder import TableBuilder
from pps.executor import Bytes, Seconds
from pps.model import state
from pps.model.event_log import EventLog, decode_events
from pps.model.infos import NO_WORK, Times, Work
from pps.model.records import Head, JobRecord, PipelineRecord, decode_job, decode_pipeline, encode_json
from pps.model.state import Counters, DatumState, JobState
from pps.scheduling.live import LiveJobs
from pps.spec import PfsInput

DATA = Path(__file__).parent.parent / "data"
JOB, OTHER = CommitId("a" * 32), CommitId("b" * 32)
PIPELINE = PipelineRecord(
    version=3,
    created_ns=1,
    updated_ns=2,
    base_dir="/home/me",
    notes=("a note",),
    code={"run.sh": "00" * 32},
    transform="11" * 32,
    counts_as="22" * 32,
    salt="salt",
    baseline=(Head("images", "master", JOB), Head("images", "dev", None)),
)
RECORD = JobRecord(
    id=JOB,
    pipeline="edges",
    number=7,
    cause=OTHER,
    state=JobState.FAILURE,
    reason="datum failed",
    started_ns=5,
    finished_ns=6,
    counters=Counters(4, 1, 1, 1, 1),
    inputs=(("in", "images", "master", OTHER),),
    position=(Head("images", "master", OTHER),),
    spec_commit=CommitId("c" * 32),
    version=3,
    output_branch="master",
    has_output=True,
    meta_commit=CommitId("d" * 32),
    isolation="namespace",
    restart=2,
    events=((0, 'Begun {"tries":3}'),),
    pages=("ef" * 32,),
    work=Work(Times(0.5, 2.0, 0.25), 10, 20),
)


def test_records_are_those_of_the_golden_files() -> None:
    stopped = replace(PIPELINE, stopped=True)
    waiting = replace(PIPELINE, stopped=True, waits=True)
    assert encode_json(waiting) == (DATA / "pipeline_record_waits.json").read_bytes()
    assert decode_pipeline(encode_json(waiting), where="here") == waiting
    assert encode_json(RECORD) == (DATA / "job_record_work.json").read_bytes()
    assert decode_pipeline(encode_json(stopped), where="here") == stopped
    assert decode_job(encode_json(RECORD), where="here") == RECORD


def test_a_record_from_before_versions_could_wait_is_one_that_does_not() -> None:
    old = decode_pipeline((DATA / "pipeline_record_stopped.json").read_bytes(), where="here")
    assert old == replace(PIPELINE, stopped=True)


def test_a_record_from_before_pipelines_could_be_stopped_is_one_that_is_not() -> None:
    assert decode_pipeline((DATA / "pipeline_record.json").read_bytes(), where="here") == PIPELINE


def test_a_job_record_from_before_pages_were_kept_has_none() -> None:
    old = replace(RECORD, pages=(), work=NO_WORK)
    assert decode_job((DATA / "job_record.json").read_bytes(), where="here") == old


def test_a_job_record_from_before_work_was_kept_has_none() -> None:
    old = replace(RECORD, work=NO_WORK)
    assert decode_job((DATA / "job_record_pages.json").read_bytes(), where="here") == old


def test_what_is_shown_of_a_running_job_is_all_but_its_events(tmp_path: Path) -> None:
    live = LiveJobs(tmp_path)
    live.show(RECORD)
    assert list(live.records()) == [replace(RECORD, events=())]
    live.clear(RECORD.pipeline, RECORD.id)
    assert list(live.records()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"v":1,"id":3}'])
def test_damaged_records_are_named(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="here"):
        decode_job(data, where="here")
    with pytest.raises(CorruptionError, match="here"):
        decode_pipeline(data, where="here")
    with pytest.raises(CorruptionError, match="here"):
        decode_table(data, where="here")


def datum(key: str) -> Datum:
    row = Row(key.encode(), Kind.FILE, 1, TreeId(bytes(32)), 1, NO_PAGE, None, None)
    return (Item(PfsInput("in", "images"), OTHER, row),)


_result = st.builds(
    Result,
    state=st.sampled_from(DatumState),
    tries=st.integers(0, 5),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    seconds=st.builds(Seconds, st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)),
    bytes=st.builds(Bytes, st.integers(0, 1 << 50), st.integers(0, 1 << 50)),
    log_tail=st.text(max_size=5),
    reason=st.text(max_size=5),
    ran_in=st.sampled_from([None, JOB, OTHER]),
)
# Some ids end in zero bytes, which NumPy's strings drop.
_ids = st.binary(min_size=1, max_size=3).map(lambda raw: raw.ljust(32, b"\0"))
_rows = st.dictionaries(_ids, _result, max_size=6)


@settings(max_examples=60, deadline=None)
@given(_rows)
def test_a_table_holds_what_was_put_into_it(rows: dict[bytes, Result]) -> None:
    builder = TableBuilder([PfsInput("in", "images")])
    for number, identity in enumerate(rows):
        builder.add(identity, bytes([number]) * 32, [datum(f"key{number}")])
    planned, order = builder.build()
    given_order = list(rows)
    results = [rows[given_order[place]] for place in order]
    table = decode_table(encode_table(with_results(planned, range(len(rows)), result_columns(results))), where="here")
    found = list(entries(table))
    assert [entry.id for entry in found] == sorted(rows) == list(digest_values(ids_of(table)))
    assert {entry.id: entry.result for entry in found} == rows
    for number, identity in enumerate(rows):
        entry = find(table, identity)
        assert entry is not None
        assert (entry.hash, entry.inputs) == (bytes([number]) * 32, (("in", f"/key{number}", 0),))
    assert find(table, b"\xff" * 32) is None
    assert list(digest_values(columns_of(table).hashes)) == [entry.hash for entry in found]
    assert list(mine(table, JOB)) == [entry.result.ran_in == JOB for entry in found]
    failed = in_state(table, DatumState.FAILED)
    assert [entry.id for entry in entries(failed)] == [e.id for e in found if e.result.state == DatumState.FAILED]
    rest = without(table, ids_of(failed))
    assert by_id(with_state(failed, DatumState.FAILED), rest).equals(table)


@settings(max_examples=60, deadline=None)
@given(_rows.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows))))), st.integers(0, 8))
def test_ends_are_kept_in_whatever_order_they_come(case: tuple[dict[bytes, Result], list[int]], start: int) -> None:
    rows, ends = case
    results, ended = list(rows.values()), EndedDatums(len(rows))
    for row in ends[:-1]:
        ended.add(row, results[row])
    expected = sorted(ends[:-1])
    assert ended.rows().tolist() == expected
    assert ended.rows(start=start).tolist() == [row for row in expected if row >= start]
    wanted = {DatumState.SUCCESS, DatumState.FAILED}
    assert ended.rows(*wanted).tolist() == [row for row in expected if results[row].state in wanted]
    assert ended.columns(ended.rows()).equals(result_columns([results[row] for row in expected]))


def test_a_table_in_pieces_is_stored_whole() -> None:
    count = 40_000
    builder = TableBuilder([PfsInput("in", "images")])
    for number in range(count):
        builder.add(number.to_bytes(32, "big"), bytes(32), [datum(f"key{number}")])
    planned, _ = builder.build()
    result = Result(DatumState.SUCCESS, ran_in=JOB)
    whole = with_results(planned, range(count), result_columns([result] * count))
    odd = np.arange(1, count, 2)
    pieces = [rows_at(whole, odd), whole.slice(0, 1), rows_at(whole, np.arange(2, count, 2))]
    cut = by_id(whole.slice(0, 10_001), whole.slice(10_001, 1), whole.slice(10_002))
    for table in (whole, cut, by_id(*pieces)):
        assert decode_table(encode_table(table), where="here").equals(whole)
    assert len(in_state(whole, DatumState.SUCCESS)) == count
    assert len(in_state(whole, DatumState.FAILED)) == 0


def test_an_empty_table_is_a_table() -> None:
    table = decode_table(encode_table(empty_table()), where="here")
    assert len(table) == len(columns_of(table)) == len(by_id(table, table)) == 0
    assert list(mine(table, JOB)) == []


def test_the_event_log_is_bounded_and_keeps_both_ends() -> None:
    log = EventLog()
    for number in range(2000):
        log.add(number, state.Submitted(number, (number,)))
    kept = [event.unit for event in decode_events(log.lines()) if isinstance(event, state.Submitted)]
    assert kept == [*range(200), *range(1200, 2000)]


def test_the_event_log_is_bounded_in_bytes_too() -> None:
    log, datums = EventLog(), tuple(range(1_000_000, 1_004_096))
    for number in range(300):
        log.add(number, state.Submitted(number, datums))
        log.add(number, state.UnitLost(number, "gone"))
    lines = log.lines()
    assert sum(len(text) for _, text in lines) <= 256 << 10
    assert next(decode_events(lines)) == state.Submitted(0, datums)
    assert list(decode_events(lines))[-1] == state.UnitLost(299, "gone")
    log.add(300, state.Submitted(300, datums * 10))
    assert list(decode_events(log.lines()))[-1] == state.Submitted(300, datums * 10)


def test_all_events_come_back_from_the_log() -> None:
    ended = state.Ended(3, DatumState.FAILED, "bad")
    given_events: list[state.Event] = [
        state.Begun(3),
        state.Unrunnable("x"),
        state.Planned(3, 2, 1, 4),
        state.Submitted(1, (2, 3)),
        state.UnitEnded(1, (ended,)),
        state.UnitLost(2, "gone"),
        state.Stopped("late"),
        state.Gathered("bad"),
        state.Published(),
    ]
    log = EventLog()
    for event in given_events:
        log.add(0, event)
    assert list(decode_events(log.lines())) == given_events
