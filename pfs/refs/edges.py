"""Commit records as refs have them: the first parent of a commit may have been squashed away."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import NO_RECORD, CommitRecord
from pfs.refs.body import RefsBody


def effective(body: RefsBody, record: CommitRecord) -> CommitRecord:
    """Return a record with the parents that ``edges`` leave it; the record itself where they say nothing."""
    if record.id not in body.edges:
        return record
    above = body.edges[record.id]
    parents, homes, ids = record.parents[1:], record.parent_packs[1:], record.parent_records[1:]
    if above is not None:
        parents, homes = (CommitId(above), *parents), (bytes.fromhex(body.records[above]), *homes)
        ids = (NO_RECORD, *ids) if record.parent_records else ()
    return replace(record, parents=parents, parent_packs=homes, parent_records=ids)


def without_commit(
    body: RefsBody, record: CommitRecord, children: Sequence[CommitRecord], *, home: PackId | None
) -> RefsBody:
    """Return the body with a commit taken out from above its children.

    ``record`` is the effective record of the commit, ``home`` the meta pack with its parent's record (None: no parent).
    """
    above = record.parents[0] if record.parents else None
    edges = {child: parent for child, parent in body.edges.items() if child != record.id}
    edges |= {child.id: above for child in children}
    records = body.records if above is None or home is None else {**body.records, above: home.hex()}
    return replace(body, edges=edges, records=records)
