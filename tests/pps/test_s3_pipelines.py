"""Pipelines that read and write over S3: the real engine, commands that know only S3 clients."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pps.spec_node import Plain
from tests.pps.pipe_world import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as found:
        yield found


def s3_input(repo: str, **more: Plain) -> dict[str, Plain]:
    return {"pfs": {"repo": repo, "s3": True, **more}}


HEAD = """import boto3, os
s3 = boto3.client("s3")
"""


def test_boto3_alone_reads_and_writes(world: World) -> None:
    world.put("images", {"/a.txt": b"one", "/sub/b.txt": b"two"})
    world.code(
        "work.py",
        HEAD
        + """
assert sorted(os.listdir("/pfs/images")) == [] if os.path.isdir("/pfs") else True
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="images"):
    for one in page["Contents"]:
        body = s3.get_object(Bucket="images", Key=one["Key"])["Body"].read()
        s3.put_object(Bucket="out", Key=one["Key"], Body=body.upper(), ContentType="text/x-loud", Metadata={"by": "me"})
""",
    )
    world.create("loud", s3_input("images"), [sys.executable, "work.py"], s3_out=True)
    job = world.run_one()
    assert job.state == "success", [world.jobs.datums("loud", job.id)]
    assert world.output("loud") == {"/a.txt": b"ONE", "/sub/b.txt": b"TWO"}
