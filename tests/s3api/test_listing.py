"""Listing against the definition: sorted keys, rolled up, paged to the end."""

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.ids import EMPTY_CHUNK, TreeId
from pfs.trees.edit import Put, edit
from pfs.trees.page import Kind
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Row, Tree
from s3api.http.xml import parse
from s3api.objects.listing import Query, Writer, list_page

KEYS = st.text("ab/-é\x01", min_size=1, max_size=6)


def tree_of(keys: list[str]) -> Tree:
    pages = MemoryPages()
    puts = [Put(key.encode(), Kind.FILE, 0, TreeId(EMPTY_CHUNK)) for key in keys]
    return Tree(pages, edit(pages, EMPTY_ROOT, puts, changed=None, collisions="allow"))


def expected(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """What a listing holds, by definition."""
    found: list[str] = []
    for key in sorted(keys, key=str.encode):
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = key if at < 0 else key[: at + len(delimiter)]
            if entry not in found[-1:]:
                found.append(entry)
    return found


def paged(tree: Tree, query: Query, start_after: bytes = b"") -> list[str]:
    found: list[bytes] = []
    while True:
        page = list_page(tree, query, start_after)
        found += sorted([row.key for row in page.rows] + list(page.prefixes))
        if not page.truncated:
            return [entry.decode() for entry in found]
        start_after = page.last


@settings(max_examples=300, deadline=None)
@given(
    st.sets(KEYS, max_size=30).map(sorted),
    st.text("ab/é", max_size=3),
    st.sampled_from(["", "/", "-", "a", "//", "b/"]),
    st.integers(1, 5),
)
def test_pages_make_up_the_whole(keys: list[str], prefix: str, delimiter: str, size: int) -> None:
    tree = tree_of(keys)
    assert paged(tree, Query(prefix, delimiter, size, False)) == expected(keys, prefix, delimiter)


@settings(max_examples=200, deadline=None)
@given(st.sets(KEYS, max_size=20).map(sorted), KEYS, st.sampled_from(["", "-"]))
def test_start_after_any_key(keys: list[str], start: str, delimiter: str) -> None:
    tree = tree_of(keys)
    behind = [key for key in keys if key.encode() > start.encode()]
    found = paged(tree, Query("", delimiter, 1000, False), start.encode())
    wanted = expected(behind, "", delimiter)
    # A start that is itself a common prefix is one that an earlier page ended with: it does not come again.
    assert found == [entry for entry in wanted if entry != start or not delimiter]


def test_no_keys_asked_for() -> None:
    page = list_page(tree_of(["a"]), Query("", "", 0, False), b"")
    assert (page.rows, page.truncated) == ((), False)


@pytest.mark.parametrize(("key", "encoded"), [("a b", False), ("a\x01b", True), ("a\rb", False)])
def test_keys_that_xml_cannot_hold_are_encoded(key: str, encoded: bool) -> None:
    query = Query("", "", 10, False)
    page = list_page(tree_of([key]), query, b"")
    out = Writer(query, page)
    assert out.encoded == encoded
    shown = parse(f"<R>{out.contents(owner=True)}</R>".encode(), "R").find("Contents/Key")
    assert shown is not None
    assert (unquote(shown.text or "") if encoded else shown.text) == key


def test_only_files_with_bytes_are_objects() -> None:
    pages = MemoryPages()
    puts = [Put(b"link", Kind.SYMLINK, 1, TreeId(bytes(32))), Put(b"file", Kind.FILE, 0, TreeId(EMPTY_CHUNK))]
    tree = Tree(pages, edit(pages, EMPTY_ROOT, puts, changed=None))
    rows: tuple[Row, ...] = list_page(tree, Query("", "", 10, False), b"").rows
    assert [row.key for row in rows] == [b"file"]
