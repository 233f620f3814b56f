"""The table of Pachyderm's glob syntax (docs/compatibility.md, 1.8), a test a row."""

from __future__ import annotations

import pytest

from pfs.expand import expand
from pfs.glob import Glob
from pfs.repo import Repo
from pfs.trees.row import MemoryPages
from pfs.trees.tree import EMPTY_ROOT, Tree
from tests.pfs.test_glob import Guarded
from tests.pfs.tree_model import put

FILES = [
    "/README.md", "/a.csv", "/b.csv", "/logs/2024/01.txt", "/logs/2024/02.txt", "/logs/2025/01.txt", "/logs/x.txt",
    "/lost", "/photos/cat 1.png", "/photos/кот.png", "/star*.txt",
]  # fmt: skip


@pytest.fixture
def world(repo: Repo) -> Repo:
    with repo.commit("master") as writer:
        for path in FILES:
            writer.put_file(path, path.encode())
    return repo


def found(world: Repo, pattern: str) -> list[str]:
    return [info.path for info in world["master"].glob(pattern)]


@pytest.mark.row("1.8 star")
def test_star(world: Repo) -> None:
    """Any run, possibly empty, within a name."""
    assert found(world, "/*.csv") == ["/a.csv", "/b.csv"]
    assert found(world, "/lost*") == ["/lost"]
    assert found(world, "/logs*x.txt") == []


@pytest.mark.row("1.8 double star")
def test_double_star(world: Repo) -> None:
    """Any run, across slashes, also inside of a segment."""
    assert found(world, "/**.txt") == [
        "/logs/2024/01.txt", "/logs/2024/02.txt", "/logs/2025/01.txt", "/logs/x.txt", "/star*.txt",
    ]  # fmt: skip
    assert found(world, "/lo**1.txt") == ["/logs/2024/01.txt", "/logs/2025/01.txt"]
    assert found(world, "/photos**") == ["/photos/", "/photos/cat 1.png", "/photos/кот.png"]


@pytest.mark.row("1.8 question mark")
def test_question_mark(world: Repo) -> None:
    assert found(world, "/?.csv") == ["/a.csv", "/b.csv"]
    assert found(world, "/photos/???.png") == ["/photos/кот.png"]
    assert found(world, "/logs?x.txt") == []


@pytest.mark.row("1.8 classes")
@pytest.mark.parametrize("pattern", ["/[ab].csv", "/[a-b].csv", "/[!c-z].csv", "/[^c-z].csv", "/[[:alpha:]].csv"])
def test_classes(world: Repo, pattern: str) -> None:
    assert found(world, pattern) == ["/a.csv", "/b.csv"]


@pytest.mark.row("1.8 braces")
def test_braces_choose_and_do_not_capture(world: Repo) -> None:
    assert found(world, "/{a,b*,none}.csv") == ["/a.csv", "/b.csv"]
    assert found(world, "/logs/{2024/02,x}.txt") == ["/logs/2024/02.txt", "/logs/x.txt"]
    assert Glob("/{a,b}.(*)").groups("/a.csv") == ("csv",)


@pytest.mark.row("1.8 exactly one")
@pytest.mark.parametrize("pattern", ["/(a|b).csv", "/@(a|b).csv"])
def test_exactly_one_of(world: Repo, pattern: str) -> None:
    assert found(world, pattern) == ["/a.csv", "/b.csv"]
    assert Glob(pattern).groups("/b.csv") == ("b",)
    assert not Glob(pattern).match("/ab.csv")


@pytest.mark.row("1.8 repeated", "1.8 anything but")
@pytest.mark.parametrize(
    ("pattern", "captured"),
    [
        ("/x*(a|b)", {"/x": "", "/xa": "a", "/xabba": "abba", "/xc": None}),
        ("/x+(a|b)", {"/x": None, "/xa": "a", "/xabba": "abba"}),
        ("/x?(a|b)", {"/x": "", "/xa": "a", "/xab": None}),
        ("/x!(a|b)", {"/x": "", "/xa": None, "/xab": "ab", "/xc": "c", "/xc/d": None}),
    ],
)
def test_repetitions_capture_the_whole_repeated_text(pattern: str, captured: dict[str, str | None]) -> None:
    for path, want in captured.items():
        assert Glob(pattern).groups(path) == (() if want is None else (want,)), path


@pytest.mark.row("1.8 escape")
def test_backslash_takes_the_next_character_as_it_is(world: Repo) -> None:
    assert found(world, r"/star\*.txt") == ["/star*.txt"]
    assert found(world, r"/\a.csv") == ["/a.csv"]
    assert found(world, r"/\?.csv") == []


@pytest.mark.row("1.8 capture numbering")
def test_captures_are_numbered_by_their_opening_parenthesis() -> None:
    glob = Glob("/((a)(b))-(c)")
    assert glob.groups("/ab-c") == ("ab", "a", "b", "c")
    assert glob.replace("$1 $2 ${3} ${4}4 $0 $$1 $9", "/ab-c") == "ab a b c4 /ab-c $1 "
    assert Glob("/?(a)?(b)").replace("<$1$2>", "/b") == "<b>"


@pytest.mark.row("1.8 normalisation")
def test_patterns_are_cleaned_as_paths_are(world: Repo) -> None:
    assert found(world, "*.csv") == found(world, "/*.csv") == found(world, "//*.csv")
    assert found(world, "/*/") == found(world, "/*")
    assert found(world, "") == found(world, "/") == ["/"]


@pytest.mark.row("1.8 root")
def test_slash_is_the_whole_repo_as_one_item(world: Repo) -> None:
    (root,) = world["master"].glob("/")
    assert (root.path, root.type, root.file_count) == ("/", "directory", len(FILES))


@pytest.mark.row("1.8 literal prefix")
def test_the_literal_prefix_is_what_is_looked_up() -> None:
    pages = Guarded(set())
    from pfs.trees.edit import edit

    edits = [put(b"%s/f%03d" % (name, n), name) for name in (b"in", b"on") for n in range(300)]
    tree = Tree(pages, edit(pages, EMPTY_ROOT, edits, changed=None))
    other = tree.stat(b"on")
    assert other is not None
    pages.forbidden = {other.pid}
    assert len(list(expand(tree, "/in/f1?1"))) == 10
    assert len(list(expand(tree, "/in/**7"))) == 30


@pytest.mark.row("1.8 directories")
def test_directories_match_as_files_do(world: Repo) -> None:
    assert found(world, "/*") == [
        "/README.md", "/a.csv", "/b.csv", "/logs/", "/lost", "/photos/", "/star*.txt",
    ]  # fmt: skip
    assert found(world, "/*/*") == [
        "/logs/2024/", "/logs/2025/", "/logs/x.txt", "/photos/cat 1.png", "/photos/кот.png",
    ]  # fmt: skip
    every = {*FILES, "/logs/", "/logs/2024/", "/logs/2025/", "/photos/"}
    assert set(found(world, "/**")) == every
    assert len(found(world, "/**")) == len(every)


def test_the_order_is_that_of_bytes(world: Repo) -> None:
    for pattern in ("/**", "/*", "/{photos,logs}/*", "/l*"):
        paths = [path.encode() for path in found(world, pattern)]
        assert paths == sorted(paths)


@pytest.mark.row("1.8 emptied commit")
def test_nothing_matches_in_an_emptied_commit(world: Repo) -> None:
    with world.commit("master") as writer:
        writer.delete_file("/", recursive=True)
    assert found(world, "**") == []
    assert list(expand(Tree(MemoryPages(), EMPTY_ROOT), "**")) == []


@pytest.mark.row("1.8 timeout")
@pytest.mark.parametrize(
    "pattern",
    ["/+(+(a))b", "/*(*(a))b", "/*(a|?)b", "/+(a|aa)b", "/+(!(b))c", "/d/*a*a*a*a*a*a*a*a*b", "/**a**a**a**a**a**b"],
)
def test_no_pattern_needs_a_timeout(repo: Repo, pattern: str) -> None:
    """Names that look like a match up to their end: trying all ways to divide them would take years."""
    with repo.commit("master") as writer:
        for name in ("a" * 200, "d/" + "a" * 200, "aab" * 60 + "a"):
            writer.put_file("/" + name, b"1")
    assert found(repo, pattern) == []
    with repo.commit("master") as writer:
        writer.put_file("/" + "a" * 200 + "b", b"1")
        writer.put_file("/d/" + "a" * 200 + "b", b"1")
        writer.put_file("/" + "a" * 200 + "c", b"1")
    assert found(repo, pattern)
