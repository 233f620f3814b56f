"""Commands on pipelines: versions, editing, drawing."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def spec(name: str, given: object, **more: object) -> dict[str, object]:
    return {"pipeline": {"name": name}, "transform": {"cmd": ["true"]}, "input": given, **more}


def pfs_input(repo: str, glob: str = "/*", **more: object) -> dict[str, object]:
    return {"pfs": {"repo": repo, "glob": glob, **more}}


def create(pps: Run, *specs: object) -> None:
    Path("p.json").write_text(json.dumps(specs))
    pps("update-pipeline", "-f", "p.json")


@pytest.mark.row("2.8 pipeline history")
def test_versions(store: Path, pfs: Run, pps: Run) -> None:
    Path("x").write_text("1")
    pfs("put-file", "r@master:/x", "-f", "x")
    create(pps, spec("p", pfs_input("r")), spec("q", pfs_input("r")))
    pps("run")
    first = pps("inspect-pipeline", "p", "--json").json
    create(pps, spec("p", pfs_input("r"), description="two"))
    pps("stop-pipeline", "p")
    pps("start-pipeline", "p")
    create(pps, spec("p", pfs_input("r", "/"), description="three"))
    old = pps("inspect-pipeline", "p@1", "--json").json
    assert (old["version"], old["state"], old["last_job"]) == (1, "replaced", first["last_job"])
    assert old["spec_commit"] == first["spec_commit"]
    assert pps("inspect-pipeline", "p@2", "--given").json["description"] == "two"
    assert pps("inspect-pipeline", "default/p@3", "--json").json["state"] == "pending"
    assert "has no version 4: the last one is 3" in pps("inspect-pipeline", "p@4", code=3).err
    assert "a version is a number" in pps("inspect-pipeline", "p@x", code=2).err

    def listed(*words: str) -> list[tuple[str, int]]:
        return [(one["name"], one["version"]) for one in pps("list-pipeline", *words, "--json").json]

    assert listed() == listed("--history", "none") == [("p", 3), ("q", 1)]
    assert listed("--history", "1") == [("p", 3), ("p", 2), ("q", 1)]
    assert listed("--history", "all") == [("p", 3), ("p", 2), ("p", 1), ("q", 1)]


EDITOR = """
import json, pathlib, sys
path = pathlib.Path(sys.argv[-1])
spec = json.loads(path.read_text())
{body}
path.write_text(json.dumps(spec, indent=2, ensure_ascii=False) + "\\n")
"""


@pytest.fixture
def editor(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program that edits; what it does is written into it."""
    path = tmp_path / "editor.py"
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(path)]))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "drafts"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "drafts").mkdir()
    return path


@pytest.mark.row("2.8 edit", "4 edit pipeline")
def test_editing(editor: Path, pps: Run) -> None:
    create(pps, spec("p", pfs_input("r"), datumTries=4))
    drafts = editor.parent / "drafts"
    editor.write_text(EDITOR.format(body='assert spec["datumTries"] == 4; spec["datumTries"] = 5'))
    pps("edit-pipeline", "p")
    info = pps("inspect-pipeline", "p", "--json").json
    assert (info["version"], info["user_spec"]["datumTries"], info["spec"]["datum_tries"]) == (2, 5, 5)
    editor.write_text(EDITOR.format(body=""))
    assert pps("edit-pipeline", "p").out == "nothing was changed\n"
    assert list(drafts.iterdir()) == []
    editor.write_text(EDITOR.format(body='spec["datumTrys"] = 5'))
    failed = pps("edit-pipeline", "p", code=2).err
    (draft,) = drafts.iterdir()
    assert f"the draft is kept in {draft}: p.json:" in failed
    assert "unknown field 'datumTrys'" in failed
    assert "datumTrys" in draft.read_text()
    editor.write_text(EDITOR.format(body='spec["pipeline"]["name"] = "q"'))
    assert "its name cannot be changed" in pps("edit-pipeline", "p", code=2).err
    editor.write_text("raise SystemExit(3)")
    assert "ended with exit code 3" in pps("edit-pipeline", "p", code=2).err
    assert (
        "cannot start the editor 'nosuch-editor'" in pps("edit-pipeline", "p", "--editor", "nosuch-editor", code=2).err
    )
    assert "not found" in pps("edit-pipeline", "nosuch", code=3).err
    assert pps("inspect-pipeline", "p", "--json").json["version"] == 2
    editor.write_text(EDITOR.format(body='spec["podSpec"] = "{}"'))
    assert "note: pipeline spec.pod_spec: has no effect" in pps("edit-pipeline", "p").err


@pytest.mark.row("2.8 draw")
def test_drawing(store: Path, pfs: Run, pps: Run) -> None:
    pfs("create-repo", "s")
    create(
        pps,
        spec("a", pfs_input("r")),
        spec("b", pfs_input("r", "/", name="in")),
        spec("c", {"cross": [pfs_input("a"), pfs_input("b")]}),
        spec("other", {"cross": [pfs_input("s"), {"cron": {"name": "t", "spec": "@daily"}}]}),
    )
    assert pps("draw").out.splitlines() == [
        "o r (repo)",
        "|\\",
        "* | a <- r:/*  idle / -",
        "| * b <- r:/  idle / -",
        "|/",
        "* c <- (a:/* x b:/*)  idle / -",
        "o other_t (cron)",
        "| o s (repo)",
        "|/",
        "* other <- (s:/* x t:@daily)  idle / -",
    ]
    drawn = pps("draw", "a", "--json").json
    assert [node["name"] for node in drawn["nodes"]] == ["r", "a", "c"]
    assert drawn["edges"] == [
        {"source": "r", "branch": "master", "target": "a", "input": "r", "glob": "/*"},
        {"source": "a", "branch": "master", "target": "c", "input": "a", "glob": "/*"},
    ]
    assert {node["name"]: node["type"] for node in pps("draw", "--json").json["nodes"]} == {
        "r": "repo",
        "s": "repo",
        "other_t": "cron",
        **dict.fromkeys(("a", "b", "c", "other"), "pipeline"),
    }
    dot = pps("draw", "--dot").out.splitlines()
    assert dot[0] == "digraph pipelines {"
    assert '  "r" -> "b" [label="in=:/"];' in dot
    assert '  "other_t" [shape=oval];' in dot
    assert "none reads it" in pps("draw", "nosuch", code=3).err
    pps("draw", "--dot", "--json", code=2)
