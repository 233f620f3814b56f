"""What the index says of storage classes, out of listings: a hint, since other machines move packs too."""

from __future__ import annotations

from collections.abc import Iterable

from pfs.backends.base import Entry
from pfs.backends.classes import code_of
from pfs.ids import PackId
from pfs.packs.footer import parse_pack_name
from pfs.packs.index import Index


def note_tiers(index: Index, listed: Iterable[Entry]) -> None:
    """Let the index say of the packs in a listing in which class they are; writes only what is new."""
    known, found = index.tiers(), dict[PackId, int]()
    for entry in listed:
        parsed, code = parse_pack_name(entry.name), code_of(entry.storage_class)
        if parsed is not None and known.get(parsed[0], 0) != code:
            found[parsed[0]] = code
    index.set_tiers(found)
