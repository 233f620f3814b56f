"""Lazy inputs: named pipes that are filled when the command opens them, with the real executor and engine."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import pfs
from pfs.store import init
from pps.executor import DatumDone
from pps.executors.local import LocalExecutor
from pps.sandbox.isolation import IsolationUnavailableError
from pps.workers import pipes
from tests.pps.executor_contract import Bench
from tests.pps.pipe_world import World, pfs_input, world_in

BIG = random.Random(0).randbytes(6 << 20)
"""More than a pipe takes and than is fetched at once."""


@pytest.fixture(params=["namespace-armed", "none-armed", "none-scanned"])
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to learn of readers, whatever the number of files."""
    kind, _, way = str(request.param).partition("-")
    if way == "scanned":
        monkeypatch.setattr(pipes, "ARMED_PIPES", -1)
    return kind


@pytest.fixture
def bench(tmp_path: Path, isolation: str) -> Iterator[Bench]:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            for number in range(30):
                commit.put_file(f"/f{number:02}", f"file {number}\n".encode())
            commit.put_file("/big", BIG)
            commit.put_file("/dir/a", b"in a folder\n")
            commit.put_file("/dir/sub/b c", b"deeper\n")
            commit.put_file("/dir/empty", b"")
        try:
            executor = LocalExecutor(
                store, slots=2, work_dir=tmp_path / "work", log_dir=tmp_path / "logs", isolation=isolation
            )
        except IsolationUnavailableError as error:
            pytest.skip(str(error))
        yield Bench(store, executor, repo["master"])
        executor.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "pps-feeder"]


def run(bench: Bench, *script: str, keys: tuple[str, ...] = ("",), **fields: object) -> DatumDone:
    """Run a script over a lazy input."""
    task = bench.task(0, replace(bench.given(*keys), lazy=True))
    return bench.run(bench.unit(task, script=script, **fields))["datum-0"]


def outputs(bench: Bench, done: DatumDone) -> dict[str, bytes]:
    assert done.error is None, f"{done.error}: {done.log_tail}"
    view = bench.commit(done.unit, done.outputs)
    return {info.path: view.read(info.path) for info in view.list("/", recursive=True) if info.type == "file"}


@pytest.mark.row("2.3 pfs.lazy")
def test_files_are_pipes_that_give_their_bytes(bench: Bench) -> None:
    done = run(
        bench,
        'cd "$PFS/in"; [ -p f00 ] && [ -p dir/a ]',
        '(echo *; ls -l dir | grep -c ^p; find -L . -type p | wc -l) > "$PFS_OUT/names"',
        'for f in f*; do cat "$f"; done > "$PFS_OUT/all"; cat dir/a "dir/sub/b c" dir/empty > "$PFS_OUT/dir"',
        'cp big "$PFS_OUT/big"',
    )
    found = outputs(bench, done)
    names = "big dir " + " ".join(f"f{number:02}" for number in range(30))
    assert found["/names"].decode().split("\n")[:3] == [names, "2", "34"]
    assert found["/all"] == b"".join(b"file %d\n" % number for number in range(30))
    assert found["/dir"] == b"in a folder\ndeeper\n"
    assert found["/big"] == BIG
    assert done.bytes.download == len(found["/all"]) + len(found["/dir"]) + len(BIG)


@pytest.mark.row("2.3 pfs.lazy")
def test_what_is_not_opened_is_not_fetched(bench: Bench) -> None:
    done = run(bench, 'cat "$PFS/in/f07" > "$PFS_OUT/x"')
    assert (outputs(bench, done), done.bytes.download) == ({"/x": b"file 7\n"}, 7)
    idle = bench.run(bench.unit(bench.task(1, replace(bench.given(""), lazy=True)), script=("true",), number=1))
    assert idle["datum-1"].bytes.download == 0


def test_a_file_that_is_closed_early_is_no_failure(bench: Bench) -> None:
    done = run(bench, 'head -c 3 "$PFS/in/big" > "$PFS_OUT/x"; cat "$PFS/in/f01" >> "$PFS_OUT/x"')
    assert outputs(bench, done) == {"/x": BIG[:3] + b"file 1\n"}
    assert done.bytes.download < len(BIG)


def test_a_file_that_is_opened_again_is_given_again(bench: Bench) -> None:
    done = run(
        bench,
        'cd "$PFS/in"; for n in 1 2 3; do cat f01 f01; done > "$PFS_OUT/x"',
        'head -c 1 big > /dev/null; cmp big - < "$PFS/in/big" && echo same >> "$PFS_OUT/x"',
    )
    assert outputs(bench, done) == {"/x": b"file 1\n" * 6 + b"same\n"}


def test_many_are_read_at_once(bench: Bench) -> None:
    done = run(bench, 'cd "$PFS/in"; paste f* big > /dev/null; paste -d "" f0* > "$PFS_OUT/x"')
    assert outputs(bench, done) == {"/x": b"".join(b"file %d" % number for number in range(10)) + b"\n"}


def test_links_to_lazy_files_are_copies_by_reference(bench: Bench) -> None:
    done = run(
        bench,
        'ln -s "$PFS/in/big" "$PFS_OUT/b"; ln -s "$PFS/in/dir" "$PFS_OUT/d"',
        'cd "$PFS/in/dir/sub"; mkdir "$PFS_OUT/s"; ln -s "$PWD/b c" "$PFS_OUT/s/t"',
    )
    found = {"/b": BIG, "/d/a": b"in a folder\n", "/d/sub/b c": b"deeper\n", "/d/empty": b"", "/s/t": b"deeper\n"}
    assert (outputs(bench, done), done.bytes.download) == (found, 0)


def test_globs_show_what_matched(bench: Bench) -> None:
    done = run(bench, '(cd "$PFS/in"; find . -type p | sort; cat "dir/sub/b c") > "$PFS_OUT/x"', keys=("f03", "dir"))
    assert outputs(bench, done) == {"/x": b"./dir/a\n./dir/empty\n./dir/sub/b c\n./f03\ndeeper\n"}


def test_pipes_of_its_own_that_the_command_leaves_are_passed_over(bench: Bench) -> None:
    done = run(bench, 'mkfifo "$PFS_OUT/own"; ln -s "$PFS_OUT/own" "$PFS_OUT/link"; echo 1 > "$PFS_OUT/x"')
    assert outputs(bench, done) == {"/x": b"1\n"}


def test_the_feeder_ends_with_a_command_that_is_killed_while_it_reads(bench: Bench) -> None:
    done = run(bench, 'exec 3< "$PFS/in/big"; read -r -u 3 x <&3 || true; sleep 1000', timeout_s=0.5)
    assert (done.state, done.error) == ("failed", "the command ran longer than datum_timeout (0.5 s) and was killed")


def test_the_feeder_ends_with_a_command_that_leaves_pipes_open(bench: Bench) -> None:
    done = run(bench, 'exec 3< "$PFS/in/big"; (sleep 1000 < "$PFS/in/f01") & echo 1 > "$PFS_OUT/x"')
    assert outputs(bench, done) == {"/x": b"1\n"}


def test_a_file_that_cannot_be_read_fails_the_datum_whatever_the_command_does(bench: Bench, tmp_path: Path) -> None:
    world_folder = Path(bench.store.path).parent
    packs = [one for one in world_folder.rglob("*") if one.is_file() and BIG[:64] in one.read_bytes()]
    for pack in packs:
        pack.write_bytes(pack.read_bytes().replace(BIG[:64], bytes(64)))
    with pfs.open(world_folder) as store:
        executor = LocalExecutor(
            store, slots=1, work_dir=tmp_path / "again", log_dir=tmp_path / "logs", isolation=bench.executor.isolation
        )
        done = run(Bench(store, executor, store.repo("in")["master"]), 'cat "$PFS/in/big" > "$PFS_OUT/x"; sleep 1000')
        executor.close()
    assert packs
    assert done.state == "failed"
    assert (done.error or "").startswith("its input cannot be read: ")
    assert done.outputs == ()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as found:
        yield found


def test_a_lazy_pipeline_skips_as_others_do(world: World) -> None:
    world.put("images", {"/a": b"1", "/b": b"2", "/sub/c": b"3"})
    script = ['if [ -d "$images" ]; then cat "$images"/*; else cat "$images"; fi > "$PFS_OUT/$(basename "$images")"']
    world.create("lazy", pfs_input("images", lazy=True), ["sh", "-e"], {"stdin": script})
    job = world.run_one()
    assert (job.counters.processed, world.output("lazy")) == (3, {"/a": b"1", "/b": b"2", "/sub": b"3"})
    world.put("images", {"/b": b"4"})
    job = world.run_one()
    assert (job.counters.processed, job.counters.skipped) == (1, 2)
    assert world.output("lazy")["/b"] == b"4"


@pytest.mark.parametrize("kind", ["cross", "union", "join", "group"])
def test_lazy_inputs_combine(world: World, kind: str) -> None:
    world.put("one", {"/k1": b"a", "/k2": b"b"})
    world.put("two", {"/k1": b"c", "/k2": b"d"})
    keys = {"join": {"join_on": "$1"}, "group": {"group_by": "$1"}}.get(kind, {})
    given = {kind: [pfs_input("one", "/(*)", lazy=True, **keys), pfs_input("two", "/(*)", **keys)]}
    script = ['cat $(find -L "$PFS/one" "$PFS/two" ! -type d | sort) > "$PFS_OUT/$PFS_DATUM_ID"']
    world.create("both", given, ["sh"], {"stdin": script})
    world.run_one()
    expected = {
        "cross": [b"ac", b"ad", b"bc", b"bd"],
        "union": [b"a", b"b", b"c", b"d"],
        "join": [b"ac", b"bd"],
        "group": [b"ac", b"bd"],
    }
    assert sorted(world.output("both").values()) == expected[kind]


def test_the_shuffle_of_lazy_files_moves_no_byte(world: World) -> None:
    world.put("images", {f"/{size}/{number}": b"x" * number for size in "sl" for number in range(5)})
    script = [
        'cd "$PFS/images"',
        'for f in */*; do mkdir -p "$PFS_OUT/${f#*/}"; ln -s "$PWD/$f" "$PFS_OUT/${f#*/}/${f%/*}"; done',
    ]
    world.create("shuffle", pfs_input("images", "/", lazy=True), ["sh", "-e"], {"stdin": script})
    job = world.run_one()
    assert world.output("shuffle") == {f"/{number}/{size}": b"x" * number for size in "sl" for number in range(5)}
    (datum,) = world.jobs.datums("shuffle", job.id)
    assert datum.input_bytes == 0


@pytest.mark.long
def test_a_hundred_thousand_files_of_which_few_are_read(tmp_path: Path) -> None:
    count = 100_000
    with world_in(tmp_path) as world:
        world.put("many", {f"/{number // 1000:03}/{number:06}": b"%d\n" % number for number in range(count)})
        script = ['cd "$PFS/many"; find -L . -type p | wc -l > "$PFS_OUT/n"; cat */*00 > "$PFS_OUT/some"']
        world.create("few", pfs_input("many", "/", lazy=True), ["sh", "-e"], {"stdin": script})
        world.run_one()
        found = world.output("few")
    assert int(found["/n"]) == count
    assert found["/some"] == b"".join(b"%d\n" % number for number in range(0, count, 100))
