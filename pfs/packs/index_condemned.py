"""What the index knows of packs: which are on lists of condemned ones, which are gone, where (docs/format/index.md).

Functions over a transaction, so that a look-up and the state of the packs it meets are seen at one moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pfs.arrays import np, npt
from pfs.ids import PackId
from pfs.packs.index_chunks import Chunks
from pfs.packs.index_env import Txn
from pfs.packs.index_rows import NUMBER, TIER_AT, decode_location, pack_row
from pfs.packs.pack import SealedPack

SEALED: Final = 1
CONDEMNED: Final = 3
"""On a list: it may still be read, and never saves a writer from storing what is in it."""
GONE: Final = 4
"""Condemned, and found to be deleted: its rows count as missing."""
_STATE_AT: Final = 17
_GEN: Final = b"gc_gen"
STALE: Final = b"stale"
"""In ``meta``, ``1``: packs went, whose objects other known packs may have too."""
_RANK: Final = {SEALED: 2, CONDEMNED: 1, GONE: 0}


def generation(txn: Txn) -> int:
    """Return the generation up to which lists have been applied."""
    value = txn.get("meta", _GEN)
    return 0 if value is None else int(NUMBER.unpack(value)[0])


def condemn(txn: Txn, lists: Mapping[int, Collection[PackId]], *, gone: Iterable[PackId], gen: int, kept: int) -> None:
    """Apply the lists of the generations after the one that was reached, up to ``gen``, and forget old ones.

    ``gone``: packs that do not exist any more, whatever lists said; ``kept``: how many generations are remembered.
    """
    reached = generation(txn)
    if gen <= reached:
        return
    for number, packs in sorted(lists.items()):
        for pack in packs if number > reached else ():
            txn.put("condemned", pack, NUMBER.pack(number))
            set_state(txn, pack, CONDEMNED)
    for pack in gone:
        mark_gone(txn, pack)
    for pack in [pack for pack, number in _condemned(txn) if number <= gen - kept]:
        txn.delete("condemned", pack)
    txn.put("meta", _GEN, NUMBER.pack(gen))


def condemned_since(txn: Txn, gen: int) -> frozenset[PackId]:
    """Return the packs on the remembered lists of the generations after ``gen``."""
    return frozenset(pack for pack, number in _condemned(txn) if number > gen)


def _condemned(txn: Txn) -> Iterator[tuple[PackId, int]]:
    cursor = txn.cursor("condemned")
    if cursor.set_range(b"\0"):
        for pack, number in cursor.iternext():
            yield PackId(pack), NUMBER.unpack(number)[0]


def first_state(txn: Txn, pack: PackId) -> int:
    """Return the state of a pack that the index learns of now."""
    return SEALED if txn.get("condemned", pack) is None else CONDEMNED


def state_of(txn: Txn, number: int) -> int:
    """Return the state of a known pack; of an unknown one, SEALED: who reads from it finds out."""
    row = txn.get("pack", NUMBER.pack(number))
    return SEALED if row is None else row[_STATE_AT]


def gone_numbers(txn: Txn) -> npt.NDArray[np.uint32]:
    """Return the numbers of the packs that are deleted; reads the whole table of packs."""
    cursor = txn.cursor("pack")
    rows = cursor.iternext() if cursor.set_range(b"\0") else iter(())
    return np.array([NUMBER.unpack(key)[0] for key, row in rows if row[_STATE_AT] == GONE], np.uint32)


def set_state(txn: Txn, pack: PackId, state: int) -> bool:
    """Move a pack on to ``state``, never back; say whether that changed anything."""
    number = txn.get("packid", pack)
    row = None if number is None else txn.get("pack", number)
    if number is None or row is None or row[_STATE_AT] >= state:
        return False
    txn.put("pack", number, row[:_STATE_AT] + bytes([state]) + row[_STATE_AT + 1 :])
    return True


def mark_gone(txn: Txn, pack: PackId) -> None:
    """Note that a pack is deleted."""
    if set_state(txn, pack, GONE):
        txn.put("meta", STALE, b"1")


class States:
    """The states of packs within one transaction, each looked up once."""

    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._known: dict[int, int] = {}

    def of(self, number: int) -> int:
        """Return the state of a pack by its number."""
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = state_of(self._txn, number)
        return known

    def better(self, new: bytes, old: bytes | None) -> bool:
        """Say whether the place ``new`` of an object is to be preferred to the one there is."""
        if old is None:
            return True
        return _RANK[self.of(decode_location(new).pack_no)] > _RANK[self.of(decode_location(old).pack_no)]


def fill(txn: Txn, chunks: Chunks, rows: Sequence[tuple[bytes, bytes]]) -> None:
    """Put chunk rows where there is none, or only one of a pack that is nearer its end."""
    states, known = States(txn), chunks.find([key for key, _ in rows])
    for key, value in rows:
        if states.better(value, known.get(key)):
            known[key] = value
            chunks.put(key, value)


def put_pack(txn: Txn, pack: SealedPack) -> int:
    """Put the rows of a pack that say what it is, unless they are there; return its number."""
    known = txn.get("packid", pack.pack_id)
    if known is not None:  # another process was first; the rows say the same
        number: int = NUMBER.unpack(known)[0]
        return number
    cursor = txn.cursor("pack")
    number = NUMBER.unpack(cursor.key())[0] + 1 if cursor.last() else 1
    txn.put("pack", NUMBER.pack(number), pack_row(pack, state=first_state(txn, pack.pack_id)))
    txn.put("packid", pack.pack_id, NUMBER.pack(number))
    return number


def put_rows(txn: Txn, chunks: Chunks, rows: Sequence[tuple[bytes, bytes]], *, numbers: Sequence[int]) -> None:
    """Put chunk rows over what is there; those of condemned packs only where there is nothing better."""
    states = States(txn)
    old = {number for number in numbers if states.of(number) != SEALED}
    if not old:
        chunks.put_many(rows)
        return
    chunks.put_many([row for row in rows if decode_location(row[1]).pack_no not in old])
    fill(txn, chunks, [row for row in rows if decode_location(row[1]).pack_no in old])


def forget(txn: Txn, chunks: Chunks, keys: Sequence[bytes], *, packs: Collection[PackId]) -> None:
    """Remove the rows of these keys that point into these packs.

    Frozen ones of packs that are gone stay: they count as missing, and are left out when runs are merged.
    """
    numbers = {number for pack in packs if (number := txn.get("packid", pack)) is not None}
    known, states = {NUMBER.unpack(number)[0] for number in numbers}, States(txn)
    for key, value in chunks.find(keys).items():
        pack_no = decode_location(value).pack_no
        if pack_no in known and (chunks.is_recent(key) or states.of(pack_no) != GONE):
            chunks.delete(key)


def sealed(txn: Txn, packs: Sequence[PackId]) -> list[int] | None:
    """Return the numbers of packs, None when one is not known, or on a list of condemned packs."""
    found = [txn.get("packid", pack) for pack in packs]
    numbers = [NUMBER.unpack(number)[0] for number in found if number is not None]
    states = States(txn)
    whole = len(numbers) == len(packs) and all(states.of(number) == SEALED for number in numbers)
    return numbers if whole else None


def set_tiers(txn: Txn, tiers: Mapping[PackId, int]) -> None:
    """Note in which storage class packs are; of packs that are not known, nothing."""
    for pack, tier in tiers.items():
        number = txn.get("packid", pack)
        row = None if number is None else txn.get("pack", number)
        if number is not None and row is not None and row[TIER_AT] != tier:
            txn.put("pack", number, row[:TIER_AT] + bytes([tier]) + row[TIER_AT + 1 :])


def tiers(txn: Txn) -> dict[PackId, int]:
    """Return the packs that are in another storage class than the standard one, as far as that was noted."""
    cursor = txn.cursor("pack")
    rows = (value for _, value in cursor.iternext()) if cursor.set_range(NUMBER.pack(0)) else iter(())
    return {PackId(value[:16]): value[TIER_AT] for value in rows if value[TIER_AT]}
