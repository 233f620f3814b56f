"""The files of an artifact beside the notes of where they were delivered: both are in the order of paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pps.egress.delivered import DELIVERED, Note, note_of

if TYPE_CHECKING:
    from pfs.trees.row import Row
    from pfs.trees.tree import Tree
    from pps.egress.send import Part
    from pps.spec.types import Egress


def folder_of(target: str) -> bytes:
    """Return the key of the directory of ``.meta`` that has the notes of a target."""
    return DELIVERED + b"/" + target.encode()


def noted_files(meta: Tree, target: str, part: Part, egress: Egress) -> Iterator[tuple[Row, Note]]:
    """Yield the notes of the files that an artifact has, each with its row; of an archive, of which there is one, that.

    What is noted of files that it has no more is left out. Linear in files and notes.
    """
    folder, is_archive = folder_of(target), egress.levers.archive != "none"
    files = iter(()) if is_archive else part.files()
    at = next(files, None)
    for row in meta.walk(folder):
        path = row.key[len(folder) + 1 :]
        while at is not None and at[0] < path:
            at = next(files, None)
        note = note_of(row)
        if note is not None and (is_archive or (at is not None and at[0] == path)):
            yield row, note
