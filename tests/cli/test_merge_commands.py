"""merge, revert, cherry-pick, rebase: what they print, and what they exit with."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


def put(pfs: Run, path: str, text: str, *words: str) -> str:
    Path("f").write_text(text)
    return pfs("put-file", f"r@{path}", "-f", "f", *words).out.strip()


@pytest.fixture
def forked(store: Path, pfs: Run) -> Run:
    """Branches master and dev of r, which both changed /a and each a file of its own."""
    put(pfs, "master:/a", "0")
    pfs("create-branch", "r@dev", "--head", "master")
    put(pfs, "master:/m", "1")
    put(pfs, "master:/a", "1")
    put(pfs, "dev:/d/x", "2")
    put(pfs, "dev:/a", "2")
    return pfs


def text(pfs: Run, path: str) -> str:
    return pfs("get-file", f"r@{path}").out


def test_merge(forked: Run) -> None:
    pfs = forked
    before = pfs("list-commit", "r", "--json").json
    failed = pfs("merge", "r@dev", "r@master", code=4)
    assert failed.out.split() == ["PATH", "CONFLICT", "/a", "both", "modified"]
    assert "--resolve" in failed.err
    report = pfs("merge", "r@dev", "r@master", "--json", code=4).json
    assert report == {
        "id": None,
        "conflicts": [{"path": "/a", "name": "a", "reason": "both modified"}],
        "conflict_count": 1,
    }
    assert pfs("list-commit", "r", "--json").json == before
    pfs("merge", "r@dev", "r@master", "--ours", "--theirs", code=2)
    pfs("merge", "r@dev", "r@master", "--resolve", "/a", code=2)
    pfs("merge", "r@dev", "r@master", "--ours", "--resolve", "/m=ours", code=2)
    pfs("merge", "other@dev", "r@master", code=2)
    pfs("merge", "r@nothing", "r@master", code=3)
    pfs("merge", "r@dev", "r@nothing", code=3)
    made = pfs("merge", "r@dev", "r@master", "--resolve", "/a=theirs", "-m", "both").out.strip()
    assert (text(pfs, "master:/a"), text(pfs, "master:/d/x"), text(pfs, "master:/m")) == ("2", "2", "1")
    record = pfs("inspect-commit", "r@master", "--json").json
    assert isinstance(record, dict)
    assert (record["id"], record["message"], len(record["parents"])) == (made, "both", 2)
    assert pfs("merge", "dev", "r@master", "--json").json == {"id": made, "conflicts": [], "conflict_count": 0}


def test_revert_cherry_pick_rebase(forked: Run) -> None:
    pfs = forked
    pfs("revert", "r@master^")
    pfs("get-file", "r@master:/m", code=3)
    pfs("revert", "r@dev", "-b", "master", code=2)
    pfs("cherry-pick", "r@dev", "r@master", code=4)
    pfs("cherry-pick", "r@dev^", "r@master")
    assert text(pfs, "master:/d/x") == "2"
    old = pfs("list-commit", "r@dev", "--json").json
    pfs("rebase", "r@dev", "master", code=4)
    pfs("rebase", "r@dev", "r@master", "--theirs")
    assert (text(pfs, "dev:/a"), text(pfs, "master:/a")) == ("2", "1")
    pfs("undelete", "r@dev")
    assert pfs("list-commit", "r@dev", "--json").json == old
