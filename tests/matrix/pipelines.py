"""Scenarios of pipelines: their specs, the end of their jobs, and runs of workflow files."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pfs.backends.base import Backend
from pfs.store import Store
from pps.controller import Controller
from pps.jobs.jobs import Jobs
from pps.model.catalog import Catalog
from pps.pipelines.pipelines import Pipelines
from pps.scheduling.queue import due_jobs
from pps.secret_store import Secrets
from pps.spec import Spec, parse_specs
from pps.testing.instant import InstantExecutor
from pps.workflows.infos import list_runs
from pps.workflows.parse import parse_workflow
from pps.workflows.plan import Asked
from pps.workflows.runs import start_run
from tests.matrix.place import Place
from tests.matrix.scenario import Scenario, over
from tests.matrix.state import State, visible
from tests.matrix.world import put, text

WORKFLOW = """\
name: w
tasks:
- {name: a, command: "echo a > o", outputs: [{name: o, path: o}]}
- {name: b, command: "cat {{tasks.a.outputs.o.path}}"}
"""


def spec(name: str = "p", repo: str = "images", **more: Any) -> Spec:
    document = {
        "pipeline": {"name": name},
        "transform": {"cmd": ["true"]},
        "input": {"pfs": {"repo": repo, "glob": "/*"}},
        **more,
    }
    (found,) = parse_specs(json.dumps(document), name=f"{name}.json")
    return found


def images(store: Store, _: Path) -> None:
    put(store.create_repo("images"), "master", {f"/{name}": text(name) for name in "abc"})


def piped(store: Store, top: Path) -> None:
    """Have a pipeline that has done a job, and one downstream of it."""
    done(store, top)
    Pipelines(store).create(spec("q", "p"), base_dir=top)
    _run(store)


def done(store: Store, top: Path) -> None:
    images(store, top)
    Pipelines(store).create(spec(), base_dir=top)
    _run(store)


def due(store: Store, top: Path) -> None:
    """Have a job to do: one datum new, one gone."""
    done(store, top)
    put(store.repo("images"), "master", {"/d": text("d"), "/a": None})


def _run(store: Store) -> None:
    Controller(store, lambda _: InstantExecutor(store), isolation="none", checkpoint_s=0.0).run_pending()


def run_pending(place: Place, backend: Backend) -> None:
    with place.open(backend) as store:
        _run(store)


def shown(store: Store, known: Collection[str]) -> State:
    """Return the users' repos, all pipelines with their jobs, what is due, and secrets.

    A repo without commits that belongs to no pipeline is left out: that is what a killed `create-pipeline` may leave,
    and what the next one takes.
    """
    listed = Pipelines(store).list()
    names = {one.name for one in listed}
    found = {name: value for name, value in visible(store, known).items() if name in names or _has_commits(store, name)}
    found["(pipelines)"] = [(one.name, one.version, one.state) for one in listed]
    for one in listed:
        jobs = [(job.state, job.data_total, job.data_processed, job.data_skipped) for job in Jobs(store).jobs(one.name)]
        found[f"(jobs of {one.name})"] = jobs
    found["(due)"] = _due(store)
    found["(secrets)"] = {one.name: Secrets(store).values(one.name) for one in Secrets(store).list()}
    return found


def runs(store: Store, _: Collection[str]) -> State:
    """Return what a workflow has to do: pipelines that have no run yet do nothing by themselves."""
    due = _due(store)
    return {"runs": sum(1 for _ in list_runs(store, "w")) if due else 0, "due": due}


def _has_commits(store: Store, name: str) -> bool:
    return name.startswith("(") or next(store.repo(name).commits(), None) is not None


def _due(store: Store) -> dict[str, int]:
    return {name: len(jobs) for name, jobs in due_jobs(store, Catalog(store).all(), {}).items() if jobs}


def workflow(place: Place, backend: Backend) -> None:
    code = place.top / "code"
    with place.open(backend) as store:
        start_run(store, parse_workflow(WORKFLOW), Asked(code))


def workflow_code(store: Store, top: Path) -> None:
    images(store, top)
    (top / "code").mkdir()
    (top / "code" / "x.py").write_text("code of the tasks\n")


def _piped(name: str, work: Any, prepare: Any = piped, **more: Any) -> Scenario:
    return Scenario(name, over(work), prepare, show=shown, **more)


def _secret(store: Store) -> None:
    Secrets(store).create("key", {"value": b"secret"}, replace=True)


def _create(store: Store) -> None:
    Pipelines(store).create(spec(), base_dir=store.path)


def _update(store: Store) -> None:
    Pipelines(store).update(spec(description="another"), base_dir=store.path)


SCENARIOS = (
    _piped("create-pipeline", _create, images),
    _piped("update-pipeline", _update),
    _piped("stop-pipeline", lambda store: Pipelines(store).stop("q")),
    _piped("rerun-pipeline", lambda store: Pipelines(store).rerun("q", reprocess=True)),
    _piped("delete-pipeline", lambda store: Pipelines(store).delete("q")),
    Scenario("pps run: job of a pipeline", run_pending, due, show=shown),
    Scenario("run-workflow: begin a run", workflow, workflow_code, show=runs),
    _piped("create-secret", _secret),
)
