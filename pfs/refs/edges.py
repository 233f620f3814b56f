"""Facts about single commits, by which refs overrule records: parents, places of records, what took squashed ones over.

Few of them are in the body itself, the others in immutable objects that it names (`pfs.refs.facts`); look-ups here ask
both. Those that read an object raise CorruptionError, MissingObjectError or StorageError.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import NO_RECORD, CommitRecord
from pfs.refs.body import Older, RefsBody
from pfs.refs.facts import GONE, ID, LIMIT, NOTHING, Fact, Facts, Shelf, Value, absorbed, facts, merged

_GONE = ""
"""In a body's own facts: there is none, whatever older objects say."""


class Edge(Struct, frozen=True):
    """The first parent that a commit has instead of the one in its record; None: it has no parent."""

    parent: CommitId | None


def edge_of(body: RefsBody, commit: CommitId) -> Edge | None:
    """Return the edge of a commit, None where its record counts."""
    value = _find(body, Fact.EDGE, commit)
    return None if value is None else Edge(_as_commit(value))


def record_home(body: RefsBody, commit: CommitId) -> PackId | None:
    """Return the meta pack that refs name for the record of a commit, apart from those of heads."""
    value = _find(body, Fact.RECORD, commit)
    return None if value is None else PackId(value.id)


def squashed_into(body: RefsBody, commit: CommitId) -> CommitId | None:
    """Return the child that took a squashed commit over; it may have been squashed since."""
    value = _find(body, Fact.SQUASHED, commit)
    return None if value is None else _as_commit(value)


def edges_to(body: RefsBody, parent: CommitId) -> list[CommitId]:
    """Return the commits that have ``parent`` by an edge, in order of ids."""
    found = {CommitId(commit) for commit, above in body.edges.items() if above == parent}
    for part in _parts(body):
        found.update(CommitId(commit.hex()) for commit in part.naming(Fact.EDGE, bytes.fromhex(parent)))
    return sorted(commit for commit in found if edge_of(body, commit) == Edge(parent))


def record_homes(body: RefsBody) -> dict[CommitId, PackId]:
    """Return the packs of all records that `record_home` knows."""
    return {commit: PackId(value.id) for commit, value in _all(body, Fact.RECORD).items()}


def squashed(body: RefsBody) -> dict[CommitId, CommitId]:
    """Return every squashed commit with the child that took it over."""
    found = _all(body, Fact.SQUASHED).items()
    return {commit: CommitId(value.id.hex()) for commit, value in found}


def effective(body: RefsBody, record: CommitRecord) -> CommitRecord:
    """Return a record with the parents that its edge leaves it; the record itself where it has none."""
    edge = edge_of(body, record.id)
    if edge is None:
        return record
    parents, homes, ids = record.parents[1:], record.parent_packs[1:], record.parent_records[1:]
    if edge.parent is not None:
        parents, homes = (edge.parent, *parents), (record_home(body, edge.parent) or b"", *homes)
        ids = (NO_RECORD, *ids) if record.parent_records else ()
    return replace(record, parents=parents, parent_packs=homes, parent_records=ids)


def without_commit(
    body: RefsBody, record: CommitRecord, children: Sequence[CommitRecord], *, home: PackId | None
) -> RefsBody:
    """Return the body with a commit taken out from above its children; the last of them takes it over.

    ``record`` is the effective record of the commit, ``home`` the meta pack with its parent's record (None: no parent).
    """
    above = record.parents[0] if record.parents else None
    if record.id not in body.heads():  # else the trash has it: what is had back needs its parent
        body = without_facts(body, [record.id])
    body = with_edges(body, {child.id: above for child in children})
    body = replace(body, squashed={**body.squashed, record.id: children[-1].id})
    return body if above is None or home is None else with_records(body, {above: home})


def with_edges(body: RefsBody, parents: Mapping[CommitId, CommitId | None]) -> RefsBody:
    """Return the body with an edge from each commit to its new first parent."""
    return replace(body, edges={**body.edges, **parents})


def with_records(body: RefsBody, homes: Mapping[CommitId, PackId]) -> RefsBody:
    """Return the body with the packs of these commits' records."""
    return replace(body, records={**body.records, **{commit: home.hex() for commit, home in homes.items()}})


def without_facts(body: RefsBody, commits: Collection[CommitId]) -> RefsBody:
    """Return the body that gives these commits no other parent, and does not say where their records are."""
    hidden = dict.fromkeys(commits, _GONE) if body.older else {}
    edges = {commit: above for commit, above in body.edges.items() if commit not in commits}
    records = {commit: home for commit, home in body.records.items() if commit not in commits}
    return replace(body, edges={**edges, **hidden}, records={**records, **hidden})


def trimmed(body: RefsBody, repo: str, shelf: Shelf, *, limit: int | None = None) -> RefsBody:
    """Return the body as it may be stored: facts of its own beyond ``limit`` (`LIMIT`) go to an object first."""
    own = list(_own(body))
    if len(own) <= (LIMIT if limit is None else limit):
        return body
    kept = absorbed([older.rows for older in body.older], len(own))
    parts = [*(shelf.get(older.name) for older in body.older[kept:]), facts(own)]
    new = merged(parts, last=kept == 0)
    older = body.older[:kept]
    if len(new):
        older = (*older, Older(shelf.put(repo, new), len(new)))
    return replace(body, edges={}, records={}, squashed={}, older=older, shelf=shelf if older else None)


def _own(body: RefsBody) -> Iterator[tuple[Fact, bytes, Value]]:
    for fact, held in _held(body).items():
        for commit, text in held.items():
            yield fact, bytes.fromhex(commit), _value(text)


def _held(body: RefsBody) -> dict[Fact, Mapping[str, str | None]]:
    return {Fact.EDGE: body.edges, Fact.RECORD: body.records, Fact.SQUASHED: body.squashed}


def _value(text: str | None) -> Value:
    if text is None:
        return Value(NOTHING)
    return Value(GONE) if text == _GONE else Value(ID, bytes.fromhex(text))


def _as_commit(value: Value) -> CommitId | None:
    return CommitId(value.id.hex()) if value.what == ID else None


def _find(body: RefsBody, fact: Fact, commit: CommitId) -> Value | None:
    held = _held(body)[fact]
    if commit in held:
        value: Value | None = _value(held[commit])
    else:
        key = bytes.fromhex(commit) if body.older else b""
        value = next((found for part in _parts(body) if (found := part.find(fact, key)) is not None), None)
    return None if value is None or value.what == GONE else value


def _all(body: RefsBody, fact: Fact) -> dict[CommitId, Value]:
    found: dict[CommitId, Value] = {}
    for part in reversed(list(_parts(body))):
        found.update((CommitId(commit.hex()), value) for commit, value in part.all(fact))
    found.update((CommitId(commit), _value(text)) for commit, text in _held(body)[fact].items())
    return {commit: value for commit, value in found.items() if value.what != GONE}


def _parts(body: RefsBody) -> Iterator[Facts]:
    """Yield the older objects, the newest first."""
    for older in reversed(body.older):
        assert body.shelf is not None, "who reads a body with older facts gives it the shelf"
        yield body.shelf.get(older.name)
