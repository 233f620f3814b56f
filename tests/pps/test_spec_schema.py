"""The JSON Schema of specs: it knows what the reader takes, in both spellings, and cannot drift from it."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings

from pfs.errors import InvalidInputError
from pps.spec import Spec, parse_specs
from pps.spec.fields import camel, snake
from pps.spec.known import KNOWN
from pps.spec.node import Plain
from pps.spec.parse import parse_nodes
from pps.spec.schema import spec_schema
from pps.spec.vocabulary import Known
from pps.spec.write import spec_json
from tests.cli.conftest import Run, pps  # noqa: F401 - a fixture
from tests.pps.test_spec import EDGES, specs

SCHEMA = spec_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
_EXAMPLES = (Path(__file__).parents[2] / "examples").glob("*/*.[jy][sa]*[nl]")
EXAMPLES = sorted(path for path in _EXAMPLES if path.stem != "workflow")
"""The specs; files of workflows have a schema of their own."""


def is_valid(document: Plain) -> bool:
    return bool(VALIDATOR.is_valid(document))


def is_taken(document: Plain) -> bool:
    try:
        parse_specs(json.dumps(document), name="p.json")
    except InvalidInputError:
        return False
    return True


def with_camels(value: Plain, known: Known = KNOWN["pipeline spec"]) -> Plain:
    """Return a mapping in the other spelling."""
    assert isinstance(value, dict)
    made: dict[str, Plain] = {}
    for name, one in value.items():
        field = known.read.get(name)
        if field and field.of and isinstance(one, list):
            made[camel(name)] = [with_camels(item, KNOWN[field.of]) for item in one]
        else:
            made[camel(name)] = with_camels(one, KNOWN[field.of]) if field and field.of else one
    return made


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    for node in parse_nodes(path.read_text(), path.name):
        VALIDATOR.validate(node.plain())


@settings(max_examples=50, deadline=None)
@given(specs)
def test_what_is_written_is_valid_in_both_spellings(spec: Spec) -> None:
    document = json.loads(spec_json(spec))
    VALIDATOR.validate(document)
    VALIDATOR.validate([with_camels(document)])
    assert parse_specs(json.dumps(with_camels(document)), name="p.json") == [spec]


def test_the_spellings_lead_to_each_other() -> None:
    names = [name for known in KNOWN.values() for name in (*known.read, *known.noted, *known.refused)]
    assert [name for name in names if snake(camel(name)) != name] == []


VALUES: list[Plain] = [None, False, True, 0, 1, -1, 1.5, 3.0, "", "1", "x", "5m", "-5m", "master", "user", "default"]
VALUES += ["every_job", "@daily", [], ["x"], [1], [None], [["x"]], {}, {"a": "b"}, {"a": None}, {"never": False}]


def documents(known: Known, name: str, value: Plain) -> Plain:
    """Return a pipeline in which one field of one kind of mapping has a value."""
    leaf: dict[str, Plain] = {"repo": "a", "glob": "/"}
    transform: dict[str, Plain] = {"cmd": ["x"]}
    made: dict[str, Plain] = {"pipeline": {"name": "p"}, "transform": transform, "input": {"pfs": leaf}}
    match known.where:
        case "pipeline spec":
            made[name] = value
        case "input":
            made["input"] = {"pfs": leaf, name: value} if name != "pfs" else {name: value}
        case "pfs":
            leaf[name] = value
        case "cron":
            made["input"] = {"cron": {"name": "c", "spec": "@daily", name: value}}
        case "trigger":
            leaf["trigger"] = {"commits": 1, name: value}
        case "propagation_spec":
            leaf["propagation_spec"] = {name: value}
        case "transform":
            transform[name] = value
        case "task" | "artifact input" | "artifact output":
            made["input"] = {"pfs": {**leaf, "name": "workflow"}}
            task: dict[str, Plain] = {"workflow": "w", "name": "t"}
            transform["task"] = task
            if known.where == "task":
                task[name] = value
            else:
                one: dict[str, Plain] = {"name": "workflow", "path": "x", name: value}
                task["inputs" if known.where == "artifact input" else "outputs"] = [one]
        case "egress":
            made["egress"] = {"url": "s3://x", name: value} if name == "url" else {name: value, "URL": "s3://x"}
        case "object_storage":
            made["egress"] = {"object_storage": {"url": "s3://x", name: value}}
        case "sql_database":
            made["egress"] = {"sql_database": {"url": "sqlite:///x", name: value}}
        case "file_format":
            made["egress"] = {"sql_database": {"url": "sqlite:///x", "file_format": {name: value}}}
        case "sql secret":
            password: dict[str, Plain] = {"name": "s", "key": "k", name: value}
            made["egress"] = {"sql_database": {"url": "sqlite:///x", "secret": password}}
        case "egress secret":
            made["egress"] = {"object_storage": {"url": "s3://x", "secret": {"name": "s", name: value}}}
        case "secret":
            transform["secrets"] = [{"name": "s", "key": "k", "env_var": "V", name: value}]
        case "resources":
            made["resource_limits"] = {"cpu": 1, name: value}
        case "gpu":
            made["resource_requests"] = {"gpu": {"number": 1, name: value}}
        case "spout":
            del made["input"]
            made["spout"] = {name: value}
        case where:
            made[where] = {"name": "p", name: value} if where == "pipeline" else {name: value}
    return made


@pytest.mark.parametrize("known", KNOWN.values(), ids=lambda known: known.where)
def test_what_the_reader_takes_is_valid(known: Known) -> None:
    names = (*known.read, *known.noted, *known.refused, "nosuch")
    taken = 0
    for name, value in product(names, VALUES):
        document = documents(known, name, value)
        if is_taken(document):
            taken += 1
            assert is_valid(document), (name, value)
    assert taken


def test_what_editors_should_mark() -> None:
    good = json.loads(EDGES)
    assert is_valid(good)
    for bad in (
        {"trasform": {}},
        {"datum_tries": "x"},
        {"reprocess_spec": "never"},
        {"input": {"pfs": {"repo": "r", "lob": "/"}}},
    ):
        assert not is_valid({**good, **bad}), bad
    assert not is_valid({key: value for key, value in good.items() if key != "pipeline"})


def test_the_command_prints_it(pps: Run) -> None:  # noqa: F811
    assert pps("schema").json == SCHEMA
