"""Commands on datums."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SPEC = {
    "pipeline": {"name": "p"},
    "transform": {"cmd": ["true"]},
    "input": {"join": [{"pfs": {"repo": "r", "glob": "/(*).csv", "join_on": "$1", "outer_join": True}}]},
}


@pytest.mark.row("2.8 list-datum of a spec", "4 list datum of a spec")
def test_the_datums_of_a_spec_are_listed_before_the_pipeline_exists(store: Path, pfs: Run, pps: Run) -> None:
    Path("p.json").write_text(json.dumps(SPEC))
    assert "r@master has no commit yet" in pps("list-datum", "-f", "p.json").err
    Path("q.json").write_text(json.dumps(SPEC).replace('"repo": "r"', '"repo": "nosuch"'))
    assert "nosuch" in pps("list-datum", "-f", "q.json", code=3).err
    Path("x.csv").write_text("1,2")
    pfs("put-file", "r@master:/x.csv", "-f", "x.csv")
    (shown,) = pps("list-datum", "-f", "p.json", "--json").json
    assert [(one["name"], one["repo"], one["branch"], one["path"]) for one in shown["inputs"]] == [
        ("r", "r", "master", "/x.csv")
    ]
    assert shown["input_bytes"] == 3
    assert "r:/x.csv" in pps("list-datum", "-f", "p.json").out


@pytest.mark.parametrize(
    ("given", "empty"),
    [
        ({"cron": {"name": "c", "spec": "@daily"}}, "p_c@master"),
        ({"pfs": {"repo": "r", "branch": "later", "glob": "/*"}}, "r@later"),
        ({"pfs": {"repo": "r", "trigger": {"branch": "later", "commits": 2}, "glob": "/*"}}, "r@p-trigger-1"),
        ({"pfs": {"repo": "bare", "glob": "/*"}}, "bare@master"),
    ],
)
def test_inputs_without_a_commit_have_no_datums(
    store: Path, pfs: Run, pps: Run, given: dict[str, object], empty: str
) -> None:
    pfs("create-repo", "bare")
    Path("x.csv").write_text("1,2")
    pfs("put-file", "r@master:/x.csv", "-f", "x.csv")
    leaf = {"pfs": {"name": "there", "repo": "r", "glob": "/*"}}
    Path("p.json").write_text(json.dumps({**SPEC, "input": {"cross": [leaf, given]}}))
    listed = pps("list-datum", "-f", "p.json", "--json")
    assert listed.json == []
    assert f"note: {empty} has no commit yet" in listed.err
    Path("p.json").write_text(json.dumps({**SPEC, "input": {"union": [leaf, given]}}))
    assert len(pps("list-datum", "-f", "p.json", "--json").json) == 1


def test_a_trigger_is_read_at_the_head_of_what_it_follows(store: Path, pfs: Run, pps: Run) -> None:
    Path("x.csv").write_text("1,2")
    pfs("put-file", "r@master:/x.csv", "-f", "x.csv")
    given = {"pfs": {"repo": "r", "trigger": {"commits": 2}, "glob": "/*"}}
    Path("p.json").write_text(json.dumps({**SPEC, "input": given}))
    (shown,) = pps("list-datum", "-f", "p.json", "--json").json
    assert [(one["branch"], one["path"]) for one in shown["inputs"]] == [("p-trigger-1", "/x.csv")]


def test_a_job_or_a_spec_is_wanted_and_only_one_pipeline(store: Path, pps: Run) -> None:
    assert "PIPELINE@JOB" in pps("list-datum", code=2).err
    assert "PIPELINE@JOB" in pps("list-datum", "p@1", "-f", "p.json", code=2).err
    Path("p.json").write_text(json.dumps([SPEC, {**SPEC, "pipeline": {"name": "q"}}]))
    assert "has 2 pipelines" in pps("list-datum", "-f", "p.json", code=2).err
