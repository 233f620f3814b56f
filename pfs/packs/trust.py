"""The index as a writer may rely on it: a row is worth nothing when its pack is gone, condemned or damaged.

What a writer does not store again, since the store has it, must really be there. Looking at the chunk would cost as
much as storing it; looking at the first bytes of its pack, once a session, finds packs that were removed, emptied or
overwritten. Damaged chunks inside of whole packs are found by reading them, which takes their rows away
(`Objects`, `fsck`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pfs.arrays import U8, np
from pfs.backends.base import Backend
from pfs.errors import CorruptionError, NotFoundError, StorageError
from pfs.ids import PackId
from pfs.packs.index import Index, Location
from pfs.packs.index_columns import NOWHERE, Places
from pfs.packs.pack import HEADER_BYTES, check_pack_header, pack_name
from pfs.parallel import at_once


class TrustedIndex:
    """Looks up ids for one writer; thread-safe. A short read for each pack that is met, once."""

    def __init__(self, backend: Backend, index: Index) -> None:
        self._backend, self._index = backend, index
        self._good: dict[int, bool] = {}

    def find(self, ids: Sequence[bytes]) -> list[Location | None]:
        """Return where each id lies, in the order given; None also where the pack does not begin as it should."""
        found = self._index.find(ids, to_keep=True) if ids else []
        if self._backend.parallel > 1:
            self._look_at({place.pack_no for place in found if place is not None})
        return [place if place is not None and self._is_good(place.pack_no) else None for place in found]

    def trusts(self, packs: Sequence[PackId]) -> list[int] | None:
        """Return the numbers of packs of which each is as a writer needs it; None when one is not."""
        numbers = self._index.sealed(packs)
        if numbers is not None and self._backend.parallel > 1:
            self._look_at(set(numbers))
        return numbers if numbers is not None and all(map(self._is_good, numbers)) else None

    def find_columns(self, ids: U8) -> Places:
        """Return what `find` does, for very many ids (32 columns)."""
        found = self._index.find_columns(ids)
        packs = set(np.unique(found.pack_no).tolist()) - {NOWHERE}
        if self._backend.parallel > 1:
            self._look_at(packs)
        bad = [pack for pack in packs if not self._is_good(pack)]
        found.pack_no[np.isin(found.pack_no, bad)] = NOWHERE
        return found

    def _look_at(self, packs: set[int]) -> None:
        """Look at packs that were not met yet, several at once."""
        unknown = sorted(packs - self._good.keys())
        self._good.update(zip(unknown, at_once(self._backend.parallel, self._look, unknown), strict=True))

    def _is_good(self, pack_no: int) -> bool:
        known = self._good.get(pack_no)
        if known is None:
            known = self._good[pack_no] = self._look(pack_no)
        return known

    def _look(self, pack_no: int) -> bool:
        pack_id, kind = self._index.pack(pack_no)
        name = pack_name(pack_id, kind)
        try:
            check_pack_header(self._backend.get(name, length=HEADER_BYTES), pack_id, kind, where=name)
        except (NotFoundError, CorruptionError, StorageError):  # what cannot be read is stored again
            return False
        return True
