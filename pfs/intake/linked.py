"""Symbolic links of an archive that are to be followed: to what they lead to within it, when all of it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pfs.errors import InvalidInputError
from pfs.paths import from_key
from pfs.shorten import shorten
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pfs.trees.tree import Tree

TARGET: Final = "target"
"""Metadata of a link that waits: the text of where it leads. It never leaves the tree of the archive."""
_MOST_LINKS: Final = 40
"""Links on the way of one link; as many as Linux follows."""


def follow_links(tree: Tree, base: bytes) -> Iterator[Edit]:
    """Yield what puts the contents of files, or of directories, in the place of the links of ``tree`` that wait.

    ``base`` is the key of the directory that the archive is unpacked to, which no link leaves. A directory that a link
    leads to may hold links to files, but none to directories: their number could grow without bounds.

    Raises:
        InvalidInputError: a link leads nowhere, in circles, out of the archive, or to a directory by way of two links.
    """
    for row in tree.walk(base):
        if is_waiting(row):
            yield Delete(row.key)
            yield from _in_place(tree, base, row)


def is_waiting(row: Row) -> bool:
    """Say whether a row is a link that is to be followed."""
    return row.kind == Kind.SYMLINK and TARGET in (row.aux or {})


def _in_place(tree: Tree, base: bytes, link: Row) -> Iterator[Put]:
    found = _resolve(tree, base, link)
    if not found.is_dir:
        yield Put(link.key, found.kind, found.size, found.tid, found.aux)
        return
    if link.key.startswith(found.order_key) or not found.key:
        raise InvalidInputError(f"{_shown(link, base)} is a link to a directory that it lies in")
    for row in tree.walk(found.key):
        below = link.key + row.key[len(found.key) :]
        content = _resolve(tree, base, row) if is_waiting(row) else row
        if content.is_dir:
            raise InvalidInputError(
                f"{_shown(link, base)} leads to a directory with the link {_shown(row, base)} to another"
            )
        yield Put(below, content.kind, content.size, content.tid, content.aux)


def _resolve(tree: Tree, base: bytes, link: Row) -> Row:
    """Return the file or directory that a link leads to, through other links, step by step as the kernel does."""
    done, waiting, hops = _steps(link.key)[:-1], list(reversed(_steps(_text(link)))), 0
    top = _steps(base)
    if _text(link).startswith(b"/"):
        raise _leads_out(link, base)
    while waiting:
        step = waiting.pop()
        if step == b"..":
            if len(done) <= len(top):
                raise _leads_out(link, base)
            done.pop()
            continue
        here = tree.stat(b"/".join([*done, step]), want="file")
        if here is None or not is_waiting(here):
            done.append(step)
            continue
        hops += 1
        if hops > _MOST_LINKS:
            raise InvalidInputError(f"{_shown(link, base)} is a link that leads in circles")
        if _text(here).startswith(b"/"):
            raise _leads_out(link, base)
        waiting += reversed(_steps(_text(here)))
    key = b"/".join(done)
    found = tree.stat(key) if key else None
    if found is None and key == base:
        found = tree.stat(base, want="dir")
    if found is None:
        raise InvalidInputError(
            f"{_shown(link, base)} is a link to {shorten(from_key(_text(link))[1:])}, which the archive does not hold"
        )
    return found


def _steps(path: bytes) -> list[bytes]:
    return [step for step in path.split(b"/") if step not in {b"", b"."}]


def _text(link: Row) -> bytes:
    text = (link.aux or {})[TARGET]
    assert isinstance(text, bytes)
    return text


def _leads_out(link: Row, base: bytes) -> InvalidInputError:
    return InvalidInputError(
        f"{_shown(link, base)} is a link that leads out of the archive: skip links (--symlinks skip)"
    )


def _shown(link: Row, base: bytes) -> str:
    return shorten(from_key(link.key[len(base) :].removeprefix(b"/"))[1:])
