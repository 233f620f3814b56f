"""`pps lineage`: the tree, JSON and DOT, with ids replaced by the order in which they come."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.pps.test_openlineage import serving

_ID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}|\b[0-9a-f]{12}\b")
_SCRIPT = 'for f in "$PFS"/{}/*; do tr a-z A-Z < "$f" > "$PFS_OUT/$(basename "$f")"; done\n'


def plain(text: str) -> str:
    """Return text with each id as ``#1``, ``#2`` …, whether it was cut short or not."""
    names: dict[str, str] = {}
    return _ID.sub(lambda match: names.setdefault(match[0][:12], f"#{len(names) + 1}"), text)


@pytest.fixture
def chain(store: Path, pfs: Run, pps: Run) -> None:
    """Two pipelines one behind the other; the second job took a datum of the first over."""
    specs = []
    for name, given in (("upper", "r"), ("again", "upper")):
        Path(f"{name}.sh").write_text(_SCRIPT.format(given))
        command = {"cmd": ["sh", f"{name}.sh"]}
        specs.append(
            {"pipeline": {"name": name}, "transform": command, "input": {"pfs": {"repo": given, "glob": "/*"}}}
        )
    Path("a.txt").write_text("one")
    pfs("put-file", "r@master:/a.txt", "-f", "a.txt")
    Path("p.json").write_text(json.dumps(specs))
    pps("create-pipeline", "-f", "p.json")
    pps("run")
    pfs("put-file", "r@master:/b.txt", "-f", "a.txt")
    pps("run")


UP = """\
again@#1:/b.txt, 3 B
└─ datum #2 of again@#1, version 1, code #3
   └─ upper@#1:/b.txt, 3 B
      └─ datum #4 of upper@#1, version 1, code #5
         └─ r@#1:/b.txt, 3 B, put by a user
"""
TAKEN_OVER = """\
again@#1:/a.txt, 3 B
└─ datum #2 of again@#1, version 1, code #3, taken over from job #4
   └─ upper@#4:/a.txt, 3 B
      └─ datum #5 of upper@#4, version 1, code #6
         └─ r@#4:/a.txt, 3 B, put by a user
"""
DOWN = """\
r@#1:/, 2 files, 6 B
├─ datum #2 of upper@#1, version 1, code #3, taken over from job #4
│  └─ upper@#1:/a.txt, 3 B
│     └─ datum #5 of again@#1, version 1, code #6, taken over from job #4
│        └─ again@#1:/a.txt, 3 B
└─ … and 1 more
"""
COMMITS = """\
made from:
upper@#1, made by upper, version 1, code #2, job of pipeline upper
└─ r@#1
went into:
upper@#1, made by upper, version 1, code #2, job of pipeline upper
└─ again@#1, made by again, version 1, code #3, job of pipeline again
"""


@pytest.mark.usefixtures("chain")
def test_trees(pps: Run) -> None:
    assert plain(pps("lineage", "again@master:/b.txt").out) == UP
    assert plain(pps("lineage", "again@master:/a.txt").out) == TAKEN_OVER
    assert plain(pps("lineage", "upper@master", "--both").out) == COMMITS
    assert plain(pps("lineage", "r@master:/", "--down", "--limit", "1").out) == DOWN
    shallow = pps("lineage", "again@master:/b.txt", "--depth", "1").out
    assert plain(shallow).splitlines() == UP.splitlines()[:3]


@pytest.mark.usefixtures("chain")
def test_up_and_down_together_are_both(pps: Run) -> None:
    both = pps("lineage", "upper@master", "--both").out
    assert pps("lineage", "upper@master", "--up", "--down").out == pps("lineage", "upper@master", "--down", "--up").out
    assert pps("lineage", "upper@master", "--up", "--down").out == both != pps("lineage", "upper@master", "--up").out


@pytest.mark.usefixtures("chain")
def test_json(pps: Run) -> None:
    found = json.loads(plain(pps("lineage", "again@master:/b.txt", "--depth", "1", "--json").out))
    assert found == {
        "roots": ["again@#1:/b.txt"],
        "direction": "up",
        "nodes": [
            {
                "id": "again@#1:/b.txt",
                "kind": "file",
                "repo": "again",
                "commit": "#1",
                "path": "/b.txt",
                "type": "file",
                "size_bytes": 3,
                "file_count": 1,
                "hash": "#2",
                "made": "datum",
                "since": None,
                "note": "",
            },
            {
                "id": "again@#1/#3",
                "kind": "datum",
                "pipeline": "again",
                "job": "#1",
                "datum": "#3",
                "state": "success",
                "ran_in": "#1",
                "version": 1,
                "spec_commit": "#4",
                "code": "#5",
                "note": "",
            },
            {
                "id": "upper@#1:/b.txt",
                "kind": "file",
                "repo": "upper",
                "commit": "#1",
                "path": "/b.txt",
                "type": "file",
                "size_bytes": 3,
                "file_count": 1,
                "hash": "#2",
                "made": None,
                "since": None,
                "note": "",
            },
        ],
        "edges": [
            {"source": "again@#1/#3", "target": "again@#1:/b.txt", "how": "wrote"},
            {"source": "upper@#1:/b.txt", "target": "again@#1/#3", "how": "read"},
        ],
        "left_out": [],
    }
    whole = pps("lineage", "again@master", "--json").json
    assert [node["kind"] for node in whole["nodes"]] == ["commit"] * 3
    assert whole["nodes"][0]["job_state"] == "success"
    cut = pps("lineage", "r@master:/", "--json", "--limit", "1").json
    assert [(one["direction"], one["count"]) for one in cut["left_out"]] == [("up", 1)]


_STRING = r'"(?:[^"\\]|\\.)*"'
_NODE = re.compile(
    rf"  ({_STRING}) \[label={_STRING}, shape=(?:note|folder|box|cylinder|plaintext)(?:, style=dashed)?\];"
)
_EDGE = re.compile(rf"  ({_STRING}) -> ({_STRING}) \[(?:label={_STRING}|style=dotted)\];")


@pytest.mark.usefixtures("chain")
def test_dot_is_a_graph_of_quoted_names(pfs: Run, pps: Run) -> None:
    Path("odd").write_text("x")
    pfs("put-file", 'r@master:/od"d\\n.txt', "-f", "odd")
    pps("run")
    for words in (["again@master:/", "--limit", "2"], ["again@master"], ["r@master:/", "--down"]):
        first, second, *body, last = pps("lineage", *words, "--dot").out.splitlines()
        assert (first, second, last) == ("digraph lineage {", "  rankdir=LR;", "}")
        nodes = {match[1] for line in body if (match := _NODE.fullmatch(line))}
        edges = [match.groups() for line in body if (match := _EDGE.fullmatch(line))]
        assert len(nodes) + len(edges) == len(body)
        assert edges
        assert all(end in nodes for edge in edges for end in edge)


def test_what_is_not_there_or_wrong(store: Path, pfs: Run, pps: Run) -> None:
    Path("x").write_text("1")
    pfs("put-file", "r@master:/x", "-f", "x")
    assert "/none" in pps("lineage", "r@master:/none", code=3).err
    assert "nosuch" in pps("lineage", "nosuch@master:/x", code=3).err
    pps("lineage", "r@0123456789ab", code=3)
    assert "exclude each other" in pps("lineage", "r@master", "--dot", "--json", code=2).err
    assert "branch or commit is missing" in pps("lineage", "r", code=2).err
    open_commit = pfs("start-commit", "r@master").out.strip()
    assert "is open" in pps("lineage", f"r@{open_commit}", code=4).err


@pytest.mark.usefixtures("chain")
def test_jobs_are_told_to_files_and_servers(pps: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
    events = [json.loads(line) for line in pps("export-lineage", "--all").out.splitlines()]
    ends = [(one["job"]["name"], one["eventType"]) for one in events]
    assert ends == [(name, kind) for name in ("upper", "again") * 2 for kind in ("START", "COMPLETE")]
    last = pps("inspect-pipeline", "again", "--json").json["last_job"]
    own = [json.loads(line) for line in pps("export-lineage", f"again@{last[:8]}").out.splitlines()]
    assert own == events[-2:]
    assert pps("export-lineage", "upper").out.count("COMPLETE") == 2
    pps("export-lineage", "--all", "--to", "events.jsonl", "--namespace", "lab")
    told = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert {one["job"]["namespace"] for one in told} == {"lab"}
    with serving() as (server, url):
        assert pps("export-lineage", "again", "--to", url).out == "4\n"
    assert [(key, body["job"]["name"]) for _, key, body in server.taken] == [("Bearer secret", "again")] * 4
    with serving(422) as (_, url):
        assert "refused an event with 422" in pps("export-lineage", "again", "--to", url, code=1).err
    assert "give a job" in pps("export-lineage", code=2).err
    assert "give a job" in pps("export-lineage", "upper", "--all", code=2).err
    assert "nosuch" in pps("export-lineage", "nosuch", code=3).err
    assert "events.jsonl/x" in pps("export-lineage", "--all", "--to", "events.jsonl/x", code=5).err
