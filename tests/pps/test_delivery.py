"""Delivery by the real engine to an S3 (moto over real HTTP): levers, archives, what is sent again, what is refused."""

from __future__ import annotations

import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from pfs.trees.tree import Tree
from pps.egress.collisions import check_distinct
from pps.egress.delivered import find_delivered
from pps.egress.naming import Naming
from pps.model import events
from pps.model.catalog import Catalog
from pps.model.infos import JobInfo
from pps.scheduling import egressing
from pps.spec.delivery import Levers
from pps.transfers import wire
from pps.transfers.errors import PlaceRefusedError
from pps.transfers.place import Said
from pps.transfers.sigv4 import signature
from tests.pfs.bucket_world import BUCKET, bucket_server, use_bucket
from tests.pfs.bucket_world import World as Bucket
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in
from tests.pps.test_workflow_runs import Flow


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    with bucket_server() as made:
        yield made


@pytest.fixture
def bucket(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(wire, "FIRST_S", 0.0)
    with use_bucket(server, monkeypatch):
        yield server


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        yield made


def create(world: World, *egresses: dict[str, object]) -> None:
    world.create("upper", pfs_input("images", "/"), egress=list(egresses))  # type: ignore[arg-type]


def to(bucket: Bucket, prefix: str, **levers: object) -> dict[str, object]:
    return {"url": f"s3://{BUCKET}/{prefix}", "endpoint": bucket.url, **levers}


def there(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    listed = bucket.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
    keys = [one["Key"] for one in listed]
    return {
        key.removeprefix(f"{prefix}/"): bucket.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys
    }


def writes(bucket: Bucket) -> list[str]:
    found = [asked.key for asked in bucket.asked if asked.is_write]
    bucket.asked.clear()
    return found


def test_all_that_a_spec_says_is_seen_on_the_object(
    world: World, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Region, profile, type, metadata, tags, storage class and a key template, each seen by boto3."""
    config, shared = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[profile work]\nregion = eu-west-3\nendpoint_url = {bucket.url}\n")
    shared.write_text("[work]\naws_access_key_id = tester\naws_secret_access_key = tester-secret\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    world.put("images", {"/a.b.txt": b"x"})
    levers = {
        "url": f"s3://{BUCKET}/levers/{{{{pipeline.name}}}}",
        "profile": "work",
        "key": "{{run.date}}/{{file.stem}}-{{job.id}}{{file.suffix}}",
        "content_type": "text/csv",
        "cache_control": "max-age=9",
        "metadata": {"name": "{{file.name}}", "job": "{{job.id}}"},
        "tags": {"suffix": "{{file.suffix}}"},
        "storage_class": "STANDARD_IA",
        "encryption": "AES256",
    }
    create(world, levers)
    signed: list[str] = []

    def sign(*given: object, **more: object) -> str:
        signed.append(str(more["region"]))
        return signature(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(wire, "signature", sign)
    job = world.run_one()
    assert (job.state, job.reason) == ("success", "")
    assert set(signed) == {"eu-west-3"}
    (key,) = [one["Key"] for one in bucket.client.list_objects_v2(Bucket=BUCKET, Prefix="levers/")["Contents"]]
    day = key.split("/")[2]
    assert key == f"levers/upper/{day}/a.b-{job.id}.txt"
    assert len(day) == len("2026-01-31")
    head = bucket.client.head_object(Bucket=BUCKET, Key=key)
    assert (head["ContentType"], head["CacheControl"], head["StorageClass"]) == ("text/csv", "max-age=9", "STANDARD_IA")
    assert head["Metadata"] == {"name": "a.b.txt", "job": job.id}
    tags = bucket.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    assert tags == [{"Key": "suffix", "Value": ".txt"}]


def test_parts_go_to_places_of_their_own(world: World, bucket: Bucket, tmp_path: Path) -> None:
    world.code(
        "run.sh", 'mkdir -p "$PFS_OUT/r/sub" "$PFS_OUT/m"; echo 1 > "$PFS_OUT/r/sub/a.csv"; echo 2 > "$PFS_OUT/m/b"\n'
    )
    world.put("images", {"/a": b"x"})
    folder = {"url": (tmp_path / "far").as_uri(), "path": "/r"}
    create(world, to(bucket, "r", path="/r"), to(bucket, "m", path="/m/b"), to(bucket, "none", path="/none"), folder)
    assert world.run_one().state == "success"
    assert there(bucket, "r") == {"sub/a.csv": b"1\n"}
    assert there(bucket, "m") == {"b": b"2\n"}
    assert there(bucket, "none") == {}
    told = [(one.pipeline, one.path) for one in world.events if isinstance(one, events.NothingToSend)]
    assert told == [("upper", "/none")]
    assert (tmp_path / "far/sub/a.csv").read_bytes() == b"1\n"
    assert bucket.client.head_object(Bucket=BUCKET, Key="r/sub/a.csv")["ContentType"] == "text/csv"


def test_what_is_sent_again(world: World, bucket: Bucket) -> None:
    """A key with the job in it is not sent again; an object that was deleted or replaced is; all cached or not."""
    world.put("images", {"/a": b"1", "/b": b"2"})
    create(world, to(bucket, "again", key="{{job.id}}/{{file.path}}"))
    first = world.run_one()
    assert len(writes(bucket)) == 2
    catalog = Catalog(world.store).get("upper")
    noted = {path: note for _, path, note in find_delivered(Tree(world.store.objects, catalog.meta_root))}
    assert {path: note.url for path, note in noted.items()} == {
        name: f"s3://{BUCKET}/again/{first.id}/{name}" for name in "ab"
    }
    head = bucket.client.head_object(Bucket=BUCKET, Key=f"again/{first.id}/a")
    assert (noted["a"].size, f'"{noted["a"].etag}"', noted["a"].job) == (1, head["ETag"], first.id)
    world.put("images", {"/b": b"3"})
    second = world.run_one()
    assert writes(bucket) == [f"again/{second.id}/b"]
    bucket.client.put_object(Bucket=BUCKET, Key=f"again/{first.id}/a", Body=b"9")
    bucket.client.delete_object(Bucket=BUCKET, Key=f"again/{second.id}/b")
    world.pipelines.rerun("upper")
    third = world.run_one()
    assert third.data_processed == 0
    assert sorted(writes(bucket)) == [f"again/{third.id}/a", f"again/{third.id}/b"]
    world.pipelines.rerun("upper")
    assert world.run_one().state == "success"
    assert writes(bucket) == []


def test_many_files_are_listed_and_an_object_that_is_the_same_is_not_sent(world: World, bucket: Bucket) -> None:
    names = [f"{number:03}" for number in range(70)]
    world.put("images", {f"/{name}": name.encode() for name in names})
    bucket.client.put_object(Bucket=BUCKET, Key="many/001", Body=b"001", ContentType="application/octet-stream")
    bucket.client.put_object(Bucket=BUCKET, Key="many/002", Body=b"002", ContentType="text/other")
    bucket.client.put_object(Bucket=BUCKET, Key="many/003", Body=b"xxx", ContentType="application/octet-stream")
    create(world, to(bucket, "many"))
    assert world.run_one().state == "success"
    assert sorted(writes(bucket)) == [f"many/{name}" for name in names if name != "001"]
    assert there(bucket, "many") == {name: name.encode() for name in names}
    bucket.client.put_object(Bucket=BUCKET, Key="many/004", Body=b"xxx")
    world.pipelines.rerun("upper")
    assert world.run_one().state == "success"
    reads = len([asked for asked in bucket.asked if not asked.is_write])
    assert writes(bucket) == ["many/004"], "of the same size, but not what was left there"
    assert reads < 5


def test_who_may_only_write_delivers(world: World, bucket: Bucket) -> None:
    script = 'for n in $(seq 70); do echo $n > "$PFS_OUT/$n"; done; head -c 20000000 /dev/zero > "$PFS_OUT/big"\n'
    world.code("run.sh", script)
    world.put("images", {"/a": b"1"})
    bucket.refuse = lambda asked: None if asked.is_write else ("403 Forbidden", {}, b"")
    create(world, to(bucket, "write only"))
    assert world.run_one().state == "success"
    assert len(there(bucket, "write only")) == 71


def unpacked(kind: str, data: bytes) -> dict[str, bytes]:
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            return {one: opened.read(one) for one in opened.namelist() if not one.endswith("/")}
    if kind == "tar.zst":
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {one.name: tar.extractfile(one) for one in tar if one.isfile()}
        return {name: file.read() for name, file in found.items() if file is not None}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst", "zip"])
def test_an_archive_of_unchanged_files_is_the_same(world: World, bucket: Bucket, kind: str) -> None:
    world.put("images", {"/a": b"1" * 1000, "/b": b"2"})
    levers = {"archive_level": 9} if kind in {"tar.gz", "tar.zst"} else {}
    prefix = f"archive {kind}"
    create(world, to(bucket, prefix, archive=kind, **levers))
    assert world.run_one().state == "success"
    first = there(bucket, prefix)
    assert unpacked(kind, first[f"upper.{kind}"]) == {"a": b"1" * 1000, "b": b"2"}
    assert len(writes(bucket)) == 1
    world.pipelines.rerun("upper")
    world.run_one()
    assert writes(bucket) == []
    world.put("images", {"/b": b"3"})
    world.run_one()
    world.put("images", {"/b": b"2"})
    world.run_one()
    assert len(writes(bucket)) == 2
    assert there(bucket, prefix) == first, "made again by other jobs"


def failed(world: World) -> JobInfo:
    job = world.run_one()
    assert job.state == "failure"
    return job


@pytest.mark.parametrize(
    ("levers", "why"),
    [
        ({"url": "s3://no-such-bucket-here/x"}, "S3 answered 404 NoSuchBucket"),
        ({"key": "{{params.day}}/{{file.path}}"}, "{{params.day}} has no value in this run"),
        ({"key": "same"}, "cannot send /b: /a is called 'same' there, too: put {{file.path}} into the key"),
        ({"profile": "nobody"}, "S3 cannot be used as it is set up: The config profile (nobody) could not be found"),
    ],
)
def test_what_is_refused_fails_the_job_with_one_line(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, levers: dict[str, object], why: str
) -> None:
    monkeypatch.setattr(egressing, "FIRST_S", 0.0)
    world.put("images", {"/a": b"1", "/b": b"2"})
    create(world, to(bucket, "refused") | levers)
    job = failed(world)
    assert job.reason.startswith("egress: ")
    assert why in job.reason
    assert "\n" not in job.reason
    assert writes(bucket) == [], "names are known before anything is sent"
    spec = world.spec("upper", pfs_input("images", "/"), egress=to(bucket, "mended"))
    world.pipelines.update(spec, base_dir=world.folder)
    mended = world.run_one()
    assert (mended.state, mended.data_processed) == ("success", 0), "what its datum did was kept"
    assert there(bucket, "mended") == {"a": b"1", "b": b"2"}


def test_rights_that_are_missing_leave_nothing_half_delivered(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egressing, "FIRST_S", 0.0)
    world.code("run.sh", 'head -c 30000000 /dev/zero > "$PFS_OUT/big"\n')
    world.put("images", {"/a": b"1"})
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    bucket.refuse = lambda asked: ("403 Forbidden", {}, denied) if "partNumber=3" in asked.query else None
    create(world, to(bucket, "half"))
    assert "write part 3 of s3://bucket/half/big: S3 answered 403 AccessDenied (no)" in failed(world).reason
    assert bucket.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert there(bucket, "half") == {}


def test_two_deliveries_that_come_to_one_name_are_refused_before_any_is_sent(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egressing, "FIRST_S", 0.0)
    world.put("images", {"/a": b"1"})
    create(world, to(bucket, "one/upper", key="k"), to(bucket, "one", key="{{pipeline.name}}/k", acl="private"))
    why = (
        "egress: cannot send to 's3://bucket/one/upper/k': two deliveries of this pipeline go there: give each its own"
    )
    assert failed(world).reason == why
    assert writes(bucket) == []


def test_the_store_is_no_destination(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(egressing, "FIRST_S", 0.0)
    world.put("images", {"/a": b"1"})
    (tmp_path / "link").symlink_to(world.store.path)
    create(world, {"url": f"{tmp_path.as_uri()}/link/new"})
    assert failed(world).reason.endswith("link/new': that is in the store itself")
    assert not (world.store.path / "new").exists()


def named(path: bytes, values: dict[str, str] | None = None, **levers: object) -> tuple[bytes, Said]:
    naming = Naming(Levers(**levers), values or {})  # type: ignore[arg-type]
    return naming.name(path), naming.said(path, None)


@pytest.mark.parametrize(
    ("path", "key", "name"),
    [
        (b"a/b.tar.gz", "{{file.stem}}|{{file.suffix}}|{{file.name}}|{{file.path}}", b"b.tar|.gz|b.tar.gz|a/b.tar.gz"),
        (b"a/.hidden", "{{file.stem}}|{{file.suffix}}", b".hidden|"),
        (b"a/plain", "/{{file.stem}}{{file.suffix}}", b"plain"),
        (b"not \xff utf-8", "", b"not \xff utf-8"),
    ],
)
def test_names_are_made_of_paths(path: bytes, key: str, name: bytes) -> None:
    assert named(path, key=key)[0] == name


def test_names_are_compared_before_anything_is_sent() -> None:
    going = threading.Event()
    paths = [b"%d/x" % number for number in range(3000)]
    check_distinct(lambda: paths, lambda path: path, going)
    check_distinct(list, lambda path: path, going)
    for twice in (b"1/x", b"2999/x"):
        with pytest.raises(PlaceRefusedError, match=f"send /again: /{twice.decode()} is called '{twice.decode()}'"):
            check_distinct(
                lambda: [*paths, b"again"], lambda path, same=twice: same if path == b"again" else path, going
            )  # type: ignore[misc]
    with pytest.raises(PlaceRefusedError):
        check_distinct(lambda: paths, lambda path: b"all", going)
    assert Naming(Levers(key="x/{{file.path}}-{{job.id}}"), {}).is_distinct
    assert not Naming(Levers(key="{{file.name}}{{file.path}}"), {}).is_distinct, "x and xx make xxx in either order"


def test_names_have_no_control_characters() -> None:
    with pytest.raises(PlaceRefusedError, match="has control characters"):
        named(b"a", {"params.x": "two\nlines"}, key="{{params.x}}/{{file.path}}")
    with pytest.raises(PlaceRefusedError, match="has control characters"):
        Naming(Levers(), {"params.x": "two\nlines"}).text("s3://b/{{params.x}}")
    assert named(b"a\nb", key="x/{{file.path}}")[0] == b"x/a\nb", "it is what the file is called"


def test_what_no_header_holds_is_refused() -> None:
    said = named(b"a.csv", {"params.x": "ü"}, metadata={"x": "{{params.x}}"}, cache_control="max-age=1")[1]
    assert (said.content_type, said.metadata, said.headers) == ("text/csv", {"x": "ü"}, {"cache-control": "max-age=1"})
    for levers in ({"metadata": {"x": "{{params.x}}"}}, {"cache_control": "{{params.x}}"}):
        with pytest.raises(PlaceRefusedError, match="which no header can hold"):
            named(b"a", {"params.x": "two\r\nlines: x"}, **levers)
    with pytest.raises(PlaceRefusedError, match="which no header can hold"):
        named(b"a", {"params.x": "ü"}, cache_control="{{params.x}}")
    with pytest.raises(PlaceRefusedError, match="which is no media type"):
        named(b"a", {"params.x": "csv"}, content_type="{{params.x}}")
    with pytest.raises(PlaceRefusedError, match="has no value in this run"):
        named(b"a", key="{{params.x}}")
    with pytest.raises(PlaceRefusedError, match="gives it no name"):
        named(b"a", {"params.x": ""}, key="{{params.x}}")
    with pytest.raises(PlaceRefusedError, match="no UTF-8"):
        named(b"\xff", key="{{file.name}}")


FLOW = """\
params: {day: monday}
tasks:
- name: report
  command: printf '1,2\\n' > out.csv
  outputs:
  - name: table
    path: out.csv
    content_type: text/csv
    metadata: {by: "{{workflow.name}}"}
    s3: s3://BUCKET/flow/{{params.day}}
    key: "{{file.stem}}-{{job.id}}{{file.suffix}}"
    endpoint: URL
    region: eu-west-1
    storage_class: STANDARD_IA
    tags: {day: "{{params.day}}"}
"""


def test_a_workflow_delivers_with_the_params_of_its_run(world: World, bucket: Bucket, tmp_path: Path) -> None:
    """A run again sends nothing, unless the object is gone: then it comes without the task being run."""
    flow, text = Flow(world, tmp_path / "flow"), FLOW.replace("BUCKET", BUCKET).replace("URL", bucket.url)
    job = flow.run(text)["report"]
    assert (job.state, job.reason) == ("success", "")
    key = f"flow/monday/out-{job.id}.csv"
    head = bucket.client.head_object(Bucket=BUCKET, Key=key)
    assert (head["ContentType"], head["StorageClass"]) == ("text/csv", "STANDARD_IA")
    assert head["Metadata"] == {"by": "flow"}
    tags = bucket.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    assert tags == [{"Key": "day", "Value": "monday"}]
    assert writes(bucket) == [key]
    again = flow.run(text)["report"]
    assert (again.data_processed, writes(bucket)) == (0, [])
    bucket.client.delete_object(Bucket=BUCKET, Key=key)
    restored = flow.run(text)["report"]
    assert (restored.data_processed, writes(bucket)) == (0, [f"flow/monday/out-{restored.id}.csv"])
