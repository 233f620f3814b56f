"""Which datum wrote a file: looked up in the results of a job, without an index.

Results are kept by datum (``/out/<datum>/<path>``), so a path has to be looked for in all of them. The names of a page
are cut behind the datum's id and compared with the wanted ones, some 0.2 us a file; datums with more files than a page
has inlined have a page of their own, in which each path is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pfs.ids import NO_PAGE, PageId
from pfs.trees.page import Kind, Page
from pfs.trees.row import EMPTY_ROOT, Root, open_page
from pfs.trees.tree import Tree
from pps.model.records import OUT_DIR

if TYPE_CHECKING:
    from pfs.trees.row import PageSource, Row

_AHEAD = 64
"""Pages that are read together."""


def owners(results: Tree, wanted: Mapping[bytes, Row]) -> dict[bytes, list[bytes]]:
    """Return the datums, as hex ids in order, whose results have these files with the same content.

    ``wanted``: rows of output files by their key. Cost: a scan of all results. Memory: the pages read together.
    """
    found: dict[bytes, list[bytes]] = {}
    for datum, key, content in _candidates(results, wanted):
        row = wanted[key]
        if content == (row.kind, row.size, bytes(row.tid)):
            found.setdefault(key, []).append(datum)
    return found


_Content = tuple[int, int, bytes]


def _candidates(results: Tree, wanted: Mapping[bytes, Row]) -> Iterator[tuple[bytes, bytes, _Content]]:
    """Yield datum, key and content of each file of the results that has the name of a wanted one."""
    top = results.stat(OUT_DIR, want="dir")
    if top is None:
        return
    if top.pid == NO_PAGE:  # some few files: the directory is inlined
        for row in results.walk(OUT_DIR):
            datum, _, key = row.key[len(OUT_DIR) + 1 :].partition(b"/")
            if key in wanted:
                yield datum, key, (row.kind, row.size, bytes(row.tid))
        return
    for page in _leaves(results.pages, top.pid):
        yield from _on_page(results.pages, page, wanted)


def _leaves(pages: PageSource, top: PageId) -> Iterator[Page]:
    """Yield the leaves of one directory in order."""
    page = open_page(pages, top)
    if not page.level:
        yield page
        return
    below = [PageId(page.pid_of(row)) for row in range(page.count)]
    for at in range(0, len(below), _AHEAD):
        batch = below[at : at + _AHEAD]
        pages.prefetch(batch)
        for pid in batch:
            yield from _leaves(pages, pid)


def _on_page(pages: PageSource, page: Page, wanted: Mapping[bytes, Row]) -> Iterator[tuple[bytes, bytes, _Content]]:
    names = page.names
    for at in [at for at, name in enumerate(names) if name[name.find(b"/") + 1 :] in wanted]:
        if page.kinds[at] != Kind.DIR:
            datum, _, key = names[at].partition(b"/")
            yield datum, key, (int(page.kinds[at]), int(page.sizes[at]), bytes(page.tid(at)))
    apart = [int(at) for at in page.sparse.tolist() if page.pid_of(int(at)) != NO_PAGE]
    pages.prefetch([PageId(page.pid_of(at)) for at in apart])
    for at in apart:
        datum, _, inside = names[at].partition(b"/")
        yield from _in_folder(pages, PageId(page.pid_of(at)), datum, inside, wanted=wanted)


def _in_folder(
    pages: PageSource, pid: PageId, datum: bytes, inside: bytes, *, wanted: Iterable[bytes]
) -> Iterator[tuple[bytes, bytes, _Content]]:
    """Look keys up in a directory with a page of its own; ``inside``: its path in the datum, with a slash."""
    tree = Tree(pages, Root(pid, EMPTY_ROOT.tid, 0, 0))
    for key in wanted:
        if key.startswith(inside) and len(key) > len(inside):
            row = tree.stat(key[len(inside) :], want="file")
            if row is not None:
                yield datum, key, (row.kind, row.size, bytes(row.tid))
