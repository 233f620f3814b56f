"""Regression: tables are split into train and test, a model is learnt from each split and tested."""

from __future__ import annotations

import json
import random

import pytest

from tests.dags.conftest import Dag


def table(seed: int, rows: int) -> str:
    """Return houses whose price is 9 for a room, less 0.5 for a percent of poverty, and some noise."""
    source = random.Random(seed)
    lines = ["RM,LSTAT,PTRATIO,MEDV\n"]
    for _ in range(rows):
        rooms, poor, pupils = source.uniform(4, 9), source.uniform(2, 30), source.uniform(12, 22)
        lines.append(f"{rooms:.3f},{poor:.2f},{pupils:.1f},{9 * rooms - poor / 2 - 20 + source.gauss(0, 0.3):.2f}\n")
    return "".join(lines)


def test_a_model_for_each_table_is_learnt_and_tested(dag: Dag) -> None:
    dag.pfs("create-repo", "housing_data")
    dag.create("split.json", "regression.json")
    dag.put("housing_data@master", {"boston.csv": table(1, 100)})
    dag.pps("run")
    assert dag.progress("split") == dag.progress("regression") == ["1 + 0 / 1 success"]
    split = dag.files("split@master")
    assert {name: text.count("\n") for name, text in split.items()} == {"boston/test.csv": 21, "boston/train.csv": 81}
    found = dag.files("regression@master")
    assert sorted(found) == ["boston/model.json", "boston/test.json"]
    assert json.loads(found["boston/model.json"])["RM"] == pytest.approx(9, abs=0.2)
    test = json.loads(found["boston/test.json"])
    assert test["rows"] == 20
    assert test["r2"] > 0.95

    dag.put("housing_data@master", {"salem.csv": table(2, 50)})
    dag.pps("run")
    assert dag.progress("regression")[1:] == ["1 + 1 / 2 success"], "the first table is not learnt again"
    after = dag.files("regression@master")
    assert after["boston/model.json"] == found["boston/model.json"]
    assert json.loads(after["salem/test.json"])["rows"] == 10

    text = dag.folder.joinpath("split.json").read_text()
    dag.folder.joinpath("split.json").write_text(text.replace('"0.2"', '"0.5"'))
    dag.pps("update-pipeline", "-f", "split.json")
    dag.pps("run")
    assert dag.progress("split")[2:] == dag.progress("regression")[2:] == ["2 + 0 / 2 success"]
    assert json.loads(dag.files("regression@master")["boston/test.json"])["rows"] == 50
