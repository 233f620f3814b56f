"""What is told of artifacts: sizes, types, who made them, where they were delivered; by the library and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfs.errors import NotFoundError
from pps.model.catalog import Catalog
from pps.spec.node import Plain
from pps.workflows.artifacts import SHOWN, Artifact, artifacts_of, list_artifacts
from tests.cli.conftest import Run, pfs, pps
from tests.pps.pipe_world import pfs_input, world_in
from tests.pps.task_world import Tasks, out

__all__ = ["pfs", "pps"]


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Tasks]:
    with world_in(tmp_path / "home") as world:
        yield Tasks(world)


def listed(tasks: Tasks, *, task: str | None = None, run: str | None = None) -> dict[str, Artifact]:
    return {one.output: one for one in list_artifacts(tasks.world.store, task=task, run=run)}


def to(place: Path, output: str, **levers: Plain) -> dict[str, Plain]:
    return {"object_storage": {"url": place.as_uri()}, "path": f"/{output}", **levers}


def test_each_output_with_what_is_known_of_it(tasks: Tasks, tmp_path: Path) -> None:
    place = tmp_path / "there"
    script = "echo 1,2 > t.csv; mkdir d; for n in $(seq 3); do echo $n > d/$n.bin; done"
    outputs = [out("table", "t.csv"), out("folder", "d", type="directory", content_type="application/x-n"),
               out("none", "no.txt", missing="ignore")]  # fmt: skip
    tasks.start("t")
    tasks.create("t", script, outputs=outputs, egress=[to(place, "table"), to(place, "folder")])
    tasks.well("t")
    found = listed(tasks)
    head = tasks.world.store.repo("w-t").inspect("master").id
    assert list(found) == ["table", "folder"], "what was not made is no artifact"
    table, folder = found.values()
    assert (table.workflow, table.task, table.type, table.path) == ("w", "t", "file", "/table/t.csv")
    assert (table.files, table.size_bytes, table.content_type, table.made_by) == (1, 4, "text/csv", head)
    assert (folder.path, folder.files, folder.size_bytes, folder.content_type) == ("/folder", 3, 6, "application/x-n")
    assert table.delivered.urls == ((place / "t.csv").as_uri(),)
    assert folder.delivered.urls == tuple((place / f"{n}.bin").as_uri() for n in (1, 2, 3))


def test_the_run_that_brought_it_and_an_older_run(tasks: Tasks, tmp_path: Path) -> None:
    place = tmp_path / "there"
    egress = [to(place, "o", key="{{job.id}}.txt")]
    tasks.start("t", n=1)
    tasks.create(
        "t", "echo {{params.n}} > o; echo same > same", outputs=[out("o", "o"), out("s", "same")], egress=egress
    )
    tasks.well("t")
    first = tasks.world.store.repo("w-t").inspect("master").id
    tasks.world.put("w", {"/run.json": b"{}"})
    tasks.well("t")
    second = tasks.world.store.repo("w-t").inspect("master").id
    now = listed(tasks)["o"]
    assert (now.commit, now.made_by) == (second, first), "its task was skipped"
    tasks.start("t", n=22)
    tasks.well("t")
    now, old = listed(tasks)["o"], listed(tasks, run=first[:9])["o"]
    assert now.made_by == now.commit != second
    assert (old.commit, old.size_bytes, now.size_bytes) == (first, 2, 3)
    assert old.delivered.urls == ((place / f"{first}.txt").as_uri(),)
    assert now.delivered.urls == ((place / f"{now.commit}.txt").as_uri(),)
    assert listed(tasks)["s"].size_bytes == 5


def test_buckets_that_a_task_wrote_and_archives(tasks: Tasks, tmp_path: Path) -> None:
    tasks.start("t")
    script = "mkdir -p d; touch d/1 d/2; echo x > o"
    outputs = [out("d", "d", type="directory")]
    tasks.create("t", script, outputs=outputs, egress=[to(tmp_path / "there", "d", archive="tar.gz")])
    tasks.well("t")
    assert listed(tasks)["d"].delivered.urls == ((tmp_path / "there" / "d.tar.gz").as_uri(),)
    tasks.world.store.repo("w-t").create_branch("copy")
    with tasks.world.store.repo("w-t").commit("copy") as commit:
        commit.put_file("/_s3/lake/a/b.csv", b"12")
        commit.put_file("/_s3/lake/c", b"3")
    id = tasks.world.store.repo("w-t").inspect("copy").id
    (bucket,) = artifacts_of(tasks.world.store, Catalog(tasks.world.store).get("w-t"), id)
    assert (bucket.type, bucket.output, bucket.path, bucket.files, bucket.size_bytes) == (
        "bucket",
        "_s3/lake",
        "/_s3/lake",
        2,
        3,
    )


def test_what_an_output_has_no_more_is_not_told_as_delivered(tasks: Tasks, tmp_path: Path) -> None:
    place = tmp_path / "there"
    many = SHOWN + 5
    tasks.start("t", n=many)
    script = "mkdir d; for n in $(seq {{params.n}}); do touch d/$n; done"
    tasks.create("t", script, outputs=[out("d", "d", type="directory")], egress=[to(place, "d")])
    tasks.well("t")
    told = listed(tasks)["d"].delivered
    assert (told.files, len(told.urls)) == (many, SHOWN)
    tasks.start("t", n=2)
    tasks.well("t")
    assert listed(tasks)["d"].delivered.urls == tuple((place / str(n)).as_uri() for n in (1, 2))
    assert len(list(place.iterdir())) == many


def test_what_is_not_there_is_said(tasks: Tasks) -> None:
    assert listed(tasks) == {}
    tasks.world.put("plain", {"/a": b"1"})
    tasks.world.code("run.sh", "true")
    tasks.world.create("copy", pfs_input("plain"))
    tasks.start("t")
    tasks.create("t", "echo > o", outputs=[out("o", "o")])
    assert listed(tasks) == {}, "no job of the task has ended, and a pipeline has no artifacts"
    for asked in ({"task": "u"}, {"run": "f" * 32}):
        with pytest.raises(NotFoundError):
            listed(tasks, **asked)
    with pytest.raises(NotFoundError, match="task 'u' of workflow 'w' not found"):
        list(list_artifacts(tasks.world.store, "w", task="u"))


def test_the_command(tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run) -> None:
    tasks.start("t")
    tasks.create("t", "echo 1,2 > t.csv", outputs=[out("table", "t.csv")], egress=[to(tmp_path / "there", "table")])
    tasks.well("t")
    monkeypatch.setenv("PFS_STORE", str(tasks.world.folder))
    (record,) = json.loads(pps("list-artifact", "w", "--json").out)
    assert pfs("get-file", record["address"]).out == "1,2\n"
    assert record["delivered"] == [(tmp_path / "there" / "t.csv").as_uri()]
    head, row = pps("list-artifact", "--task", "t").out.splitlines()
    assert head.split()[:6] == ["WORKFLOW", "TASK", "OUTPUT", "TYPE", "FILES", "SIZE"]
    assert row.split()[:5] == ["w", "t", "table", "file", "1"]
    assert "workflow 'x' not found" in pps("list-artifact", "x", code=3).err
