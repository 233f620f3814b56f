"""A machine is lost with its disk; the bucket and the credentials are enough to go on, with pipelines and history."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cli.diagnosis import diagnose
from pfs import open as pfs_open
from pps.jobs.jobs import Jobs
from tests.cli.conftest import Run
from tests.pfs.bucket_world import BUCKET, World

WC = 'for f in /pfs/r/*; do wc -c < "$f" > "/pfs/out/$(basename "$f")"; done; echo counted'
OVER_S3 = (
    "import boto3, os; c = boto3.client('s3', endpoint_url=os.environ['S3_ENDPOINT']);"
    "c.put_object(Bucket='out', Key='n', Body=str(c.list_objects_v2(Bucket='in')['KeyCount']).encode())"
)
SPECS: list[dict[str, Any]] = [
    {
        "pipeline": {"name": "single"},
        "input": {"pfs": {"repo": "r", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": [WC]},
    },
    {
        "pipeline": {"name": "crossed"},
        "input": {
            "cross": [
                {"pfs": {"repo": "r", "glob": "/*", "name": "a"}},
                {"pfs": {"repo": "q", "glob": "/*", "name": "b"}},
            ]
        },
        "transform": {"cmd": ["sh"], "stdin": ["cat /pfs/a/* /pfs/b/* > /pfs/out/$(ls /pfs/a)-$(ls /pfs/b)"]},
    },
    {
        "pipeline": {"name": "joined"},
        "input": {
            "join": [
                {"pfs": {"repo": "r", "glob": "/(*).txt", "join_on": "$1", "name": "a"}},
                {"pfs": {"repo": "q", "glob": "/(*).txt", "join_on": "$1", "name": "b"}},
            ]
        },
        "transform": {"cmd": ["sh"], "stdin": ["cat /pfs/a/* /pfs/b/* > /pfs/out/$(ls /pfs/a)"]},
    },
    {
        "pipeline": {"name": "below"},
        "input": {"pfs": {"repo": "single", "glob": "/"}},
        "transform": {"cmd": ["sh"], "stdin": ["cat /pfs/single/* > /pfs/out/all"]},
    },
    {
        "pipeline": {"name": "over"},
        "input": {"pfs": {"repo": "r", "glob": "/", "s3": True, "name": "in"}},
        "s3_out": True,
        "transform": {"cmd": ["python3", "-c", OVER_S3]},
    },
    {
        "pipeline": {"name": "ticks"},
        "input": {"cron": {"name": "t", "spec": "@every 8760h"}},
        "transform": {"cmd": ["sh"], "stdin": ["ls /pfs/t > /pfs/out/ticks"]},
    },
    {
        "pipeline": {"name": "sealed"},
        "input": {"pfs": {"repo": "q", "glob": "/"}},
        "transform": {
            "cmd": ["sh"],
            "stdin": ["echo $TOKEN > /pfs/out/t"],
            "secrets": [{"name": "tok", "env_var": "TOKEN", "key": "value"}],
        },
    },
    {
        "pipeline": {"name": "triggered"},
        "input": {"pfs": {"repo": "r", "glob": "/", "branch": "staged", "trigger": {"branch": "master", "commits": 2}}},
        "transform": {"cmd": ["sh"], "stdin": ["ls /pfs/r > /pfs/out/l"]},
    },
    {
        "pipeline": {"name": "fails"},
        "input": {"pfs": {"repo": "q", "glob": "/"}},
        "transform": {"cmd": ["sh"], "stdin": ["echo no; exit 3"]},
        "datum_tries": 1,
    },
    {
        "pipeline": {"name": "served"},
        "input": {"pfs": {"repo": "q", "glob": "/"}},
        "service": {"internal_port": 8000},
        "transform": {"cmd": ["python3", "-m", "http.server", "8000"]},
    },
]
FEW = ("single", "triggered", "sealed")
WORKFLOW = """\
version: 1.0
name: flow
on:
  schedule: "0 3 * * *"
tasks:
  - name: gen
    command: mkdir -p /tmp/o; echo data > /tmp/o/x.csv
    outputs:
      - {name: csv, path: /tmp/o/x.csv, type: file}
  - name: use
    command: wc -c {{tasks.gen.outputs.csv.path}} > /tmp/n.txt
    inputs:
      - {name: csv, path: /tmp/in.csv, type: file}
    outputs:
      - {name: n, path: /tmp/n.txt, type: file}
"""
PFS = ("list-repo", "list-branch r", "list-tag r", "list-commit r", "set-retention r")
PPS = ("list-pipeline", "list-job", "list-job-set", "list-workflow", "list-artifact")


def shown(pfs: Run, pps: Run) -> dict[str, object]:
    """Return all that the commands tell of the store."""
    told = {line: pfs(*line.split(), "--json").json for line in PFS}
    told |= {
        line: pps(*line.split(), "--json").json
        for line in (*PPS, "list-secret", "inspect-pipeline triggered", "lineage single@master:/1.txt")
    }
    told["runs"] = pps("list-run", "flow", "--json").json if told["list-workflow"] else None
    told["defaults"] = pps("get-defaults").out
    with pfs_open() as store:
        jobs = Jobs(store)
        for job in list(jobs.jobs()):
            told[f"datums of {job.pipeline}@{job.id}"] = list(jobs.datums(job.pipeline, job.id))
        told["logs"] = [list(jobs.logs(name)) for name in ("single", "sealed")]
    return told


def found() -> str:
    return str([finding["detail"] for finding in diagnose(None)])


def newest(pps: Run) -> dict[str, tuple[int, int]]:
    """Return of the newest job of each pipeline how many datums ran, and how many were skipped."""
    jobs = pps("list-job", "--json").json
    assert isinstance(jobs, list)
    return {job["pipeline"]: (job["data_processed"], job["data_skipped"]) for job in reversed(jobs)}


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.long)])
def all_kinds(request: pytest.FixtureRequest, bucket: World) -> bool:
    """Whether there are pipelines of all kinds and a workflow: where there is time, and against a real server."""
    return bool(request.param) or bucket.is_other


@pytest.mark.s3
def test_what_a_new_machine_has(
    bucket: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run, all_kinds: bool
) -> None:
    specs = SPECS if all_kinds else [spec for spec in SPECS if spec["pipeline"]["name"] in FEW]
    url = f"s3://{BUCKET}/{uuid4().hex}"

    def machine(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(folder / "home"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "caches"))
        return folder

    one = machine("one")
    pfs("init", "--backend", url, "--endpoint", bucket.url)
    for name in ("1.txt", "2.txt", "3.txt", "4.txt"):
        (one / name).write_text(f"{name}\n")
    pfs("put-file", "r@master", "-f", "1.txt", "-f", "2.txt", code=3)
    for repo in ("r", "q"):
        pfs("create-repo", repo)
    pfs("put-file", "r@master", "-f", "1.txt", "-f", "2.txt")
    pfs("put-file", "q@master", "-f", "1.txt", "-f", "3.txt")
    pfs("create-tag", "r@v1", "master")
    pfs("create-key", "someone")
    (one / "token").write_text("xyz")
    pps("create-secret", "tok", "--from-file", "value=token")
    (one / "specs.json").write_text("\n".join(json.dumps(spec) for spec in specs))
    pps("create-pipeline", "-f", "specs.json")
    (one / "defaults.json").write_text('{"createPipelineRequest": {"datumTries": "2"}}')
    pps("set-defaults", "-f", "defaults.json")
    pfs("set-retention", "r", "--keep-last", "50")
    (one / "flow.yaml").write_text(WORKFLOW)
    if all_kinds:
        pps("install-workflow", "-f", "flow.yaml")
    pps("run", code=1 if all_kinds else 0)
    if all_kinds:
        pps("run-cron", "ticks")
    pfs("put-file", "r@master", "-f", "3.txt")
    pps("run")
    before = shown(pfs, pps)
    root_key = (one / ".pfs/root-key").read_bytes()
    shutil.copy(one / "4.txt", tmp_path)
    shutil.rmtree(one)

    two = machine("two")
    done = pfs("init", "--backend", url, "--endpoint", bucket.url)
    assert "of another root key, so of no use here: secret tok, S3 key someone" in done.err
    assert "secret tok, S3 key someone: of another root key" in found()
    assert shown(pfs, pps) == before
    pps("run")
    assert pps("list-job", "--json").json == before["list-job"]
    pfs("put-file", "r@master", "-f", tmp_path / "4.txt")
    pps("run")
    after = newest(pps)
    assert after["single"] == (1, 3)
    if all_kinds:
        assert (after["crossed"], after["joined"]) == ((2, 6), (0, 2))
        assert pfs("get-file", "over@master:/n").out == "4"
    pfs("put-file", "q@master", "-f", tmp_path / "4.txt")
    said = pps("run", "sealed", code=1)
    assert "secret 'tok' is not of this root key" in said.out + said.err

    (two / ".pfs/root-key").write_bytes(root_key)
    assert "another root key" not in found()
    pps("rerun-pipeline", "sealed")
    pps("run", "sealed")
    assert pfs("get-file", "sealed@master:/t").out == "xyz\n"

    machine("three")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    listed = pps("--store", url, "list-job", "--json").json
    assert listed == pps("--store", str(two), "list-job", "--json").json
    pfs("--store", url, "recover")
    pfs("--store", url, "fsck", "--deep")
