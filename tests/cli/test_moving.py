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
