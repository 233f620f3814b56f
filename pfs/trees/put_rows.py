"""An edit that sets many files of one directory, as columns; `pfs.trees.fresh` makes pages of them as they are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pfs.trees.span import Files


class PutRows(Struct, frozen=True):
    """Set files of a directory; a put of each of them gives the same tree."""

    key: bytes
    """Of the directory."""
    names: Sequence[bytes]
    """Without slashes, ascending; at least one."""
    files: Files
    """Rows in the order of the names."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return int(self.files.sizes.sum())

    def key_of(self, name: bytes) -> bytes:
        """Return the key of a file."""
        return self.key + b"/" + name if self.key else name

    def has(self, name: bytes) -> bool:
        """Say whether a file of this name is among them."""
        at = bisect_left(self.names, name)
        return at < len(self.names) and self.names[at] == name
