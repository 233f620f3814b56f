"""Tasks: artifacts put in place before a command and taken after it, with the real engine and specs made by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pps.controller import Controller, local_executors
from pps.executors import local
from pps.sandbox.isolation import Isolation, choose, probe
from pps.sandbox.spawner import Spawner
from pps.spec.node import Plain
from tests.pps.pipe_world import pfs_input, world_in
from tests.pps.task_world import Tasks, out


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Tasks]:
    with world_in(tmp_path / "home") as world:
        yield Tasks(world)


@pytest.fixture
def namespaces(tmp_path: Path) -> None:
    found = probe(tmp_path / "probe")
    if found.kind != "namespace":
        pytest.skip(f"no namespaces here: {found.detail}")


needs_namespaces = pytest.mark.usefixtures("namespaces")


def aux(tasks: Tasks, repo: str, key: bytes) -> dict[str, object]:
    row = tasks.world.store.repo(repo)["master"].tree.stat(key)
    assert row is not None
    return dict(row.aux or {})


def test_a_file_a_directory_and_a_glob_are_taken(tasks: Tasks) -> None:
    tasks.start("t")
    script = "mkdir -p d/deep; echo 1 > one.txt; echo 2 > d/two; echo 3 > d/deep/three; touch a.png b.png c.jpg"
    outputs = [out("f", "one.txt"), out("d", "d", type="directory"), out("g", "*.png", type="glob")]
    tasks.create("t", script, outputs=outputs)
    assert tasks.well("t") == {
        "/f/one.txt": b"1\n",
        "/d/two": b"2\n",
        "/d/deep/three": b"3\n",
        "/g/a.png": b"",
        "/g/b.png": b"",
    }
    assert aux(tasks, "w-t", b"f/one.txt") == {}


def test_templates_are_rendered_for_each_datum(tasks: Tasks) -> None:
    items: dict[str, Plain] = {"1": {"name": "it's", "n": 3}, "2": {"name": "$(exit 3) b", "n": [1.5, True]}}
    tasks.start("t", items, word='a "b" $HOME', count=7)
    script = "printf '%s|%s|%s|%s' {{params.word}} \"{{ item.name }}\" '{{item.n}}' \"$N {{{{\" > 'o {{item.n}}'"
    tasks.create(
        "t",
        script,
        outputs=[
            out(
                "o",
                "o {{item.n}}",
                to="{{item.name}}/x",
                metadata={"job": "{{job.id}}"},
                content_type="text/x-{{params.count}}",
            )
        ],
        transform={"env": {"N": "n={{params.count}}"}},
    )
    assert tasks.well("t") == {
        "/o/it's/x": b'a "b" $HOME|it\'s|3|n=7 {{',
        "/o/$(exit 3) b/x": b'a "b" $HOME|$(exit 3) b|[1.5,true]|n=7 {{',
    }
    job = tasks.world.store.repo("w-t").inspect("master").id
    assert aux(tasks, "w-t", b"o/it's/x") == {"m": "text/x-7", "u": {"job": job}}


def test_an_argv_gets_values_as_they_are(tasks: Tasks) -> None:
    tasks.start("t", x="$(a) 'b'")
    code = "import sys; open('o', 'w').write(repr(sys.argv[1:]))"
    tasks.create("t", [sys.executable, "-c", code, "{{params.x}}", "-{{params.x}}-"], outputs=[out("o", "o")])
    assert tasks.well("t") == {"/o/o": repr(["$(a) 'b'", "-$(a) 'b'-"]).encode()}


def test_a_value_that_the_run_does_not_give_fails_the_datum(tasks: Tasks) -> None:
    tasks.start("t", x=1)
    tasks.create("t", "echo {{params.y}}")
    assert "{{params.y}} cannot be rendered: the run gives no such value" in tasks.badly("t")


def test_the_item_may_be_the_match_of_another_input(tasks: Tasks) -> None:
    tasks.world.put("made", {"/images/a.png": b"A", "/images/b/c.png": b"C", "/else": b"-"})
    tasks.start("t")
    given = pfs_input("made", "/images/*", name="image", propagation_spec={"never": True})
    tasks.create(
        "t",
        'find in -type f | sort | tee list; cat "$image"/* >> list 2>/dev/null || cat "$image" >> list',
        given,
        inputs=[{"name": "image", "path": "in", "type": "directory"}],
        outputs=[out("o", "list", to="{{item}}/")],
        each="image",
        below="/images",
    )
    assert tasks.well("t") == {"/o/a.png/list": b"in/a.png\nA", "/o/b/list": b"in/c.png\nC"}


@needs_namespaces
def test_artifacts_are_put_where_they_belong(tasks: Tasks, tmp_path: Path) -> None:
    tasks.world.put(
        "made", {"/one/data.csv": b"1\n", "/tree/a": b"a", "/tree/b/c": b"c", "/x/bin": b"#!/bin/sh\necho hi\n"}
    )
    tasks.start("t")
    host = Path("/var/tmp") / f"pfs-artifacts-{os.getpid()}"
    names = {"f1": "/one", "f2": "/one", "f3": "/one", "f4": "/one", "d1": "/tree", "d2": "/tree", "d3": "/tree"}
    paths = {
        "f1": "data/in.csv",
        "f2": "/tmp/in.csv",
        "f3": "/no-such-folder/deep/in.csv",
        "f4": f"{host}/in.csv",
        "d1": "tree",
        "d2": "/tmp/some/tree",
        "d3": f"{host}/tree",
    }
    given = [pfs_input("made", glob, name=name) for name, glob in names.items()]
    inputs: list[dict[str, Plain]] = [
        {"name": name, "path": path, "type": "directory" if name[0] == "d" else "file"} for name, path in paths.items()
    ]
    script = "\n".join(
        [
            "for f in data/in.csv /tmp/in.csv /no-such-folder/deep/in.csv $HOST/in.csv",
            "do cat $f",
            "echo more >> $f",
            "cat $f",
            "done > list",
            "for d in tree /tmp/some/tree $HOST/tree",
            "do find $d -type f | sed s+$d++ | sort",
            "rm $d/a",
            "echo x > $d/b/c",
            "find $d -type f",
            "done >> list",
            "ls $HOST >> list",
            "test ! -e /pfs/f1",
            "test ! -e /pfs/workflow",
            'test "$f2" = /tmp/in.csv',
            "echo new > $HOST/new",
            "ln -s $HOST/there link",
        ]
    )
    outputs = [
        out("o", "list"),
        out("new", f"{host}/new"),
        out("same", f"{host}/tree", type="directory"),
        out("link", "link"),
    ]
    tasks.create("t", script, *given, inputs=inputs, outputs=outputs, transform={"env": {"HOST": str(host)}})
    host.mkdir()
    try:
        (host / "there").write_text("host")
        (host / "new").write_text("of the host")
        (host / "tree").mkdir()
        (host / "tree" / "old").write_text("of the host")
        found = tasks.well("t")
        assert sorted(path.name for path in host.iterdir()) == ["new", "there", "tree"]
        assert (host / "new").read_text() == "of the host"
    finally:
        for path in sorted(host.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        host.rmdir()
    assert not Path("/no-such-folder").exists()
    lines = found.pop("/o/list").decode().splitlines()
    assert lines[:12] == ["1", "1", "more"] * 4
    assert lines[12:] == [
        *("/a", "/b/c", "tree/b/c"),
        *("/a", "/b/c", "/tmp/some/tree/b/c"),
        *("/a", "/b/c", f"{host}/tree/b/c"),
        *("in.csv", "there", "tree"),
    ]
    assert found == {"/new/new": b"new\n", "/same/b/c": b"x\n", "/link/link": b"host"}
    assert tasks.world.output("made")["/one/data.csv"] == b"1\n"


def test_what_a_file_input_needs(tasks: Tasks) -> None:
    tasks.world.put("made", {"/two/a": b"a", "/two/b": b"b", "/none": b""})
    tasks.start("t")
    given = pfs_input("made", "/two", name="i")
    tasks.create("t", "true", given, inputs=[{"name": "i", "path": "x"}])
    assert "input 'i' has 2 files, and x is for exactly one: such an input is a directory" in tasks.badly("t")


def test_an_optional_input_may_have_nothing(tasks: Tasks) -> None:
    tasks.world.put("made", {"/other/a": b"a"})
    tasks.start("t")
    given = pfs_input("made", "/", name="i")
    wanted: dict[str, Plain] = {"name": "i", "path": "x/", "part": "/maybe", "optional": True}
    tasks.create("t", "cat x/* > o || echo none > o", given, inputs=[wanted], outputs=[out("o", "o")])
    assert tasks.well("t") == {"/o/o": b"none\n"}
    tasks.world.put("made", {"/maybe/b": b"b"})
    assert tasks.well("t") == {"/o/o": b"b"}


def test_a_file_may_be_put_into_a_directory_that_is_put_too(tasks: Tasks) -> None:
    tasks.world.put("made", {"/one/data.csv": b"1", "/tree/a": b"a"})
    tasks.start("t")
    given = [pfs_input("made", "/one", name="f"), pfs_input("made", "/tree", name="d")]
    inputs = [{"name": "f", "path": "tree/"}, {"name": "d", "path": "tree", "type": "directory"}]
    tasks.create("t", "true", *given, inputs=inputs, outputs=[out("o", "tree", type="directory")])
    assert tasks.well("t") == {"/o/a": b"a", "/o/data.csv": b"1"}


def test_a_file_of_the_code_is_covered_by_an_artifact(tasks: Tasks) -> None:
    tasks.world.put("made", {"/one/data.csv": b"new", "/tree/new": b"new"})
    (tasks.world.folder / "tree").mkdir()
    tasks.world.code("tree/old", "old")
    tasks.world.code("data.csv", "old")
    tasks.world.code("file", "old")
    tasks.start("t")
    given = [pfs_input("made", "/one", name="f"), pfs_input("made", "/tree", name="d")]
    inputs: list[dict[str, Plain]] = [
        {"name": "f", "path": "data.csv"},
        {"name": "d", "path": "tree", "type": "directory"},
    ]
    code: dict[str, Plain] = {"code": ["tree", "data.csv", "file"]}
    tasks.create("t", "cat data.csv > o; ls tree >> o", *given, inputs=inputs, outputs=[out("o", "o")], transform=code)
    assert tasks.well("t") == {"/o/o": b"newnew\n"}
    tasks.start("u")
    tasks.create("u", "true", given[0], inputs=[{"name": "f", "path": "file/x"}], transform=code)
    assert (
        "failed: its artifacts cannot be put in place: file is in the way of an artifact: it is no folder"
        in tasks.badly("u")
    )


@pytest.mark.parametrize(
    ("output", "what"),
    [
        (out("o", "report.csv"), "output 'o' was not made: report.csv (there is reports.csv)"),
        (out("o", "x/y"), "output 'o' was not made: x/y"),
        (out("o", "empty", type="directory"), "output 'o' was not made: no file is in empty"),
        (out("o", "*.png", type="glob"), "output 'o' was not made: no file matches *.png"),
        (out("o", "empty"), "output 'o' is a file, and at empty is a directory"),
        (out("o", "reports.csv", type="directory"), "output 'o' is a directory, and at reports.csv is a file"),
        (out("o", "link"), "is a symlink that leads to nothing"),
    ],
)
def test_what_was_not_made_fails_the_datum(tasks: Tasks, output: dict[str, Plain], what: str) -> None:
    tasks.start("t")
    tasks.world.code("reports.csv", "")
    script = "mkdir -p empty; ln -s nowhere link"
    tasks.create("t", script, outputs=[output], transform={"code": ["reports.csv"]})
    assert what in tasks.badly("t")


@pytest.mark.parametrize(
    ("script", "kind", "what"),
    [
        ("mkfifo x", "file", "output 'o' was not made: at x is a named pipe, which is no file"),
        ("mkfifo x", "directory", "output 'o' is a directory, and at x is a named pipe"),
        ("ln -s .. x", "file", ": x cannot be followed: it leads outside what the command could see\n"),
        ("mkdir x; ln -s ../.. x/y", "directory", ": x/y cannot be followed: it leads outside"),
    ],
)
def test_what_is_no_file_is_told_as_the_task_sees_it(tasks: Tasks, script: str, kind: str, what: str) -> None:
    tasks.start("t")
    tasks.create("t", script, outputs=[out("o", "x", type=kind)])
    told = tasks.badly("t")
    assert what in told
    assert ".pfs" not in told


def test_what_may_be_missing(tasks: Tasks) -> None:
    tasks.start("t")
    outputs = [out("a", "a", missing="warn"), out("b", "*.b", type="glob", missing="ignore"), out("c", "c")]
    tasks.create("t", 'echo > c; echo > "$PFS_OUT/left"', outputs=outputs)
    assert set(tasks.well("t")) == {"/c/c"}
    (job,) = tasks.world.jobs.jobs("w-t")
    text = "\n".join(str(line) for line in tasks.world.jobs.logs("w-t", job=job.id))
    assert "output 'a' was not made: a" in text
    assert "'b'" not in text
    assert "/out is dropped: a task's outputs are those that it declares" in text


def test_symlinks_are_taken_as_in_other_outputs(tasks: Tasks) -> None:
    tasks.world.put("plain", {"/p": b"plain"})
    tasks.start("t")
    given = pfs_input("plain", "/", name="plain")
    script = 'mkdir d real; echo 1 > real/x; ln -s ../real d/dir; ln -s "$PFS/plain/p" f; ln -s real r'
    outputs = [out("d", "d", type="directory"), out("f", "f"), out("r", "r", type="directory")]
    tasks.create("t", script, given, outputs=outputs)
    assert tasks.well("t") == {"/d/dir/x": b"1\n", "/f/f": b"plain", "/r/x": b"1\n"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**.txt", {"/g/a.txt", "/g/d/b.txt", "/g/d/e/c.txt"}),
        ("d/**", {"/g/b.txt", "/g/e/c.txt", "/g/e/x"}),
        ("d/*", {"/g/b.txt", "/g/e/c.txt", "/g/e/x"}),
        ("{a,d/b}.txt", {"/g/a.txt", "/g/d/b.txt"}),
        ("*/*.txt", {"/g/d/b.txt"}),
        ("/tmp/o/{{params.p}}*", {"/g/[x]1"}),
        ("d/e/c.txt", {"/g/c.txt"}),
    ],
)
def test_patterns_of_outputs(tasks: Tasks, pattern: str, names: set[str], tmp_path: Path) -> None:
    if pattern.startswith("/tmp") and probe(tmp_path / "probe").kind != "namespace":
        pytest.skip("/tmp is private in namespaces")
    tasks.start("t", p="[x]")
    script = "mkdir -p d/e /tmp/o; touch a.txt d/b.txt d/e/c.txt d/e/x '/tmp/o/[x]1' /tmp/o/x2"
    tasks.create("t", script, outputs=[out("g", pattern, type="glob")])
    assert set(tasks.well("t")) == names


@pytest.mark.parametrize("kind", ["namespace", "no overlay", "none"])
def test_every_isolation(tasks: Tasks, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_overlay(wanted: str, work_dir: Path) -> tuple[Isolation, Spawner]:
        found, spawner = choose(wanted, work_dir)
        return replace(found, overlay=False), spawner

    isolation = kind.replace("no overlay", "namespace")
    if isolation != "none" and probe(tasks.world.folder / "probe").kind != isolation:
        pytest.skip("no namespaces here")
    if kind == "no overlay":
        monkeypatch.setattr(local, "choose", without_overlay)
    executors = local_executors(tasks.world.store, slots=1)
    tasks.world.controller = Controller(tasks.world.store, executors, isolation=isolation)
    tasks.world.put("made", {"/one/data.csv": b"1\n", "/tree/a": b"a\n", "/tree/b/c": b"c\n"})
    (tasks.world.folder / "tree").mkdir()
    tasks.world.code("tree/old", "old")
    tasks.world.code("data.csv", "old")
    given = [pfs_input("made", "/one", name="f"), pfs_input("made", "/tree", name="d")]
    inputs: list[dict[str, Plain]] = [
        {"name": "f", "path": "data.csv"},
        {"name": "d", "path": "tree", "type": "directory"},
    ]
    script = "echo 2 >> data.csv; echo more >> tree/a; rm tree/b/c; cat data.csv; ls -R tree"
    outputs = [out("f", "data.csv"), out("d", "tree", type="directory"), out("g", "t*/*", type="glob")]
    code: dict[str, Plain] = {"code": ["tree", "data.csv"]}
    tasks.start("t")
    tasks.create("t", script, *given, inputs=inputs, outputs=outputs, transform=code)
    assert tasks.well("t") == {"/f/data.csv": b"1\n2\n", "/d/a": b"a\nmore\n", "/g/tree/a": b"a\nmore\n"}
    for path in ("/tmp/data.csv", "/pfs-no-such-folder/data.csv"):
        name = f"u{path.count('-')}"
        outputs = [out("f", path), out("g", f"{path}.*", type="glob", missing="ignore")]
        wanted: list[dict[str, Plain]] = [{"name": "f", "path": path}]
        tasks.start(name)
        tasks.create(name, f"echo 2 >> {path}", given[0], inputs=wanted, outputs=outputs)
        if kind == "none":
            assert f"the path {path} cannot be had: without namespaces or a container" in tasks.badly(name)
        else:
            assert tasks.well(name) == {"/f/data.csv": b"1\n2\n"}


@needs_namespaces
def test_a_private_folder_counts_for_the_limit_of_the_disk(tasks: Tasks) -> None:
    tasks.world.put("made", {"/f": bytes(4 << 20)})
    tasks.start("t")
    given, inputs = pfs_input("made", "/f", name="f"), [{"name": "f", "path": "/pfs-no-such-folder/f"}]
    tasks.create(
        "t",
        "head -c 3000000 /dev/zero > /pfs-no-such-folder/o",
        given,
        inputs=inputs,
        outputs=[out("o", "/pfs-no-such-folder/o")],
        limits={"disk": "2M"},
    )
    assert "the command used more than resource_limits.disk" in tasks.badly("t")
