"""Refs that are missing or damaged, and what they cost: found by what packs and other repos say of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, NotFoundError, StorageError
from pfs.packs.commit_record import CommitRecord, decode_record
from pfs.packs.pack import pack_name
from pfs.refs.body import RefsBody
from pfs.refs.read import RefsState, refs_name
from pfs.upkeep.check_packs import Packs
from pfs.upkeep.damage import Damages, Taint

if TYPE_CHECKING:
    from pfs.store import Store


def check_lost_refs(store: Store, packs: Packs, states: Sequence[RefsState], damages: Damages) -> None:
    """Note each repo without refs that a commit or another repo names; commits of damaged refs are affected too.

    Of a deleted repo a tombstone stays: its refs are there. Reads the records of meta packs that have more of them than
    refs led to; packs that were not walked at all are among them.
    """
    for name, record in _unwalked(store, packs):
        refs = refs_name(record.repo)
        if refs not in damages and store.backend.read(refs) is None:
            damages.add("refs", refs, f"it is missing, and with it all branches of the repo: {name} has a commit of it")
        if refs in damages:
            damages.affect([Taint(refs, None)], f"{record.repo}@{record.id}")
    for state in states:
        for repo in sorted(_named(state.body) - {state.repo}):
            refs = refs_name(repo)
            if refs not in damages and store.backend.read(refs) is None:
                damages.add("refs", refs, f"it is missing, and with it the repo: {state.repo} names a branch of it")


def _unwalked(store: Store, packs: Packs) -> Iterator[tuple[str, CommitRecord]]:
    """Yield the records of packs that hold some that no refs led to, with the names of the packs."""
    for pack, offsets in packs.commits.items():
        if packs.walked[pack] >= len(offsets):
            continue
        name = pack_name(pack, "m")
        for offset in offsets:
            with suppress(CorruptionError, StorageError, NotFoundError):  # reported as the pack's damage, if it is any
                yield name, decode_record(store.objects.record_at(name, offset).payload, where=f"{name} at {offset}")


def _named(body: RefsBody) -> set[str]:
    """Return the repos that a body's branches are computed from or feed, or its open commits are made from."""
    named = {repo for entry in body.branches.values() for repo, _ in (*entry.provenance, *entry.feeds)}
    return named | {source[0] for entry in body.open.values() for source in entry.provenance}
