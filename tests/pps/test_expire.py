"""Life cycle of artifacts by the real engine, with objects in an S3 over HTTP; time is told, never waited for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cli.commands.artifact import expiry_line
from cli.upkeep import Upkeep
from pfs.errors import NotFoundError
from pfs.gc.collect import collect
from pfs.upkeep.check import fsck
from pps.scheduling.unread import unread
from pps.spec.node import Plain
from pps.workflows.artifacts import list_artifacts
from pps.workflows.expire import Effect, expire
from tests.cli.conftest import Run, pfs, pps, store
from tests.pfs.bucket_world import BUCKET, bucket_server, use_bucket
from tests.pfs.bucket_world import World as Bucket
from tests.pps.pipe_world import pfs_input, world_in
from tests.pps.task_world import Tasks, out

__all__ = ["pfs", "pps", "store"]
DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    with bucket_server() as made:
        yield made


@pytest.fixture
def bucket(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with use_bucket(server, monkeypatch):
        yield server


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Tasks]:
    with world_in(tmp_path / "home") as world:
        world.store.create_repo("w")
        yield Tasks(world)


def told(tasks: Tasks, keep: str, *, output: str = "") -> None:
    """Let the workflow's file say how long artifacts stay, from the next run on."""
    own = f", keep: {output}" if output else ""
    whole = f"keep: {keep}\n" if keep else ""
    outputs = f"[{{name: o, path: o{own}}}, {{name: s, path: s}}]"
    text = f"version: 1.0\nname: w\n{whole}tasks:\n  - {{name: t, command: 'true', outputs: {outputs}}}\n"
    tasks.files["/workflow.yaml"] = text.encode()


def to(server: Bucket, prefix: str, **levers: Plain) -> dict[str, Plain]:
    url = {"object_storage": {"url": f"s3://{BUCKET}/{prefix}"}}
    return {**url, "path": "/o", "endpoint": server.url, "region": "us-east-1", **levers}


def run(tasks: Tasks, number: int) -> str:
    """Run the task with another param, and return the id of its output."""
    tasks.start("t", n=number)
    tasks.well("t")
    return tasks.world.store.repo("w-t").inspect("master").id


def run_named(tasks: Tasks, number: int, *names: str) -> None:
    """Run tasks whose deliveries have the param in their names."""
    tasks.files["/run.json"] = json.dumps({"params": {"n": number}}).encode()
    for name in names:
        tasks.start(name, n=number)
    report = tasks.world.run()
    assert {one.state for one in report.jobs} == {"success"}, report


def create(tasks: Tasks, *egress: dict[str, Plain], script: str = "echo {{params.n}} > o; echo same > s") -> None:
    tasks.create("t", script, outputs=[out("o", "o"), out("s", "s")], egress=egress)


def effects(tasks: Tasks, *, days: float = 0, dry_run: bool = False) -> list[Effect]:
    now_ns = time.time_ns() + int(days * DAY_NS)
    found = list(expire(tasks.world.store, now_ns=now_ns, dry_run=dry_run))
    if not dry_run:
        again = list(expire(tasks.world.store, now_ns=now_ns))
        assert again == [], "it is done once"
        assert list(fsck(tasks.world.store)) == []
    return found


def objects(server: Bucket, prefix: str) -> list[str]:
    listed = server.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
    return [one["Key"].removeprefix(f"{prefix}/") for one in listed]


def of(what: str, found: list[Effect]) -> list[Effect]:
    return [one for one in found if one.what == what]


def commits(tasks: Tasks, repo: str) -> list[str]:
    return [info.id for info in tasks.world.store.repo(repo).commits("master")]


def test_whole_runs_go_and_what_stays_is_whole(tasks: Tasks) -> None:
    told(tasks, "{runs: 2}")
    create(tasks)
    made = [run(tasks, number) for number in range(4)]
    runs = len(commits(tasks, "w"))
    planned = effects(tasks, dry_run=True)
    assert commits(tasks, "w-t") == made[::-1]
    done = effects(tasks)
    assert done == planned
    assert [(one.output, one.run, one.size_bytes) for one in of("artifact", done)] == [
        ("o", made[1], 2), ("s", made[1], 5), ("o", made[0], 2), ("s", made[0], 5)
    ]  # fmt: skip
    assert {one.run for one in of("run", done) if one.repo == "w-t"} == set(made[:2])
    assert commits(tasks, "w-t") == made[:1:-1]
    assert len(commits(tasks, "w")) == 2 < runs
    collect(tasks.world.store, readers=lambda: unread(tasks.world.store))
    assert tasks.world.output("w-t", made[2]) == {"/o/o": b"2\n", "/s/s": b"same\n"}
    assert tasks.world.run().jobs == ()
    tasks.start("t", n=0)
    job = tasks.world.run_one("w-t")
    assert job.data_processed == 1, "what has expired is not in the cache"


def test_one_artifact_loses_its_bytes_and_the_other_stays(tasks: Tasks) -> None:
    told(tasks, "", output="{runs: 1}")
    create(tasks, script="head -c 300000 /dev/urandom > o; echo {{params.n}} > s")
    made = [run(tasks, number) for number in range(3)]
    store = tasks.world.store
    collect(store, readers=lambda: unread(store))
    before = collect(store, readers=lambda: unread(store)).bytes_after
    done = effects(tasks)
    assert [(one.what, one.output, one.run) for one in done] == [
        ("artifact", "o", made[1]), ("artifact", "o", made[0])
    ]  # fmt: skip
    after = collect(store, readers=lambda: unread(store)).bytes_after
    assert before - after > 550_000, "what jobs kept of it went, too"
    assert commits(tasks, "w-t") == made[::-1]
    assert tasks.world.output("w-t", made[0]) == {"/s/s": b"0\n"}
    assert len(tasks.world.output("w-t")["/o/o"]) == 300_000
    assert [(one.output, one.is_expired) for one in list_artifacts(store, run=made[0])] == [("o", True), ("s", False)]
    assert not any(one.is_expired for one in list_artifacts(store))
    assert run(tasks, 7)


def test_days_runs_and_what_is_tagged(tasks: Tasks) -> None:
    told(tasks, "{runs: 1, days: 3}")
    create(tasks)
    made = [run(tasks, number) for number in range(3)]
    assert effects(tasks, days=2.9) == []
    tasks.world.store.repo("w-t").create_tag("good", made[0])
    done = effects(tasks, days=3.1)
    assert {one.run for one in done if one.repo == "w-t"} == {made[1]}
    assert commits(tasks, "w-t") == [made[2], made[0]]
    assert tasks.world.output("w-t", made[0])["/o/o"] == b"0\n"


def test_what_nobody_has_read_yet_stays(tasks: Tasks) -> None:
    told(tasks, "", output="{runs: 1}")
    create(tasks)
    first = run(tasks, 0)
    tasks.world.code("run.sh", 'cp "$PFS"/w-t/o/* "$PFS_OUT"')
    tasks.world.create("reader", pfs_input("w-t", "/"))
    second = run(tasks, 1)
    run(tasks, 2)
    assert effects(tasks) == []
    tasks.world.run()
    assert [one.run for one in effects(tasks)] == [second, first]


def test_delivered_objects_go_with_their_version(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "{runs: 2, delivered: delete}")
    create(tasks, to(bucket, "gone", key="{{job.id}} #1?.txt"), to(bucket, "fixed"))
    made = [run(tasks, number) for number in range(4)]
    bucket.client.put_object(Bucket=BUCKET, Key=f"gone/{made[1]} #1?.txt", Body=b"of somebody else")
    bucket.client.put_object(Bucket=BUCKET, Key="gone/mine", Body=b"x")
    planned = effects(tasks, dry_run=True)
    assert [one.url for one in of("object", planned)] == [f"s3://{BUCKET}/gone/{made[0]} #1?.txt"]
    assert len(objects(bucket, "gone")) == 5
    assert effects(tasks) == planned
    assert sorted(objects(bucket, "gone")) == sorted([*(f"{id} #1?.txt" for id in made[1:]), "mine"])
    assert objects(bucket, "fixed") == ["o"], "what newer versions put in the same place stays"


def test_without_a_word_of_it_objects_stay(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "{runs: 1}")
    create(tasks, to(bucket, "stay", key="{{job.id}}.txt"))
    made = [run(tasks, number) for number in range(3)]
    assert of("object", effects(tasks)) == []
    assert len(objects(bucket, "stay")) == len(made)


def test_files_that_an_artifact_has_no_more_go_and_another_target_keeps_its_own(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "", output="{runs: 1, delivered: delete}")
    script = "mkdir o; for n in $(seq {{params.n}}); do echo $n > o/$n; done; touch s"
    outputs = [out("o", "o", type="directory"), out("s", "s")]
    tasks.create("t", script, outputs=outputs, egress=[to(bucket, "many")])
    run(tasks, 4)
    run(tasks, 2)
    found = effects(tasks)
    assert [one.url[-6:] for one in of("object", found)] == ["many/3", "many/4"]
    assert objects(bucket, "many") == ["1", "2"]
    other = [to(bucket, "many", metadata={"x": "y"})]
    _update(tasks, script, outputs, other)
    tasks.world.run()
    run(tasks, 1)
    found = effects(tasks)
    assert [one.url[-6:] for one in of("object", found)] == ["many/2"], "the one place is both targets'"
    assert objects(bucket, "many") == ["1"]


def _beside(tasks: Tasks, server: Bucket, body: bytes, key: str, **levers: Plain) -> None:
    """Let a pipeline that is no workflow's deliver one file to a fixed place."""
    egress = to(server, "shared", **levers, key=key)
    tasks.world.store.create_repo("plain", exist_ok=True)
    spec_input = pfs_input("plain", "/")
    tasks.world.create(
        "beside", spec_input, ["sh", "-ec", "mkdir /pfs/out/o; cp /pfs/plain/* /pfs/out/o"], egress=[egress]
    )
    tasks.world.put("plain", {"/one": body})
    assert tasks.world.run_one("beside").state == "success"


@pytest.mark.parametrize("levers", [{"content_type": "text/other"}, {}], ids=["sent again", "found equal"])
def test_what_another_pipeline_delivered_to_the_same_place_stays(
    tasks: Tasks, bucket: Bucket, levers: dict[str, Plain]
) -> None:
    told(tasks, "{runs: 1, delivered: delete, storage_class_after: {days: 1, class: GLACIER_IR}}")
    create(tasks, to(bucket, "shared", key="{{params.n}}", content_type="text/plain"))
    run_named(tasks, 1, "t")
    run_named(tasks, 2, "t")
    _beside(tasks, bucket, b"2\n", "2", **{"content_type": "text/plain", **levers})
    assert [one.url[-1] for one in of("object", effects(tasks, days=2))] == ["1"]
    told_class = bucket.client.head_object(Bucket=BUCKET, Key="shared/2").get("StorageClass", "STANDARD")
    assert told_class == "STANDARD", "what is another's too is not moved"
    run_named(tasks, 3, "t")
    assert of("object", effects(tasks)) == []
    assert objects(bucket, "shared") == ["2", "3"]


def test_of_two_workflows_with_one_place_the_last_one_deletes(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "{runs: 1, delivered: delete}")
    create(tasks, to(bucket, "both", key="{{params.n}}"))
    tasks.create("u", "echo {{params.n}} > o", outputs=[out("o", "o")], egress=[to(bucket, "both", key="{{params.n}}")])
    for number in (1, 2):
        run_named(tasks, number, "t", "u")
    found = [(one.repo, one.url[-1]) for one in of("object", effects(tasks))]
    assert found == [("w-u", "1")], "the first one only forgets it"
    assert objects(bucket, "both") == ["2"]


def _update(tasks: Tasks, script: str, outputs: list[dict[str, Plain]], egress: list[dict[str, Plain]]) -> None:
    made: dict[str, Plain] = {"workflow": "w", "name": "t", "shell": True, "inputs": [], "outputs": list(outputs)}
    given: Plain = {"cross": [pfs_input("w", "/tasks/t/*", name="workflow")]}
    spec = tasks.world.spec("w-t", given, ["sh", "-ec", script], {"task": made}, datum_tries=1, egress=list(egress))
    tasks.world.pipelines.update(spec, base_dir=tasks.world.folder)


def test_objects_are_moved_to_another_class_with_all_that_is_said_of_them(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "", output="{storage_class_after: {days: 30, class: GLACIER_IR}}")
    levers: dict[str, Plain] = {"metadata": {"who": "me"}, "tags": {"k": "v w"}, "content_type": "text/x-n"}
    create(tasks, to(bucket, "class", **levers))
    run(tasks, 1)
    assert effects(tasks, days=29) == []
    planned = effects(tasks, days=31, dry_run=True)
    done = effects(tasks, days=31)
    assert done == planned
    assert [(one.what, one.url, one.storage_class) for one in done] == [
        ("class", f"s3://{BUCKET}/class/o", "GLACIER_IR")
    ]
    seen = bucket.client.head_object(Bucket=BUCKET, Key="class/o")
    assert (seen["StorageClass"], seen["ContentType"], seen["Metadata"]) == ("GLACIER_IR", "text/x-n", {"who": "me"})
    assert bucket.client.get_object_tagging(Bucket=BUCKET, Key="class/o")["TagSet"] == [{"Key": "k", "Value": "v w"}]
    tasks.world.put("w", {"/run.json": b"{}"})
    bucket.asked.clear()
    tasks.well("t")
    assert not any(asked.is_write for asked in bucket.asked), "it is not sent again"
    assert effects(tasks, days=31) == []


def test_objects_in_parts_are_moved_in_parts(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "{storage_class_after: {days: 1, class: STANDARD_IA}}")
    levers: dict[str, Plain] = {"metadata": {"who": "me"}, "tags": {"k": "v"}}
    create(tasks, to(bucket, "parts", **levers), script="head -c 20000000 /dev/zero > o; touch s")
    run(tasks, 1)
    before = bucket.client.head_object(Bucket=BUCKET, Key="parts/o")
    assert [one.what for one in effects(tasks, days=2)] == ["class"]
    after = bucket.client.head_object(Bucket=BUCKET, Key="parts/o")
    assert (after["StorageClass"], after["Metadata"], after["ContentLength"]) == (
        "STANDARD_IA",
        {"who": "me"},
        20_000_000,
    )
    assert after["ETag"] == before["ETag"]
    assert bucket.client.get_object_tagging(Bucket=BUCKET, Key="parts/o")["TagSet"] == [{"Key": "k", "Value": "v"}]


def test_of_versions_only_ours_go(tasks: Tasks, bucket: Bucket) -> None:
    bucket.client.create_bucket(Bucket="versions")
    bucket.client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    bucket.client.put_object(Bucket="versions", Key="o", Body=b"before")
    told(tasks, "{runs: 1, delivered: delete}")
    create(tasks, {**to(bucket, "x"), "object_storage": {"url": "s3://versions"}})
    run(tasks, 1)
    run(tasks, 2)
    assert len(of("object", effects(tasks))) == 1
    versions = bucket.client.list_object_versions(Bucket="versions")
    bodies = [
        bucket.client.get_object(Bucket="versions", Key="o", VersionId=one["VersionId"])["Body"].read()
        for one in versions["Versions"]
    ]
    assert bodies == [b"2\n", b"before"]
    told(tasks, "{storage_class_after: {days: 1, class: GLACIER_IR}}")
    tasks.world.put("w", tasks.files)
    tasks.well("t")
    assert [one.what for one in effects(tasks, days=2)] == ["class"]
    versions = bucket.client.list_object_versions(Bucket="versions")
    assert [one["StorageClass"] for one in versions["Versions"]] == ["GLACIER_IR", "STANDARD"], "the copied one is gone"
    bucket.asked.clear()
    tasks.world.put("w", {"/else": b""})
    tasks.well("t")
    assert not any(asked.is_write for asked in bucket.asked)
    for one in versions["Versions"]:
        bucket.client.delete_object(Bucket="versions", Key="o", VersionId=one["VersionId"])
    bucket.client.delete_bucket(Bucket="versions")


class Killed(BaseException):
    pass


def test_killed_at_any_write_it_goes_on(tasks: Tasks, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    told(tasks, "{runs: 1, delivered: delete}", output="{runs: 1}")
    create(tasks, to(bucket, "killed", key="{{job.id}}"))
    run(tasks, 0)
    refs = tasks.world.store.refs
    swap, before, writes = refs.swap, 0, 0

    def killed(*given: object, **named: object) -> object:
        nonlocal writes
        if writes == before:
            raise Killed
        writes += 1
        return swap(*given, **named)  # type: ignore[arg-type]

    for before in range(5):
        last, writes = run(tasks, before + 1), 0
        with monkeypatch.context() as patched, suppress(Killed):
            patched.setattr(refs, "swap", killed)
            list(expire(tasks.world.store))
        effects(tasks)
        assert objects(bucket, "killed") == [last]
        assert commits(tasks, "w-t") == [last]
        assert len(commits(tasks, "w")) == 1
    assert writes < 5, "the last time it came to its end"


def test_a_place_that_refuses_is_told_and_nothing_is_forgotten(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "{runs: 1, delivered: delete}")
    create(tasks, to(bucket, "refused", key="{{job.id}}"))
    made = [run(tasks, number) for number in range(2)]
    body = b"<Error><Code>AccessDenied</Code><Message>no.</Message></Error>"
    bucket.refuse = lambda asked: ("403 Forbidden", {}, body) if asked.method == "DELETE" else None
    found = list(expire(tasks.world.store))
    (trouble,) = of("trouble", found)
    assert "AccessDenied" in trouble.reason
    assert commits(tasks, "w-t") == made[::-1], "the notes are there as long as what they tell of"
    bucket.refuse = lambda _: None
    assert [one.what for one in effects(tasks) if one.repo == "w-t"] == ["object", "run", "artifact", "artifact"]
    assert objects(bucket, "refused") == [made[1]]


def test_a_class_that_is_refused_holds_nothing_up(tasks: Tasks, bucket: Bucket) -> None:
    told(tasks, "{runs: 1, storage_class_after: {days: 1, class: NO_SUCH}}")
    create(tasks, to(bucket, "class refused"))
    made = [run(tasks, number) for number in range(2)]
    body = b"<Error><Code>InvalidStorageClass</Code><Message>no.</Message></Error>"
    bucket.refuse = lambda asked: ("400 Bad Request", {}, body) if asked.is_write else None
    found = list(expire(tasks.world.store, now_ns=time.time_ns() + 2 * DAY_NS))
    assert (found[0].what, found[0].storage_class) == ("trouble", "NO_SUCH")
    assert "InvalidStorageClass" in found[0].reason
    assert commits(tasks, "w-t") == made[1:]


def test_files_of_a_folder_go_unless_somebody_changed_them(tasks: Tasks, tmp_path: Path) -> None:
    told(tasks, "{runs: 1, delivered: delete, storage_class_after: {days: 1, class: GLACIER}}")
    place = tmp_path / "there"
    create(tasks, {"object_storage": {"url": place.as_uri()}, "path": "/o", "key": "{{job.id}} #1?"})
    made = [run(tasks, number) for number in range(3)]
    (place / f"{made[1]} #1?").write_bytes(b"mine now")
    assert len(of("object", effects(tasks, days=2))) == 1
    assert sorted(path.name[:32] for path in place.iterdir()) == sorted(made[1:])


@pytest.mark.parametrize("url", ["", "/by-{{job.id}}"])
def test_folders_that_become_empty_go_but_not_the_one_above(tasks: Tasks, tmp_path: Path, url: str) -> None:
    told(tasks, "{runs: 1, delivered: delete}")
    place = tmp_path / "there"
    create(tasks, {"object_storage": {"url": place.as_uri() + url}, "path": "/o", "key": "{{job.id}}/in/it"})
    made = [run(tasks, number) for number in range(3)]
    (folder,) = [path for path in place.iterdir() if made[0] in path.name]
    (folder / "mine").write_bytes(b"another's")
    assert len(of("object", effects(tasks))) == 2
    kept = sorted(path.name.removeprefix("by-") for path in place.iterdir())
    assert kept == sorted([made[0], made[2]]), "that of the second run is empty"
    assert [path.name for path in folder.rglob("*")] == ["mine"]


def test_nothing_is_said_nothing_goes_and_an_unknown_workflow_is_told(tasks: Tasks) -> None:
    create(tasks)
    for number in range(2):
        run(tasks, number)
    assert effects(tasks, days=1000) == []
    told(tasks, "{delivered: delete}")
    run(tasks, 3)
    assert effects(tasks, days=1000) == []
    with pytest.raises(NotFoundError, match="workflow 'x' not found"):
        list(expire(tasks.world.store, "x"))


def test_the_command_and_the_daemon(
    tasks: Tasks, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, pps: Run, tmp_path: Path
) -> None:
    told(tasks, "{runs: 1, delivered: delete}")
    place = (tmp_path / "there").as_uri()
    create(tasks, {"object_storage": {"url": place}, "path": "/o", "key": "{{job.id}}"})
    made = [run(tasks, number) for number in range(2)]
    monkeypatch.setenv("PFS_STORE", str(tasks.world.folder))
    shown = pps("expire-artifact", "--dry-run", "--json").json
    assert pps("expire-artifact", "w", "--dry-run", "--json").json == shown
    assert {one["what"] for one in shown} == {"artifact", "object", "run"}  # type: ignore[attr-defined]
    assert f"{place}/{made[0]}" in pps("expire-artifact", "--dry-run").out
    assert "workflow 'x' not found" in pps("expire-artifact", "x", code=3).err
    said: list[str] = []
    Upkeep(tasks.world.store, threading.Event(), tell=said.append, min_age_s=0).once()
    assert said[0] == "upkeep: expired 2 artifacts of 7 B, 2 commits, 1 delivered object"
    assert pps("expire-artifact", "--json").json == []


def test_the_command_tells_what_was_refused(
    tasks: Tasks, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, pps: Run
) -> None:
    told(tasks, "{runs: 1, delivered: delete}")
    create(tasks, to(bucket, "told", key="{{job.id}}"))
    for number in range(2):
        run(tasks, number)
    body = b"<Error><Code>AccessDenied</Code><Message>no.</Message></Error>"
    bucket.refuse = lambda asked: ("403 Forbidden", {}, body) if asked.method == "DELETE" else None
    monkeypatch.setenv("PFS_STORE", str(tasks.world.folder))
    assert "AccessDenied" in pps("expire-artifact", code=1).err
    assert expiry_line(expire(tasks.world.store)).startswith("1 object left for the next time: cannot delete s3://")


def test_runs_of_a_whole_workflow_go_with_what_they_imported(store: Path, pfs: Run, pps: Run) -> None:
    Path("w.yaml").write_text(
        f"""
version: 1.0
params: {{n: 0}}
keep: {{runs: 2}}
tasks:
  - name: a
    command: cat in.txt > a.txt; echo {{{{params.n}}}} >> a.txt
    code: []
    inputs: [{{name: given, uri: "{(store / "given.txt").as_uri()}", path: in.txt}}]
    outputs: [{{name: a, path: a.txt}}]
  - name: b
    command: wc -l < {{{{tasks.a.outputs.a.path}}}} > b.txt
    code: []
    outputs: [{{name: b, path: b.txt}}]
"""
    )
    notes = []
    for number in range(4):
        Path("given.txt").write_text(f"line {number}\n" * number)
        notes.append(pps("run-workflow", "-f", "w.yaml", "--param", f"n={number}").err)
    assert "expired" not in notes[1]
    assert "note: expired 2 artifacts of 11 B, 4 commits\n" in notes[-1]
    assert "note: expired 2 artifacts of" in notes[-2]
    for repo in ("w", "w-a", "w-b", "w_imports"):
        assert len(pfs("list-commit", f"{repo}@master", "--json").json) == 2, repo  # type: ignore[arg-type]
    assert len(pps("list-run", "w", "--json").json) == 2  # type: ignore[arg-type]
    assert pfs("get-file", "w-b@master:/b/b.txt").out.strip() == "4"
    assert pps("expire-artifact", "--json").json == []
    assert pfs("fsck", "--deep").code == 0
