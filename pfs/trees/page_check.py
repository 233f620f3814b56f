"""Whether kinds and depths of a page are such as rows have; by whole columns, as every page that is read is asked."""

from __future__ import annotations

from operator import gt
from typing import Final

from pfs.trees.page_row import Kind

_SHARD: Final = bytes((Kind.SHARD,))
_FILES: Final = bytes(kind for kind in Kind if kind not in (Kind.DIR, Kind.SHARD))
_DIR: Final = int(Kind.DIR)
_KNOWN: Final = bytes(Kind)
_IS_FOLDER: Final = bytes(kind in (Kind.DIR, Kind.SHARD) for kind in range(256))
"""For `bytes.translate`."""


def why_not_rows(level: int, kinds: bytes, depths: bytes, sparse: list[int]) -> str | None:
    """Return what is wrong with the rows of a page, None if nothing is; ``sparse`` are the directory and index rows."""
    if _is_plain(level, kinds, depths, sparse):
        return None
    folders = kinds.translate(_IS_FOLDER)
    listed = sorted(set(sparse)) == sparse and folders.count(1) == len(sparse)
    if not listed or (sparse and (sparse[-1] >= len(kinds) or not all(folders[row] for row in sparse))):
        return "directory rows"
    if kinds.translate(None, _KNOWN):
        return "unknown kind"
    shards = kinds.count(_SHARD)
    if level:
        return None if shards == len(kinds) and not any(depths) else "rows of an index page"
    if shards:
        return "index rows in a leaf"
    if not kinds:
        return None
    deepest = (depth + (kind == _DIR) for depth, kind in zip(depths, kinds, strict=True))
    return "depths" if depths[0] or any(map(gt, depths[1:], deepest)) else None


def _is_plain(level: int, kinds: bytes, depths: bytes, sparse: list[int]) -> bool:
    """Say whether the page is in order as it holds files alone, or index rows alone."""
    if depths.count(0) != len(depths):
        return False
    if level:
        return sparse == list(range(len(kinds))) and kinds.count(_SHARD) == len(kinds)
    return not sparse and not kinds.translate(None, _FILES)
