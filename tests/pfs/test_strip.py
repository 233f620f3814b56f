"""Taking content out of trees: the same as putting REMOVED rows one by one, and every page once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.trees.edit import Edit, Put, copy_dir, edit
from pfs.trees.page import Changed, Kind
from pfs.trees.row import EMPTY_ROOT, MemoryPages, Root
from pfs.trees.strip import Stripper
from pfs.trees.tree import Tree
from tests.pfs.tree_model import FILES, put

FIRST, THEN = Changed(b"1" * 16, 1), Changed(b"2" * 16, 2)


def stripped_one_by_one(pages: MemoryPages, root: Root, prefix: bytes) -> Root:
    rows = [row for row in Tree(pages, root).walk() if row.key.startswith(prefix)]
    edits = [Put(row.key, Kind.REMOVED, row.size, row.tid, changed=row.changed) for row in rows]
    return edit(pages, root, edits, changed=None, collisions="allow")


def made(pages: MemoryPages, files: dict[bytes, bytes]) -> Root:
    puts: list[Edit] = [put(key, text) for key, text in files.items()]
    half = len(puts) // 2
    root = edit(pages, EMPTY_ROOT, puts[:half], changed=FIRST, collisions="allow")
    return edit(pages, root, puts[half:], changed=THEN, collisions="allow")


@settings(max_examples=60, deadline=None)
@given(FILES, st.data())
def test_a_stripped_tree_is_the_one_with_removed_rows(files: dict[bytes, bytes], data: st.DataObject) -> None:
    pages = MemoryPages()
    root = made(pages, files)
    found: list[bytes] = []
    strip = Stripper(pages, lambda kind, tid, size: found.append(tid))
    assert strip.root(root) == stripped_one_by_one(pages, root, b"")
    assert len(found) == len(files)
    folders = [row for row in Tree(pages, root).walk(with_dirs=True) if row.is_dir and row.key]
    if folders:
        row = data.draw(st.sampled_from(folders))
        edits = Stripper(pages, lambda kind, tid, size: None).folder(Tree(pages, root), row)
        new = edit(pages, root, edits, changed=None, collisions="allow")
        assert new == stripped_one_by_one(pages, root, row.key + b"/")
        again = Tree(pages, new).stat(row.key, want="dir")
        assert again is not None
        assert Stripper(pages, lambda kind, tid, size: None).folder(Tree(pages, new), again) == []


def test_large_and_deep_directories_are_done_page_by_page() -> None:
    pages = MemoryPages()
    files = {b"d/%d/%04d" % (number % 40, number): b"x" for number in range(3_000)}
    files |= {b"/".join([b"deep"] * 1_500) + b"/f": b"y", b"other": b"z"}
    root = made(pages, files)
    strip = Stripper(pages, lambda kind, tid, size: None)
    assert strip.root(root) == stripped_one_by_one(pages, root, b"")
    copied = edit(pages, root, copy_dir(Tree(pages, root), b"d", b"e"), changed=THEN)
    tree = Tree(pages, copied)
    row = tree.stat(b"e")
    assert row is not None
    before = len(pages.pages)
    strip.folder(tree, row)
    assert len(pages.pages) == before  # the pages of the directory were done
