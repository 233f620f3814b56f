"""What commands are given and what becomes of their datums (docs/compatibility.md, 2.2, 2.4 to 2.6), by the engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pps.model.event_log import decode_events
from pps.model.records import decode_job, job_key
from pps.model.state import Counters, Submitted
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in

TELL = """
import json, os, sys
out = os.environ["PFS_OUT"]
told = {"argv": sys.argv[1:], "stdin": sys.stdin.read(), "env": dict(os.environ), "out": os.listdir(out)}
with open(out + "/told", "w") as file:
    json.dump(told, file)
"""
COPY = 'cp "$images" "$PFS_OUT/"'


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        yield made


@pytest.mark.row("2.2 transform.cmd", "2.2 transform.stdin", "2.2 transform.env", "2.6 /pfs/out")
@pytest.mark.row("2.6 `<input>` of a group", "2.6 dashes in names", "2.6 PACH_DATUM_x_GROUP_BY")
@pytest.mark.row(
    "2.6 PPS_PIPELINE_NAME", "2.6 PPS_PROJECT_NAME", "2.6 PPS_SPEC_COMMIT", "2.6 PACH_IN_WORKER", "2.6 state SUCCESS"
)
def test_what_a_command_is_given(pipes: World) -> None:
    pipes.put("c-parameters", {"/k1-a": b"", "/k1-b": b""})
    pipes.code("tell.py", TELL)
    given: Plain = {"group": [pfs_input("c-parameters", "/k(?)-*", group_by="$1")]}
    transform: dict[str, Plain] = {"stdin": ["one", "two $HOME"], "env": {"MINE": "a b"}}
    info = pipes.create("p", given, [sys.executable, "tell.py", "$HOME", "a  b"], transform)
    assert pipes.run_one().state == "success"
    told = json.loads(pipes.output("p")["/told"])
    assert (told["argv"], told["stdin"], told["out"]) == (["$HOME", "a  b"], "one\ntwo $HOME\n", [])
    env = told["env"]
    assert env["c-parameters"] == f"{env['PFS']}/c-parameters/k1-b"
    assert env["PACH_DATUM_c-parameters_GROUP_BY"] == "1"
    assert (env["MINE"], env["PPS_PIPELINE_NAME"], env["PPS_PROJECT_NAME"]) == ("a b", "p", "default")
    assert (env["PPS_SPEC_COMMIT"], env["PACH_IN_WORKER"]) == (info.spec_commit, "true")


@pytest.mark.row("2.6 retries", "2.6 stdin errors")
def test_each_attempt_begins_in_a_clean_place(pipes: World) -> None:
    pipes.put("images", {"/a": b"1"})
    script = 'ls -A "$PFS_OUT" "$TMPDIR" | grep left && exit 9; touch "$PFS_OUT/left" "$TMPDIR/left"; exit 3'
    pipes.create("p", pfs_input("images"), ["sh", "-c", script])
    pipes.create("deaf", pfs_input("images"), ["true"], {"stdin": ["x" * 1000] * 1000})
    jobs = {job.pipeline: job for job in pipes.run().jobs}
    (datum,) = pipes.jobs.datums("p", jobs["p"].id)
    assert (datum.tries, datum.exit_code) == (3, 3)
    assert jobs["deaf"].state == "success"


def units(world: World, pipeline: str, job: str) -> list[int]:
    """Return how many datums each unit of a job had, in the order in which they were given out."""
    record = decode_job(world.store.repo(pipeline)[".meta"].read("/" + job_key(job).decode()), where="test")  # type: ignore[arg-type]
    return [len(event.datums) for event in decode_events(record.events) if isinstance(event, Submitted)]


@pytest.mark.row("2.2 datum_set_spec", "2.2 datum_set_spec.number", "2.2 datum_set_spec.size_bytes", "2.2 chunk_spec")
def test_how_many_datums_go_into_a_unit(pipes: World) -> None:
    pipes.put("images", {f"/{number}": b"x" * 10 for number in range(7)})
    specs: dict[str, dict[str, Plain]] = {
        "number": {"datum_set_spec": {"number": 3}},
        "bytes": {"datum_set_spec": {"size_bytes": 25}},
        "old": {"chunk_spec": {"number": "5"}},
    }
    for name, fields in specs.items():
        pipes.create(name, pfs_input("images"), ["true"], **fields)
    found = {job.pipeline: units(pipes, job.pipeline, job.id) for job in pipes.run().jobs}
    assert found == {"number": [3, 3, 1], "bytes": [3, 3, 1], "old": [5, 2]}


@pytest.mark.row("2.2 salt")
def test_the_salt_counts_and_stays(pipes: World) -> None:
    pipes.put("images", {"/a": b"1"})
    pipes.create("p", pfs_input("images"), ["true"], salt="one")
    ran = [pipes.run_one().counters.processed]
    spec = pipes.spec("p", pfs_input("images"), ["true"], salt="two")
    pipes.pipelines.update(spec, base_dir=pipes.folder)
    ran.append(pipes.run_one().counters.processed)
    pipes.pipelines.update(spec, base_dir=pipes.folder, reprocess=True)
    ran.append(pipes.run_one().counters.processed)
    described = pipes.spec("p", pfs_input("images"), ["true"], salt="two", description="same work")
    pipes.pipelines.update(described, base_dir=pipes.folder)
    ran.append(pipes.run_one().counters.processed)
    assert ran == [1, 1, 1, 0]


@pytest.mark.row("2.4 skipped results", "2.4 renamed inputs", "2.4 every_job", "2.5 times and bytes")
def test_what_goes_with_its_input_and_what_stays(pipes: World) -> None:
    pipes.put("images", {"/a": b"12", "/b": b"345", "/old": b"6"})
    pipes.create("p", pfs_input("images"), ["sh", "-c", COPY])
    pipes.create("every", pfs_input("images"), ["sh", "-c", COPY], reprocess_spec="every_job")
    first = {job.pipeline: job for job in pipes.run().jobs}["p"]
    work = first.work
    assert (work.input_bytes, work.output_bytes) == (6, 6)
    assert min(work.seconds) > 0
    pipes.put("images", {"/old": None, "/new": b"6", "/b": b"7890"})
    jobs = {job.pipeline: job for job in pipes.run().jobs}
    assert jobs["p"].counters == Counters(total=3, processed=2, skipped=1)
    assert jobs["every"].counters == Counters(total=3, processed=3)
    assert pipes.output("p") == pipes.output("every") == {"/a": b"12", "/b": b"7890", "/new": b"6"}
    work = jobs["p"].work
    assert (work.input_bytes, work.output_bytes) == (5, 5), "nothing of what was skipped"


@pytest.mark.row("2.3 pfs.reference", "2.3 pfs.empty_files")
def test_inputs_that_do_not_count_and_inputs_without_bytes(pipes: World) -> None:
    pipes.put("images", {"/a": b"123"})
    pipes.put("model", {"/m": b"1"})
    script = 'test ! -s "$images" && cat "$model" > "$PFS_OUT/m" && ln -s "$images" "$PFS_OUT/a"'
    given: Plain = {"cross": [pfs_input("images", empty_files=True), pfs_input("model", reference=True)]}
    pipes.create("p", given, ["sh", "-c", script])
    pipes.run_one()
    assert pipes.output("p") == {"/a": b"123", "/m": b"1"}
    pipes.put("model", {"/m": b"2"})
    assert pipes.run_one().counters == Counters(total=1, skipped=1)
    assert pipes.output("p")["/m"] == b"1"
