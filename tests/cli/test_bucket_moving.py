"""Stores that move into a bucket, between buckets and out again, and commits sent between them; cut off on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Run
from tests.cli.test_moving import jobs, worked
from tests.pfs.bucket_world import BUCKET, World, empty

__all__ = ["worked"]  # the fixture

KILLED = """
import os, signal, sys
from pfs import S3Options
from pfs.backends import s3_client
from pfs.moving.clone import clone

source, target, endpoint = sys.argv[1:]
sent = stored = 0
make = s3_client._make

def send(params, **_):
    global sent
    sent += "/packs/" in params["url_path"]

def answered(**_):
    global stored
    stored += sent > 0  # packs come after what is tried at first
    if stored == 2:
        os.kill(os.getpid(), signal.SIGKILL)

def hooked(options):
    session, client = make(options)
    client.meta.events.register("before-call.s3.PutObject", send)
    client.meta.events.register("after-call.s3.PutObject", answered)
    return session, client

s3_client._make = hooked
clone(source, target, options=S3Options(endpoint=endpoint))
"""


@pytest.fixture
def other(bucket: World) -> Iterator[str]:
    """Another bucket."""
    name = f"other-{uuid4().hex[:12]}"
    bucket.client.create_bucket(Bucket=name)
    yield name
    with suppress(bucket.client.exceptions.NoSuchBucket):
        empty(bucket.client, name)


@pytest.mark.s3
def test_into_a_bucket_to_another_and_back(
    bucket: World, other: str, worked: Path, pfs: Run, pps: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(worked / "caches"))
    first, second = f"s3://{BUCKET}/{uuid4().hex}", f"s3://{other}/{uuid4().hex}"
    for number in range(3):
        (worked / "c.txt").write_text(f"{number}\n")
        pfs("put-file", "r@master", "-f", "c.txt")

    command = [sys.executable, "-c", KILLED, str(worked / ".pfs"), first, bucket.url]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], env=dict(os.environ), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert "no store found" in pfs("--store", first, "list-repo", code=3).err
    done = pfs("clone", ".", first, "--json").json
    assert isinstance(done, dict)
    assert 0 < done["sent_packs"] < done["packs"]
    assert "exists" in pfs("clone", ".", first, code=4).err

    pfs("clone", first, second)
    pfs("clone", second, "back")
    for place in (first, second, "back"):
        assert jobs(pps, place) == jobs(pps, ".")
        pfs("--store", place, "fsck", "--deep")
        assert pfs("--store", place, "get-file", "count@master:/a.txt").out.strip() == "6"
    pps("--store", second, "run")
    assert jobs(pps, second)[0][1:] == (1, 2), "only what the put brought"

    pfs("init", "plain")
    assert "r: master" in pfs("pull", "--store", "plain", second, "r").out
    (worked / "d.txt").write_text("d")
    pfs("--store", "plain", "put-file", "r@master", "-f", "d.txt")
    pfs("--store", "plain", "push", first, "r")
    pfs("--store", first, "push", second, "r")
    assert pfs("--store", second, "get-file", "r@master:/d.txt").out == "d"
    assert pfs("--store", first, "push", second, "r").out.startswith("nothing to send")
    pps("--store", second, "run")
    assert jobs(pps, second)[0][1:] == (1, 3)
    pfs("--store", second, "fsck", "--deep")


@pytest.mark.s3
def test_branches_that_are_merged(bucket: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run) -> None:
    monkeypatch.chdir(tmp_path)
    pfs("init", "--backend", f"s3://{BUCKET}/{uuid4().hex}", "--endpoint", bucket.url)
    pfs("create-repo", "r")
    for name in "abc":
        (tmp_path / name).write_text(name)
    pfs("put-file", "r@master", "-f", "a")
    pfs("create-branch", "r@side", "--head", "master")
    pfs("put-file", "r@side", "-f", "b")
    pfs("put-file", "r@master", "-f", "c")
    pfs("merge", "r@side", "r@master")
    assert [pfs("get-file", f"r@master:/{name}").out for name in "abc"] == ["a", "b", "c"]
    pfs("put-file", "r@side:/a", "-f", "b")
    pfs("put-file", "r@master:/a", "-f", "c")
    assert "/a" in pfs("merge", "r@side", "r@master", code=4).out
    pfs("merge", "r@side", "r@master", "--theirs")
    assert pfs("get-file", "r@master:/a").out == "b"
    pfs("fsck", "--deep")
