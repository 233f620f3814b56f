"""What a glob pattern deletes, as edits of the tree that it is matched against."""

from __future__ import annotations

from collections.abc import Iterator

from pfs.errors import InvalidInputError
from pfs.expand import expand
from pfs.files.selection import outermost
from pfs.glob import Glob
from pfs.paths import from_key
from pfs.trees.edit import Delete, DeleteTree
from pfs.trees.tree import Tree


def deletions(tree: Tree, glob: Glob, *, recursive: bool) -> Iterator[Delete | DeleteTree]:
    """Return the edits that delete what matches, in key order; with ``recursive`` directories with all below them.

    Raises:
        InvalidInputError: at once, when a directory matches and ``recursive`` is not set.
    """
    if not recursive:
        folder = next((row for row in expand(tree, glob) if row.is_dir), None)
        if folder is not None:
            raise InvalidInputError(
                f"{glob.pattern} matches the directory {from_key(folder.key)}: delete it with -r, or recursive=True"
            )
    return (DeleteTree(row.key) if row.is_dir else Delete(row.key) for row in outermost(expand(tree, glob)) if row.key)
