"""log, find-commit, wait-commit, subscribe-commit: what they print; and the lanes of --graph."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.graph import Lanes
from pfs.ids import new_commit_id
from pfs.model import NewCommit
from pfs.store import open as open_store
from tests.cli.conftest import Run


def drawing(commits: list[tuple[str, list[str]]]) -> list[str]:
    lanes, rows = Lanes(), list[str]()
    for commit, parents in commits:
        row, links = lanes.draw(commit, parents)
        rows += [f"{row} {commit}", *links]
    return rows


@pytest.mark.parametrize(
    ("commits", "rows"),
    [
        ([("b", ["a"]), ("a", [])], ["* b", "* a"]),
        (
            [("m", ["l", "r"]), ("r", ["a"]), ("l", ["a"]), ("a", [])],
            ["* m", "|\\", "| * r", "* | l", "|/", "* a"],
        ),
        ([("b", ["a"]), ("c", ["a"]), ("a", [])], ["* b", "| * c", "|/", "* a"]),
        ([("x", []), ("y", ["a"]), ("a", [])], ["* x", "* y", "* a"]),
        (
            [("d", ["a"]), ("e", ["x"]), ("m", ["b", "a"]), ("x", []), ("b", ["a"]), ("a", [])],
            ["* d", "| * e", "| | * m", "|_|/|", "| * | x", "|  /", "| * b", "|/", "* a"],
        ),
    ],
)
def test_drawings(commits: list[tuple[str, list[str]]], rows: list[str]) -> None:
    assert drawing(commits) == rows


@given(st.data())
def test_any_graph_can_be_drawn(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    commits = []
    for number in range(count):
        older = st.lists(st.sampled_from(range(number + 1, count + 1)), max_size=3, unique=True)
        parents = [parent for parent in data.draw(older) if parent < count]
        commits.append((f"c{number}", [f"c{parent}" for parent in parents]))
    lanes = Lanes()
    for commit, above in commits:
        row, links = lanes.draw(commit, above)
        assert row.count("*") == 1
        assert not set("".join([row, *links])) - set("*| /\\_")
    assert lanes.draw("end", []) == ("*", [])


def put(pfs: Run, path: str, text: str, *words: str) -> str:
    Path("f").write_text(text)
    return pfs("put-file", f"r@{path}", "-f", "f", *words).out.strip()


def merge_by_hand() -> str:
    with open_store() as store:
        repo = store.repo("r")
        parents = (repo.inspect("master").id, repo.inspect("dev").id)
        root = repo.inspect("dev").root
        new = NewCommit(branch="master", root=root, id=new_commit_id(), started_ns=1, parents=parents, message="both")
        return repo.publish([new], store.session())[0].id


@pytest.mark.usefixtures("store")
def test_log(pfs: Run) -> None:
    first = put(pfs, "master:/a", "1", "-m", "first\nmore")
    pfs("create-branch", "r@dev", "--head", "master")
    side = put(pfs, "dev:/b", "2")
    main = put(pfs, "master:/c", "3")
    pfs("create-tag", "r@v1", first)
    both = merge_by_hand()
    lines = pfs("log", "r@master", "--graph").out.splitlines()
    assert [line[:7] for line in lines] == [
        f"* {both[:5]}",
        "|\\",
        f"* | {main[:3]}",
        f"| * {side[:3]}",
        "|/",
        f"* {first[:5]}",
    ]
    assert lines[0].endswith("(master) both")
    assert lines[-1].endswith("(v1) first")
    records = pfs("log", "r", "--json").json
    assert isinstance(records, list)
    assert [(record["id"], record["refs"]) for record in records] == [
        (both, ["master"]),
        (main, []),
        (side, ["dev"]),
        (first, ["v1"]),
    ]
    assert len(pfs("log", "r@master", "-n", "2").out.splitlines()) == 2
    opened = pfs("start-commit", "r@dev").out.strip()
    assert pfs("log", "r@dev", "--graph").out.splitlines()[0] == f"o {opened[:12]} open on dev"
    pfs("log", "r@nothing", code=3)
    pfs("log", "nothing", code=3)


@pytest.mark.usefixtures("store")
def test_find_commit(pfs: Run) -> None:
    first, _, last = put(pfs, "master:/d/a", "1"), put(pfs, "master:/b", "1"), put(pfs, "master:/d/a", "2")
    records = pfs("find-commit", "r@master:/d", "--json").json
    assert isinstance(records, list)
    assert [(record["id"], record["change"]) for record in records] == [(last, "modified"), (first, "added")]
    assert last in pfs("find-commits", "r@master:/d/a", "-n", "1").out
    assert pfs("find-commit", "r@master:/nothing", "--json").json == []
    pfs("find-commit", "r@master", code=2)
    pfs("find-commit", "r@nothing:/a", code=3)


@pytest.mark.usefixtures("store")
def test_waiting_for_what_is_there(pfs: Run) -> None:
    made = [put(pfs, "master:/a", text) for text in "123"]
    assert pfs("wait-commit", "r@master").out == pfs("wait-commit", made[2]).out == f"r@{made[2]}\n"
    record = pfs("inspect-commit", f"r@{made[0]}", "--wait", "--json").json
    assert isinstance(record, dict)
    assert record["id"] == made[0]
    assert pfs("subscribe-commit", "r@master", "-n", "3").out.split() == made
    lines = pfs("subscribe-commit", "r@master", "-n", "2", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == made[:2]
    pfs("subscribe-commit", "r@nothing", code=3)
    pfs("wait-commit", "r@nothing", code=3)
    with open_store() as store:
        repo = store.repo("r")
        failed = repo.finish_commit(repo.start_commit("master").id, error="boom").id
    assert "boom" in pfs("wait-commit", f"r@{failed}", code=1).err
