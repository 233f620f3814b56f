"""What the index knows of condemned packs: which packs are on lists, and which of them are gone (docs/format/index.md).

Functions over a transaction, so that a look-up and the state of the packs it meets are seen at one moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from pfs.ids import PackId
from pfs.packs.index_env import Txn
from pfs.packs.index_rows import NUMBER, decode_location

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


def fill(txn: Txn, rows: Iterable[tuple[bytes, bytes]]) -> None:
    """Put chunk rows where there is none, or only one of a pack that is nearer its end."""
    states = States(txn)
    for key, value in rows:
        if states.better(value, txn.get("chunk", key)):
            txn.put("chunk", key, value)
