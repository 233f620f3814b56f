"""Globs: the syntax by examples, and expansion against matching every row."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import InvalidInputError
from pfs.expand import expand
from pfs.glob import Glob
from pfs.ids import PageId
from pfs.trees.edit import edit
from pfs.trees.page import Changed, Page
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Root, Tree
from tests.pfs.tree_model import FILES, SMALL, put

CHANGED = Changed(b"1" * 16, 1)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", "/", True),
        ("", "/", True),
        ("/", "/a", False),
        ("/*", "/", False),
        ("/**", "/", False),
        ("/*", "/a", True),
        ("*", "/a", True),
        ("/*/", "/a", True),
        ("/*", "/a/b", False),
        ("/*/*", "/a/b", True),
        ("/*", "/with\nnewline", True),
        ("/**", "/a", True),
        ("/**", "/a/b/c", True),
        ("/a**", "/ab/c", True),
        ("/a/**", "/a", False),
        ("/a/**", "/a/b", True),
        ("/**.png", "/x/y.png", True),
        ("/*.png", "/x/y.png", False),
        ("/?", "/a", True),
        ("/?", "/é", True),
        ("/?", "/ab", False),
        ("/a?b", "/a/b", False),
        ("/[abc]", "/b", True),
        ("/[a-c]x", "/cx", True),
        ("/[!a-c]", "/d", True),
        ("/[^a-c]", "/a", False),
        ("/a[!b]c", "/a/c", False),
        ("/[[:alpha:]][[:digit:]]", "/x7", True),
        ("/[[:digit:]]", "/x", False),
        ("/[[:alpha:]_-]", "/-", True),
        ("/[&&~|-]", "/~", True),
        ("/[\\]]", "/]", True),
        ("/{a,b*,c}", "/bcd", True),
        ("/{a,b*,c}", "/d", False),
        ("/{a,b{c,d}}e", "/bde", True),
        ("/{x/y,z}", "/x/y", True),
        ("/(a|b).txt", "/b.txt", True),
        ("/@(a|b).txt", "/c.txt", False),
        ("/*(a|b)", "/", False),
        ("/x*(a|b)", "/x", True),
        ("/x*(a|b)", "/xabba", True),
        ("/x+(a|b)", "/x", False),
        ("/x?(a|b)", "/xa", True),
        ("/x?(a|b)", "/xab", False),
        ("/!(*.js|*.json)", "/a.js", False),
        ("/!(*.js|*.json)", "/a.js.gz", True),
        ("/!(foo)", "/foo", False),
        ("/!(foo)", "/foobar", True),
        ("/!(foo)", "/bar/x", False),
        ("/!(foo)/*", "/foobar/x", True),
        ("/!(foo)/*", "/foo/x", False),
        ("/a!(x)", "/a", True),
        ("/a!(x)", "/ax", False),
        ("/*!(.js)", "/foo.js.js", True),
        ("/*.!(js)", "/a-test.js", False),
        ("/*.!(js)*", "/foo.js.js", False),
        ("/!(foo)*", "/foo", False),
        ("/!(!(foo))", "/foo", True),
        ("/*(*(f)*(o))", "/fffooofoooooffoofffooofff", True),
        ("/*(f*(o)x)", "/foooxfooxofoxfooox", False),
        ("/ab**(e|f)g", "/abcfefg", True),
        ("/ab***ef", "/abcdef", True),
        ("/a+", "/a+", True),
        ("/a@b!", "/a@b!", True),
        ("/a|b)", "/a|b)", True),
        ("/a,b}", "/a,b}", True),
        ("/\\*", "/*", True),
        ("/\\*", "/a", False),
        ("/a\\(b", "/a(b", True),
        ("//a//b/", "/a/b", True),
        ("/./a", "/a", True),
        ("/.", "/.", False),
    ],
)
def test_match(pattern: str, path: str, matches: bool) -> None:
    assert Glob(pattern).match(path) == matches


@pytest.mark.parametrize(
    ("pattern", "path", "groups"),
    [
        ("/test/(a|b)/x.go", "/test/b/x.go", ("b",)),
        ("/test/a*(a|b)/x.go", "/test/aba/x.go", ("ba",)),
        ("/test/a?(a|b)/x.go", "/test/a/x.go", ("",)),
        ("/test/+(a|b)/(*).go", "/test/ab/x.go", ("ab", "x")),
        ("/test*(/?(+(a|b)/*.go))", "/test/a/x.go", ("/a/x.go", "a/x.go", "a")),
        ("/!(x)-(*)", "/y-z", ("y", "z")),
        ("/{a,b}/(*)", "/b/c", ("c",)),
        ("/(a|b)", "/c", ()),
    ],
)
def test_captures(pattern: str, path: str, groups: tuple[str, ...]) -> None:
    assert Glob(pattern).groups(path) == groups


def test_replace() -> None:
    glob = Glob("/(*)-(*).txt")
    assert glob.replace("$2/${1}0 $$1 $0 $3|${9}", "/a-b.txt") == "b/a0 $1 /a-b.txt |"


@pytest.mark.parametrize(
    "pattern",
    ["/[", "/[]", "/[a", "/(a", "/{a,b", "/a\\", "/[z-a]", "/[[:nope:]]", "/\0", "(" * 40 + ")" * 40],
)
def test_malformed(pattern: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid glob pattern"):
        Glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("/", "/"), ("/*", "/"), ("/a/b*", "/a/b"), ("a/b", "/a/b"), ("/a\\*b?/c", "/a*b"), ("/a/(b)", "/a/")],
)
def test_literal_prefix(pattern: str, prefix: str) -> None:
    assert Glob(pattern).literal_prefix == prefix


PATTERNS = ["/*", "/**", "/*/*", "/a/*", "/n1*/**", "/**/a", "/a", "/a/b", "/[ab]/n?", "/{a,b}/(n*|b)/*", "/!(a)/*"]
PATTERNS += ["/a**", "/n*(1|2)", "/*/n1**", "/a-/.", "/c.txt/*", "/{a/b,b/a}", "/a/@(b|b/*)", "/b/**1"]
PATTERNS += [
    "/**1",
    "/*1",
    "/*/*1",
    "/**/n*",
    "/*/**",
    "/*/*/*",
    "/a\\/b",
    "/a\\/**",
    "/**/",
    "/n1",
    "/*/b",
    "/*/*/b**",
    "/**/*1",
]


@settings(max_examples=60, deadline=None)
@given(FILES, st.sampled_from(PATTERNS))
def test_expand_gives_the_rows_that_match(texts: dict[bytes, bytes], pattern: str) -> None:
    pages = MemoryPages()
    edits = [put(key, text) for key, text in texts.items()]
    root = edit(pages, EMPTY_ROOT, edits, changed=CHANGED, collisions="allow", params=SMALL)
    tree, glob = Tree(pages, root), Glob(pattern)
    want = [
        row
        for row in tree.walk(with_dirs=True)
        if glob.match("/" + row.key.decode(errors="surrogateescape"))
        and (row.is_dir or row.size or not row.key.endswith(b"/"))
    ]
    assert list(expand(tree, pattern)) == want


def test_root() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"a/b"), put(b"c")], changed=CHANGED)
    (row,) = expand(Tree(pages, root), "/")
    assert (row.key, row.is_dir, row.count, row.size, row.tid) == (b"", True, 2, 2, root.tid)
    assert list(expand(Tree(pages, EMPTY_ROOT), "/**")) == []


class Guarded(MemoryPages):
    """Refuses to read some pages."""

    def __init__(self, forbidden: set[PageId]) -> None:
        super().__init__()
        self.forbidden = forbidden

    def get_page(self, pid: PageId) -> Page:
        assert pid not in self.forbidden
        return super().get_page(pid)


def test_only_directories_that_can_match_are_opened() -> None:
    pages = Guarded(set())
    edits = [put(b"%s/f%03d" % (name, n), name) for name in (b"in", b"out") for n in range(200)]
    root: Root = edit(pages, EMPTY_ROOT, edits, changed=CHANGED)
    tree = Tree(pages, root)
    out = tree.stat(b"out")
    assert out is not None
    pages.forbidden = {out.pid}
    assert len(list(expand(tree, "/i*/f1*"))) == 100
    assert [row.key for row in expand(tree, "/*")] == [b"in", b"out"]
    assert len(list(expand(tree, "/in/**"))) == 200
