"""Specs of tasks made by hand, and the repo of runs that they read, as docs/design/workflows.md lays it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pps.model.infos import JobInfo
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input

RUNS = "w"
QUICK_S3 = """import hashlib, hmac, http.client, os, sys, time
def write(bucket, key, body):
    host, region = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"), os.environ["AWS_REGION"]
    now, path, digest = time.gmtime(), f"/{bucket}/{key}", hashlib.sha256(body).hexdigest()
    day, moment = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ", now)
    signed = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
    lines = "".join(f"{name}:{value}\\n" for name, value in signed.items())
    canonical = f"PUT\\n{path}\\n\\n{lines}\\n{';'.join(signed)}\\n{digest}"
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\\n{moment}\\n{scope}\\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (day, region, "s3", "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    who = f"Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={';'.join(signed)}"
    connection = http.client.HTTPConnection(host)
    connection.request("PUT", path, body, {**signed, "Authorization": f"AWS4-HMAC-SHA256 {who}, Signature={key.hex()}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(answer.read().decode())
"""
"""A function that puts an object, without the second that boto3 takes to be imported."""


@dataclass
class Tasks:
    """The tasks of the workflow ``w`` in a world; ``inputs`` are given as name, repo, glob and artifact."""

    world: World
    again: int = field(default=0)
    files: dict[str, bytes] = field(default_factory=dict)
    """Other files of each run."""

    def start(self, task: str, items: Mapping[str, Plain] | None = None, **params: Plain) -> None:
        """Commit a run in which ``task`` has a file for each item."""
        files = {
            f"/tasks/{task}/{name}": json.dumps({"params": params, "item": item, "again": self.again}).encode()
            for name, item in (items or {"all": None}).items()
        }
        runs = self.world.store.create_repo(RUNS, exist_ok=True)
        old = self.world.output(RUNS) if next(runs.commits(), None) is not None else {}
        gone = {path: None for path in old if path.startswith(f"/tasks/{task}/") and path not in files}
        self.world.put(RUNS, {**gone, **self.files, **files})

    def create(
        self,
        task: str,
        command: str | Sequence[str],
        *given: dict[str, Plain],
        inputs: Sequence[dict[str, Plain]] = (),
        outputs: Sequence[dict[str, Plain]] = (),
        transform: Mapping[str, Plain] | None = None,
        egress: Sequence[dict[str, Plain]] = (),
        limits: Mapping[str, Plain] | None = None,
        **fields: Plain,
    ) -> None:
        """Make the pipeline of a task: a text is for the shell; ``given`` are inputs beside that of the run."""
        shell = isinstance(command, str)
        cmd = ["sh", "-ec", command] if isinstance(command, str) else list(command)
        made: dict[str, Plain] = {"workflow": RUNS, "name": task, "shell": shell, **fields}
        made |= {"inputs": list(inputs), "outputs": list(outputs)}
        run = pfs_input(RUNS, f"/tasks/{task}/*", name="workflow")
        whole: Plain = {"cross": [run, *given]}
        more: dict[str, Plain] = {"datum_tries": 1, "egress": list(egress), "resource_limits": dict(limits or {})}
        self.world.create(f"{RUNS}-{task}", whole, cmd, {"task": made, **(transform or {})}, **more)

    def told(self, job: JobInfo) -> str:
        """Return why the datums of a job failed and what they wrote."""
        rows = self.world.jobs.datums(job.pipeline, job.id)
        return "\n".join(f"{one.reason}\n{one.log_tail}" for one in rows)

    def well(self, task: str) -> dict[str, bytes]:
        """Do what is due of a task, which is one job, and return its output."""
        job = self.world.run_one(f"{RUNS}-{task}")
        assert job.state == "success", f"{job.reason}\n{self.told(job)}"
        return self.world.output(f"{RUNS}-{task}")

    def badly(self, task: str) -> str:
        """Do what is due of a task, which fails; return why."""
        job = self.world.run_one(f"{RUNS}-{task}")
        assert job.state == "failure"
        return f"{job.reason}\n{self.told(job)}"


def out(name: str, path: str, **more: Plain) -> dict[str, Plain]:
    return {"name": name, "path": path, **more}
