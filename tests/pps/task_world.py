"""Specs of tasks made by hand, and the repo of runs that they read, as docs/design/workflows.md lays it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pps.model.infos import JobInfo
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input

RUNS = "w"


@dataclass
class Tasks:
    """The tasks of the workflow ``w`` in a world; ``inputs`` are given as name, repo, glob and artifact."""

    world: World
    again: int = field(default=0)

    def start(self, task: str, items: Mapping[str, Plain] | None = None, **params: Plain) -> None:
        """Commit a run in which ``task`` has a file for each item."""
        files = {
            f"/tasks/{task}/{name}": json.dumps({"params": params, "item": item, "again": self.again}).encode()
            for name, item in (items or {"all": None}).items()
        }
        self.world.put(RUNS, dict(files))

    def create(
        self,
        task: str,
        command: str | Sequence[str],
        *given: dict[str, Plain],
        inputs: Sequence[dict[str, Plain]] = (),
        outputs: Sequence[dict[str, Plain]] = (),
        transform: Mapping[str, Plain] | None = None,
        egress: Sequence[dict[str, Plain]] = (),
        **fields: Plain,
    ) -> None:
        """Make the pipeline of a task: a text is for the shell; ``given`` are inputs beside that of the run."""
        shell = isinstance(command, str)
        cmd = ["sh", "-ec", command] if isinstance(command, str) else list(command)
        made: dict[str, Plain] = {"workflow": RUNS, "name": task, "shell": shell, **fields}
        made |= {"inputs": list(inputs), "outputs": list(outputs)}
        run = pfs_input(RUNS, f"/tasks/{task}/*", name="workflow")
        whole: Plain = {"cross": [run, *given]}
        self.world.create(
            f"{RUNS}-{task}", whole, cmd, {"task": made, **(transform or {})}, datum_tries=1, egress=list(egress)
        )

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
