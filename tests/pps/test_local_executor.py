"""The executor contract on the local executor with each isolation, and what commands see of their inputs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations, islice
from pathlib import Path

import pytest

from pfs.errors import InvalidInputError
from pfs.files.ingest import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.store import Store, init
from pps.executor import DatumInput, DatumTask, Executor, Lost, Started, UnitDone
from pps.executors.local import LocalExecutor
from pps.sandbox.isolation import IsolationUnavailableError, probe
from pps.spec import Transform
from pps.workers.log_follower import Follower
from pps.workers.logs import log_path, parse
from pps.workers.scratch import remove_tree
from pps.workers.staging import IDLE_VIEWS
from tests.pps.executor_contract import PATIENCE_S, Bench, ExecutorContract, Make, renamed
from tests.pps.pipe_world import pfs_input, world_in


def maker(tmp_path: Path, isolation: str) -> Make:
    def make(store: Store) -> Executor:
        try:
            return LocalExecutor(
                store, slots=2, work_dir=tmp_path / "work", log_dir=tmp_path / "logs", isolation=isolation
            )
        except IsolationUnavailableError as error:
            pytest.skip(str(error))

    return make


class TestWithNamespaces(ExecutorContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return maker(tmp_path, "namespace")


class TestWithoutIsolation(ExecutorContract):
    no_op_count = 300

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return maker(tmp_path, "none")


@pytest.fixture(params=["namespace", "none"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            for number in range(10):
                commit.put_file(f"/f{number}", f"file {number}\n".encode())
            commit.put_file("/dir/a", b"in a folder\n")
            commit.put_file("/dir/sub/b", b"deeper\n")
            for number in range(10):
                commit.put_file(f"/folders/{number}/x", f"in folder {number}\n".encode())
            commit.put_file("/big", bytes(range(256)) * 12_000)
        executor = maker(tmp_path, request.param)(store)
        yield Bench(store, executor, repo["master"])
        executor.close()


def executor_of(bench: Bench) -> LocalExecutor:
    assert isinstance(bench.executor, LocalExecutor)
    return bench.executor


def outputs(bench: Bench, task: DatumTask, *script: str, **fields: object) -> dict[str, bytes]:
    """Run one datum and return what it put out, read back from a commit."""
    unit = bench.unit(task, script=script, **fields)
    done = bench.run(unit)[task.id]
    assert done.state == "success", done
    view = bench.commit(unit.id, done.outputs)
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


def failure(bench: Bench, task: DatumTask, *script: str, **fields: object) -> str:
    done = bench.run(bench.unit(task, script=script, **fields))[task.id]
    assert done.state == "failed"
    assert done.outputs == ()
    assert done.error is not None
    return done.error


LIST = 'cd "$PFS" && find . -type f ! -name .env | sort > "$TMPDIR/list" && mv "$TMPDIR/list" "$PFS_OUT"'


def listing(bench: Bench, *inputs: DatumInput) -> list[str]:
    return outputs(bench, bench.task(0, *inputs), LIST)["/list"].decode().split()


@pytest.mark.row("2.6 input paths", "2.6 directory datum")
def test_only_the_datum_is_seen_under_its_full_path(bench: Bench) -> None:
    seen = listing(bench, bench.given("dir/sub"), bench.given("f3", name="other"))
    assert seen == ["./in/dir/sub/b", "./other/f3"]


@pytest.mark.row("2.6 whole repo")
def test_whole_commit(bench: Bench) -> None:
    seen = listing(bench, bench.given(""))
    folders = [f"./in/folders/{n}/x" for n in range(10)]
    assert seen == sorted([*(f"./in/f{n}" for n in range(10)), *folders, "./in/big", "./in/dir/a", "./in/dir/sub/b"])


def test_rows_inside_others_are_staged_once(bench: Bench) -> None:
    assert listing(bench, bench.given("dir/a", "dir", "f1")) == ["./in/dir/a", "./in/dir/sub/b", "./in/f1"]


def test_bytes_are_those_of_the_store(bench: Bench) -> None:
    assert (
        outputs(bench, bench.task(0, bench.given("big")), 'cp "$in" "$PFS_OUT/x"')["/x"] == bytes(range(256)) * 12_000
    )


@pytest.mark.row("2.6 empty_files")
def test_empty_files_have_names_only(bench: Bench) -> None:
    task = bench.task(0, bench.given("dir", "f1", empty_files=True))
    found = outputs(bench, task, 'cd "$PFS/in"; wc -c $(find . -type f | sort) | head -n -1 > "$PFS_OUT/list"')
    assert found["/list"].split() == [b"0", b"./dir/a", b"0", b"./dir/sub/b", b"0", b"./f1"]


@pytest.mark.row("2.6 inputs may be changed", "2.6 moving inputs")
def test_writing_to_an_input_changes_nothing(bench: Bench) -> None:
    if executor_of(bench).found.kind == "namespace" and not executor_of(bench).found.overlay:
        pytest.skip("inputs are read-only without an overlay")
    script = 'echo more >> "$in"; rm -r "$PFS/in/dir"; mv "$PFS/in/f1" "$PFS_OUT/moved"; cat "$in" > "$PFS_OUT/x"'
    inputs = bench.given("", name="in")
    task = bench.task(0, inputs, env={"in_": ""})
    changed = script.replace('"$in"', '"$PFS/in/f0"')
    assert outputs(bench, task, changed) == {"/x": b"file 0\nmore\n", "/moved": b"file 1\n"}
    again = bench.unit(task, script=('cat "$PFS/in/f0" "$PFS/in/f1" "$PFS/in/dir/a" > "$PFS_OUT/x"',), number=1)
    done = bench.run(again)[task.id]
    assert bench.commit(again.id, done.outputs).read("/x") == b"file 0\nfile 1\nin a folder\n"


@pytest.mark.row(
    "2.6 PACH_DATUM_ID", "2.6 PACH_JOB_ID", "2.6 PACH_OUTPUT_COMMIT_ID", "2.6 `<input>`", "2.6 `<input>_COMMIT`"
)
def test_environment(bench: Bench) -> None:
    task = bench.task(7, bench.given("f7"), bench.given("", name="all"), env={"PACH_DATUM_in_JOIN_ON": "k"})
    transform = Transform(cmd=("sh", "-e"), stdin=('env > "$PFS_OUT/env"',), env={"MINE": "1"})
    text = outputs(bench, task, transform=transform)["/env"].decode()
    env = dict(line.split("=", 1) for line in text.splitlines())
    pfs = env["PFS"]
    assert env["in"] == f"{pfs}/in/f7"
    assert env["all"] == f"{pfs}/all"
    assert env["in_COMMIT"] == env["all_COMMIT"] == bench.view.info.id
    assert env["PFS_OUT"] == f"{pfs}/out"
    assert (
        env["PACH_JOB_ID"] == env["PFS_JOB_ID"] == env["PACH_OUTPUT_COMMIT_ID"] == env["PFS_OUTPUT_COMMIT_ID"] == "job"
    )
    assert env["PACH_DATUM_ID"] == env["PFS_DATUM_ID"] == "datum-7"
    assert (env["MINE"], env["PACH_DATUM_in_JOIN_ON"], env["PPS_PIPELINE_NAME"]) == ("1", "k", "pipe")
    assert env["PATH"] == os.environ["PATH"]
    allowed = {"HOME", "TMPDIR", "PATH", "LANG", "LC_ALL", "TZ", "PWD", "SHLVL", "_", "OLDPWD", "MINE"}
    assert {name for name in env if not name.startswith(("PFS", "PACH_", "PPS_", "in", "all"))} <= allowed


@pytest.mark.row("2.6 /pfs/.env")
def test_variables_are_in_a_file_too(bench: Bench) -> None:
    transform = Transform(cmd=("sh", "-e"), stdin=('cp "$PFS/.env" "$PFS_OUT/env"',), env={"MINE": "a b"})
    text = outputs(bench, bench.task(7), transform=transform)["/env"].decode()
    env = dict(line.split("=", 1) for line in text.splitlines())
    assert (env["MINE"], env["PACH_DATUM_ID"]) == ("a b", "datum-7")
    assert env["in"] == f"{env['PFS']}/in/f7"


@pytest.mark.row("2.6 private /tmp")
def test_absolute_pfs_and_private_tmp(bench: Bench) -> None:
    if executor_of(bench).isolation != "namespace":
        pytest.skip("/pfs is there with namespaces only")
    Path("/tmp/pfs-test-leak").unlink(missing_ok=True)
    script = 'cp /pfs/in/f2 /pfs/out/x; touch /tmp/pfs-test-leak; ls -A "$HOME" > /pfs/out/home; pwd > /pfs/out/pwd'
    found = outputs(bench, bench.task(2), script)
    assert found == {"/x": b"file 2\n", "/home": b"", "/pwd": b"/tmp\n"}
    assert not Path("/tmp/pfs-test-leak").exists()


def test_code_folder_is_where_the_command_starts(bench: Bench, tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "lib").mkdir(parents=True)
    (code / "main.sh").write_text('. lib/part.sh; echo "$part" > "$PFS_OUT/x"; echo junk > lib/junk\n')
    (code / "lib/part.sh").write_text("part=whole\n")
    transform = Transform(cmd=("sh", "main.sh"))
    found = outputs(bench, bench.task(0), code_dir=code, transform=transform)
    assert found == {"/x": b"whole\n"}
    assert sorted(path.name for path in code.rglob("*")) == ["lib", "main.sh", "part.sh"]


@pytest.mark.row("2.2 transform.working_dir")
def test_working_dir(bench: Bench) -> None:
    transform = Transform(cmd=("sh", "-c", 'pwd > "$PFS_OUT/x"'), working_dir="/usr")
    assert outputs(bench, bench.task(0), transform=transform) == {"/x": b"/usr\n"}
    missing = Transform(cmd=("true",), working_dir="/no/such")
    done = bench.run(bench.unit(bench.task(0), transform=missing, number=1))["datum-0"]
    assert (done.state, done.exit_code) == ("failed", None)
    assert "the working directory cannot be entered: No such file or directory: /no/such" in str(done.error)


@pytest.mark.row("2.6 link to an input", "2.6 link to a directory")
def test_symlinks_to_inputs_are_references(bench: Bench) -> None:
    script = (
        'ln -s "$PFS/in/big" "$PFS_OUT/big"',
        'ln -s ../in/dir "$PFS_OUT/dir"',
        'ln -s big "$PFS_OUT/again"',
    )
    unit = bench.unit(bench.task(0, bench.given("")), script=script)
    done = bench.run(unit)["datum-0"]
    row = bench.view.tree.stat(b"big")
    assert row is not None
    refs = {output.key: output.ref for output in done.outputs}
    assert sorted(refs) == [b"again", b"big", b"dir/a", b"dir/sub/b"]
    assert refs[b"big"].tid == refs[b"again"].tid == row.tid
    session = executor_of(bench).take_session(unit.id)
    assert session.new_bytes == 0
    session.abandon()


def test_symlinks_to_empty_files_bring_the_content(bench: Bench) -> None:
    task = bench.task(0, bench.given("", empty_files=True))
    found = outputs(bench, task, 'ln -s "$PFS/in/f4" "$PFS_OUT/shuffled"', 'ln -s "$PFS/in/dir" "$PFS_OUT/d"')
    assert found == {"/shuffled": b"file 4\n", "/d/a": b"in a folder\n", "/d/sub/b": b"deeper\n"}


def test_symlinks_to_changed_inputs_bring_the_change(bench: Bench) -> None:
    if executor_of(bench).found.kind == "namespace" and not executor_of(bench).found.overlay:
        pytest.skip("inputs are read-only without an overlay")
    script = (
        'cd "$PFS/in"; echo changed > dir/a; rm dir/sub/b; rm f1; mkdir f1; echo new > f1/n; rm -r dir/sub',
        'ln -s "$PFS/in/dir" "$PFS_OUT/dir"; ln -s "$PFS/in/f1" "$PFS_OUT/f1"; ln -s "$PFS/in/f2" "$PFS_OUT/f2"',
    )
    found = outputs(bench, bench.task(0, bench.given("")), *script)
    assert found == {"/dir/a": b"changed\n", "/f1/n": b"new\n", "/f2": b"file 2\n"}


def test_other_symlinks_stand_for_what_they_lead_to(bench: Bench) -> None:
    script = 'echo t > "$TMPDIR/t"; ln -s "$TMPDIR/t" "$PFS_OUT/t"; ln -s /etc/hostname "$PFS_OUT/h"'
    found = outputs(bench, bench.task(0), script)
    assert found == {"/t": b"t\n", "/h": Path("/etc/hostname").read_bytes()}


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ('ln -s nowhere "$PFS_OUT/x"', "/x in the output is a symlink that leads to nothing"),
        ('ln -s b "$PFS_OUT/a"; ln -s a "$PFS_OUT/b"', "loop of symlinks"),
        ('mkdir "$PFS_OUT/d"; ln -s . "$PFS_OUT/d/d"', "leads in circles"),
        ("touch \"$PFS_OUT/$(printf 'a\\tb')\"", "control characters are not allowed"),
        ("touch \"$PFS_OUT/$(printf 'a\\377b')\"", "not valid UTF-8"),
    ],
)
def test_bad_outputs_fail_the_datum_with_words(bench: Bench, script: str, error: str) -> None:
    assert error in failure(bench, bench.task(0), script)


@pytest.mark.parametrize("target", ["/proc/self/environ", "/sys/kernel", "/dev/null", "$STORE/format", "$STORE"])
def test_links_do_not_reach_what_is_no_output(bench: Bench, target: str) -> None:
    target = target.replace("$STORE", str(bench.store.path))
    for number, way in enumerate(("", "../..") if bench.executor.isolation == "namespace" else ("",)):
        error = failure(bench, bench.task(0), f'ln -s {way}{target} "$PFS_OUT/x"', number=number)
        assert "outside what the command could see" in error or "leads to nothing" in error
        assert "/x" in error


def test_links_up_and_down_again(bench: Bench) -> None:
    if executor_of(bench).isolation != "namespace":
        pytest.skip("/pfs is there with namespaces only")
    unit = bench.unit(bench.task(0, bench.given("")), script=("ln -s ../../pfs/in/big /pfs/out/big",))
    done = bench.run(unit)["datum-0"]
    row = bench.view.tree.stat(b"big")
    assert row is not None
    assert [output.ref.tid for output in done.outputs] == [row.tid]


def test_folders_of_the_host_are_not_taken(bench: Bench) -> None:
    assert "/usr is no regular file" in failure(bench, bench.task(0), 'ln -s /usr "$PFS_OUT/x"')


@pytest.mark.row("2.6 no files")
def test_what_is_no_file_is_passed_over(bench: Bench) -> None:
    found = outputs(
        bench, bench.task(0), 'mkfifo "$PFS_OUT/pipe"; mkdir -p "$PFS_OUT/empty/dir"; echo x > "$PFS_OUT/f"'
    )
    assert found == {"/f": b"x\n"}


def test_unreadable_leftovers_do_not_disturb(bench: Bench) -> None:
    script = 'mkdir -p "$TMPDIR/a/b"; chmod 000 "$TMPDIR/a"; rmdir "$PFS_OUT"; ln -s / "$PFS_OUT"; exit 1'
    failure(bench, bench.task(0, tries=2), script)
    again = bench.unit(bench.task(1), script=('echo x > "$PFS_OUT/x"',), number=1)
    assert [output.key for output in bench.run(again)["datum-1"].outputs] == [b"x"]
    assert Path("/usr").is_dir()


def test_output_without_read_permission_is_taken(bench: Bench) -> None:
    script = 'mkdir "$PFS_OUT/d"; echo x > "$PFS_OUT/d/f"; chmod 000 "$PFS_OUT/d/f" "$PFS_OUT/d"'
    assert outputs(bench, bench.task(0), script) == {"/d/f": b"x\n"}


def test_executable_bit(bench: Bench) -> None:
    unit = bench.unit(
        bench.task(0), script=('echo x > "$PFS_OUT/a"; cp "$PFS_OUT/a" "$PFS_OUT/b"; chmod +x "$PFS_OUT/b"',)
    )
    assert [(output.key, output.executable) for output in bench.run(unit)["datum-0"].outputs] == [
        (b"a", False),
        (b"b", True),
    ]


def test_accept_return_code(bench: Bench) -> None:
    transform = Transform(cmd=("sh", "-c", "exit 4"), accept_return_code=(4,))
    done = bench.run(bench.unit(bench.task(0), transform=transform))["datum-0"]
    assert (done.state, done.exit_code, done.error) == ("success", 4, None)


@pytest.mark.row("2.2 transform.err_stdin", "2.6 err_cmd", "2.6 recovered attempts")
def test_err_cmd_recovers_in_the_same_place(bench: Bench) -> None:
    transform = Transform(
        cmd=("sh", "-c", 'echo left > "$PFS_OUT/left"; exit 1'),
        err_cmd=("sh",),
        err_stdin=('cat "$PFS_OUT/left"',),
    )
    done = bench.run(bench.unit(bench.task(0, tries=2), transform=transform))["datum-0"]
    assert (done.state, done.exit_code, done.tries, done.outputs) == ("recovered", 1, 2, ())
    assert done.log_tail == "left\nleft\n"


def test_err_cmd_that_fails_too(bench: Bench) -> None:
    transform = Transform(cmd=("false",), err_cmd=("false",))
    done = bench.run(bench.unit(bench.task(0), transform=transform))["datum-0"]
    assert (done.state, done.error) == ("failed", "the command ended with exit code 1")


@pytest.mark.row("2.2 datum_timeout", "2.6 err_cmd after a timeout", "2.6 timeout")
def test_datum_timeout(bench: Bench) -> None:
    transform = Transform(cmd=("sh", "-c", "sleep 1000 & sleep 1000"), err_cmd=("true",))
    done = bench.run(bench.unit(bench.task(0), transform=transform, timeout_s=0.2))["datum-0"]
    assert done.state == "failed"
    assert done.error == "the command ran longer than datum_timeout (0.2 s) and was killed"


def test_unknown_command(bench: Bench) -> None:
    done = bench.run(bench.unit(bench.task(0), transform=Transform(cmd=("no-such-command",))))["datum-0"]
    assert (done.state, done.exit_code) == ("failed", 127)
    assert done.log_tail == "pps: cannot run no-such-command: command not found\n"


def test_log_is_written_live_and_kept_in_the_session(bench: Bench, tmp_path: Path) -> None:
    unit = bench.unit(bench.task(0), script=("echo one; echo two >&2", "sleep 1000"))
    bench.executor.submit(unit)
    path = log_path(tmp_path / "logs", "pipe", "job", datum="datum-0")
    text = b""
    with Follower(path) as follower:
        while text.count(b"\n") < 2:
            text += follower.read()
    assert sorted((line.tag, line.text) for line in parse(text)) == [("E", "two"), ("O", "one")]
    bench.executor.cancel(unit.id, 0.0)
    bench.until_end(unit.id)
    other = bench.unit(bench.task(1), script=("echo three", "exit 3"), number=1)
    done = bench.run(other)["datum-1"]
    stored = log_path(tmp_path / "logs", "pipe", "job", datum="datum-1").read_bytes()
    assert done.log is not None
    assert done.log.tid == TreeId(chunk_id(stored))
    assert [line.text for line in parse(stored)] == [
        "three",
        "attempt 1 of 1: failed: the command ended with exit code 3",
    ]


def test_input_names_that_no_disk_holds_are_refused_by_name(bench: Bench) -> None:
    repo = bench.store.repo("in")
    with repo.commit("master") as commit:
        row = bench.view.tree.stat(b"f1")
        assert row is not None
        commit.put_ref(b"a\x01b", FileRef(row.kind, row.size, row.tid))
    odd = Bench(bench.store, bench.executor, repo["master"])
    for key in ("a\x01b", ""):
        error = failure(bench, odd.task(0, odd.given(key)), "true", number=len(key))
        assert error.startswith("its input cannot be staged: ")
        assert "a\\x01b" in error


def test_killed_spawner_does_no_harm(bench: Bench) -> None:
    bench.run(bench.unit(bench.task(0), script=("true",)))
    unit = bench.unit(bench.task(1, tries=2), script=("echo up", "sleep 0.5", 'echo x > "$PFS_OUT/x"'), number=1)
    bench.executor.submit(unit)
    assert next(iter(bench.executor.events(PATIENCE_S))) == Started(unit.id, "datum-1", 1)
    pid = executor_of(bench).spawner_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ends = bench.until_end(unit.id)
    assert isinstance(ends[unit.id], UnitDone)
    done = bench.done(unit.id)["datum-1"]
    assert (done.state, [output.key for output in done.outputs]) == ("success", [b"x"])
    assert bench.run(bench.unit(bench.task(2), script=("true",), number=2))["datum-2"].state == "success"


def test_an_argument_that_exec_does_not_take_fails_the_datum(bench: Bench) -> None:
    error = failure(bench, bench.task(0), transform=Transform(cmd=("true", "bad\0word")))
    assert error == "the command could not be started: ValueError: embedded null byte"
    assert bench.run(bench.unit(bench.task(1), script=("true",), number=1))["datum-1"].state == "success"


def test_views_are_shared_and_given_up(bench: Bench, tmp_path: Path) -> None:
    if executor_of(bench).isolation != "namespace":
        pytest.skip("each datum has its own copy without namespaces")
    shared = bench.given("")
    tasks = [bench.task(number, shared, bench.given(f"folders/{number}", name="one")) for number in range(10)]
    bench.run(bench.unit(*tasks, script=('cat "$one/x" "$PFS/in/dir/a" > "$PFS_OUT/x"',)))
    (views,) = (tmp_path / "work").glob("*/views")
    assert len(list(views.iterdir())) == 11
    some = (f"folders/{number}" for number in range(10))
    others = [bench.task(number, bench.given(*pair)) for number, pair in enumerate(islice(combinations(some, 2), 9))]
    bench.run(bench.unit(*others, script=("true",), number=1))
    assert len(list(views.iterdir())) == IDLE_VIEWS


@pytest.mark.parametrize("shared", [False, True], ids=["copied", "overlaid"])
def test_what_a_command_does_to_its_inputs_is_gone_with_the_next(bench: Bench, shared: bool) -> None:
    """A few small files are written for each datum, a folder is laid under it: to commands that is the same."""
    given = bench.given("folders/1" if shared else "f1"), bench.given("f2", name="other")
    place = "in/folders/1/x" if shared else "in/f1"
    spoil = f'cd "$PFS"; echo worse > {place}; rm -r other/*; touch in/new other/new; chmod 700 other; mkdir -p in/d/e'
    look = f'cd "$PFS"; cat {place} other/f2; ls in other'
    tasks = [bench.task(number, *given) for number in range(2)]
    for number, task in enumerate(tasks):
        unit = bench.unit(task, script=(f'({look}) > "$PFS_OUT/seen"', spoil), number=number)
        done = bench.run(unit)[task.id]
        assert done.state == "success", done
        seen = bench.commit(unit.id, done.outputs).read("/seen").decode().split()
        first = "in folder 1" if shared else "file 1"
        assert seen == [*first.split(), "file", "2", "in:", "folders" if shared else "f1", "other:", "f2"]


def test_folders_of_inputs_stay_for_the_datums_that_have_them_and_for_no_other(bench: Bench) -> None:
    """A folder that the next datum has too is not made anew; what a command did to it is gone all the same."""
    keys = ("folders/1/x", "folders/1/x", "f1", "dir/sub/b", "dir/a", "folders/2/x", "folders/1/x")
    spoil = 'for d in $(find "$PFS/in" -type d); do touch "$d/new"; mkdir "$d/other"; chmod 711 "$d"; done'
    script = ('cd "$PFS"; find in -printf "%p %m\n" | sort > "$PFS_OUT/seen"', spoil)
    unit = bench.unit(*(bench.task(at, bench.given(key)) for at, key in enumerate(keys)), script=script)
    done = bench.run(unit)
    view = bench.commit(unit.id, tuple(sorted(file for one in done.values() for file in renamed(one))))
    for at, key in enumerate(keys):
        wanted = [f"in/{key}"[: place.start()] for place in re.finditer(r"/|$", f"in/{key}")]
        seen = [line.split() for line in view.read(f"/seen{at}").decode().splitlines()]
        assert [path for path, _ in seen] == wanted
        assert "711" not in {mode for _, mode in seen}


@pytest.mark.parametrize("with_code", [False, True])
def test_copied_and_overlaid_inputs_take_turns_in_a_unit(bench: Bench, tmp_path: Path, with_code: bool) -> None:
    """What one datum's world has of its own is never that of the next, however much of it is used again."""
    code = tmp_path / "code"
    code.mkdir()
    if with_code:
        (code / "script").write_text("of the code")
    keys = ("f1", "dir/a", "f2", "big", "f3", "f3", "dir/sub")
    script = ('cat "$(find "$PFS/in" -type f)" script 2> /dev/null | cksum > "$PFS_OUT/seen" || true', "touch script x")
    unit = bench.unit(*(bench.task(at, bench.given(key)) for at, key in enumerate(keys)), script=script, code_dir=code)
    done = bench.run(unit)
    assert [one.state for one in done.values()] == ["success"] * len(keys)
    view = bench.commit(unit.id, tuple(sorted(file for one in done.values() for file in renamed(one))))
    for at, key in enumerate(keys):
        content = bench.view.read("/dir/sub/b" if key == "dir/sub" else f"/{key}") + b"of the code" * with_code
        wanted = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout
        assert view.read(f"/seen{at}") == wanted, key


def test_a_link_to_a_copied_input_is_its_content_as_the_command_left_it(bench: Bench) -> None:
    found = outputs(
        bench,
        bench.task(0, bench.given("f1"), bench.given("f2", name="other")),
        'echo changed >> "$PFS/in/f1"; ln -s "$PFS/in/f1" "$PFS_OUT/one"; ln -s "$PFS/other/f2" "$PFS_OUT/two"',
    )
    assert found == {"/one": b"file 1\nchanged\n", "/two": b"file 2\n"}


def test_close_leaves_no_scratch(bench: Bench, tmp_path: Path) -> None:
    bench.run(bench.unit(bench.task(0), script=("true",)))
    bench.executor.close()
    assert list((tmp_path / "work").iterdir()) == []


def test_leftovers_of_a_killed_executor_go(tmp_path: Path) -> None:
    (tmp_path / "w" / "old" / "views").mkdir(parents=True)
    with init(tmp_path / "store") as store:
        executor = LocalExecutor(store, slots=1, work_dir=tmp_path / "w", log_dir=tmp_path / "l", isolation="none")
        with closing(executor):
            assert not (tmp_path / "w" / "old").exists()


def test_damaged_input_fails_its_datum_and_is_tried_again_by_the_next(bench: Bench) -> None:
    big = bench.given("big")
    packs = list((bench.store.path / "objects" / "packs").rglob("*.pack"))
    for pack in packs:
        pack.rename(pack.with_suffix(".away"))
    error = failure(bench, bench.task(0, big, tries=2), "true")
    assert error.startswith("its input cannot be staged: ")
    for pack in packs:
        pack.with_suffix(".away").rename(pack)
    assert outputs(bench, bench.task(0, bench.given("big")), 'wc -c < "$in" > "$PFS_OUT/n"', number=1) == {
        "/n": b"3072000\n"
    }


def test_work_directory_that_cannot_be_written_loses_the_unit(bench: Bench, tmp_path: Path) -> None:
    bench.run(bench.unit(bench.task(0), script=("true",)))
    (top,) = (tmp_path / "work").iterdir()
    slots = top / "slots"
    remove_tree(slots)
    slots.write_bytes(b"")
    unit = bench.unit(bench.task(0), script=("true",), number=1)
    bench.executor.submit(unit)
    end = bench.until_end(unit.id)[unit.id]
    assert isinstance(end, Lost)
    assert end.reason.startswith(f"cannot work in {top}: ")
    slots.unlink()
    assert bench.run(bench.unit(bench.task(0), script=("true",), number=2))["datum-0"].state == "success"


def test_replaced_input_folder_is_not_mixed_with_the_old(bench: Bench) -> None:
    if executor_of(bench).found.kind == "namespace" and not executor_of(bench).found.overlay:
        pytest.skip("inputs are read-only without an overlay")
    script = 'rm -r "$PFS/in/dir"; mkdir "$PFS/in/dir"; echo n > "$PFS/in/dir/n"; ln -s "$PFS/in/dir" "$PFS_OUT/d"'
    assert outputs(bench, bench.task(0, bench.given("dir")), script) == {"/d/n": b"n\n"}


ENGINE = """#!{python} -S
import os, sys
words = sys.argv[1:]
if words[0] != "run":
    sys.exit(0 if words[0] in {{"version", "kill", "rm", "ps"}} or words[-1] == "there:1" else 1)
env, volumes, place, cwd, entry = {{"PATH": os.environ["PATH"]}}, {{}}, 1, "/", []
while words[place].startswith("--"):
    if words[place] in {{"--rm", "--interactive", "--init"}}:
        place += 1
        continue
    flag, value = words[place : place + 2]
    place += 2
    if flag == "--env":
        env.update([value.split("=", 1)])
    elif flag == "--volume":
        source, target, _mode = value.rsplit(":", 2)
        volumes[target] = source
    elif flag == "--workdir":
        cwd = value
    elif flag == "--entrypoint":
        entry = [value]
inside = lambda path: next((volumes[t] + path[len(t):] for t in volumes if (path + "/").startswith(t + "/")), path)
os.chdir(inside(cwd))
argv = entry + words[place + 1 :]
os.execvpe(argv[0], argv, {{name: inside(value) for name, value in env.items()}})
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for docker on the PATH: its containers are processes, its volumes paths in their variables."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(ENGINE.format(python=sys.executable))
    (tmp_path / "bin/docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("isolation", ["auto", "container"])
def test_image_that_is_there_runs_in_a_container(tmp_path: Path, isolation: str) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.sh").write_text('cat "$in" > "$PFS_OUT/x"; echo "$TMPDIR" > "$PFS_OUT/tmp"')
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            commit.put_file("/f0", b"file 0\n")
        bench = Bench(store, maker(tmp_path, isolation)(store), repo["master"])
        with closing(bench.executor):
            transform = Transform(cmd=("sh", "main.sh"), image="there:1")
            found = outputs(bench, bench.task(0), transform=transform, code_dir=code)
            assert found["/x"] == b"file 0\n"
            assert bench.executor.isolation_for(transform) == "container"
            if isolation == "auto":
                other = Transform(cmd=("true",), image="gone:1")
                assert bench.executor.isolation_for(other) == bench.executor.isolation != "container"
            assert found["/tmp"].startswith(str(tmp_path / "work").encode())
            stuck = Transform(cmd=("sleep", "1000"), image="there:1")
            assert "datum_timeout" in failure(bench, bench.task(0), transform=stuck, timeout_s=0.2, number=1)


@pytest.mark.usefixtures("engine")
def test_a_job_in_a_container_says_so(tmp_path: Path) -> None:
    with world_in(tmp_path / "home") as world:
        world.put("images", {"/a": b"a"})
        world.create("there", pfs_input("images"), cmd=["true"], transform={"image": "there:1"})
        assert world.run_one().isolation == "container"


@pytest.mark.usefixtures("engine")
def test_container_that_is_demanded_and_missing_loses_the_unit(tmp_path: Path) -> None:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            commit.put_file("/f0", b"file 0\n")
        bench = Bench(store, maker(tmp_path, "container")(store), repo["master"])
        with closing(bench.executor):
            for number, image in enumerate([None, "gone:1"]):
                unit = bench.unit(bench.task(0), transform=Transform(cmd=("true",), image=image), number=number)
                bench.executor.submit(unit)
                end = bench.until_end(unit.id)[unit.id]
                assert isinstance(end, Lost)
                assert ("names no image" if image is None else "gone:1 is not there") in end.reason


def test_unknown_isolation(tmp_path: Path) -> None:
    with init(tmp_path / "store") as store, pytest.raises(InvalidInputError, match="unknown isolation"):
        LocalExecutor(store, slots=1, work_dir=tmp_path / "w", log_dir=tmp_path / "l", isolation="vm")


def test_probe_agrees_with_the_executor(tmp_path: Path) -> None:
    found = probe(tmp_path / "probe")
    with (
        init(tmp_path / "store") as store,
        closing(LocalExecutor(store, slots=1, work_dir=tmp_path / "w", log_dir=tmp_path / "l")) as executor,
    ):
        assert executor.found == found
