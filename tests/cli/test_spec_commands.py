"""Where specs come from: files, URLs, stdin, jsonnet templates."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Run
from tests.pfs.web_world import Page, World, web

SPEC = {
    "pipeline": {"name": "p"},
    "transform": {"cmd": ["true"]},
    "input": {"pfs": {"repo": "r", "glob": "/*"}},
}
TEMPLATE = """
local lib = import "lib/cmd.libsonnet";
function(suffix, src="r") [
  {
    pipeline: { name: "p-" + suffix + n },
    transform: { cmd: lib.cmd },
    input: { pfs: { repo: src, glob: "/*" } },
  }
  for n in ["a", "b"]
]
"""


@pytest.fixture
def http() -> Iterator[World]:
    with web() as world:
        yield world


@pytest.fixture
def templates(store: Path) -> Path:
    folder = store / "t"
    (folder / "lib").mkdir(parents=True)
    (folder / "p.jsonnet").write_text(TEMPLATE)
    (folder / "lib/cmd.libsonnet").write_text('(import "more.libsonnet") + {}')
    (folder / "lib/more.libsonnet").write_text('{ cmd: ["sh", "run.sh"] }')
    (folder / "run.sh").write_text("true")
    return folder


@pytest.mark.row("2.1 jsonnet")
def test_a_template_makes_pipelines(templates: Path, pps: Run) -> None:
    pps("create-pipeline", "--jsonnet", "t/p.jsonnet", "--arg", "suffix=1")
    assert [one["name"] for one in pps("list-pipeline", "--json").json] == ["p-1a", "p-1b"]
    (templates / "run.sh").write_text("exit 1")
    pps("update-pipeline", "--jsonnet", "t/p.jsonnet", "--arg", "suffix=1")
    assert {one["version"] for one in pps("list-pipeline", "--json").json} == {2}, "the code is beside the template"
    assert pps("validate", "--jsonnet", "t/p.jsonnet", "--arg=suffix=x", "--arg=src=q").out.splitlines() == [
        "p-xa: valid",
        "p-xb: valid",
    ]
    (templates / "one.jsonnet").write_text(json.dumps(SPEC))
    assert "r@master has no commit yet" in pps("list-datum", "--jsonnet", "t/one.jsonnet").err


@pytest.mark.parametrize(
    ("text", "args", "what"),
    [
        ("{ a: }", (), "t/x.jsonnet:1:6: unexpected"),
        ('function(a)\n error "boo " + a', ("--arg", "a=1"), "t/x.jsonnet:2:2: boo 1"),
        ("function(a) a", (), "t/x.jsonnet: function parameter a not bound"),
        ("function() {}", ("--arg", "a=1"), "t/x.jsonnet: function has no parameter a"),
        ("{}", ("--arg", "a=\udcff"), "not valid UTF-8"),
        ("{}", ("--arg", "\udcff=a"), "not valid UTF-8"),
        ('import "lib/nosuch"', (), "t/x.jsonnet:1:1: couldn't open import"),
        ('import "lib/bad.libsonnet"', (), "t/lib/bad.libsonnet:2:6: field does not exist: nosuch"),
        ("local f(x) = 1 + f(x); f(1)", (), "max stack frames exceeded"),
        ("{}", ("--arg", "a"), "--arg 'a' has no value"),
        ('{pipeline: {name: "a"}, trasform: {}}', (), "t/x.jsonnet (its result):5:4: unknown field 'trasform'"),
        ("1", (), "t/x.jsonnet (its result):1:1: pipeline spec must be a mapping, not a number"),
    ],
)
def test_errors_of_templates(templates: Path, pps: Run, text: str, args: tuple[str, ...], what: str) -> None:
    (templates / "x.jsonnet").write_text(text)
    (templates / "lib/bad.libsonnet").write_text("local a = {};\n{ b: a.nosuch }")
    result = pps("validate", "--jsonnet", "t/x.jsonnet", *args, code=2)
    assert what in result.err + result.out


@pytest.mark.row("2.1 jsonnet", "4 create pipeline")
def test_specs_and_templates_from_urls(http: World, store: Path, pps: Run) -> None:
    http.pages["/d/p.json"] = Page(json.dumps(SPEC).encode())
    http.pages["/d/p.jsonnet"] = Page(TEMPLATE.encode())
    http.pages["/d/lib/cmd.libsonnet"] = Page(b'import "more.libsonnet"')
    http.pages["/d/lib/more.libsonnet"] = Page(b'{ cmd: ["x"] }')
    assert pps("validate", "-f", f"{http.url}/d/p.json").out == "p: valid\n"
    assert pps("validate", "--jsonnet", f"{http.url}/d/p.jsonnet", "--arg", "suffix=").out == "p-a: valid\np-b: valid\n"
    assert "/d/nosuch.json" in pps("validate", "-f", f"{http.url}/d/nosuch.json", code=3).err
    http.pages["/d/bad.json"] = Page(b'{"pipeline": 1}')
    assert (
        f"{http.url}/d/bad.json:1:14: pipeline must be" in pps("validate", "-f", f"{http.url}/d/bad.json", code=2).out
    )
    far = json.dumps({**SPEC, "transform": None})
    (store / "far.jsonnet").write_text(f'{far} + {{ transform: import "{http.url}/d/lib/cmd.libsonnet" }}')
    assert pps("validate", "--jsonnet", "far.jsonnet").out == "p: valid\n"


def test_a_spec_from_stdin(store: Path, pps: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(json.dumps(SPEC).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert pps("validate", "-f", "-").out == "p: valid\n"


def test_one_spec_is_wanted(store: Path, pps: Run) -> None:
    assert "give a spec with -f" in pps("create-pipeline", code=2).err
    assert "give a spec with -f" in pps("validate", "-f", "a", "--jsonnet", "b", code=2).err
    assert "--arg is for --jsonnet" in pps("validate", "-f", "a", "--arg", "b=c", code=2).err
    assert "no spec file 'a'" in pps("validate", "-f", "a", code=3).err
    assert "is not a text file" in pps("validate", "-f", ".", code=2).err


@pytest.mark.row("2.8 validate", "4 validate pipeline")
def test_all_that_is_wrong_is_printed(store: Path, pps: Run) -> None:
    good = json.dumps({**SPEC, "pipeline": {"name": "good"}})
    bad = json.dumps({**SPEC, "datum_tries": -1, "salz": "x", "autoscaling": True})
    (store / "p.json").write_text(f"{good}\n{bad}\n")
    result = pps("validate", "-f", "p.json", code=2)
    *errors, valid = result.out.splitlines()
    assert [line.split(": ")[1] for line in errors] == [
        "the field 'datum_tries' of pipeline spec must be a whole number of 0 or more, not -1",
        "unknown field 'salz' in pipeline spec",
    ]
    assert valid == "good: valid"
    assert "(and 1 more error: `pps validate` shows all)" in pps("create-pipeline", "-f", "p.json", code=2).err
    assert pps("list-pipeline", "--json").json == []


@pytest.mark.row("4 defaults")
def test_defaults(store: Path, pps: Run) -> None:
    (store / "p.json").write_text(json.dumps(SPEC))
    pps("create-pipeline", "-f", "p.json")
    (store / "d.yaml").write_text("createPipelineRequest:\n  datumTries: 7\n")
    assert pps("set-defaults", "-f", "d.yaml", "--dry-run").out == "p\n"
    assert pps("get-defaults").json == {}
    assert pps("set-defaults", "-f", "d.yaml", "--regenerate").out == "p\n"
    assert pps("get-defaults").json == {"datum_tries": 7}
    assert pps("get-defaults", "--project", "default").json == {}
    assert pps("get-defaults", "--effective").json["datum_tries"] == 7
    assert "'default' is the only one" in pps("get-defaults", "--project", "x", code=2).err
    assert pps("inspect-pipeline", "p", "--given").json == SPEC
    assert pps("inspect-pipeline", "p", "--spec").json["datum_tries"] == 7
    record = pps("inspect-pipeline", "p", "--json").json
    assert (record["user_spec"], record["effective_spec"]["datum_tries"], record["version"]) == (SPEC, 7, 2)


def _spec(name: str, source: str, **more: object) -> dict[str, object]:
    leaf = {"pfs": {"repo": source, "glob": "/*"}}
    return {"pipeline": {"name": name}, "transform": {"cmd": ["true"]}, "input": leaf, **more}


@pytest.mark.row("2.1 documents", "2.8 dry run")
@pytest.mark.parametrize("command", ["create-pipeline", "update-pipeline"])
def test_a_dry_run_prints_the_specs_that_would_count(store: Path, pps: Run, command: str) -> None:
    Path("p.json").write_text(json.dumps([_spec("a", "r", datumTries=4), _spec("b", "a")]))
    shown = pps(command, "-f", "p.json", "--dry-run").out
    records = pps(command, "-f", "p.json", "--dry-run", "--json").json
    assert pps("list-pipeline", "--json").json == []
    pps(command, "-f", "p.json")
    assert shown == pps("inspect-pipeline", "a", "--spec").out + pps("inspect-pipeline", "b", "--spec").out
    assert [one["name"] for one in records] == ["a", "b"]
    assert records[0]["effective_spec"]["datum_tries"] == 4
    assert records[0]["user_spec"]["datumTries"] == 4
    Path("p.json").write_text(json.dumps(_spec("a", "r", datumTries=5)))
    (record,) = pps("update-pipeline", "-f", "p.json", "--dry-run", "--json").json
    assert (record["version"], record["effective_spec"]["datum_tries"]) == (2, 5)
    assert pps("inspect-pipeline", "a", "--json").json["version"] == 1
    (record,) = pps("update-pipeline", "-f", "p.json", "--json").json
    assert record["version"] == 2


@pytest.mark.row("2.1 documents")
@pytest.mark.parametrize(
    ("second", "code"),
    [
        (_spec("b", "nosuch"), 3),
        (_spec("r", "a"), 4),
        (_spec("b", "c"), 3),
        (_spec("b", "r", transform={"cmd": ["true"], "secrets": [{"name": "no", "mount_path": "/s"}]}), 3),
        (_spec("b", "r", transform={"cmd": ["true"], "code": ["nosuch"]}), 2),
    ],
)
@pytest.mark.parametrize("command", ["create-pipeline", "update-pipeline"])
def test_the_pipelines_of_a_file_are_made_all_or_none(
    store: Path, pps: Run, command: str, second: dict[str, object], code: int
) -> None:
    more = [second, _spec("c", "a")]
    Path("p.json").write_text(json.dumps([_spec("a", "r"), *more]))
    pps(command, "-f", "p.json", code=code)
    assert pps("list-pipeline", "--json").json == []
    Path("p.json").write_text(json.dumps([_spec("a", "r"), _spec("b", "a"), _spec("c", "b")]))
    pps(command, "-f", "p.json")
    assert len(pps("list-pipeline", "--json").json) == 3


def test_what_fails_though_it_was_sound_takes_the_others_with_it(store: Path, pps: Run) -> None:
    """Two branches of one repo, connected through a pipeline of the same file, are met only when they are bound."""
    leaf = {"pfs": {"repo": "r", "branch": "dev", "glob": "/"}}
    both = {"cross": [{"pfs": {"repo": "a", "glob": "/"}}, leaf]}
    Path("p.json").write_text(json.dumps([_spec("a", "r"), _spec("b", "r", input=both)]))
    pps("create-pipeline", "-f", "p.json", code=4)
    assert pps("list-pipeline", "--json").json == []
