"""Hyperparameters: a model for each combination of parameters, each is tested, the best is selected."""

from __future__ import annotations

import json
import random

import pytest

from tests.dags.conftest import create
from tests.pps.pipe_world import World


def points() -> bytes:
    """Return 100 points of a cubic with little noise."""
    source = random.Random(7)
    lines = []
    for _ in range(100):
        x = source.uniform(-1, 1)
        lines.append(f"{x},{2 * x**3 - x + 0.5 + source.gauss(0, 0.01)}\n")
    return "".join(lines).encode()


def parameters(**values: dict[str, str]) -> dict[str, bytes | None]:
    return {f"/{kind}/{name}": text.encode() for kind, files in values.items() for name, text in files.items()}


@pytest.fixture
def tuning(world: World) -> World:
    world.put("raw_data", {"/points.csv": points()})
    world.put("parameters", parameters(degree={"0": "1", "1": "2"}, ridge={"0": "0.001", "1": "10"}))
    create(world.store, world.folder, "dag.json")
    world.run()
    return world


def selected(world: World) -> str:
    (name,) = world.output("select")
    return name


def counts(world: World) -> dict[str, tuple[int, int, int]]:
    """Return processed, skipped and total of the newest job of each pipeline."""
    found = {}
    for job in reversed(list(world.jobs.jobs())):
        assert job.state == "success", job
        found[job.pipeline] = (job.data_processed, job.data_skipped, job.data_total)
    return found


def test_a_model_for_each_combination_and_the_best_of_them(tuning: World) -> None:
    assert counts(tuning) == {"split": (1, 0, 1), "model": (4, 0, 4), "test": (4, 0, 4), "select": (1, 0, 1)}
    names = ["model_D1_R0.001", "model_D1_R10", "model_D2_R0.001", "model_D2_R10"]
    assert sorted(tuning.output("model")) == [f"/{name}.json" for name in names]
    errors = {path: float(data) for path, data in tuning.output("test").items()}
    best = min(errors, key=errors.__getitem__)
    assert selected(tuning) == best.replace("_metric.txt", ".json")
    assert tuning.output("select")[selected(tuning)] == tuning.output("model")[selected(tuning)]


def test_another_parameter_trains_only_its_own_combinations(tuning: World) -> None:
    tuning.put("parameters", parameters(degree={"2": "3"}))
    tuning.run()
    assert counts(tuning) == {"split": (1, 0, 1), "model": (2, 4, 6), "test": (2, 4, 6), "select": (1, 0, 1)}
    assert selected(tuning) == "/model_D3_R0.001.json", "the data is of degree 3"
    model = json.loads(tuning.output("select")[selected(tuning)])
    assert model["weights"] == pytest.approx([2, 0, -1, 0.5], abs=0.05)
    tuning.put("parameters", {"/degree/2": None, "/ridge/1": None})
    tuning.run()
    assert counts(tuning)["model"] == (0, 2, 2)
    assert sorted(tuning.output("test")) == ["/model_D1_R0.001_metric.txt", "/model_D2_R0.001_metric.txt"]


def test_data_and_parameters_of_a_transaction_are_one_job(tuning: World) -> None:
    before = len(list(tuning.jobs.jobs("model")))
    with tuning.store.transaction() as change:
        with change.repo("raw_data").commit("master") as commit:
            commit.put_file("/points.csv", b"0,0.5\n" + points())
        with change.repo("parameters").commit("master") as commit:
            commit.put_file("/ridge/1", b"0.1")
    tuning.run()
    assert len(list(tuning.jobs.jobs("model"))) == before + 1
    assert counts(tuning) == {"split": (1, 0, 1), "model": (4, 0, 4), "test": (4, 0, 4), "select": (1, 0, 1)}
    heads = {tuning.store.repo(name).inspect("master").id for name in ("raw_data", "parameters", "select")}
    assert len(heads) == 1, "one id for all that the transaction brought about"
