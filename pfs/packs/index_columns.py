"""Looking up very many ids: columns in, columns out, no value of Python for each."""

from __future__ import annotations

from msgspec import Struct

from pfs.arrays import I64, U8, np
from pfs.packs.index_chunks import Chunks
from pfs.packs.index_condemned import CONDEMNED, GONE, States
from pfs.packs.index_env import Txn
from pfs.packs.index_rows import KEY_SIZE, LOCATIONS

NOWHERE = -1
"""The pack number of what is not there."""


class Places(Struct, frozen=True):
    """Where objects lie: the number of the pack, NOWHERE without one, and the type in the index's row."""

    pack_no: I64
    type: U8

    @classmethod
    def none(cls, count: int) -> Places:
        """Return places of ``count`` objects that are not there."""
        return cls(np.full(count, NOWHERE, np.int64), np.zeros(count, np.uint8))


def find_columns(txn: Txn, chunks: Chunks, ids: U8) -> Places:
    """Return where a writer may rely on each id (32 columns): in packs that are on no list of condemned packs.

    An id may come more than once.
    """
    found = Places.none(len(ids))
    keys = np.ascontiguousarray(ids[:, :KEY_SIZE])
    words = keys.view(">u8")
    order = np.lexsort((words[:, 1], words[:, 0]))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    wanted = keys.view(f"S{KEY_SIZE}")[order[is_first], 0]
    rows = chunks.rows(wanted.view(f"V{KEY_SIZE}").tolist())
    if not rows:
        return found
    there = np.frombuffer(b"".join([key for key, _ in rows]), f"S{KEY_SIZE}")
    row_of = np.full(len(wanted), -1)
    row_of[np.searchsorted(wanted, there)] = np.arange(len(rows))
    rows_of = row_of[np.cumsum(is_first) - 1]
    order, rows_of = order[rows_of >= 0], rows_of[rows_of >= 0]
    values = np.frombuffer(b"".join([value for _, value in rows]), LOCATIONS)
    numbers, states = values["pack_no"].astype(np.int64), States(txn)
    hidden = [pack for pack in np.unique(numbers).tolist() if states.of(pack) in (CONDEMNED, GONE)]
    numbers[np.isin(numbers, hidden)] = NOWHERE
    found.pack_no[order] = numbers[rows_of]
    found.type[order] = values["clen_type"][rows_of] & 15
    return found
