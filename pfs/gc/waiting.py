"""What was condemned and waits for its end: until when readers have their time, and what to say until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.gc.expire import Expired
from pfs.gc.options import LONGEST_WAIT_NS, Options
from pfs.gc.report import Report
from pfs.packs.condemned import load_list
from pfs.packs.pack import pack_name
from pfs.refs import collection
from pfs.refs.collection import Collection

if TYPE_CHECKING:
    from pfs.store import Store


def waits_until(store: Store, state: Collection, options: Options) -> int:
    """Return when readers have had their time for the packs that a generation condemned; in ns since the epoch.

    By the clock that dates objects: the list of the generation says when it was published.
    """
    found = [entry.modified_ns for entry in store.backend.entries(state.lists[state.gen])]
    return (found[0] if found else 0) + options.grace_ns


def waiting_report(store: Store, options: Options) -> Report | None:
    """Return a report where a published generation has to wait longer than a collection waits, else None."""
    state, _ = collection.read(store.backend)
    if state.phase != "published" or not options.grace_ns:
        return None
    until_ns = waits_until(store, state, options)
    if until_ns - store.clock_ns() <= LONGEST_WAIT_NS:
        return None
    listed = list(store.backend.entries("packs/"))
    stored = sum(entry.size for entry in listed)
    condemned = load_list(store.backend, state.lists[state.gen])
    names = {pack_name(pack, kind) for pack, kind in condemned.items()}
    return Report(
        packs=len(listed),
        bytes_before=stored,
        bytes_after=stored,
        live_bytes=None,
        expired=Expired(),
        waiting=sum(entry.name in names for entry in listed),
        waits_until_ns=until_ns,
    )
