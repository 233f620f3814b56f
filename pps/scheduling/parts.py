"""Many edits of a large tree, a part at a time: memory is that of a part."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from pfs.trees.edit import Edit, edit

if TYPE_CHECKING:
    from pfs.trees.page import Changed
    from pfs.trees.row import PageSink, Root

AT_ONCE: Final = 8192
"""Edits of one part."""


def edit_in_parts(
    pages: PageSink,
    root: Root,
    edits: Iterable[Edit],
    *,
    changed: Changed,
    collisions: Literal["refuse", "allow"] = "refuse",
) -> Root:
    """Return the root after all edits; as `edit` of all at once, if each part leaves a tree that may be.

    Edits in the order of their keys meet each page about once, so that this costs little more than one `edit`.
    """
    source = iter(edits)
    while part := list(islice(source, AT_ONCE)):
        root = edit(pages, root, part, changed=changed, collisions=collisions)
    return root
