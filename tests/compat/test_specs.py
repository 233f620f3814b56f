"""What specs may say (docs/compatibility.md, 2.1 to 2.3): what no test beside the reader's own shows."""

from __future__ import annotations

import json

import pytest

from pfs.errors import InvalidInputError
from pps.spec import PfsInput, Spec, parse_specs
from pps.spec.node import Plain

LEAF: Plain = {"pfs": {"repo": "images", "glob": "/*"}}


def read(**fields: Plain) -> Spec:
    document = {"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}, "input": LEAF, **fields}
    (spec,) = parse_specs(json.dumps(document), name="p.json")
    return spec


def refused(**fields: Plain) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read(**fields)
    return str(caught.value)


@pytest.mark.row("2.1 null")
def test_null_is_as_if_it_were_not_there() -> None:
    leaf: Plain = {"pfs": {"repo": "images", "glob": "/*", "trigger": None, "name": None}, "cross": None}
    spec = read(datumTries=None, service=None, egress=None, transform={"cmd": ["true"], "env": None}, input=leaf)
    assert (spec.input, spec.datum_tries, spec.transform.env) == (read().input, 3, {})
    assert spec.notes == ()


@pytest.mark.row("2.2 tf_job", "2.2 transform.build", "2.3 input.git", "2.3 input.atom", "2.3 cron.commit")
@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"tf_job": {"tf_job": "{}"}}, "'tf_job' of pipeline spec is not supported, nor is it by Pachyderm"),
        (
            {"transform": {"cmd": ["x"], "build": {"path": "."}}},
            "the field 'build' of transform does not exist any more",
        ),
        ({"input": {"git": {"URL": "https://localhost/x.git"}}}, "the field 'git' of input does not exist any more"),
        ({"input": {"atom": {"repo": "r", "glob": "/"}}}, "the field 'atom' of input does not exist any more"),
        ({"input": {"cron": {"name": "t", "spec": "@daily", "commit": "ab"}}}, "'commit' of cron cannot be given"),
    ],
)
def test_what_pachyderm_does_not_take_either(fields: dict[str, Plain], what: str) -> None:
    assert what in refused(**fields)


@pytest.mark.row("2.1 image tags")
@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("opencv", True),
        ("pachyderm/opencv", True),
        ("localhost:5000/opencv", True),
        ("opencv:latest", True),
        ("opencv:1.0", False),
        ("localhost:5000/pachyderm/opencv:1.0", False),
        ("opencv@sha256:" + "0" * 64, False),
    ],
)
def test_an_image_without_a_tag_is_told(image: str, told: bool) -> None:
    (note,) = read(transform={"cmd": ["true"], "image": image}).notes
    assert ("without a tag but latest" in note) == told


@pytest.mark.row("2.3 pfs.name")
def test_an_input_is_called_like_its_repo_unless_it_has_a_name() -> None:
    assert read().input == PfsInput("images", "images", glob="/*")
    assert read(input={"pfs": {"repo": "images", "name": "in", "glob": "/*"}}).input == PfsInput(
        "in", "images", glob="/*"
    )


def test_a_spec_as_pachyderm_prints_it() -> None:
    """With all defaults, in camelCase, numbers as texts, and the project as a mapping."""
    spec = read(
        pipeline={"project": {"name": "default"}, "name": "p"},
        transform={"image": "ubuntu:20.04", "cmd": ["sh"], "stdin": ["true"]},
        input={"pfs": {"project": "default", "name": "images", "repo": "images", "branch": "master", "glob": "/*"}},
        outputBranch="master",
        datumTries="3",
        reprocessSpec="until_success",
        parallelismSpec={"constant": "1"},
        sidecarResourceRequests={"cpu": 1, "memory": "256M", "disk": "1Gi"},
        salt="4a3f",
        autoscaling=False,
    )
    assert (spec.datum_tries, spec.parallelism, spec.salt, spec.input) == (3, 1, "4a3f", read().input)
    assert not [note for note in spec.notes if "project" in note]
    elsewhere = read(pipeline={"project": {"name": "mine"}, "name": "p"})
    assert elsewhere.notes == ("pipeline.project: has no effect: there are no projects",)
