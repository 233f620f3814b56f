"""Defaults: what specs are laid over, kept in the store; pipelines that follow when they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
from pfs.errors import CorruptionError, InvalidInputError
from pfs.upkeep.recover import recover
from pps.model.state import Counters
from pps.pipelines.defaults import NAME, Defaults, DefaultsText, Level, parse_defaults
from pps.spec.json import parse_json
from pps.spec.merge import effective
from pps.spec.node import Plain
from pps.spec.parse import parse_specs
from tests.pps.pipe_world import UPPER, World, pfs_input, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path / "home") as made:
        made.code("run.sh", UPPER)
        made.put("images", {"/a": b"a", "/b": b"b"})
        yield made


def document(name: str = "upper", **fields: Plain) -> str:
    made = {"pipeline": {"name": name}, "transform": {"cmd": ["sh", "run.sh"]}, "input": pfs_input("images")}
    return json.dumps({**made, **fields})


def create(world: World, name: str = "upper", **fields: Plain) -> None:
    (spec,) = world.pipelines.read(document(name, **fields), name="p.json")
    world.pipelines.create(spec, base_dir=world.folder)


def set_level(world: World, level: Level, fields: Plain, **how: bool) -> tuple[str, ...]:
    return world.pipelines.set_defaults(level, parse_defaults(json.dumps(fields), name="d.json"), **how)


def laid_over(base: Plain, patch: Plain) -> Plain:
    return effective([parse_json(json.dumps(one), "x")[0] for one in (base, patch)]).plain()


@pytest.mark.parametrize(
    ("base", "patch", "made"),
    [
        ({"salt": "b"}, {"salt": "c"}, {"salt": "c"}),
        ({"salt": "b"}, {"description": "c"}, {"salt": "b", "description": "c"}),
        ({"salt": "b"}, {"salt": None}, {}),
        ({"salt": "b", "description": "d"}, {"salt": None}, {"description": "d"}),
        ({"datumTries": 4}, {"datum_tries": 5}, {"datum_tries": 5}),
        ({"tolerations": ["b"]}, {"tolerations": "c"}, {"tolerations": "c"}),
        (
            {"transform": {"errCmd": []}},
            {"transform": {"env": {"aB": 1}}},
            {"transform": {"err_cmd": [], "env": {"aB": 1}}},
        ),
        (
            {"transform": {"env": {"aB": 1, "c": 2}}},
            {"transform": {"env": {"aB": None}}},
            {"transform": {"env": {"c": 2}}},
        ),
        ({"metadata": {"a": "b"}}, {"metadata": ["c"]}, {"metadata": ["c"]}),
        ({}, {"metadata": {"a": {"bb": {"ccc": None}}}}, {"metadata": {"a": {"bb": {}}}}),
        (
            {"input": {"pfs": {"emptyFiles": 1}}},
            {"input": {"pfs": {"repo": 1}}},
            {"input": {"pfs": {"empty_files": 1, "repo": 1}}},
        ),
        ({}, {"input": {"cross": [{"pfs": {"joinOn": "1"}}]}}, {"input": {"cross": [{"pfs": {"join_on": "1"}}]}}),
    ],
)  # fmt: skip
def test_merge_patch(base: Plain, patch: Plain, made: Plain) -> None:
    assert laid_over(base, patch) == made


_VALUES = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(st.integers(0, 3), max_size=2),
    max_leaves=8,
)
_MAPPINGS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


def rfc_7396(target: Plain, patch: Plain) -> Plain:
    """The algorithm as the RFC has it."""
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = rfc_7396(made.get(name), value)
    return made


@given(_MAPPINGS, _MAPPINGS)
@pytest.mark.row("2.8 merge patch")
def test_merge_patch_is_that_of_the_rfc(base: dict[str, Plain], patch: dict[str, Plain]) -> None:
    assert laid_over(base, patch) == rfc_7396(rfc_7396({}, base), patch)


@pytest.mark.row("2.8 defaults")
def test_levels_go_before_each_other(world: World) -> None:
    assert world.pipelines.defaults() == {
        "output_branch": "master",
        "datum_tries": 3,
        "reprocess_spec": "until_success",
    }
    assert world.pipelines.defaults("store") == {}
    set_level(world, "store", {"createPipelineRequest": {"datumTries": 5, "transform": {"env": {"A": "1", "B": "1"}}}})
    set_level(world, "project", {"transform": {"env": {"B": "2"}}, "reprocess_spec": "every_job"})
    assert world.pipelines.defaults("project") == {"transform": {"env": {"B": "2"}}, "reprocess_spec": "every_job"}
    assert world.pipelines.defaults() == {
        "output_branch": "master",
        "datum_tries": 5,
        "reprocess_spec": "every_job",
        "transform": {"env": {"A": "1", "B": "2"}},
    }
    (spec,) = world.pipelines.read(
        document(reprocess_spec=None, transform={"cmd": ["x"], "env": {"A": None}}), name="p"
    )
    assert (spec.datum_tries, spec.reprocess.value, dict(spec.transform.env)) == (5, "until_success", {"B": "2"})
    set_level(world, "store", {})
    assert world.pipelines.defaults("store") == {}


@pytest.mark.row("2.8 user spec", "2.8 effective spec")
def test_both_specs_are_kept_and_survive_recovery(world: World) -> None:
    set_level(world, "store", {"datum_tries": 5})
    create(world, salt="x")
    given, full = world.pipelines.documents("upper")
    assert given == json.loads(document(salt="x"))
    assert full == {**json.loads(document(salt="x")), **world.pipelines.defaults()}  # type: ignore[dict-item]
    world.store.close()
    recover(world.folder / ".pfs")
    with pfs.open(world.folder) as store:
        again = World(world.folder, store)
        assert again.pipelines.defaults("store") == {"datum_tries": 5}
        assert again.pipelines.documents("upper") == (given, full)


@pytest.mark.row("2.8 regenerate", "2.8 regenerate reprocess", "2.8 defaults dry run")
def test_regenerating(world: World) -> None:
    create(world, "one")
    create(world, "two", datum_tries=7)
    create(world, "three", transform={"cmd": ["sh", "run.sh"], "env": {"A": "x"}})
    world.run()
    tries = {"datum_tries": 5}
    assert set(set_level(world, "store", tries, regenerate=True, dry_run=True)) == {"one", "three"}
    assert world.pipelines.defaults("store") == {}
    assert set(set_level(world, "store", tries)) == {"one", "three"}
    assert [info.version for info in world.pipelines.list()] == [1, 1, 1], "only what is made later follows by itself"
    world.code("run.sh", "exit 1")
    assert set(set_level(world, "store", tries, regenerate=True)) == {"one", "three"}
    versions = {info.name: info.version for info in world.pipelines.list()}
    assert versions == {"one": 2, "two": 1, "three": 2}
    assert world.pipelines.inspect("one").spec["datum_tries"] == 5
    stored = world.store.repo("one").view(".spec").read("/code/run.sh")
    assert stored == UPPER.encode(), "the code stays that of the version before, whatever is on disk"
    world.code("run.sh", UPPER)
    assert {job.pipeline: job.counters for job in world.run().jobs} == dict.fromkeys(
        ("one", "three"), Counters(total=2, skipped=2)
    )
    assert set_level(world, "store", tries, regenerate=True) == (), "nothing is another"
    env = {**tries, "transform": {"env": {"A": "y"}}}
    assert set(set_level(world, "store", env, regenerate=True, reprocess=True)) == {"one", "two"}
    assert {job.pipeline: job.counters.processed for job in world.run().jobs} == {"one": 2, "two": 2}


def test_fields_without_effect_make_a_version_too(world: World) -> None:
    create(world)
    assert set_level(world, "project", {"tolerations": [{"key": "x"}]}, regenerate=True) == ("upper",)
    info = world.pipelines.inspect("upper")
    assert info.version == 2
    assert any("tolerations" in note for note in info.notes)
    (spec,) = world.pipelines.read(document(autoscaling=True), name="p.json")
    assert world.pipelines.update(spec, base_dir=world.folder).version == 3
    assert world.pipelines.update(spec, base_dir=world.folder).version == 3


def test_all_is_checked_before_anything_changes(world: World) -> None:
    create(world, "a")
    create(world, "b")
    bad = {"input": {"pfs": {"join_on": "$1"}, "cross": None}, "datum_tries": 9}
    world.put("other", {"/x": b"x"})
    text = {"input": {"cross": [pfs_input("nosuch")]}}
    with pytest.raises(InvalidInputError, match=r"several kinds, pfs and cross"):
        set_level(world, "store", text, regenerate=True)
    assert world.pipelines.defaults("store") == {}
    assert set_level(world, "store", bad, regenerate=True, dry_run=True) == ("a", "b")
    with pytest.raises(InvalidInputError, match="no file or folder 'nosuch'"):
        set_level(world, "store", {"transform": {"code": ["nosuch"]}}, regenerate=True)
    assert {info.version for info in world.pipelines.list()} == {1}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[]", "d.json: defaults are one mapping"),
        ("{}{}", "d.json: defaults are one mapping"),
        ('{"pipeline": {"name": "x"}}', "d.json:1:2: defaults have no name"),
        ('{"create_pipeline_request": []}', "d.json:1:29: create_pipeline_request must be a mapping"),
        ('{"datumTrys": 3}', "d.json:1:2: unknown field 'datumTrys' in pipeline spec: did you mean 'datumTries'?"),
        ('{"transform": {"env": 3}}', "d.json:1:23: the field 'env' of transform must be a mapping"),
        ('{"input": {"pfs": {"glob": "/["}}}', "d.json:1:20: invalid glob"),
    ],
)
def test_defaults_are_checked(text: str, what: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_defaults(text, name="d.json")
    assert str(caught.value).startswith(what)


def test_errors_point_into_the_layer_that_is_to_blame() -> None:
    base = Defaults(
        store=DefaultsText('{\n"input": {"cron": {"name": "x", "spec": "@daily"}}}', "defaults of the store")
    )
    with pytest.raises(InvalidInputError, match=r"^defaults of the store:2:11: the input has several kinds"):
        parse_specs(document(), name="p.json", base=base.base())


def test_damaged_defaults_are_told(world: World) -> None:
    set_level(world, "store", {"datum_tries": 5})
    path = world.folder / ".pfs" / "objects" / NAME
    path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    with pytest.raises(CorruptionError, match=NAME):
        world.pipelines.defaults("store")
    with pytest.raises(CorruptionError, match=NAME):
        set_level(world, "store", {})
