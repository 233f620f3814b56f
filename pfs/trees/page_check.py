"""Whether kinds and depths of a page are such as rows have; by columns, as every page that is read is asked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pfs.trees.page_row import Kind

_FILE, _SHARD, _CHUNKED = bytes((Kind.FILE,)), bytes((Kind.SHARD,)), bytes((Kind.CHUNKED,))
_LAST_KIND = max(Kind)
U8 = npt.NDArray[np.uint8]


def why_not_rows(level: int, kinds: U8, depths: U8, sparse: npt.NDArray[np.uint32]) -> str | None:
    """Return what is wrong with the rows of a page, None if nothing is; ``sparse`` are the directory and index rows."""
    if _is_plain(level, kinds, depths, sparse):
        return None
    folders = np.flatnonzero((kinds == Kind.DIR) | (kinds == Kind.SHARD))
    if not np.array_equal(folders, sparse):
        return "directory rows"
    if len(kinds) and int(kinds.max()) > _LAST_KIND:
        return "unknown kind"
    if level:
        return None if np.all(kinds == Kind.SHARD) and np.all(depths == 0) else "rows of an index page"
    if np.any(kinds == Kind.SHARD):
        return "index rows in a leaf"
    deeper = depths[1:].astype(np.int16) - depths[:-1]
    into = (kinds[:-1] == Kind.DIR).astype(np.int16)
    return "depths" if len(kinds) and (depths[0] != 0 or np.any(deeper > into)) else None


def _is_plain(level: int, kinds: U8, depths: U8, sparse: npt.NDArray[np.uint32]) -> bool:
    """Say whether the page is in order as it holds files alone, or index rows alone; two comparisons of bytes."""
    if depths.any():
        return False
    raw, count = kinds.tobytes(), len(kinds)
    if level:
        in_order = len(sparse) == count and bool((sparse == np.arange(count)).all())
        return in_order and raw.count(_SHARD) == count
    return not len(sparse) and raw.count(_FILE) + raw.count(_CHUNKED) == count
