"""The S3 fields of specs: how they are written, and what does not go with them; errors name the rule."""

from __future__ import annotations

import json

import pytest

from pps.spec import CrossInput, PfsInput
from pps.spec.node import Plain
from tests.pps.test_spec import one, refused

DOCUMENTED = """{
  "pipeline": {"name": "test"},
  "input": {"pfs": {"glob": "/", "repo": "s3://images", "s3": "true"}},
  "transform": {"cmd": ["python3", "/"], "image": "pachyderm/opencv"},
  "s3_out": true
}"""
LEAF: dict[str, Plain] = {"repo": "a", "glob": "/", "s3": True}
PLAIN: dict[str, Plain] = {"repo": "b", "glob": "/(*)", "join_on": "$1", "group_by": "$1"}


def text_of(given: Plain, **fields: Plain) -> str:
    return json.dumps({"pipeline": {"name": "p"}, "transform": {"cmd": ["x"]}, "input": given, **fields})


def test_the_example_of_pachyderms_documentation_is_taken() -> None:
    spec = one(DOCUMENTED)
    assert spec.input == PfsInput("images", "images", glob="/", s3=True)
    assert spec.s3_out


@pytest.mark.parametrize(
    "leaf",
    [
        {"repo": "a", "s3": True},
        {"repo": "a", "s3": "true", "glob": ""},
        {"repo": "s3://a"},
        {"repo": "s3://a/", "glob": "/"},
        {"repo": "s3://a", "s3": "false"},
    ],
)
def test_an_input_over_s3_is_spelt_in_many_ways(leaf: Plain) -> None:
    assert one(text_of({"pfs": leaf})).input == PfsInput("a", "a", glob="/", s3=True)


def test_s3_false_is_a_plain_input() -> None:
    spec = one(text_of({"pfs": {"repo": "a", "glob": "/*", "s3": "false"}}, s3Out="false"))
    assert spec.input == PfsInput("a", "a", glob="/*")
    assert not spec.s3_out


@pytest.mark.row("2.3 S3 leaves")
def test_a_cross_takes_it_beside_inputs_of_any_glob() -> None:
    spec = one(text_of({"cross": [{"pfs": {"repo": "b", "glob": "/*"}}, {"pfs": LEAF}, {"pfs": {"repo": "s3://c"}}]}))
    assert isinstance(spec.input, CrossInput)
    assert [child.s3 for child in spec.input.children if isinstance(child, PfsInput)] == [True, False, True]


@pytest.mark.parametrize("kind", ["join", "union", "group"])
@pytest.mark.row("2.3 S3 leaves")
def test_it_is_in_no_join_union_or_group(kind: str) -> None:
    assert f"an S3 input cannot be in a {kind}" in refused(text_of({kind: [{"pfs": LEAF}, {"pfs": PLAIN}]}))
    nested: Plain = {kind: [{"cross": [{"pfs": LEAF}, {"pfs": PLAIN}]}, {"pfs": PLAIN | {"name": "z"}}]}
    assert f"an S3 input cannot be in a {kind}" in refused(text_of(nested))


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"glob": "/*"}, "the glob of an S3 input must be \"/\", not '/*'"),
        ({"glob": "/a"}, "the glob of an S3 input must be"),
        ({"lazy": True}, "lazy"),
        ({"empty_files": True}, "an S3 input cannot be empty_files: nothing of it is staged"),
        ({"s3": "yes"}, "the field 's3' of pfs must be true or false"),
        ({"repo": "s3://"}, "repo"),
        ({"repo": "s3://a/b"}, "invalid repo name"),
    ],
)
@pytest.mark.row("2.3 S3 glob", "2.3 S3 and lazy", "2.3 S3 and empty_files")
def test_what_does_not_go_with_an_s3_input_is_refused(more: dict[str, Plain], what: str) -> None:
    assert what in refused(text_of({"pfs": LEAF | more}))


@pytest.mark.parametrize("field", ["service", "spout", "enable_stats", "enableStats"])
@pytest.mark.row("3.6 s3_out and service", "3.6 s3_out and spout", "3.6 s3_out and enable_stats")
def test_what_does_not_go_with_s3_out_is_refused(field: str) -> None:
    value: Plain = True if field.startswith("enable") else {"internal_port": 80, "external_port": 80}
    message = refused(text_of({"pfs": LEAF}, s3_out=True, **{field: value}))
    assert field.replace("S", "_s").lower() in message


def test_stats_without_s3_out_are_only_noted() -> None:
    assert one(text_of({"pfs": LEAF}, enable_stats=True)).notes
    assert one(text_of({"pfs": LEAF}, enable_stats=False, s3_out=True)).s3_out
