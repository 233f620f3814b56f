"""From the footers of packs to the rows of the chunk table: a loop for few entries, columns for many."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from msgspec import Struct

from pfs.arrays import U32, Voids, np
from pfs.packs.footer import ENTRY, ENTRY_ROW, SealedPack
from pfs.packs.index_rows import IN_BLOCK, KEY_SIZE, LOCATION, LOCATION_SIZE, LOCATIONS
from pfs.packs.record import Codec

_FEW: Final = 4096
"""Entries up to which a loop (1 us each) costs far less than to load NumPy: those of a full pack of text, too."""


class FewRows(Struct, frozen=True):
    """Rows of the chunk table, sorted by key: (key, which of the packs, offset, clen and type as they are stored)."""

    rows: list[tuple[bytes, int, int, int]]

    def items(self, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Return the rows once the packs have their ``numbers``."""
        return [(key, LOCATION.pack(numbers[pack], offset, size)) for key, pack, offset, size in self.rows]


class ChunkRows(Struct, frozen=True):
    """Rows of the chunk table, sorted by key; ``pack_index`` says which of the packs each row is of."""

    keys: Voids
    values: Voids
    pack_index: U32

    def items(self, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Return the rows once the packs have their ``numbers``."""
        self.values["pack_no"] = np.array(numbers, dtype=np.uint32)[self.pack_index]
        raw: list[bytes] = self.values.view(f"V{LOCATION_SIZE}").tolist()
        return list(zip(self.keys.tolist(), raw, strict=True))


def _columns(packs: Sequence[SealedPack]) -> ChunkRows:
    entries = np.concatenate([np.empty(0, ENTRY), *(pack.entries for pack in packs)])
    owners = np.repeat(np.arange(len(packs), dtype=np.uint32), [pack.rows for pack in packs])
    keys = np.ascontiguousarray(entries.view(np.uint8).reshape(-1, ENTRY_ROW.size)[:, :KEY_SIZE])
    words = keys.view(">u8")
    order = np.lexsort((words[:, 1], words[:, 0]))
    values = np.zeros(len(entries), LOCATIONS)
    values["offset"] = entries["off"]
    types = np.where(entries["codec"] == Codec.IN_BLOCK, IN_BLOCK, entries["type"]).astype(np.uint32)
    values["clen_type"] = (entries["clen"] << np.uint32(4)) | types
    return ChunkRows(keys.view(f"V{KEY_SIZE}")[order, 0], values[order], owners[order])


def chunk_rows(packs: Sequence[SealedPack], *, few: int = _FEW) -> FewRows | ChunkRows:
    """Return the chunk rows of all packs' entries, sorted; some 3 million rows a second when there are many.

    Of equal keys the row of the pack that comes first is first.
    """
    return _columns(packs) if sum(pack.rows for pack in packs) > few else _few(packs)


def _few(packs: Sequence[SealedPack]) -> FewRows:
    rows = []
    for number, pack in enumerate(packs):
        for id, offset, clen, _, type, codec, _ in ENTRY_ROW.iter_unpack(pack.footer):
            shown = IN_BLOCK if codec == Codec.IN_BLOCK else type
            rows.append((id[:KEY_SIZE], number, offset, (clen << 4 | shown) & 0xFFFF_FFFF))
    rows.sort(key=itemgetter(0))
    return FewRows(rows)
