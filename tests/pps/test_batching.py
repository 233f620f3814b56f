"""Batched datums: one process for many, by the real executor and engine; what fails fails alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec import structs

from pfs.backends.local import LocalBackend
from pfs.errors import InvalidInputError
from pfs.store import Store, init
from pps import batching
from pps.batching import NotBatchedError, next_datum, parse_variables
from pps.datums.units import MOST_BATCHED, Sizing
from pps.executor import DatumDone, DatumInput, DatumTask, Lost, Started
from pps.executors.local import LocalExecutor
from pps.model.state import JobState
from pps.sandbox.isolation import IsolationUnavailableError
from pps.spec import Transform
from pps.spec.node import Plain
from pps.spec.types import DatumSet
from pps.workers import batch
from pps.workers.desk import shared_inputs
from pps.workers.exchange import BadCallError, Call, Exchange, parse_call
from pps.workers.logs import parse
from tests.pps.executor_contract import PATIENCE_S, Bench
from tests.pps.pipe_world import World, pfs_input, world_in
from tests.pps.test_controller_kill import run_and_kill
from tests.pps.test_hostile_outputs import FullDisk

ROOT = str(Path(batching.__file__).parents[1])
LOOP = 'while next-datum; do . "$PFS/.env"; {}; done'


@pytest.fixture(params=["namespace", "none"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            for number in range(10):
                commit.put_file(f"/f{number}", f"file {number}\n".encode())
            commit.put_file("/dir/a", b"in a folder\n")
        try:
            executor = LocalExecutor(
                store, slots=1, work_dir=tmp_path / "work", log_dir=tmp_path / "logs", isolation=request.param
            )
        except IsolationUnavailableError as error:
            pytest.skip(str(error))
        with closing(executor):
            yield Bench(store, executor, repo["master"])


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that commands see as we do, for what has to be known beyond one process."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def shell(*lines: str, **fields: object) -> Transform:
    return Transform(cmd=("sh",), stdin=lines, datum_batching=True, **fields)  # type: ignore[arg-type]


def python(code: str) -> Transform:
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    return Transform(cmd=(sys.executable, "-c", code), env={"PYTHONPATH": path}, datum_batching=True)


def run(bench: Bench, transform: Transform, *tasks: DatumTask, **fields: object) -> dict[str, DatumDone]:
    return bench.run(bench.unit(*tasks, transform=transform, **fields))


def text_of(bench: Bench, done: DatumDone, name: str = "x") -> str:
    """Return what a datum put out; the unit's session goes with the first that is asked for."""
    (output,) = [one for one in done.outputs if one.key == name.encode()]
    repo = bench.store.create_repo("out", exist_ok=True)
    with repo.commit("master") as commit:
        if done.unit not in _taken:
            _taken.add(done.unit)
            commit.session.adopt(bench.executor.take_session(done.unit))
        commit.put_ref(output.key, output.ref)
    return repo["master"].read("/" + name).decode()


_taken: set[object] = set()


@pytest.fixture(autouse=True)
def nothing_taken() -> None:
    _taken.clear()


def lines_of(bench: Bench, done: DatumDone) -> list[str]:
    """Return the log of a datum, without times."""
    assert isinstance(bench.executor, LocalExecutor)
    path = bench.executor._log_dir / done.unit.pipeline / done.unit.job / f"{done.datum}.log"
    return [line.text for line in parse(path.read_bytes())]


def starts(bench: Bench) -> Counter[str]:
    return Counter(event.datum for event in bench.seen if isinstance(event, Started))


@pytest.mark.row("2.2 transform.datum_batching", "2.6 batched process")
def test_one_process_has_each_datum_in_its_turn(bench: Bench) -> None:
    work = 'cat "$in" > "$PFS_OUT/x"; echo $$ > "$PFS_OUT/pid"; ls "$PFS/in"; echo "$PACH_DATUM_ID"'
    done = run(bench, shell(LOOP.format(work)), *map(bench.task, range(4)))
    assert [one.state for one in done.values()] == ["success"] * 4
    assert [text_of(bench, one) for one in done.values()] == [f"file {n}\n" for n in range(4)]
    assert len({text_of(bench, one, "pid") for one in done.values()}) == 1
    assert [lines_of(bench, one) for one in done.values()] == [[f"f{n}", f"datum-{n}"] for n in range(4)]
    assert [one.bytes.download for one in done.values()] == [7] * 4


@pytest.mark.row("2.6 batched end", "4 next datum")
def test_pachyderms_loop_without_an_end_is_ended(bench: Bench) -> None:
    loop = 'while true; do pachctl next datum; cat "$PFS"/in/* > "$PFS_OUT/x"; done'
    done = run(bench, shell("pachctl connect grpc://localhost:1650", loop), *map(bench.task, range(3)))
    assert [text_of(bench, one) for one in done.values()] == [f"file {n}\n" for n in range(3)]


def test_who_does_not_hear_of_the_end_is_ended(bench: Bench) -> None:
    done = run(bench, shell("while true; do next-datum; done"), *map(bench.task, range(2)))
    assert {one.state for one in done.values()} == {"success"}


def test_python_has_the_variables_of_each_datum_and_an_exception_fails_one(bench: Bench) -> None:
    code = """
import os
from pps.batching import batch_all_datums
kept = []
@batch_all_datums
def work(greeting):
    kept.append(os.environ["PACH_DATUM_ID"])
    print(greeting, "only" if "ONLY" in os.environ else "-")
    if len(kept) == 2:
        raise ValueError("no good")
    with open(os.environ["in"]) as source, open(os.environ["PFS_OUT"] + "/x", "w") as target:
        target.write(source.read() + ",".join(kept))
work("hello")
"""
    tasks = [bench.task(0, env={"ONLY": "1"}), bench.task(1), bench.task(2)]
    done = run(bench, python(code), *tasks)
    assert [one.state for one in done.values()] == ["success", "failed", "success"]
    assert text_of(bench, done["datum-2"]) == "file 2\ndatum-0,datum-1,datum-2"
    printed = [[line for line in lines_of(bench, one) if line.startswith("hello")] for one in done.values()]
    assert printed == [["hello only"], ["hello -"], ["hello -"]]
    assert done["datum-1"].error == "the command reported: ValueError('no good')"
    assert "ValueError: no good" in lines_of(bench, done["datum-1"])


def test_the_context_manager_goes_from_datum_to_datum_and_ends_the_process(bench: Bench) -> None:
    code = """
import os
from pps.batching import batch_datum
while True:
    with batch_datum():
        if os.environ["PACH_DATUM_ID"] == "datum-0":
            raise KeyError("zero")
        open(os.environ["PFS_OUT"] + "/x", "w").write("done")
"""
    done = run(bench, python(code), *map(bench.task, range(2)))
    assert done["datum-0"].error == "the command reported: KeyError('zero')"
    assert text_of(bench, done["datum-1"]) == "done"


def test_an_error_is_reported_with_the_call_of_the_loop_and_not_within(bench: Bench) -> None:
    """As documented: a second call for one datum ends the next one, on which nobody has worked."""
    work = 'work() { . "$PFS/.env"; [ "$PACH_DATUM_ID" != datum-1 ] && echo x > "$PFS_OUT/x"; }'
    right = 'set --; while next-datum "$@"; do set --; work || set -- --error "work ended with $?"; done'
    done = run(bench, shell(work, right), *map(bench.task, range(4)))
    assert [(one.state, len(one.outputs)) for one in done.values()] == [("success", 1), ("failed", 0)] + [
        ("success", 1)
    ] * 2
    assert done["datum-1"].error == "the command reported: work ended with 1"
    assert right in (Path(ROOT) / "docs/pipeline-spec.md").read_text()
    wrong = "while next-datum; do work || next-datum --error bad; done"
    done = run(bench, shell(work, wrong), *map(bench.task, range(4)), number=1)
    assert [(one.state, len(one.outputs)) for one in done.values()][1:3] == [("failed", 0), ("success", 0)]


@pytest.mark.row("2.6 batched errors", "4 next datum")
def test_a_reported_error_is_tried_again_in_the_same_process(bench: Bench) -> None:
    script = (
        "seen=0; next-datum || exit 0",
        'while :; do . "$PFS/.env"; echo $$ > "$PFS_OUT/x"; echo $$',
        "  case $seen$PACH_DATUM_ID in",
        '    0datum-1) seen=1; next-datum --error "not yet" ;;',
        "    *datum-2) next-datum --error=never ;;",
        "    *) next-datum ;;",
        "  esac || exit 0",
        "done",
    )
    done = run(bench, shell(*script), *(bench.task(n, tries=3) for n in range(4)))
    assert [one.state for one in done.values()] == ["success", "success", "failed", "success"]
    assert [one.tries for one in done.values()] == [1, 2, 3, 1]
    assert starts(bench) == {"datum-0": 1, "datum-1": 2, "datum-2": 3, "datum-3": 1}
    assert done["datum-2"].outputs == ()
    assert done["datum-2"].error == "the command reported: never"
    assert "attempt 1 of 3: failed: the command reported: not yet" in lines_of(bench, done["datum-1"])
    assert text_of(bench, done["datum-0"]) == text_of(bench, done["datum-3"])


@pytest.mark.parametrize(
    ("death", "error", "signal"),
    [
        ("kill -9 $$", "the command was ended by signal 9", 9),
        ("exit 7", "the command ended with exit code 7 before it asked for the next datum", None),
        ("exit 0", "the command ended with exit code 0 before it asked for the next datum", None),
    ],
)
@pytest.mark.row("2.6 batched process that dies")
def test_a_process_that_dies_fails_its_datum_alone(bench: Bench, death: str, error: str, signal: int | None) -> None:
    work = f'[ "$PACH_DATUM_ID" != datum-1 ] || {death}; cp "$in" "$PFS_OUT/x"'
    done = run(bench, shell(LOOP.format(work), accept_return_code=(7,)), *(bench.task(n, tries=2) for n in range(4)))
    assert [one.state for one in done.values()] == ["success", "failed", "success", "success"]
    assert (done["datum-1"].error, done["datum-1"].tries, done["datum-1"].signal) == (error, 2, signal)
    assert [text_of(bench, done[f"datum-{n}"]) for n in (0, 2, 3)] == [f"file {n}\n" for n in (0, 2, 3)]


def test_a_process_that_dies_once_is_started_again_in_a_clean_place(bench: Bench, place: Path) -> None:
    work = f'ls -A "$TMPDIR/home" "$PFS"; if [ "$PACH_DATUM_ID" = datum-1 ] && mkdir {place}/once 2>/dev/null; then '
    work += 'touch "$HOME/left" "$PFS/left" "$PFS_OUT/half"; kill -9 $$; fi; cp "$in" "$PFS_OUT/x"'
    done = run(bench, shell(LOOP.format(work)), *(bench.task(n, tries=2) for n in range(3)))
    assert [(one.state, one.tries) for one in done.values()] == [("success", 1), ("success", 2), ("success", 1)]
    assert [output.key for output in done["datum-1"].outputs] == [b"x"]
    assert "left" not in lines_of(bench, done["datum-1"]) + lines_of(bench, done["datum-2"])


def test_a_process_that_never_asks_fails_every_datum(bench: Bench) -> None:
    done = run(bench, shell("echo loading"), *map(bench.task, range(2)))
    assert {one.state for one in done.values()} == {"failed"}
    assert "without having asked for a datum" in (done["datum-0"].error or "")
    assert lines_of(bench, done["datum-0"])[0] == "loading"


def test_a_datum_over_its_time_is_killed_and_tried_in_a_new_process(bench: Bench, place: Path) -> None:
    work = f'if mkdir {place}/once 2>/dev/null; then sleep 1000; fi; cp "$in" "$PFS_OUT/x"'
    # Starting takes longer than that: what counts is the time with a datum in hand.
    done = run(bench, shell("sleep 1.1", LOOP.format(work)), bench.task(0, tries=9), timeout_s=1.0)["datum-0"]
    assert done.state == "success"
    assert done.tries >= 2
    assert "datum_timeout (1 s)" in lines_of(bench, done)[0]


def test_err_cmd_takes_what_the_command_reports_and_what_it_dies_of(bench: Bench) -> None:
    work = '[ "$PACH_DATUM_ID" != datum-1 ] || { next-datum --error bad; . "$PFS/.env"; }; '
    work += '[ "$PACH_DATUM_ID" != datum-2 ] || exit 5; cp "$in" "$PFS_OUT/x"'
    recover = ('. "$PFS/.env"; echo "for $PACH_DATUM_ID: $(cat "$in")"',)
    transform = shell(LOOP.format(work), err_cmd=("sh",), err_stdin=recover)
    done = run(bench, transform, *map(bench.task, range(4)))
    assert [one.state for one in done.values()] == ["success", "recovered", "recovered", "success"]
    assert "for datum-1: file 1" in lines_of(bench, done["datum-1"])
    assert "for datum-2: file 2" in lines_of(bench, done["datum-2"])
    assert done["datum-2"].exit_code == 5


def test_err_cmd_that_asks_for_a_datum_is_told_and_hangs_nobody(bench: Bench) -> None:
    ask = 'PFS_BATCH="$PFS/.batch" "$PFS/.batch/bin/next-datum"'
    transform = shell("next-datum; next-datum --error bad", err_cmd=("sh", "-c", ask))
    done = run(bench, transform, *map(bench.task, range(2)))
    assert done["datum-0"].error == (
        "the command reported: bad; err_cmd asked for the next datum, which is for the command to do"
    )
    assert done["datum-1"].state == "failed"


def test_what_a_datum_leaves_in_pfs_is_gone_for_the_next(bench: Bench, place: Path) -> None:
    (place / "kept").write_text("x")
    (place / "env").write_text("x")
    mess = f'rm "$in"; echo x > "$PFS/in/more"; mkdir -p "$PFS/junk/deep"; rm -r "$PFS_OUT"; ln -s {place} "$PFS_OUT"; '
    mess += f'rm "$PFS/.env"; ln -s {place}/env "$PFS/.env"; chmod 0 "$PFS/in"'
    work = f'find "$PFS" -path "$PFS/.batch" -prune -o -print; [ "$PACH_DATUM_ID" != datum-1 ] || {{ {mess}; }}'
    done = run(bench, shell(LOOP.format(f"{{ {work}; }} | sed s,$PFS,, | sort")), *map(bench.task, range(3)))
    assert done["datum-1"].state == "failed"
    assert "out is no directory any more" in (done["datum-1"].error or "")
    assert [line for line in lines_of(bench, done["datum-2"]) if line] == ["/.env", "/in", "/in/f2", "/out"]
    assert [(place / name).read_text() for name in ("kept", "env")] == ["x", "x"]


def test_an_input_that_all_datums_have_is_as_it_was_for_each(bench: Bench) -> None:
    work = 'echo $$ $(ls "$PFS/all/dir"); [ "$PACH_DATUM_ID" != datum-1 ] || touch "$PFS/all/dir/mine" || true'
    tasks = [bench.task(n, bench.given(f"f{n}"), bench.given("dir", name="all")) for n in range(3)]
    done = run(bench, shell(LOOP.format(work)), *tasks)
    words = [lines_of(bench, one)[-1].split() for one in done.values()]
    assert [found for _, *found in words] == [["a"]] * 3
    assert {one.state for one in done.values()} == {"success"}


def test_lazy_inputs_are_filled_for_each_datum(bench: Bench) -> None:
    tasks = [bench.task(n, replace(bench.given(f"f{n}"), lazy=True)) for n in range(3)]
    done = run(bench, shell(LOOP.format('cat "$in" > "$PFS_OUT/x"; ln -s "$in" "$PFS_OUT/y"')), *tasks)
    assert [text_of(bench, one) for one in done.values()] == [f"file {n}\n" for n in range(3)]
    assert [text_of(bench, one, "y") for one in done.values()] == [f"file {n}\n" for n in range(3)]
    assert [one.bytes.download for one in done.values()] == [7] * 3


def test_what_a_process_says_after_the_last_datum_is_in_its_log(bench: Bench) -> None:
    done = run(bench, shell(LOOP.format("echo $PACH_DATUM_ID"), "echo bye; exit 3"), *map(bench.task, range(2)))
    assert [(one.state, lines_of(bench, one)) for one in done.values()] == [
        ("success", ["datum-0"]),
        ("success", ["datum-1", "bye"]),
    ]


def test_a_large_input_stays_while_it_is_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_LARGE_BYTES", 1)
    tasks = [bench.task(n, bench.given(f"f{n // 3}", name="slow"), bench.given(f"f{n}")) for n in range(6)]
    done = run(bench, shell(LOOP.format('cat "$slow" "$in" > "$PFS_OUT/x"; echo $$')), *tasks)
    assert [text_of(bench, one) for one in done.values()] == [f"file {n // 3}\nfile {n}\n" for n in range(6)]
    assert {one.tries for one in done.values()} == {1}


def test_a_cancelled_unit_ends_with_its_process(bench: Bench, place: Path) -> None:
    os.mkfifo(place / "up")
    work = f'if [ "$PACH_DATUM_ID" = datum-1 ]; then echo > {place}/up; sleep 1000; fi'
    unit = bench.unit(*map(bench.task, range(3)), transform=shell(LOOP.format(work)))
    bench.executor.submit(unit)
    (place / "up").read_text()
    bench.executor.cancel(unit.id, 0.1)
    ends = bench.until_end(unit.id)
    assert isinstance(ends[unit.id], Lost)
    assert list(bench.done(unit.id)) == ["datum-0"]


def test_a_caller_that_did_not_hear_its_answer_loses_no_datum(bench: Bench, place: Path) -> None:
    # A call of one who is gone before the answer comes: the datum that it was given must not count as worked on.
    gone = f'if mkdir {place}/$PACH_DATUM_ID 2>/dev/null; then printf "gone next \\0" > "$PFS_BATCH/call"; fi'
    work = f'cp "$in" "$PFS_OUT/x"; {gone}'
    done = run(bench, shell(LOOP.format(work)), *(bench.task(n, tries=3) for n in range(4)))
    assert [text_of(bench, one) for one in done.values()] == [f"file {n}\n" for n in range(4)]
    assert sum(one.tries for one in done.values()) > 4
    assert "asked for the next datum before the last answer was read" in "".join(lines_of(bench, done["datum-1"]))


def test_processes_that_ask_at_the_same_time_are_told_so(bench: Bench) -> None:
    both = "for n in 1 2 3 4 5 6 7 8; do while next-datum; do :; done & done; wait"
    done = run(bench, shell(both), *map(bench.task, range(6)))
    failed = [one for one in done.values() if one.state == "failed"]
    assert all("before the last answer was read" in (one.error or "") for one in failed)


def test_nonsense_in_the_pipe_fails_the_datum_and_ends_the_process(bench: Bench) -> None:
    work = '[ "$PACH_DATUM_ID" != datum-1 ] || { printf "nonsense\\0" > "$PFS_BATCH/call"; sleep 1000; }'
    done = run(bench, shell(LOOP.format(work)), *map(bench.task, range(3)))
    assert [one.state for one in done.values()] == ["success", "failed", "success"]
    assert done["datum-1"].error == "the command was killed: what it sent to the worker is no call of next-datum"


def test_an_input_that_no_disk_holds_fails_its_datum_alone(bench: Bench) -> None:
    odd = bench.given("f1")
    broken = DatumInput("in", "in", "master", odd.commit, "/a", (structs.replace(odd.rows[0], key=b"a\x01b"),))
    done = run(bench, shell(LOOP.format('cp "$in" "$PFS_OUT/x"')), bench.task(0), bench.task(1, broken), bench.task(2))
    assert [one.state for one in done.values()] == ["success", "failed", "success"]
    assert "cannot be staged" in (done["datum-1"].error or "")


def test_a_long_error_is_cut_and_odd_bytes_do_no_harm(bench: Bench) -> None:
    work = 'next-datum --error "$(printf "two\\nlines %05000d" 0)"'
    done = run(bench, shell(LOOP.format(work)), bench.task(0))["datum-0"]
    assert (done.error or "").startswith("the command reported: two\nlines 000")
    assert len(done.error or "") < 2100


def test_a_full_disk_gives_the_unit_up(tmp_path: Path) -> None:
    with init(tmp_path / "store") as store, store.create_repo("in").commit("master") as commit:
        for number in range(3):
            commit.put_file(f"/f{number}", b"x")
    backend = FullDisk(LocalBackend(tmp_path / "store/.pfs/objects"))
    with Store(tmp_path / "store/.pfs", backend=backend) as store:
        executor = LocalExecutor(store, slots=1, work_dir=tmp_path / "work", log_dir=tmp_path / "log")
        with closing(executor):
            bench = Bench(store, executor, store.repo("in")["master"])
            backend.full = True
            work = 'echo said; case "$in" in */f1) head -c 9000000 /dev/urandom > "$PFS_OUT/x";; esac'
            transform = shell(LOOP.format(work))
            unit = bench.unit(*map(bench.task, range(3)), transform=transform)
            executor.submit(unit)
            end = bench.until_end(unit.id)[unit.id]
            assert isinstance(end, Lost)
            assert end.full
            assert "no space left on the device" in end.reason


class TestJobs:
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        with world_in(tmp_path) as made:
            made.put("images", {f"/f{n}": b"%d" % n for n in range(6)})
            yield made

    def test_the_example_of_the_documentation_works_as_it_stands(self, world: World) -> None:
        text = (Path(__file__).parents[2] / "docs/pipeline-spec.md").read_text()
        (line,) = re.findall(r'^  stdin: \["(.*next-datum.*)"\]$', text, re.MULTILINE)
        world.put("images", {"/f0": b"zero", "/f1": b"one"})
        transform: dict[str, Plain] = {"datum_batching": True, "stdin": [line]}
        world.create("up", pfs_input("images"), ["sh"], transform=transform)
        assert world.run_one().state == JobState.SUCCESS
        assert {path: data for path, data in world.output("up").items() if data.isalpha()} == {
            "/f0": b"ZERO",
            "/f1": b"ONE",
        }
        transform["stdin"] = [line.replace("cat /pfs/images/*", "false; cat /pfs/images/*")]
        world.create("fails", pfs_input("images"), ["sh"], transform=transform, datum_tries=1)
        assert world.run_one().state == JobState.FAILURE

    def test_counters_logs_and_skipping_are_those_of_datums(self, world: World) -> None:
        code = 'while next-datum; do . "$PFS/.env"; echo "on $images"; cp "$images" "$PFS_OUT"; done\n'
        world.code("run.sh", code)
        world.create("copy", pfs_input("images"), transform={"datum_batching": True}, datum_set_spec={"number": 4})
        job = world.run_one()
        assert (job.state, job.data_processed, job.data_total) == (JobState.SUCCESS, 6, 6)
        assert world.output("copy") == {f"/f{n}": b"%d" % n for n in range(6)}
        for datum in world.jobs.datums("copy", job.id):
            (line,) = world.jobs.logs("copy", job=job.id, datum=datum.id)
            assert line.message.endswith(datum.inputs[0].path)
        world.put("images", {"/f0": b"new"})
        job = world.run_one()
        assert (job.data_processed, job.data_skipped) == (1, 5)
        assert world.output("copy")["/f0"] == b"new"

    def test_a_recovered_datum_has_no_output_and_a_failed_one_fails_the_job(self, world: World) -> None:
        world.code(
            "run.sh",
            'while next-datum; do . "$PFS/.env"; cp "$images" "$PFS_OUT"; grep -q 3 "$images" && exit 1; done\n',
        )
        batched = {"datum_batching": True, "err_cmd": ["true"]}
        world.create("copy", pfs_input("images"), transform=batched, datum_tries=1)
        job = world.run_one()
        assert (job.state, job.data_processed, job.data_recovered) == (JobState.SUCCESS, 5, 1)
        assert sorted(world.output("copy")) == ["/f0", "/f1", "/f2", "/f4", "/f5"]
        world.pipelines.update(
            world.spec("copy", pfs_input("images"), transform={"datum_batching": True}, datum_tries=1),
            base_dir=world.folder,
            reprocess=True,
        )
        job = world.run_one()
        assert (job.state, job.data_failed) == (JobState.FAILURE, 1)

    def test_a_controller_that_is_killed_in_the_middle_leaves_the_same_output(self, tmp_path: Path) -> None:
        loop = 'while next-datum; do . "$PFS/.env"; sleep 0.05; cp "$images" "$PFS_OUT"; done\n'
        files = {f"/f{n:02}": b"%d" % n for n in range(40)}
        roots = []
        for name, batched, code in (("plain", False, 'cp "$images" "$PFS_OUT"\n'), ("killed", True, loop)):
            with world_in(tmp_path / name) as world:
                world.code("run.sh", code)
                world.put("images", files)
                fields: dict[str, Plain] = {"datum_set_spec": {"number": 3}, "transform": {"datum_batching": batched}}
                world.create("copy", pfs_input("images"), **fields)  # type: ignore[arg-type]
            if batched:
                run_and_kill(tmp_path / name, after=9)  # a turn takes the ends of at most four units of three
            with world_in(tmp_path / name) as world:
                job = world.run_one()
                assert (job.state, job.data_processed, job.restart) == (JobState.SUCCESS, 40, int(batched))
                roots.append(world.store.repo("copy")["master"].info.root.tid)
        assert roots[0] == roots[1]

    def test_with_s3_it_is_refused(self, world: World) -> None:
        for given, fields in (({"s3": True}, {}), ({}, {"s3_out": True})):
            with pytest.raises(InvalidInputError, match="datum_batching cannot be used with"):
                world.spec("p", pfs_input("images", "/", **given), transform={"datum_batching": True}, **fields)


def test_outside_of_a_batched_command_there_is_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(batching.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(NotBatchedError, match="no worker to ask"):
        next_datum()
    words = [sys.executable, "-c", "from cli.pps_main import main; main()", "next", "datum"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no worker to ask" in done.stderr


def test_a_unit_of_batched_datums_is_large_but_leaves_some_for_each_slot() -> None:
    sizing = Sizing(DatumSet(), 2, batched=True)
    assert [sizing.count(remaining) for remaining in (1, 80, 1_000_000)] == [1, 10, MOST_BATCHED]
    assert not sizing.full(1 << 40)
    assert Sizing(DatumSet(number=5), 2, batched=True).count(1000) == 5
    assert Sizing(DatumSet(size_bytes=10), 2, batched=True).full(10)


def test_inputs_that_all_datums_share() -> None:
    one, two = (DatumInput(name, "r", "master", "c", "/", ()) for name in ("one", "two"))
    other = DatumInput("two", "r", "master", "c", "/other", ())
    tasks = [DatumTask(str(n), n, given) for n, given in enumerate([(one, two), (one, other), (other, one)])]
    assert shared_inputs(tasks) == (one,)
    assert shared_inputs(tasks[:1]) == (one, two)
    assert shared_inputs([*tasks, DatumTask("3", 3, (two,))]) == ()
    assert shared_inputs([]) == ()


@examples(st.binary(max_size=30).filter(lambda data: b"\0" not in data))
def test_a_call_is_read_or_refused(data: bytes) -> None:
    try:
        call = parse_call(data)
    except BadCallError:
        assert (
            b"\n" in data.split(b" ")[0]
            or data.count(b" ") < 2
            or data.split(b" ")[1] not in (b"next", b"last")
            or (data.startswith(b" "))
        )
    else:
        way = b"next" if call.may_end else b"last"
        assert data.startswith(call.who + b" " + way + b" ")


_values = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)


@examples(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), _values))
def test_variables_are_read_as_they_are_written(env: dict[str, str]) -> None:
    assert parse_variables("".join(f"{name}={value}\n" for name, value in env.items())) == env


def _answer_often(exchange: Exchange, call: Call) -> None:
    for _ in range(100_000):
        exchange.answer(call, b"go")


def test_calls_that_come_in_pieces_or_together_are_all_heard(tmp_path: Path) -> None:
    with Exchange(tmp_path / "x") as exchange, (tmp_path / "x" / "call").open("wb", buffering=0) as pipe:
        assert exchange.calls() == []
        pipe.write(b"1 next a b\0002 la")
        assert [(call.who, call.error) for call in exchange.calls()] == [(b"1", "a b")]
        pipe.write(b"st \0")
        (call,) = exchange.calls()
        assert (call.who, call.may_end, call.error) == (b"2", False, "")
        exchange.answer(call, b"go")
        assert not exchange.was_heard(call)
        (tmp_path / "x" / "heard").write_text("17\n2\n")
        assert exchange.was_heard(call)
        assert not exchange.was_heard(call)
        with pytest.raises(BadCallError, match="does not read"):
            _answer_often(exchange, call)
        pipe.write(b"x" * 60_000)
        exchange.calls()
        pipe.write(b"x" * 60_000)
        with pytest.raises(BadCallError):
            exchange.calls()
