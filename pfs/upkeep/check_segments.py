"""Do index segments say what the footers of packs say?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xxhash import xxh3_128_digest

from pfs.errors import CorruptionError, InvalidInputError, NotFoundError, StorageError
from pfs.history.segments import read_head
from pfs.ids import PackId
from pfs.packs.pack import SealedPack
from pfs.packs.segment import decode_head, footers_in, records_in, records_match
from pfs.parallel import at_once
from pfs.refs.segments import MANIFEST, SegmentRow, read_manifest
from pfs.upkeep.damage import Damages, reason

if TYPE_CHECKING:
    from pfs.store import Store

_ADVICE: Final = "nothing is lost, footers are read instead: run `pfs consolidate-index --anew`"


class SegmentCheck:
    """Checks the segments of a store beside its packs. Memory: some 200 bytes a pack that is in one."""

    def __init__(self, store: Store, damages: Damages, *, deep: bool) -> None:
        """Read the tables of all segments; with ``deep`` all of each segment."""
        self._damages = damages
        self._sums: dict[PackId, tuple[bytes, SegmentRow]] = {}
        try:
            rows = read_manifest(store.backend)[0].segments
        except (InvalidInputError, StorageError) as error:
            damages.add("segment", MANIFEST, f"{reason(error, where=False)}; {_ADVICE}")
            return
        for row, head in zip(
            rows, at_once(store.backend.parallel, lambda row: read_head(store.backend, row), rows), strict=True
        ):
            detail = "it is missing, or its table is damaged" if head is None else None
            if head is not None and deep:
                detail = _fault(store, row)
            if head is None or detail is not None:
                damages.add("segment", row.name, f"{detail}; {_ADVICE}")
                continue
            sums = head.table["footer"].tolist()
            self._sums.update((pack, (bytes(sum), row)) for pack, sum in zip(head.packs(), sums, strict=True))

    def check(self, footer: SealedPack) -> None:
        """Compare the footer of a pack with what a segment has of it, if one has it."""
        known = self._sums.get(footer.pack_id)
        if known is not None and known[0] != xxh3_128_digest(footer.entries.tobytes()):
            detail = f"what it says of pack {footer.pack_id.hex()} is not what that says; {_ADVICE}"
            self._damages.add("segment", known[1].name, detail)


def _fault(store: Store, row: SegmentRow) -> str | None:
    """Read all of a segment; return what is wrong with it."""
    records: dict[PackId, list[bytes]] = {}
    try:
        data = store.backend.get(row.name)
        head = decode_head(data, bytes.fromhex(row.id), where=row.name)
        for pack, record in records_in(data, head):
            records.setdefault(pack, []).append(record)
    except (CorruptionError, NotFoundError, StorageError) as error:
        return reason(error, where=False)
    if len(data) != head.size:
        return f"it has {len(data)} bytes, not {head.size}"
    for footer in footers_in(data, head):
        if footer is None or not records_match(footer, records.get(footer.pack_id, [])):
            return "what it says of packs is damaged"
    return None
