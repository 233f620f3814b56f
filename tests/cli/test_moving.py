"""Moving stores, by the commands: with pipelines, which find nothing to do at the other place."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Run
from tests.pfs.bucket_world import BUCKET, World

SPEC = {
    "pipeline": {"name": "count"},
    "input": {"pfs": {"repo": "r", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["for f in /pfs/r/*; do wc -c < $f > /pfs/out/$(basename $f); done"]},
}


@pytest.fixture
def worked(store: Path, pfs: Run, pps: Run) -> Path:
    """A store whose pipeline has done its work."""
    (store / "a.txt").write_text("hello\n")
    (store / "b.txt").write_text("more\n")
    pfs("put-file", "r@master", "-f", "a.txt", "-f", "b.txt")
    (store / "count.json").write_text(json.dumps(SPEC))
    pps("create-pipeline", "-f", "count.json")
    pps("run")
    pfs("create-tag", "r@v1", "master")
    return store


def jobs(pps: Run, place: str) -> list[tuple[str, int, int]]:
    listed = pps("--store", place, "list-job", "--json").json
    assert isinstance(listed, list)
    return [(job["id"], job["data_processed"], job["data_skipped"]) for job in listed]


def test_a_clone_goes_on_where_the_store_was(worked: Path, pfs: Run, pps: Run) -> None:
    pfs("create-key", "someone")
    (worked / "value").write_text("x")
    pps("create-secret", "token", "value=value")
    result = pfs("clone", ".", "two", "--json")
    done = result.json
    assert isinstance(done, dict)
    assert (done["name"], done["repos"], done["damaged"], done["keys"]) == ("clone", 2, [], 1)
    assert done["secrets"] == ["token"]
    assert done["sent_packs"] == done["packs"] > 0
    assert jobs(pps, "two") == jobs(pps, ".")
    pps("--store", "two", "run")
    assert [(processed, skipped) for _, processed, skipped in jobs(pps, "two")] == [(2, 0)]
    (worked / "c.txt").write_text("new\n")
    pfs("--store", "two", "put-file", "r@master", "-f", "c.txt")
    pps("--store", "two", "run")
    assert jobs(pps, "two")[0][1:] == (1, 2)
    assert pfs("--store", "two", "get-file", "count@master:/c.txt").out.strip() == "4"
    pfs("--store", "two", "get-file", "r@v1:/a.txt", "-o", "out")
    pfs("--store", "two", "fsck", "--deep")
    assert len(jobs(pps, ".")) == 1

    assert "exists" in pfs("clone", ".", "two", code=4).err
    assert "--region is for a DST in a bucket" in pfs("clone", ".", "three", "--region", "x", code=2).err
    assert "no store" in pfs("clone", "nowhere", "three", code=3).err


def test_what_stays_behind_is_said(store: Path, pfs: Run) -> None:
    pfs("create-key", "someone")
    result = pfs("clone", store / ".pfs", "two")
    assert "copied 1 repo to " in result.out
    assert result.err == "note: not copied: 1 S3 key and 0 secrets: make them again there\n"
    assert pfs("--store", "two", "list-key", "--json").json == []
    pfs("--store", "two", "create-key", "someone")


def test_to_a_bucket_and_on(bucket: World, worked: Path, pfs: Run, pps: Run) -> None:
    url = f"s3://{BUCKET}/{uuid4().hex}"
    pfs("clone", ".", url, "--endpoint", bucket.url)
    pfs("init", "far", "--backend", url, "--endpoint", bucket.url)
    assert jobs(pps, "far") == jobs(pps, ".")
    pps("--store", "far", "run")
    assert jobs(pps, "far") == jobs(pps, ".")
    pfs("clone", "far", "back")
    assert jobs(pps, "back") == jobs(pps, ".")
    assert pfs("--store", "back", "get-file", "count@master:/a.txt").out.strip() == "6"


def test_damage_is_named(worked: Path, pfs: Run) -> None:
    place = next((worked / ".pfs/objects/packs/m").rglob("*.pack"))
    data = bytearray(place.read_bytes())
    data[60] ^= 1
    place.chmod(0o644)
    place.write_bytes(data)
    assert place.name in pfs("clone", ".", "two", code=5).err


def test_push_and_pull(worked: Path, pfs: Run, pps: Run) -> None:
    pfs("init", "plain")
    sent = pfs("push", "plain", "--json").json
    assert isinstance(sent, list)
    assert [(one["repo"], one["branches"], one["tags"], one["commits"]) for one in sent] == [
        ("r", ["master"], ["v1"], 1),
        ("count", ["master"], [], 1),
    ]
    assert pps("--store", "plain", "list-pipeline", "--json").json == []
    assert pfs("--store", "plain", "get-file", "count@master:/a.txt").out.strip() == "6"
    assert pfs("--store", "plain", "list-commit", "count", "--json").json == pfs("list-commit", "count", "--json").json
    pfs("--store", "plain", "fsck", "--deep")
    assert pfs("push", "plain").out == "nothing to send: all of it is there\n"
    assert pfs("push", "plain", "--json").json == []

    (worked / "c.txt").write_text("new\n")
    pfs("--store", "plain", "put-file", "r@master", "-f", "c.txt")
    assert pfs("pull", "plain", "r@master").out == "r: master: 1 commit, 1 chunk (4 B)\n"
    pps("run")
    assert jobs(pps, ".")[0][1:] == (1, 2)
    assert pfs("pull", "plain", "r").out.startswith("nothing to send")
    assert "count: master: 1 commit" in pfs("push", "plain").out
    (worked / "d.txt").write_text("d")
    pfs("put-file", "r@master", "-f", "d.txt")
    pfs("--store", "plain", "put-file", "r@master", "-f", "c.txt")
    pfs("--store", "plain", "put-file", "r@master:/e", "-f", "d.txt")
    assert "r@master went another way" in pfs("push", "plain", code=4).err
    assert "r@master went another way" in pfs("pull", "plain", "r@master", code=4).err
    pfs("push", "plain", "r", "--force")
    assert "d.txt" in pfs("--store", "plain", "list-file", "r@master:/").out


def test_a_push_sets_pipelines_off_there(worked: Path, pfs: Run, pps: Run) -> None:
    pfs("clone", ".", "two")
    (worked / "c.txt").write_text("new\n")
    pfs("put-file", "r@master", "-f", "c.txt")
    pfs("push", "two", "r")
    pps("--store", "two", "run")
    assert jobs(pps, "two")[0][1:] == (1, 2)
    pps("run")
    assert "nothing to send" in pfs("pull", "two").out  # both made the same commit of the same input
    pfs("--store", "two", "put-file", "r@master:/d.txt", "-f", "c.txt")
    pps("--store", "two", "run")
    assert "count@master is the output of a pipeline" in pfs("pull", "two", code=4).err
    pfs("pull", "two", "r")
    pfs("--store", "two", "fsck", "--deep")


def test_what_push_refuses(worked: Path, pfs: Run) -> None:
    pfs("init", "plain")
    assert "a path is not wanted" in pfs("push", "plain", "r@master:/x", code=2).err
    assert "none" in pfs("push", "plain", "none", code=3).err
    assert "one store" in pfs("push", ".", code=2).err
    assert "no store" in pfs("push", "nowhere", code=3).err
    pfs("init", "coarse", "--chunk-avg", "1MiB")
    assert "other ids" in pfs("push", "coarse", code=2).err
