"""A step as Kubeflow has them: a plain script with minio-py that gets an S3 endpoint and knows nothing of pfs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.dags.conftest import create, texts
from tests.pps.pipe_world import World


def images(**digits: list[list[int]]) -> dict[str, bytes | None]:
    return {
        f"/{digit.removeprefix('d')}/{number}.json": json.dumps(pixels).encode()
        for digit, found in digits.items()
        for number, pixels in enumerate(found)
    }


def test_a_plain_script_with_minio_trains_over_s3(world: World) -> None:
    world.put("input-repo", images(d0=[[0, 2], [4, 6]], d7=[[9, 9]]))
    create(world.store, world.folder, "pipeline.yaml")
    job = world.run_one()
    assert job.state == "success", [datum.log_tail for datum in world.jobs.datums("mnist", job.id)]
    assert texts(world, "mnist") == {
        "model/0.json": '{"images": 2, "mean": 3.0}',
        "model/7.json": '{"images": 1, "mean": 9.0}',
    }
    sources = {(one.repo, one.branch) for one in world.store.repo("mnist").inspect("master").provenance}
    assert ("input-repo", "master") in sources
    world.put("input-repo", images(d7=[[1, 1]]))
    world.run_one()
    assert texts(world, "mnist")["model/7.json"] == '{"images": 1, "mean": 1.0}'


def test_the_script_does_not_import_pfs() -> None:
    tree = ast.parse(Path(__file__).with_name("kubeflow").joinpath("train.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert modules == {"io", "json", "os", "urllib.parse", "minio"}
