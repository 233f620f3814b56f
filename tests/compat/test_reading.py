"""Files: reading, and globs (docs/compatibility.md, 1.7 and 1.8)."""

from __future__ import annotations

import pytest

from pfs.glob import Glob
from tests.cli.conftest import Run
from tests.compat.conftest import Put

LETTERS = ["/a", "/b", "/bc", "/d/", "/d/x", "/d/y/", "/d/y/z"]
"""What `letters` puts: files and directories in byte order."""


@pytest.fixture
def letters(put: Put) -> str:
    return put("r@master", a="1", b="22", bc="333", d__x="4444", d__y__z="55555")


def shown(pfs: Run, *words: str) -> list[str]:
    """Return the paths that a command lists."""
    return [file["path"] for file in pfs(*words, "--json").json]


@pytest.mark.row("1.7 get", "1.7 offset")
def test_get_gives_the_bytes_of_one_file(pfs: Run, letters: str) -> None:
    assert pfs("get-file", "r@master:/d/x").out == "4444"
    assert pfs("get-file", f"r@{letters}:/d/y/z", "--offset", "3").out == "55"
    pfs("get-file", "r@master:/d", code=2)


@pytest.mark.row("1.7 inspect")
def test_inspect_shows_files_and_directories(pfs: Run, letters: str) -> None:
    assert pfs("inspect-file", "r@master:/bc", "--json").json["size_bytes"] == 3
    assert pfs("inspect-file", "r@master:/d", "--json").json["size_bytes"] == 9
    pfs("inspect-file", "r@master:/none", code=3)


@pytest.mark.row("1.7 list")
def test_list_shows_children_in_byte_order(pfs: Run, letters: str) -> None:
    assert shown(pfs, "list-file", "r@master") == ["/a", "/b", "/bc", "/d/"]
    assert shown(pfs, "list-file", "r@master:/d") == ["/d/x", "/d/y/"]
    assert shown(pfs, "list-file", "r@master:/bc") == ["/bc"]


@pytest.mark.row("1.7 walk")
def test_walk_shows_all_below(pfs: Run, letters: str) -> None:
    assert shown(pfs, "list-file", "-r", "r@master") == LETTERS
    pfs("list-file", "-r", "r@master:/none", code=3)


@pytest.mark.row("1.7 diff")
def test_diff_compares_with_the_parent_or_another(pfs: Run, put: Put, letters: str) -> None:
    put("r@master", a="2", b="22", e="1")
    pfs("delete-file", "r@master:/d/x")
    changes = {file["path"]: file["change"] for file in pfs("diff-file", "r@master", "--json").json}
    assert changes == {"/d/x": "deleted"}
    since = {file["path"]: file["change"] for file in pfs("diff-file", "r@master", f"r@{letters}", "--json").json}
    assert since == {"/a": "modified", "/d/x": "deleted", "/e": "added"}


@pytest.mark.row("1.7 file hash")
def test_equal_content_has_equal_hashes(pfs: Run, put: Put) -> None:
    put("r@master", a="same" * 1000, d__b="same" * 1000, c="other")
    first, second, third = (pfs("inspect-file", f"r@master:/{n}", "--json").json["hash"] for n in ("a", "d/b", "c"))
    assert first == second != third


@pytest.mark.row("1.7 glob", "1.8 debugging")
def test_glob_gives_whole_paths_in_order(pfs: Run, letters: str) -> None:
    assert shown(pfs, "glob-file", "r@master:/b*") == ["/b", "/bc"]
    assert shown(pfs, "glob-file", "r@master:/none*") == []


CASES = [
    pytest.param("/*", ["/a", "/b", "/bc", "/d/"], marks=pytest.mark.row("1.8 star", "1.8 directories"), id="star"),
    pytest.param("/*/*", ["/d/x", "/d/y/"], id="star star"),
    pytest.param("/**", LETTERS, marks=pytest.mark.row("1.8 double star"), id="all"),
    pytest.param("/d**", LETTERS[3:], id="inside a segment"),
    pytest.param("/?", ["/a", "/b", "/d/"], marks=pytest.mark.row("1.8 question mark"), id="one"),
    pytest.param("/[a-b]", ["/a", "/b"], marks=pytest.mark.row("1.8 classes"), id="range"),
    pytest.param("/[!a]", ["/b", "/d/"], id="not"),
    pytest.param("/[^ad]", ["/b"], id="not either"),
    pytest.param("/[[:alpha:]]c", ["/bc"], id="posix"),
    pytest.param("/{a,b*}", ["/a", "/b", "/bc"], marks=pytest.mark.row("1.8 braces"), id="braces"),
    pytest.param("/(a|bc)", ["/a", "/bc"], marks=pytest.mark.row("1.8 exactly one"), id="one of"),
    pytest.param("/@(a|bc)", ["/a", "/bc"], id="at one of"),
    pytest.param("/b*(c|d)", ["/b", "/bc"], marks=pytest.mark.row("1.8 repeated"), id="any number"),
    pytest.param("/b+(c|d)", ["/bc"], id="one or more"),
    pytest.param("/b?(c)", ["/b", "/bc"], id="none or one"),
    pytest.param("/!(a|b)", ["/bc", "/d/"], marks=pytest.mark.row("1.8 anything but"), id="but"),
    pytest.param("b/", ["/b"], marks=pytest.mark.row("1.8 normalisation"), id="cleaned"),
    pytest.param("/", ["/"], marks=pytest.mark.row("1.8 root"), id="root"),
]


@pytest.mark.parametrize(("pattern", "found"), CASES)
def test_globs(pfs: Run, letters: str, pattern: str, found: list[str]) -> None:
    assert shown(pfs, "glob-file", f"r@master:{pattern}") == found


@pytest.mark.row("1.8 escape")
def test_a_backslash_takes_the_next_character_as_it_is(pfs: Run, put: Put) -> None:
    put("r@master", **{"a*": "1", "ab": "2"})
    assert shown(pfs, "glob-file", "r@master:/a\\*") == ["/a*"]


@pytest.mark.row("1.8 capture numbering")
def test_groups_are_numbered_by_their_opening() -> None:
    glob = Glob("/(a*)-{x,y}-@(b(c|d))+(e)")
    assert glob.replace("$1 ${2} $3 $4", "/aa-y-bdee") == "aa bd d ee"
    assert glob.replace("$0 $$ [$9]", "/aa-y-bdee") == "/aa-y-bdee $ []"


@pytest.mark.row("1.8 emptied commit")
def test_nothing_matches_in_an_emptied_commit(pfs: Run, letters: str) -> None:
    pfs("delete-file", "r@master:/", "-r")
    assert shown(pfs, "glob-file", "r@master:/**") == []
