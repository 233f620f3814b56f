"""Pipelines that read and write over S3: the real engine, and commands that know only S3 clients."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pps.model.infos import JobInfo
from pps.model.state import DatumState
from pps.spec import parse_specs
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in
from tests.pps.test_spec_s3 import DOCUMENTED

HEAD = """import boto3, os
s3 = boto3.client("s3")
def read(bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
def write(key, body, **more):
    s3.put_object(Bucket="out", Key=key, Body=body, **more)
def names(bucket, **more):
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, **more).get("Contents", [])]
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as found:
        yield found


def s3_input(repo: str, **more: Plain) -> dict[str, Plain]:
    return {"pfs": {"repo": repo, "s3": True, **more}}


def python(world: World, name: str, code: str) -> list[str]:
    """Return the command that runs some code which has boto3 and three functions."""
    world.code(f"{name}.py", HEAD + code)
    return [sys.executable, f"{name}.py"]


def told(world: World, job: JobInfo) -> str:
    """Return what the datums of a job wrote and why they failed."""
    return "\n".join(f"{one.reason} {one.log_tail}" for one in world.jobs.datums(job.pipeline, job.id))


def run_well(world: World, *names: str) -> JobInfo:
    job = world.run_one(*names)
    assert job.state == "success", told(world, job)
    return job


def test_the_example_of_pachyderms_documentation_makes_a_pipeline(world: World) -> None:
    world.put("images", {"/a": b"1"})
    (spec,) = parse_specs(DOCUMENTED, name="test.json")
    info = world.pipelines.create(spec, base_dir=world.folder)
    assert info.name == "test"
    (job,) = world.run("test").jobs
    assert "exit code" in told(world, job), "the command of the documentation is a folder"


@pytest.mark.row("2.2 s3_out", "2.3 pfs.s3", "3.6 input bucket", "3.6 out bucket")
def test_boto3_alone_reads_and_writes(world: World) -> None:
    world.put("images", {"/a.txt": b"one", "/sub/b.txt": b"two"})
    code = """
for key in names("images"):
    write(key, read("images", key).upper(), ContentType="text/x-loud", Metadata={"by": "me"})
"""
    world.create("loud", s3_input("images"), python(world, "loud", code), s3_out=True)
    job = run_well(world)
    assert world.output("loud") == {"/a.txt": b"ONE", "/sub/b.txt": b"TWO"}
    row = world.store.repo("loud")["master"].tree.stat(b"sub/b.txt")
    assert row is not None
    assert row.aux is not None
    assert (row.aux["m"], row.aux["u"]) == ("text/x-loud", {"by": "me"})
    sources = {(one.repo, one.branch) for one in world.store.repo("loud").inspect(job.id).provenance}
    assert sources == {("images", "master"), ("loud", ".spec")}


def test_the_aws_cli_alone_reads_and_writes(world: World) -> None:
    world.put("images", {"/a.txt": b"one", "/sub/b.txt": b"two"})
    script = ["aws s3 cp --recursive s3://images there", "aws s3 sync there s3://out/here", "aws s3 ls s3://out/here/"]
    given = {"stdin": ["set -e", 'cd "$TMPDIR"', *script]}
    world.create("copied", s3_input("images"), ["sh"], given, s3_out=True)
    run_well(world)
    assert world.output("copied") == {"/here/a.txt": b"one", "/here/sub/b.txt": b"two"}


@pytest.mark.row("2.6 S3 inputs", "2.6 /pfs/out with s3_out")
def test_nothing_is_staged_and_there_is_no_out(world: World) -> None:
    world.put("images", {"/file": b"1"})
    script = [
        "set -e",
        'if [ -e "$PFS/images/file" ]; then exit 1; fi',
        '[ -d "$PFS/images" ] && [ -z "$(ls -A "$PFS/images")" ]',
        '[ ! -e "$PFS/out" ] && [ -z "${PFS_OUT+set}" ]',
    ]
    world.create("quiet", s3_input("images"), ["sh"], {"stdin": script}, s3_out=True)
    run_well(world)
    assert world.output("quiet") == {}


@pytest.mark.row("3.6 when")
def test_an_s3_input_goes_with_a_plain_output(world: World) -> None:
    world.put("images", {"/file": b"1"})
    code = """
assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["images"]
open(os.environ["PFS_OUT"] + "/copy", "wb").write(read("images", "file"))
"""
    world.create("plain", s3_input("images"), python(world, "plain", code))
    run_well(world)
    assert world.output("plain") == {"/copy": b"1"}


@pytest.mark.row("3.6 when")
def test_a_plain_input_goes_with_an_output_over_s3(world: World) -> None:
    world.put("images", {"/a": b"1", "/b": b"2"})
    code = """
assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["out"]
path = os.environ["images"]
write(os.path.basename(path), open(path, "rb").read() * 2)
assert len(names("out")) == 1
"""
    world.create("twice", pfs_input("images"), python(world, "twice", code), s3_out=True)
    assert run_well(world).counters.processed == 2
    world.put("images", {"/a": None, "/b": b"3", "/c": b"4"})
    job = run_well(world)
    assert (job.counters.processed, job.counters.skipped) == (2, 0)
    assert world.output("twice") == {"/b": b"33", "/c": b"44"}
    world.put("images", {"/c": b"5"})
    job = run_well(world)
    assert (job.counters.processed, job.counters.skipped) == (1, 1)


def test_a_chain_of_five_each_appends_a_line(world: World) -> None:
    world.put("start", {"/lines": b"0\n"})
    before = "start"
    for number in range(1, 6):
        code = f'write("lines", read("{before}", "lines") + b"{number}\\n")'
        name = f"step{number}"
        world.create(name, s3_input(before), python(world, name, code), s3_out=True)
        before = name
    report = world.run()
    assert [job.state for job in report.jobs] == ["success"] * 5
    assert len({job.id for job in report.jobs}) == 1
    assert world.output("step5") == {"/lines": b"0\n1\n2\n3\n4\n5\n"}


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ('s3.put_object(Bucket="images", Key="k", Body=b"")', "NotImplemented"),
        ('s3.delete_object(Bucket="images", Key="file")', "NotImplemented"),
        ('s3.create_bucket(Bucket="new")', "NotImplemented"),
        ('write("k", b"1"); read("out", "k")', "NoSuchKey"),
        ('read("secret", "file")', "NoSuchBucket"),
    ],
)
@pytest.mark.row(
    "3.6 input is read-only", "3.6 out is not readable", "3.6 unknown bucket", "3.6 create and delete bucket"
)
def test_what_is_not_allowed_is_an_s3_error_in_the_code(world: World, code: str, what: str) -> None:
    world.put("images", {"/file": b"1"})
    world.put("secret", {"/file": b"1"})
    world.create("bad", s3_input("images"), python(world, "bad", code), s3_out=True, datum_tries=1)
    job = world.run_one()
    assert job.state == "failure"
    assert what in told(world, job)


@pytest.mark.row("3.6 endpoint", "2.6 S3_ENDPOINT")
def test_the_gateway_is_gone_after_the_job(world: World) -> None:
    world.put("images", {"/file": b"1"})
    script = ['printf %s "$S3_ENDPOINT" > "$PFS_OUT/where"']
    world.create("where", s3_input("images"), ["sh"], {"stdin": script})
    run_well(world)
    place = urlsplit(world.output("where")["/where"].decode())
    assert place.hostname == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((place.hostname, place.port or 0))


@pytest.mark.row("2.6 S3_ENDPOINT", "2.6 AWS keys")
def test_the_variables_lead_clients_to_the_gateway_and_nowhere_else(world: World) -> None:
    world.put("images", {"/file": b"1"})
    env = {"AWS_SESSION_TOKEN": "left", "AWS_PROFILE": "over", "AWS_ACCESS_KEY_ID": "mine", "OWN": "kept"}
    script = ['env | grep -E "^(AWS|S3|OWN)" > "$PFS_OUT/env"', 'cat "$AWS_CONFIG_FILE" "$AWS_SHARED_CREDENTIALS_FILE"']
    world.create("env", s3_input("images"), ["sh", "-e"], {"stdin": script, "env": dict(env)})
    job = run_well(world)
    found = dict(line.split("=", 1) for line in world.output("env")["/env"].decode().splitlines())
    assert found["AWS_ENDPOINT_URL"] == found["S3_ENDPOINT"]
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    assert (found["AWS_EC2_METADATA_DISABLED"], found["OWN"]) == ("true", "kept")
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE"} & set(found)
    assert (len(found["AWS_ACCESS_KEY_ID"]), len(found["AWS_SECRET_ACCESS_KEY"])) == (20, 40)
    assert next(world.jobs.datums("env", job.id)).log_tail == ""


@pytest.mark.row("3.6 s3_out clears")
def test_a_failed_attempt_leaves_nothing_and_the_next_one_begins_empty(world: World) -> None:
    world.put("images", {"/file": b"1"})
    code = """
assert names("out") == []
write("half", b"1")
raise SystemExit(3)
"""
    world.create("fails", s3_input("images"), python(world, "fails", code), s3_out=True, datum_tries=2)
    job = world.run_one()
    assert job.state == "failure"
    assert "exit code 3" in told(world, job), "the second attempt found what the first had written"
    assert world.output("fails", job.id) == {}


def test_a_recovered_datum_has_no_output(world: World) -> None:
    world.put("images", {"/file": b"1"})
    cmd = python(world, "fails", 'write("half", b"1"); raise SystemExit(3)')
    world.create("rescued", s3_input("images"), cmd, {"err_cmd": ["true"]}, s3_out=True, datum_tries=1)
    assert run_well(world).counters.recovered == 1
    assert world.output("rescued") == {}


def test_a_datum_runs_again_only_if_it_would_read_otherwise(world: World) -> None:
    world.put("images", {"/config": b"x", "/data/1": b"1", "/other": b"1"})
    code = """
found = names("images", Prefix="data/")
try:
    s3.head_object(Bucket="images", Key="extra")
    found.append("extra")
except s3.exceptions.ClientError:
    pass
write("seen", read("images", "config") + " ".join(found).encode())
"""
    world.create("reader", s3_input("images"), python(world, "reader", code), s3_out=True)

    def after(files: dict[str, bytes | None]) -> tuple[str, str]:
        if files:
            world.put("images", files)
        job = run_well(world)
        (one,) = world.jobs.datums("reader", job.id)
        assert one.state == (DatumState.SKIPPED if job.counters.skipped else DatumState.SUCCESS)
        why = world.jobs.explain("reader", job.id, one.id)
        return why.why, why.text

    assert after({})[0] == "new"
    why, text = after({"/other": b"2", "/more": b"3"})
    assert (why, "images changed, but nothing that it had read over S3" in text) == ("skipped", True)
    why, text = after({"/config": b"y"})
    assert (why, "images:/config changed" in text) == ("read", True)
    why, text = after({"/data/2": b""})
    assert (why, "the listing of data/ in images changed" in text) == ("read", True)
    why, text = after({"/extra": b""})
    assert (why, "images:/extra changed" in text) == ("read", True)
    assert world.output("reader") == {"/seen": b"ydata/1 data/2 extra"}
    assert after({"/other": b"4"})[0] == "skipped"
    assert world.output("reader") == {"/seen": b"ydata/1 data/2 extra"}


def test_what_cannot_be_compared_runs_again_when_the_input_changed_at_all(world: World) -> None:
    world.put("images", {"/file": b"1", "/other": b"1"})
    code = 's3.get_object_tagging(Bucket="images", Key="file"); write("k", b"1")'
    world.create("tags", s3_input("images"), python(world, "tags", code), s3_out=True)
    run_well(world)
    world.put("images", {})
    assert run_well(world).counters.skipped == 1, "the content is the same"
    world.put("images", {"/other": b"2"})
    job = run_well(world)
    assert job.counters.processed == 1
    (one,) = world.jobs.datums("tags", job.id)
    assert "of which it read what cannot be compared" in world.jobs.explain("tags", job.id, one.id).text


def test_every_job_never_skips_and_a_changed_command_runs(world: World) -> None:
    world.put("images", {"/file": b"1"})
    world.create("always", s3_input("images"), ["true"], s3_out=True, reprocess_spec="every_job")
    world.create("changed", s3_input("images"), ["true"], s3_out=True)
    world.run()
    world.put("images", {"/other": b"1"})
    counts = {job.pipeline: job.counters for job in world.run().jobs}
    assert (counts["always"].processed, counts["changed"].skipped) == (1, 1)
    spec = world.spec("changed", s3_input("images"), ["sh", "-c", "true"], s3_out=True)
    world.pipelines.update(spec, base_dir=world.folder)
    assert run_well(world, "changed").counters.processed == 1


@pytest.mark.row("3.6 one piece", "3.6 plain inputs beside")
def test_a_cross_of_s3_and_plain_inputs(world: World) -> None:
    world.put("images", {"/model": b"m", "/other": b"1"})
    world.put("rows", {"/a": b"1", "/b": b"2"})
    code = """
path = os.environ["rows"]
write(os.path.basename(path), read("images", "model") + open(path, "rb").read())
"""
    given: Plain = {"cross": [s3_input("images"), pfs_input("rows")]}
    world.create("scored", given, python(world, "scored", code), s3_out=True)
    assert run_well(world).counters.processed == 2
    assert world.output("scored") == {"/a": b"m1", "/b": b"m2"}
    world.put("rows", {"/c": b"3"})
    assert (run_well(world).counters.processed, world.output("scored")["/c"]) == (1, b"m3")
    world.put("images", {"/other": b"2"})
    assert run_well(world).counters.skipped == 3
    world.put("images", {"/model": b"n"})
    assert run_well(world).counters.processed == 3
    assert world.output("scored") == {"/a": b"n1", "/b": b"n2", "/c": b"n3"}


def test_two_datums_that_write_one_key_fail_the_job(world: World) -> None:
    world.put("images", {"/a": b"1", "/b": b"2"})
    world.create("same", pfs_input("images"), python(world, "same", 'write("k", b"1")'), s3_out=True)
    job = world.run_one()
    assert job.state == "failure"
    assert "both wrote /k" in job.reason


def test_keys_of_s3_become_the_output_as_they_are(world: World) -> None:
    world.put("images", {"/a": b"1"})
    code = """
for key in ("a", "a/b", "marker/", "x//y"):
    write(key, key.encode())
"""
    world.create("odd", s3_input("images"), python(world, "odd", code), s3_out=True)
    code = """write("n", " ".join(names("odd")).encode())"""
    world.create("next", s3_input("odd"), python(world, "next", code), s3_out=True)
    assert [job.state for job in world.run().jobs] == ["success", "success"]
    assert world.output("next") == {"/n": b"a a/b marker/ x//y"}


ODD = ("../x", "a//b", "e/.", "c/\x01")


def test_keys_that_no_disk_holds_are_read_over_s3_and_named_to_others(world: World) -> None:
    world.put("images", {"/a": b"1"})
    code = f"for key in (*{ODD!r}, 'fine'): write(key, key.encode())"
    world.create("odd", s3_input("images"), python(world, "odd", code), s3_out=True)
    code = """write("n", b" ".join(read("odd", key) for key in names("odd")))"""
    world.create("over-s3", s3_input("odd"), python(world, "over", code), s3_out=True)
    kinds: dict[str, dict[str, Plain]] = {"plain": {}, "lazy": {"lazy": True}, "empty": {"empty_files": True}}
    for kind, more in kinds.items():
        world.create(kind, pfs_input("odd", "/*" if more else "/**", **more), ["true"], datum_tries=1)
    states = {job.pipeline: job.state for job in world.run().jobs}
    assert world.output("over-s3") == {"/n": b"../x a//b c/\x01 e/. fine"}
    for name in kinds:
        assert states[name] == "failure", name
        job = next(world.jobs.jobs(name))
        for datum in world.jobs.datums(name, job.id):
            path = datum.inputs[0].path
            if path == "/fine":
                assert datum.state == "success"
            else:  # also what stands for a directory that is named so: "/.." is no way out
                assert datum.state == "failed", (name, path, told(world, job))
                assert "its input cannot be staged: invalid path '/" in datum.reason
                assert "no disk can hold" in datum.reason


def test_a_reference_input_over_s3_runs_nothing(world: World) -> None:
    world.put("images", {"/model": b"m"})
    world.put("rows", {"/a": b"1"})
    given: Plain = {"cross": [s3_input("images", reference=True), pfs_input("rows")]}
    cmd = python(world, "ref", 'write("k", read("images", "model"))')
    world.create("ref", given, cmd, s3_out=True)
    run_well(world)
    world.put("images", {"/model": b"n"})
    assert run_well(world).counters.skipped == 1
