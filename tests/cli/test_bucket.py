"""A store in a bucket, over real HTTP, by the commands."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from pfs import open as pfs_open
from tests.cli.conftest import Run
from tests.cli.processes import BIN
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/{uuid4().hex}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.s3
def test_a_store_in_a_bucket_from_two_machines(bucket: World, here: Path, pfs: Run, pps: Run, url: str) -> None:
    done = pfs("init", "one", "--backend", url, "--endpoint", bucket.url, "--json").json
    assert isinstance(done, dict)
    assert (done["made"], done["backend"]) == (True, url)
    assert "tester" not in (here / "one/.pfs/config.json").read_text()
    (here / "a.txt").write_text("hello\n")
    (here / "big.bin").write_bytes(bytes(range(256)) * 40_000)
    pfs("--store", "one", "create-repo", "images")
    pfs("--store", "one", "put-file", "images@master", "-f", "a.txt", "-f", "big.bin")
    assert pfs("--store", "one", "get-file", "images@master:/a.txt").out == "hello\n"

    done = pfs("init", "two", "--backend", url, "--endpoint", bucket.url, "--json").json
    assert isinstance(done, dict)
    assert (done["made"], done["repos"]) == (False, 1)
    listed = pfs("--store", "two", "list-file", "images@master:/", "--json").json
    assert isinstance(listed, list)
    assert [file["path"] for file in listed] == ["/a.txt", "/big.bin"]
    pfs("--store", "two", "get-file", "images@master:/big.bin", "-o", "out.bin")
    assert (here / "out.bin").read_bytes() == (here / "big.bin").read_bytes()

    (here / "b.txt").write_text("from two\n")
    pfs("--store", "two", "put-file", "images@master", "-f", "b.txt")
    assert pfs("--store", "one", "get-file", "images@master:/b.txt").out == "from two\n"

    spec = {
        "pipeline": {"name": "count"},
        "input": {"pfs": {"repo": "images", "glob": "/*.txt"}},
        "transform": {"cmd": ["sh"], "stdin": ["cat /pfs/images/*.txt | wc -c > /pfs/out/$(ls /pfs/images)"]},
    }
    (here / "count.json").write_text(json.dumps(spec))
    pps("--store", "one", "create-pipeline", "-f", "count.json")
    pps("--store", "one", "run")
    assert pfs("--store", "two", "get-file", "count@master:/b.txt").out.strip() == "9"

    pfs("--store", "two", "delete-file", "images@master:/big.bin")
    pfs("--store", "two", "gc", "--min-age", "0")
    assert pfs("--store", "one", "get-file", "images@master:/a.txt").out == "hello\n"
    pfs("--store", "one", "recover")
    assert f"objects at {url}" in pfs("--store", "one", "doctor").out
    pfs("--store", "one", "fsck", "--deep")
    assert pfs("--store", "one", "get-file", "count@master:/a.txt").out.strip() == "6"


@pytest.fixture
def made(bucket: World, here: Path, pfs: Run, url: str) -> World:
    pfs("init", "--backend", url, "--endpoint", bucket.url)
    pfs("create-repo", "r")
    return bucket


def refused(asked: Asked) -> Answer:
    return "403 Forbidden", {"Content-Type": "application/xml"}, b"<Error><Code>InvalidAccessKeyId</Code></Error>"


def test_making_a_store_where_none_can_be(bucket: World, here: Path, pfs: Run, url: str) -> None:
    to = ("--endpoint", bucket.url)
    assert "no bucket 'none-such'" in pfs("init", "--backend", "s3://none-such/x", *to, code=5).err
    bucket.refuse = refused
    assert "InvalidAccessKeyId; check the credentials" in pfs("init", "--backend", url, *to, code=5).err
    bucket.refuse = lambda _: None
    bucket.ignores_conditions = True
    assert "cannot hold a store that several may write to" in pfs("init", "--backend", url, *to, code=5).err
    bucket.ignores_conditions = False
    assert "names no bucket" in pfs("init", "--backend", "s3://", *to, code=2).err
    assert "--region is for stores in buckets" in pfs("init", "--region", "x", code=2).err
    assert not (here / ".pfs").exists()
    listed = bucket.client.list_objects_v2(Bucket=BUCKET, Prefix=url.removeprefix(f"s3://{BUCKET}/"))
    assert listed["KeyCount"] == 0


def test_what_was_cut_off_before_the_index_is_completed_by_the_same_words(
    bucket: World, here: Path, pfs: Run, url: str
) -> None:
    again = ("init", "one", "--backend", url, "--endpoint", bucket.url)
    in_the_way = here / "one" / ".pfs" / "index.lmdb"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_bytes(b"as a full disk is")
    assert "make the index" in pfs(*again, code=5).err
    in_the_way.unlink()
    config = (here / "one" / ".pfs" / "config.json").read_bytes()
    assert "already exists" in pfs(*again, "--cache-size", "0", code=4).err
    assert "already exists" in pfs("init", "one", "--backend", f"{url}-2", "--endpoint", bucket.url, code=4).err
    assert (here / "one" / ".pfs" / "config.json").read_bytes() == config
    assert "with 0 repos" in pfs(*again).out
    pfs("--store", "one", "create-repo", "r")
    assert "already exists" in pfs(*again, code=4).err
    assert pfs("--store", "one", "list-repo").out.count("r") > 0


def test_a_server_that_compares_etags_without_quotes(bucket: World, here: Path, pfs: Run, url: str) -> None:
    bucket.bare_etags = True
    pfs("init", "--backend", url, "--endpoint", bucket.url)
    assert json.loads((here / ".pfs" / "config.json").read_text())["s3"]["bare_etags"] is True
    pfs("create-repo", "r")
    pfs("create-branch", "r@b")
    assert pfs("list-branch", "r").out.count("b") > 0


def test_connecting_with_another_chunk_size(made: World, pfs: Run, url: str) -> None:
    again = ("init", "other", "--backend", url, "--endpoint", made.url)
    assert "chunks of 262144 bytes" in pfs(*again, "--chunk-avg", "1MiB", code=2).err
    pfs(*again, "--chunk-avg", "256KiB")
    assert "already exists" in pfs(*again, code=4).err


def test_a_write_that_is_refused_is_one_line_and_the_next_try_goes_on(made: World, here: Path, pfs: Run) -> None:
    (here / "a").write_text("1")
    pfs("put-file", "r@master", "-f", "a")
    (here / "b").write_text("2")
    made.refuse = refused
    assert "InvalidAccessKeyId; check the credentials" in pfs("put-file", "r@master", "-f", "b", code=5).err
    made.refuse = lambda asked: refused(asked) if asked.method == "PUT" else None
    assert "InvalidAccessKeyId; check the credentials" in pfs("put-file", "r@master", "-f", "b", code=5).err
    made.refuse = lambda _: None
    pfs("fsck")
    pfs("put-file", "r@master", "-f", "b")
    assert pfs("get-file", "r@master:/a").out + pfs("get-file", "r@master:/b").out == "12"
    pfs("fsck", "--deep")


def test_what_is_kept_here_has_a_limit(bucket: World, here: Path, pfs: Run, url: str) -> None:
    pfs("init", "--backend", url, "--endpoint", bucket.url, "--cache-size", "0")
    pfs("create-repo", "r")
    (here / "a").write_text("1")
    pfs("put-file", "r@master", "-f", "a")
    assert pfs("get-file", "r@master:/a").out == "1"
    assert not (here / ".pfs" / "cache").exists()
    kept = json.loads((here / ".pfs" / "config.json").read_text())
    assert kept == {"format": 1, "backend": url, "s3": {"endpoint": bucket.url, "addressing": "auto"}, "cache_bytes": 0}


def test_a_server_that_went_away(made: World, here: Path, pfs: Run) -> None:
    config = here / ".pfs/config.json"
    config.write_text(config.read_text().replace(made.url, "http://127.0.0.1:9"))
    assert "http://127.0.0.1:9 cannot be reached" in pfs("list-repo", code=5).err


@pytest.mark.s3
def test_serving_s3_on_top(made: World, here: Path, pfs: Run, url: str) -> None:
    keys = pfs("credentials", "--json").json
    assert isinstance(keys, dict)
    command = [str(BIN / "pfs"), "serve", "--port", "0", "--no-pipelines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=here) as process:
        try:
            assert process.stdout is not None
            front = boto3.client(
                "s3",
                endpoint_url=process.stdout.readline().decode().split()[3],
                aws_access_key_id=keys["access_key"],
                aws_secret_access_key=keys["secret_key"],
            )
            front.create_bucket(Bucket="through")
            front.put_object(Bucket="through", Key="dir/a", Body=b"over two S3s")
            assert front.get_object(Bucket="through", Key="dir/a")["Body"].read() == b"over two S3s"
            front.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    pfs("init", "two", "--backend", url, "--endpoint", made.url)
    assert pfs("--store", "two", "get-file", "through@master:/dir/a").out == "over two S3s"


def test_a_store_named_by_its_url(
    made: World, here: Path, pfs: Run, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (here / "a").write_text("1")
    pfs("put-file", "r@master", "-f", "a")
    for _ in range(2):
        assert pfs("--store", url, "get-file", "r@master:/a").out == "1"
    assert "no store found" in pfs("--store", f"{url}/none", "list-repo", code=3).err
    with pfs_open(f"{url}/") as store:
        assert store.repo("r")["master"].read("/a") == b"1"
