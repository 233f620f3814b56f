"""Tasks that write to buckets: the job's gateway, and the repos that get it with the end of the job."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cli.job_gateways import job_gateways
from pfs.model import Provenance
from pfs.store import Store
from pfs.transactions import together
from pps.scheduling.buckets import BucketWrites
from pps.spec.node import Plain
from pps.workers.stop import Stop
from tests.pps.pipe_world import pfs_input, world_in
from tests.pps.task_world import QUICK_S3, Tasks, out
from tests.pps.test_lineage import ask, datums

HEAD = """import boto3, os, sys
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
def read(bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
def write(bucket, key, body, **more):
    s3.put_object(Bucket=bucket, Key=key, Body=body, **more)
def names(bucket, **more):
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, **more).get("Contents", [])]
def refused(call, *given, **more):
    try:
        call(*given, **more)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    raise SystemExit("it was not refused")
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Tasks]:
    with world_in(tmp_path) as world:
        yield Tasks(world)


def python(
    tasks: Tasks, task: str, code: str, *given: dict[str, Plain], words: Sequence[str] = (), **more: Any
) -> None:
    """Make a task that runs some code which has `write`, or boto3 and all functions of HEAD, and gets words."""
    tasks.world.code(f"{task}.py", (HEAD if "s3." in code or "read(" in code else QUICK_S3) + code)
    tasks.create(task, [sys.executable, f"{task}.py", *words], *given, **more)


def head(tasks: Tasks, repo: str) -> str:
    return tasks.world.store.repo(repo).inspect("master").id


def row_aux(tasks: Tasks, repo: str, key: bytes) -> dict[str, object]:
    row = tasks.world.store.repo(repo)["master"].tree.stat(key)
    assert row is not None
    return dict(row.aux or {})


def test_what_is_written_is_committed_with_the_job(tasks: Tasks) -> None:
    tasks.start("t")
    code = """
write("my-bucket", "output/a.csv", b"1,2", ContentType="text/csv", Metadata={"by": "me"})
s3.create_bucket(Bucket="other")
assert s3.head_bucket(Bucket="other") and names("other") == []
part = s3.create_multipart_upload(Bucket="other", Key="large", ContentType="text/x-large")
tag = s3.upload_part(Bucket="other", Key="large", PartNumber=1, UploadId=part["UploadId"], Body=b"x" * 99)["ETag"]
assert [one["Key"] for one in s3.list_multipart_uploads(Bucket="other")["Uploads"]] == ["large"]
assert "Uploads" not in s3.list_multipart_uploads(Bucket="my-bucket")
s3.complete_multipart_upload(Bucket="other", Key="large", UploadId=part["UploadId"],
    MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
s3.copy_object(Bucket="other", Key="copy", CopySource={"Bucket": "my-bucket", "Key": "output/a.csv"})
write("other", "gone", b"")
s3.delete_object(Bucket="other", Key="gone")
write("other", "a", b"file"); write("other", "a/b", b"below it")
assert read("my-bucket", "output/a.csv") == b"1,2"
assert s3.head_object(Bucket="my-bucket", Key="output/a.csv")["Metadata"] == {"by": "me"}
assert names("my-bucket", Prefix="out") == ["output/a.csv"]
assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["my-bucket", "other"]
open("o", "w").write("done")
"""
    python(tasks, "t", code, outputs=[out("o", "o")])
    assert set(tasks.well("t")) == {
        "/o/o",
        *("/_s3/my-bucket/output/a.csv", "/_s3/other/a", "/_s3/other/a/b", "/_s3/other/copy", "/_s3/other/large"),
    }
    assert tasks.world.output("my-bucket") == {"/output/a.csv": b"1,2"}
    assert set(tasks.world.output("other")) == {"/a", "/a/b", "/copy", "/large"}
    aux = row_aux(tasks, "my-bucket", b"output/a.csv")
    assert (aux["m"], aux["u"]) == ("text/csv", {"by": "me"})
    assert head(tasks, "my-bucket") == head(tasks, "other") == head(tasks, "w-t")
    sources = tasks.world.store.repo("other").inspect("master").provenance
    assert Provenance("w", "master", tasks.world.store.repo("w").inspect("master").id) in sources
    assert Provenance("w-t", "master", head(tasks, "w-t")) in sources


def test_what_a_task_may_not_do_over_s3(tasks: Tasks) -> None:
    tasks.world.put("images", {"/a": b"1"})
    tasks.world.put("plain", {"/p": b"1"})
    tasks.world.put("free", {"/x": b"not ours"})
    tasks.start("other")
    tasks.create("other", "true")
    tasks.start("t")
    code = """
assert read("images", "a") == b"1"
assert refused(write, "images", "b", b"")[0] == "NotImplemented"
for bucket, why in {
    "w": "is an input of this task or kept by its workflow",
    "w_imports": "is an input of this task or kept by its workflow",
    "plain": "is an input of this task or kept by its workflow",
    "w-other": "is the output of a pipeline",
    "w-t": "is the output of a pipeline",
}.items():
    for call in (write, read):
        code, message = refused(call, bucket, "x", *([b""] if call is write else []))
        assert code == "AccessDenied" and why in message, (bucket, code, message)
    assert refused(s3.create_bucket, Bucket=bucket)[0] == "AccessDenied"
    assert refused(names, bucket)[0] == "AccessDenied"
for bucket in ("dev.free", "with.dot", "under_"):
    assert refused(write, bucket, "x", b"")[0] == "InvalidBucketName", bucket
code, message = refused(read, "free", "x")
assert code == "NoSuchKey" and "declare it as an input of the task" in message, message
assert refused(s3.head_object, Bucket="free", Key="x")[0] == "404"
assert refused(s3.copy_object, Bucket="free", Key="y", CopySource={"Bucket": "free", "Key": "x"})[0] == "NoSuchKey"
assert names("free") == []
assert refused(s3.delete_bucket, Bucket="free")[0] == "NotImplemented"
write("free", "y", b"ours")
"""
    images: dict[str, Plain] = {"pfs": {"repo": "images", "s3": True}}
    python(tasks, "t", code, images, pfs_input("plain"))
    tasks.well("t")
    assert tasks.world.output("free") == {"/x": b"not ours", "/y": b"ours"}


def repos(tasks: Tasks) -> set[str]:
    return {info.name for info in tasks.world.store.list_repos()}


def test_a_failed_attempt_and_a_failed_job_write_nothing(tasks: Tasks) -> None:
    tasks.start("t")
    python(tasks, "t", 'write("b", "x", b"1"); raise SystemExit(3)')
    assert "exit code 3" in tasks.badly("t")
    tasks.start("u", {"1": 1, "2": 2})
    python(tasks, "u", 'write("b", "x", b"1")', words=["{{item}}"])
    assert "both wrote /_s3/b/x" in tasks.badly("u")
    tasks.start("v", {"1": 0, "2": 3})
    python(tasks, "v", 'write("b", "x" + sys.argv[1], b"1"); sys.exit(int(sys.argv[1]))', words=["{{item}}"])
    assert "exit code 3" in tasks.badly("v")
    assert "b" not in repos(tasks)


WRITES = """
item, key = sys.argv[1:]
write("b", "n" + key, item.encode())
write("c", "n" + key, b"same")
"""


def fan(tasks: Tasks, *items: str) -> None:
    """Start a run of a task that writes each item to two buckets, by its number."""
    given: dict[str, Plain] = {str(number): {"text": item, "n": number} for number, item in enumerate(items)}
    tasks.start("t", given)


def fanned(tasks: Tasks, *items: str) -> None:
    fan(tasks, *items)
    python(tasks, "t", WRITES, words=["{{item.text}}", "{{item.n}}"])
    tasks.well("t")


def test_only_what_differs_is_written(tasks: Tasks) -> None:
    fanned(tasks, "a", "b", "c")
    assert tasks.world.output("b") == {"/n0": b"a", "/n1": b"b", "/n2": b"c"}
    before = head(tasks, "c")
    tasks.world.put("b", {"/n0": b"by hand", "/n1": b"by hand", "/else": b"by hand"})
    fan(tasks, "a", "B", "c")
    tasks.well("t")
    assert tasks.world.output("b") == {"/n0": b"by hand", "/n1": b"B", "/n2": b"c", "/else": b"by hand"}
    assert head(tasks, "c") == before
    fan(tasks, "a")
    assert set(tasks.well("t")) == {"/_s3/b/n0", "/_s3/c/n0"}
    assert tasks.world.output("b") == {"/n0": b"by hand", "/n1": b"B", "/n2": b"c", "/else": b"by hand"}


def test_deleted_objects_come_again_though_nothing_runs(tasks: Tasks) -> None:
    fanned(tasks, "a", "b")
    tasks.world.put("b", {"/n0": None, "/more": b"1"})
    tasks.world.put("c", {"/more": b"1"})
    same = head(tasks, "c")
    fan(tasks, "a", "b")
    tasks.well("t")
    assert next(iter(tasks.world.jobs.jobs("w-t"))).counters.processed == 0
    assert tasks.world.output("b") == {"/n0": b"a", "/n1": b"b", "/more": b"1"}
    assert head(tasks, "c") == same
    tasks.world.store.delete_repo("b")
    fan(tasks, "a", "b")
    tasks.well("t")
    assert tasks.world.output("b") == {"/n0": b"a", "/n1": b"b"}
    aux = row_aux(tasks, "b", b"n0")
    assert "e" in aux, "it is the object that was written, with its ETag"
    assert next(iter(tasks.world.jobs.jobs("w-t"))).counters.processed == 0
    heads = head(tasks, "b"), head(tasks, "c")
    fan(tasks, "a", "b")
    tasks.well("t")
    assert (head(tasks, "b"), head(tasks, "c")) == heads


def test_an_object_is_traced_to_the_datum_that_wrote_it(tasks: Tasks) -> None:
    fanned(tasks, "a", "b")
    (job,) = tasks.world.jobs.jobs("w-t")
    wrote = {one.inputs[0].path: one.id for one in tasks.world.jobs.datums("w-t", job.id)}
    tasks.world.put("b", {"/n0": None, "/hand": b"made"})
    fan(tasks, "a", "b")
    tasks.well("t")
    for path, given in (("/n0", "/tasks/t/0"), ("/n1", "/tasks/t/1")):
        (datum,) = datums(ask(tasks.world, "b", path))
        assert datum.ref.datum == wrote[given]
    assert datums(ask(tasks.world, "b", "/hand")) == []


def test_an_open_commit_of_the_bucket_takes_it(tasks: Tasks) -> None:
    repo = tasks.world.store.create_repo("b")
    repo.start_commit("master")
    fanned(tasks, "a")
    assert tasks.world.output("c") == {"/n0": b"same"}
    repo.finish_commit("master")
    assert tasks.world.output("b") == {"/n0": b"a"}


def test_two_tasks_write_to_one_bucket(tasks: Tasks) -> None:
    for name in ("one", "two"):
        tasks.start(name)
        python(tasks, name, f'write("b", "{name}", b"1")')
    report = tasks.world.run()
    assert {job.state for job in report.jobs} == {"success"}, report
    assert tasks.world.output("b") == {"/one": b"1", "/two": b"1"}


def test_a_bucket_that_becomes_a_pipeline_fails_the_job(tasks: Tasks) -> None:
    fanned(tasks, "a")
    tasks.world.store.delete_repo("b")
    tasks.world.put("images", {"/x": b"1"})
    tasks.world.create("b", pfs_input("images"), ["true"])
    fan(tasks, "A")
    assert "bucket b is the output of a pipeline" in tasks.badly("t")
    fan(tasks, "a")
    assert "bucket b cannot be written: it is the output of a pipeline" in tasks.badly("t")


def test_other_writers_of_a_bucket_come_first(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit to the bucket, or its end, between working it out and publishing it: it is worked out again."""
    tasks.world.put("b", {"/theirs": b"0"})
    fan(tasks, "a", "b")
    python(tasks, "t", WRITES, words=["{{item.text}}", "{{item.n}}"])
    original, waiting = BucketWrites.publish, ["put", "delete", "put"]

    def publish(self: BucketWrites, staged: Store, *given: Any) -> None:
        original(self, staged, *given)
        match waiting.pop() if waiting else "":
            case "put":
                tasks.world.put("b", {f"/theirs{len(waiting)}": b"1"})
            case "delete":
                tasks.world.store.delete_repo("b")

    monkeypatch.setattr(BucketWrites, "publish", publish)
    monkeypatch.setattr(together, "turns", lambda store, repos: ExitStack())
    tasks.well("t")
    assert waiting == []
    assert tasks.world.output("b") == {"/n0": b"a", "/n1": b"b", "/theirs0": b"1"}
    assert tasks.world.output("c") == {"/n0": b"same", "/n1": b"same"}
    assert len(list(tasks.world.store.repo("w-t").commits("master"))) == 1


def test_the_aws_cli_alone(tasks: Tasks) -> None:
    tasks.start("t", name="processed data.csv")
    script = """
printf 'a,b\\n' > in.csv
aws s3 cp in.csv "s3://my-workflow-bucket/output/{{params.name}}" --content-type text/x-csv --metadata by=me
mkdir here; aws s3 sync s3://my-workflow-bucket here; cat "here/output/{{params.name}}" > o
"""
    tasks.create("t", script, outputs=[out("o", "o")])
    assert tasks.well("t")["/o/o"] == b"a,b\n"
    assert tasks.world.output("my-workflow-bucket") == {"/output/processed data.csv": b"a,b\n"}
    aux = row_aux(tasks, "my-workflow-bucket", b"output/processed data.csv")
    assert (aux["m"], aux["u"]) == ("text/x-csv", {"by": "me"})


def test_a_task_that_never_speaks_s3_starts_no_server(tasks: Tasks) -> None:
    tasks.start("t")
    tasks.create("t", 'echo "$AWS_ENDPOINT_URL $S3_ENDPOINT $AWS_REGION" > o', outputs=[out("o", "o")])
    script = f"""
import sys
from pathlib import Path
from tests.pps.pipe_world import world_in
with world_in(Path({str(tasks.world.folder)!r})) as world:
    assert world.run_one("w-t").state == "success"
assert "s3api.job.lazy" in sys.modules and "s3api.gateway" not in sys.modules and "uvicorn" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    url, same, region = tasks.world.output("w-t")["/o/o"].decode().split()
    assert url == same
    assert url.startswith("http://127.0.0.1:")
    assert region == "us-east-1"


def test_a_task_may_go_its_own_way_to_s3(tasks: Tasks) -> None:
    tasks.start("t")
    own: dict[str, Plain] = {"env": {"AWS_ENDPOINT_URL": "https://s3.example.com", "AWS_PROFILE": "mine"}}
    tasks.create("t", "env | grep -e ^AWS -e ^S3 | sort > o", outputs=[out("o", "o")], transform=own)
    found = dict(line.split("=", 1) for line in tasks.well("t")["/o/o"].decode().splitlines())
    assert found.pop("S3_ENDPOINT").startswith("http://127.0.0.1:")
    assert found == {"AWS_ENDPOINT_URL": "https://s3.example.com", "AWS_PROFILE": "mine"}


def test_a_datum_of_a_task_runs_again_by_itself(tasks: Tasks, tmp_path: Path) -> None:
    fanned(tasks, "a")
    (job,) = tasks.world.jobs.jobs("w-t")
    (datum,) = tasks.world.jobs.datums("w-t", job.id)
    work = tmp_path / "again"
    work.mkdir()
    kept = head(tasks, "b")
    lent = tasks.world.jobs.repeating(
        "w-t", job.id, datum.id, work_dir=work, isolation="auto", gateways=job_gateways(tasks.world.store)
    )
    with lent as (repeat, compare):
        done = repeat.run(stop=Stop())
        assert (done.state, [file.key for file in done.outputs]) == ("success", [b"_s3/b/n0", b"_s3/c/n0"]), done
        assert [(file.path, file.how) for file in compare(done).files] == [("/_s3/b/n0", "same"), ("/_s3/c/n0", "same")]
    assert head(tasks, "b") == kept
