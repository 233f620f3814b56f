"""What commands do to their own directories, and what a full disk does to commands: one datum fails, with words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.backends.local import LocalBackend
from pfs.store import Store, init
from pfs.testing.faults import WRITES, FaultyBackend, How
from pps.executor import Lost
from pps.executors.local import LocalExecutor
from pps.workers.logs import LogWriter, parse
from pps.workers.outputs import Inputs, take_outputs
from pps.workers.scene import Scene, layer
from pps.workers.scratch import Scratch, remove_tree
from pps.workers.staging import Staging
from pps.workers.stop import CancelledError
from tests.pps.executor_contract import Bench

# As root, the rights to pass over the modes of files are given up first, which takes a new program to come into effect.
WITHOUT_RIGHTS = """
import ctypes, os, sys
if os.geteuid() == 0 and "again" not in sys.argv:
    for right in (1, 2):
        ctypes.CDLL(None).prctl(24, right, 0, 0, 0)
    os.execv(sys.executable, [*sys.orig_argv, "again"])
from pathlib import Path
from pfs.store import init
from pps.executors.local import LocalExecutor
from tests.pps.executor_contract import Bench

top = Path(sys.argv[1])
with init(top / "store") as store:
    repo = store.create_repo("in")
    with repo.commit("master") as commit:
        for number in range(10):
            commit.put_file(f"/f{number}", b"x")
    executor = LocalExecutor(store, slots=1, work_dir=top / "work", log_dir=top / "logs", isolation=sys.argv[2])
    bench = Bench(store, executor, repo["master"])
    for number, place in enumerate(('"$PFS_OUT"', '"$PFS/in"', '"$TMPDIR"', '"$HOME"', '"$PFS"')):
        script = ('echo x > "$PFS_OUT/f"; mkdir -p "$TMPDIR/a/b"; chmod 0 "$TMPDIR/a"', f"chmod 0 {place} || :")
        unit = bench.unit(*(bench.task(one) for one in range(3)), script=script, number=number)
        done = bench.run(unit).values()
        print(place, *(f"{one.state}:{len(one.outputs)}" for one in done), *(one.error for one in done if one.error))
    executor.close()
    print(os.listdir(top / "work"))
"""


@pytest.fixture(params=["namespace", "none"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            for number in range(10):
                commit.put_file(f"/f{number}", f"file {number}\n".encode())
        with_isolation = {"isolation": request.param}
        executor = LocalExecutor(store, slots=1, work_dir=tmp_path / "work", log_dir=tmp_path / "log", **with_isolation)
        yield Bench(store, executor, repo["master"])
        executor.close()


def in_the_middle(bench: Bench, script: str) -> str:
    """Run a unit of three datums, of which the second does ``script``; return why that failed."""
    text = ('echo said; case "$in" in */f1) ;; *) cp "$in" "$PFS_OUT"; exit 0;; esac', script)
    done = bench.run(bench.unit(*(bench.task(number) for number in range(3)), script=text))
    assert [done[f"datum-{number}"].state for number in (0, 2)] == ["success", "success"]
    assert [len(done[f"datum-{number}"].outputs) for number in (0, 2)] == [1, 1]
    bad = done["datum-1"]
    assert (bad.state, bad.exit_code, bad.outputs, bad.log_tail) == ("failed", 0, (), "said\n")
    assert bad.log is not None
    assert bad.error is not None
    assert bad.error.startswith("its output cannot be taken: ")
    return bad.error


def test_a_path_that_is_too_long_fails_the_datum_by_name(bench: Bench) -> None:
    deep = 'cd "$PFS_OUT"; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do'
    name = "n" * 240
    error = in_the_middle(bench, f"{deep} mkdir {name}; cd -P {name}; done; echo x > f")
    assert f" /{name[:190]}" in error
    assert "File name too long" in error


def test_many_directories_inside_one_another(bench: Bench) -> None:
    depth = 1500
    path = "/".join("d" * depth)
    unit = bench.unit(bench.task(0), bench.task(1), script=(f'cd "$PFS_OUT"; mkdir -p {path}; echo x > {path}/f',))
    done = bench.run(unit)
    for number in range(2):
        assert [output.key.count(b"/") for output in done[f"datum-{number}"].outputs] == [depth]


@pytest.mark.parametrize(
    "script",
    [
        'rmdir "$PFS_OUT"',
        'rmdir "$PFS_OUT"; echo x > "$PFS_OUT"',
        'rmdir "$PFS_OUT"; ln -s /proc "$PFS_OUT"',
        'rmdir "$PFS_OUT"; ln -s /usr "$PFS_OUT"',
        'rmdir "$PFS_OUT"; ln -s "$TMPDIR" "$PFS_OUT"',
        'rmdir "$PFS_OUT"; mkfifo "$PFS_OUT"',
    ],
)
def test_output_folder_that_is_none_any_more(bench: Bench, script: str) -> None:
    assert "/out is no directory any more" in in_the_middle(bench, script)


def test_a_link_to_proc_in_the_middle(bench: Bench) -> None:
    error = in_the_middle(bench, 'ln -s /proc/self/fd "$PFS_OUT/fd"')
    assert "outside what the command could see" in error


@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_closed_directories_without_rights_over_files(tmp_path: Path, isolation: str) -> None:
    argv = [sys.executable, "-c", WITHOUT_RIGHTS, str(tmp_path), isolation]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:5]] == ["success:1 success:1 success:1"] * 5
    assert lines[5] == "[]"


def test_scratch_that_cannot_be_cleared_is_left_behind(tmp_path: Path) -> None:
    scratch = Scratch.make(tmp_path / "slot")
    kept = scratch.out / "kept"
    empty = tmp_path / "empty"
    kept.mkdir()
    empty.mkdir()
    if subprocess.run(["mount", "--bind", str(empty), str(kept)], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        other = Scratch.make(tmp_path / "slot")
        assert other.top != scratch.top
        assert list(other.out.iterdir()) == []
    finally:
        subprocess.run(["umount", str(kept)], check=True)


def test_very_many_empty_folders_beside_others_are_cleared(tmp_path: Path) -> None:
    scratch = Scratch.make(tmp_path / "slot")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number in range(3000):
        os.mkdir(scratch.out / f"d{number}")
    (scratch.out / "link").symlink_to(elsewhere)
    (scratch.out / "closed").mkdir(mode=0)
    (scratch.out / "full" / "below").mkdir(parents=True)
    (scratch.out / "full" / "file").write_text("x")
    made = sorted(scratch.top.rglob("*/"))
    scratch.clear()
    scratch.fill()
    assert list(scratch.out.iterdir()) == []
    assert len(made) > 3000
    assert elsewhere.is_dir()


def test_remove_tree_however_deep(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("some-name", dir_fd=here)
        below = os.open("some-name", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (top / "link").symlink_to("/usr")
    remove_tree(top)
    assert not top.exists()
    assert Path("/usr").is_dir()


class FullDisk(FaultyBackend):
    """Takes nothing more while it is ``full``."""

    full = False

    def _next(self, method: str, name: str) -> How | None:
        return How.FULL if self.full and method in WRITES else None


def test_a_full_disk_says_so_and_is_no_fault_of_a_datum(tmp_path: Path) -> None:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            for number in range(10):
                commit.put_file(f"/f{number}", b"x")
    backend = FullDisk(LocalBackend(tmp_path / "store/.pfs/objects"))
    with Store(tmp_path / "store/.pfs", backend=backend) as store:
        executor = LocalExecutor(store, slots=1, work_dir=tmp_path / "work", log_dir=tmp_path / "log")
        bench = Bench(store, executor, store.repo("in")["master"])
        backend.full = True
        text = 'echo said; case "$in" in */f1) head -c 9000000 /dev/urandom > "$PFS_OUT/x";; esac'
        executor.submit(bench.unit(*(bench.task(number) for number in range(3)), script=(text,)))
        (end,) = bench.until_end(bench.unit().id).values()
        assert isinstance(end, Lost)
        assert end.full
        assert "no space left on the device" in end.reason
        # Alone, what does not fit is lost again, and the others are none the worse.
        for number in range(3):
            unit = bench.unit(bench.task(number, tries=2), script=(text,), number=number + 1)
            if number == 1:
                executor.submit(unit)
                end = bench.until_end(unit.id)[unit.id]
                assert isinstance(end, Lost)
                assert end.full
            else:
                done = bench.run(unit)[f"datum-{number}"]
                assert (done.state, done.log is not None) == ("success", True)
        executor.close()


_STAGE_ON_A_FULL_DISK = """
import sys
from dataclasses import replace
from pathlib import Path
from pfs.store import init
from pps.executor import Lost
from pps.executors.local import LocalExecutor
from tests.pps.executor_contract import Bench

top, small = Path(sys.argv[1]), Path(sys.argv[1]) / "small"
with init(top / "store") as store:
    repo = store.create_repo("in")
    with repo.commit("master") as commit:
        commit.put_file("/f0", b"x")
        commit.put_file("/f1", b"y" * 9_000_000)
    executor = LocalExecutor(store, slots=1, work_dir=small, log_dir=top / "logs", isolation="none")
    bench = Bench(store, executor, repo["master"])
    for batching in False, True:
        for place, number in enumerate((1,) if batching else (0, 1, 0)):
            script = 'while next-datum; do cat "$in"; done' if batching else 'cat "$in"'
            unit = bench.unit(bench.task(number, tries=2), script=(script,), number=place + 10 * batching)
            unit = replace(unit, transform=replace(unit.transform, datum_batching=batching))
            executor.submit(unit)
            end = bench.until_end(unit.id)[unit.id]
            if isinstance(end, Lost):
                print(end.full, end.reason)
            for done in bench.done(unit.id).values() if not isinstance(end, Lost) else ():
                print(done.state, done.error)
    executor.close()
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0,
    reason="needs a mount namespace for a small file system",
)
def test_no_room_for_the_inputs_is_no_fault_of_a_datum(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    script = 'mount -t tmpfs -o size=4m none "$1/small" && exec "$2" -c "$3" "$1"'
    argv = ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, _STAGE_ON_A_FULL_DISK]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    lost = r"True cannot .*no space left on the device.*"
    assert re.fullmatch(rf"success None\n{lost}\nsuccess None\n{lost}\n", done.stdout), done.stdout


def test_a_log_that_cannot_be_written_is_kept_as_far_as_it_goes(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "x.log", head=100)
    (tmp_path / "x.log.1").mkdir()
    log.write("out", b"first\n")
    log.write("out", b"lines\n" * 100)
    log.note("the end")
    assert isinstance(log.error, IsADirectoryError)
    whole = log.finish()
    assert whole == tmp_path / "x.log"
    assert [line.text for line in parse(whole.read_bytes())][:2] == ["first", "lines"]
    assert log.tail.endswith("lines\n")


def test_taking_a_file_that_claims_to_be_huge_ends_when_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "pfs" / "out").mkdir(parents=True)
    with (tmp_path / "pfs" / "out" / "big").open("wb") as file:
        file.truncate(8 << 40)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 10:
            raise CancelledError("cancelled")

    with init(tmp_path / "store") as store:
        session = store.session()
        inputs = Inputs("/pfs", (), Staging(store, tmp_path / "views"))
        scene = Scene([layer("/pfs", tmp_path / "pfs")])
        with pytest.raises(CancelledError):
            take_outputs(store, session, scene, inputs=inputs, check=check)
        session.abandon()


def test_a_link_to_tmp_takes_what_the_command_put_there(bench: Bench) -> None:
    script = 'mkdir "$TMPDIR/mine"; echo x > "$TMPDIR/mine/x"; ln -s "$TMPDIR" "$PFS_OUT/tmp"'
    done = bench.run(bench.unit(bench.task(0), script=(script,)))["datum-0"]
    assert done.state == "success", done.error
    assert [output.key for output in done.outputs] == [b"tmp/mine/x"]
