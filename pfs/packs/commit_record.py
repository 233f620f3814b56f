"""Commit records: immutable msgpack in a meta pack (docs/format/commit.md).

A record is a map with short string keys, so that a later release can add fields and an older reader can skip
them. Its address is the hash of its bytes, but it is found by commit id: refs name the pack of each head, a
record names those of its parents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pfs.errors import CorruptionError
from pfs.ids import CommitId, PackId, PageId, RecordId, TreeId, is_commit_id, record_id
from pfs.model import CommitInfo, Origin, Provenance
from pfs.structs import ready
from pfs.texts import encoded

if TYPE_CHECKING:
    from pfs.trees.tree import Root

RECORD_VERSION = 1
SAME_PACK = PackId(bytes(16))
"""In ``parent_packs``: the parent's record is in the same pack as this one."""


NO_RECORD = RecordId(bytes(32))
"""In ``parent_records``: not known; only the pack says where the parent's record is."""


class RecordLink(NamedTuple):
    """A commit as its child's record or refs name it: the meta pack with its record, and the record's id.

    The pack is a hint, which collection makes stale; the id holds for ever.
    """

    commit: CommitId
    pack: PackId
    record: RecordId = NO_RECORD


class RecordRoot(msgspec.Struct, frozen=True, array_like=True):
    """The tree of a commit: root page, logical id, recursive size in bytes and number of files."""

    pid: bytes
    tid: bytes
    size: int
    count: int


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a commit is; times in ns since the epoch; ``packs`` and ``parent_packs`` are hints for catching up.

    ``packs``: ids of the packs this commit added or shares with nothing older; ``parent_packs`` and
    ``parent_records``: the meta pack with the record of each parent, and the record's id, in the order of ``parents``.
    """

    v: int = RECORD_VERSION
    id: CommitId
    repo: str
    branch: str
    parents: tuple[CommitId, ...] = ()
    root: RecordRoot
    started_ns: int
    finished_ns: int
    message: str = ""
    provenance: tuple[tuple[str, str, str], ...] = ()
    error: str | None = None
    packs: tuple[bytes, ...] = ()
    parent_packs: tuple[bytes, ...] = ()
    origin: Origin = "user"
    parent_records: tuple[bytes, ...] = ()

    def tree_root(self) -> Root:
        """Return the root as the tree takes it."""
        from pfs.trees.tree import Root

        return Root(PageId(self.root.pid), TreeId(self.root.tid), self.root.size, self.root.count)

    def pack_ids(self) -> tuple[PackId, ...]:
        """Return ``packs`` as typed ids."""
        return tuple(PackId(pack) for pack in self.packs)

    def parents_in(self, pack: PackId) -> list[RecordLink]:
        """Return each parent with the place of its record, for this record as read from ``pack``."""
        homes = (pack if home == SAME_PACK else PackId(home) for home in self.parent_packs)
        ids = map(RecordId, self.parent_records or (NO_RECORD,) * len(self.parents))
        return list(map(RecordLink, self.parents, homes, ids))

    def info(self) -> CommitInfo:
        """Return the public value of this finished commit."""
        return CommitInfo(
            id=self.id,
            repo=self.repo,
            branch=self.branch,
            parents=self.parents,
            root=self.tree_root(),
            size_bytes=self.root.size,
            file_count=self.root.count,
            started_ns=self.started_ns,
            finished_ns=self.finished_ns,
            message=self.message,
            provenance=tuple(Provenance(repo, branch, CommitId(commit)) for repo, branch, commit in self.provenance),
            error=self.error,
            open=False,
            origin=self.origin,
        )


def record_root(root: Root) -> RecordRoot:
    """Return a tree's root as records hold it."""
    return RecordRoot(bytes(root.pid), bytes(root.tid), root.size, root.count)


def encode_record(record: CommitRecord) -> bytes:
    """Return the bytes that are stored; the same record gives the same bytes (field order is fixed).

    Raises:
        InvalidInputError: a text in it is not valid UTF-8.
    """
    return encoded(msgspec.msgpack.encode, record)


def id_of(record: CommitRecord) -> RecordId:
    """Return the address of a record."""
    return record_id(encode_record(record))


def decode_record(data: bytes, *, where: str) -> CommitRecord:
    """Parse a stored record; unknown fields are skipped.

    Raises:
        CorruptionError: it is no record, or one whose ids have impossible lengths; ``where`` names its place.
    """
    try:
        record = msgspec.msgpack.decode(data, type=ready(CommitRecord))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(where, f"not a commit record ({error})") from error
    reason = _why_impossible(record)
    if reason:
        raise CorruptionError(where, f"not a commit record ({reason})")
    return record


def _why_impossible(record: CommitRecord) -> str | None:
    if record.v != RECORD_VERSION:
        return f"version {record.v}, this release reads {RECORD_VERSION}"
    if not all(is_commit_id(commit) for commit in (record.id, *record.parents)):
        return "a commit id is not 32 hex digits"
    if len(record.root.pid) != 32 or len(record.root.tid) != 32:
        return "a root id is not 32 bytes"
    if any(len(pack) != 16 for pack in (*record.packs, *record.parent_packs)):
        return "a pack id is not 16 bytes"
    if any(len(id) != 32 for id in record.parent_records):
        return "the id of a parent's record is not 32 bytes"
    if len(record.parents) != len(record.parent_packs) or len(record.parent_records) not in (0, len(record.parents)):
        return "parents and the places of their records differ in number"
    return None
