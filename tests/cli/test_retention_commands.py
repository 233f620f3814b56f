"""`pfs set-retention` and `pfs purge` from the shell: what they print, what they refuse."""

from pathlib import Path

from tests.cli.conftest import Run


def put(pfs: Run, text: str, path: str = "/a") -> str:
    Path("file").write_text(text)
    return pfs("put-file", f"r@master:{path}", "-f", "file", "--checksum").out.strip()


def test_rules_are_set_shown_and_cleared(store: Path, pfs: Run) -> None:
    assert pfs("set-retention", "r").out == "no rules: all commits stay\n"
    put(pfs, "1")
    out = pfs("set-retention", "r", "--keep-last", 3, "--keep-days", 2, "--stale-branch", "12h").out
    assert out.splitlines() == [
        "all branches: the last 3, those of the last 2 days stay",
        "tagged commits stay",
        "branches with no commit for 12 hours move to the trash",
    ]
    pfs("set-retention", "r", "--branch", "master", "--keep-daily", 7)
    found = pfs("set-retention", "r", "--no-keep-tags", "--keep-days", 0, "--json").json
    nothing = {"last": 0, "seconds": 0, "daily": 0, "weekly": 0, "monthly": 0}
    assert found == {
        "name": "r",
        "keep": nothing | {"last": 3},
        "branches": {"master": nothing | {"daily": 7}},
        "keep_tags": False,
        "stale_branch_seconds": 43_200,
        "paths": [],
    }
    assert pfs("set-retention", "r", "--json").json == found
    out = pfs("set-retention", "r", "--path", "/raw/**", "--path-days", "2w").out
    assert "files /raw/** lose their bytes in commits older than 14 days" in out
    assert pfs("set-retention", "r", "--path", "/raw/**", "--path-days", 0, "--json").json == found
    pfs("set-retention", "r", "--clear", "--branch", "master")
    assert "branch master" not in pfs("set-retention", "r").out
    assert pfs("set-retention", "r", "--clear").out == "no rules: all commits stay\n"


def test_rules_that_cannot_be_are_refused(store: Path, pfs: Run) -> None:
    put(pfs, "1")
    assert "is not a time" in pfs("set-retention", "r", "--keep-days", "soon", code=2).err
    assert "--clear" in pfs("set-retention", "r", "--clear", "--keep-last", 1, code=2).err
    assert "whole repo" in pfs("set-retention", "r", "--branch", "master", "--stale-branch", 3, code=2).err
    assert "go together" in pfs("set-retention", "r", "--path", "/a", code=2).err
    pfs("set-retention", "r", "--path", "/a[", "--path-days", 3, code=2)
    assert "no rule is left" in pfs("set-retention", "r", "--branch", "master", "--keep-last", 0, code=2).err
    pfs("set-retention", "r", "--branch", "none", "--keep-last", 1, code=3)
    pfs("set-retention", "none", "--keep-last", 1, code=3)
    pfs("set-retention", "r", "--keep-last", -1, code=2)
    for option in ("--keep-days", "--stale-branch", "--path-days"):
        words = ["set-retention", "r", option, "99999999999999999999", *(["--path", "/a"] if "path" in option else [])]
        assert "too long a time: at most 36500d" in pfs(*words, code=2).err
    assert "the last 36500 days" in pfs("set-retention", "r", "--keep-days", "36500").out


def test_gc_does_what_the_rules_say(store: Path, pfs: Run) -> None:
    made = [put(pfs, str(number)) for number in range(4)]
    pfs("set-retention", "r", "--keep-last", 2)
    assert "would remove 2 commits of r" in pfs("gc", "--dry-run").out
    (effect,) = pfs("gc", "--dry-run", "--json").json["retention"]  # type: ignore[call-overload, index]
    assert sorted(effect["removed"], key=lambda one: made.index(one["id"])) == [
        {"id": id, "branch": "master"} for id in made[:2]
    ]
    assert "remove 2 commits of r by its rules, 2 stay" in pfs("gc").out
    ids = [record["id"] for record in pfs("list-commit", "r@master", "--json").json]  # type: ignore[attr-defined]
    assert ids == made[:1:-1]
    pfs("inspect-commit", f"r@{made[0]}", code=3)


def test_a_path_is_purged(store: Path, pfs: Run) -> None:
    first = put(pfs, "secret", "/d/secret")
    put(pfs, "secret", "/copy")
    assert "--yes" in pfs("purge", "r:/d/secret", code=2).err
    said = pfs("purge", "r:/d/secret", "--dry-run", "--json").json
    assert (said["commits"], said["contents"], said["size_bytes"]) == (2, 1, 6)  # type: ignore[index]
    assert pfs("get-file", f"r@{first}:/d/secret").out == "secret"
    out = pfs("purge", "r:/d/secret", "--yes").out.splitlines()
    assert out[0] == "1 content (6 B) purged from 2 commits; `pfs gc` frees the bytes"
    assert out[1].startswith("the same content is also at r@")
    assert out[1].endswith(":/copy")
    assert "was purged from the history" in pfs("get-file", f"r@{first}:/d/secret", code=3).err
    said = pfs("put-file", "r@master:/d/secret", "-a", "-f", "file", code=3).err
    assert "/d/secret was purged from the history" in said
    assert "without -a" in said
    assert "was purged from the history" in pfs("copy-file", "r@master:/d/secret", "r@master:/e", code=3).err
    assert "removed" in pfs("list-file", "r@master:/d", "--json").out
    assert pfs("purge", "r:/d/secret", "--yes").out == "r:/d/secret was purged before\n"
    assert "directory" in pfs("purge", "r:/d", "--yes", code=2).err
    pfs("purge", "r:/d", "-r", "--yes")
    pfs("purge", "r:/nothing", "--yes", code=3)
    pfs("purge", "none:/a", "--yes", code=3)
    assert "without a branch" in pfs("purge", "r@master:/a", "--yes", code=2).err
    assert "path is missing" in pfs("purge", "r", "--yes", code=2).err
    pfs("get-file", "r@master:/", "-r", "-o", "out")
    assert sorted(file.name for file in Path("out").rglob("*") if file.is_file()) == ["copy"]
