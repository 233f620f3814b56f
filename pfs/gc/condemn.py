"""Which packs to delete and which to write again without what is dead; pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from pfs.backends.classes import ARCHIVES, is_settled
from pfs.gc.survey import PackFacts
from pfs.ids import PackId
from pfs.packs.session_data import PACK_ENTRIES

DEAD_SHARE: Final = 0.2
"""A pack is written again when this part of it is dead: what is stored stays below 1.25 times what is live."""
SMALL_BYTES: Final = 16 << 20
SMALL_ENTRIES: Final = PACK_ENTRIES // 4
"""A pack of tiny chunks is full by their number."""
SMALL_PACKS: Final = 8
"""So many small packs of one kind are made into large ones."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with packs that may be touched; each is in one list at most."""

    delete: tuple[PackFacts, ...]
    repack: tuple[PackFacts, ...]
    cold: tuple[PackFacts, ...] = ()
    """Packs that are left as they are, though partly dead, for the sake of the storage class that they are in."""

    @property
    def packs(self) -> tuple[PackFacts, ...]:
        """All that are condemned."""
        return self.delete + self.repack


def condemn(
    packs: Sequence[PackFacts], *, now_ns: int, min_age_ns: int = 0, leased: AbstractSet[PackId] = frozenset()
) -> Decision:
    """Return what to delete and to repack; packs younger than ``min_age_ns`` and leased ones are left alone.

    Packs in another storage class than the standard one are not small, and are written again only when they have been
    there for the time that is billed anyway, and can be read; wholly dead ones go.

    All packs with something in them that was purged go, however little, young or leased: who purges wants it gone, and
    a writer that counts on them stores again what it needs.

    What it leaves and makes it would leave alone again: small packs are taken when they would be too many together with
    the one small pack of each kind that repacking ends with.
    """

    def is_free(facts: PackFacts) -> bool:
        is_old = not min_age_ns or facts.modified_ns + min_age_ns <= now_ns
        return facts.shred or (is_old and facts.pack not in leased)

    free = [facts for facts in packs if is_free(facts)]
    delete = tuple(facts for facts in free if not facts.live_entries)
    live = [facts for facts in free if facts.live_entries]
    cold = tuple(facts for facts in live if _is_thin(facts) and _is_cold(facts, now_ns))
    stays = {facts.pack for facts in cold}
    live = [facts for facts in live if facts.pack not in stays]
    repack = [facts for facts in live if _is_thin(facts)]
    small = {kind: [facts for facts in live if facts.kind == kind and _is_small(facts)] for kind in ("d", "m")}
    for kind in ("d", "m", "d"):  # chunks of small meta packs go to a data pack: look at those again
        if len(small[kind]) + bool(repack) >= SMALL_PACKS:
            repack += small[kind]
            small[kind] = []
    repack.sort(key=lambda facts: facts.pack)  # ids begin with their time
    return Decision(delete, tuple(repack), cold)


def _is_thin(facts: PackFacts) -> bool:
    return facts.shred or facts.dead_bytes >= DEAD_SHARE * facts.size


def _is_cold(facts: PackFacts, now_ns: int) -> bool:
    if facts.shred or not facts.storage_class:
        return False
    settled = is_settled(facts.storage_class, facts.modified_ns, now_ns)
    return facts.storage_class in ARCHIVES or not settled


def _is_small(facts: PackFacts) -> bool:
    if facts.storage_class:
        return False
    return facts.size < SMALL_BYTES and facts.entries < SMALL_ENTRIES and not _is_thin(facts)
