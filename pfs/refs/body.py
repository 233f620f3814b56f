"""The body of a refs object: the mutable truth of one repo, as a value with pure edits (docs/format/refs.md).

JSON on disk, with a checksum at its end. Fields that this release does not know are kept when a body is rewritten, so
that an older release beside a newer one loses nothing. Ids are lower-case hex.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from pfs.errors import InvalidNameError
from pfs.ids import CommitId, PackId, PageId, TreeId
from pfs.model import Origin
from pfs.refs.facts import Shelf
from pfs.refs.retention import Retention
from pfs.refs.signed import decode_signed, encode_signed

if TYPE_CHECKING:
    from pfs.trees.tree import Root

BODY_VERSION = 1
RECENT = 64
"""How many past write ids a body remembers, to recognise a swap whose reply was lost."""
TRASH_NS = 30 * 24 * 3600 * 1_000_000_000
"""How long what was deleted by name can be had back."""
_BRANCH = re.compile(r"\.?[A-Za-z0-9_-]+")
FAILED = ".failed-"
"""A commit that was finished with an error, and is nobody's parent, is held by a hidden branch: this and its id."""
TrashKind = Literal["branch", "tag", "head", "dropped"]
BRANCH: TrashKind = "branch"
TAG: TrashKind = "tag"
HEAD: TrashKind = "head"
DROPPED: TrashKind = "dropped"


class TriggerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a branch follows another of its repo; ``size`` in bytes, ``rate`` and ``cron`` are schedules."""

    branch: str
    all: bool = False
    size: int | None = None
    commits: int = 0
    rate: str = ""
    cron: str = ""


class BranchEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A branch: its head, the meta pack with the head's record, what it is computed from (docs/format/refs.md).

    ``never``: sources whose moves open nothing here. ``pipeline``: jobs make its commits, nothing is opened for it;
    ``spout``: no jobs, but a command of the pipeline that runs on.
    ``seen``: where its sources were when a commit was last opened for them. ``feeds``: the branches computed from this
    one, a hint: their provenance counts. ``move``: the id of a move of the head that is not one forwards.
    ``settings``: texts that front ends keep with the branch (`pfs.changes.settings`).
    """

    head: CommitId | None = None
    pack: str | None = None
    created: int = 0
    updated: int = 0
    provenance: tuple[tuple[str, str], ...] = ()
    never: tuple[tuple[str, str], ...] = ()
    pipeline: bool = False
    spout: bool = False
    trigger: TriggerEntry | None = None
    seen: tuple[tuple[str, str, str], ...] = ()
    feeds: tuple[tuple[str, str], ...] = ()
    move: CommitId | None = None
    metadata: dict[str, str] = {}
    settings: dict[str, str] = {}


class RootEntry(msgspec.Struct, frozen=True):
    """The tree of an open commit."""

    pid: str
    tid: str
    size: int
    count: int


class OpenEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open commit: ``onto`` is the branch's head when it was started, ``parent`` what it was made from.

    ``origin``: ``auto`` was opened by the system as a source of the branch moved; ``written``: somebody wrote to it.
    """

    branch: str
    started: int
    attempt: int = 1
    parent: CommitId | None = None
    onto: CommitId | None = None
    message: str = ""
    root: RootEntry
    packs: tuple[str, ...] = ()
    provenance: tuple[tuple[str, str, str], ...] = ()
    origin: Origin = "user"
    written: bool = False

    def tree_root(self) -> Root:
        """Return the root as the tree takes it."""
        from pfs.trees.tree import Root

        root = self.root
        return Root(PageId(bytes.fromhex(root.pid)), TreeId(bytes.fromhex(root.tid)), root.size, root.count)


class TrashEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was taken away by name, kept for 30 days: a deleted branch or tag, or a head that another took the place of.

    ``dropped``: a head whose id is not found any more. ``onto``: the head that the branch got instead.
    """

    branch: BranchEntry
    deleted: int
    kind: TrashKind = BRANCH
    onto: CommitId | None = None


class Older(msgspec.Struct, frozen=True):
    """An object with facts that the body does not hold itself (`pfs.refs.facts`)."""

    name: str
    rows: int


class Buried(msgspec.Struct, frozen=True):
    """A state of a repo that was deleted: the object with its body, and when (ns)."""

    last: str
    deleted: int


class Prepared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a transaction will change (pfs/refs/prepared.py); ``txn`` is its id and the number of the attempt.

    Per field of the body: ``set`` has the keys of a map with their new values, or the new value; ``drop`` the keys
    that go.
    """

    txn: str
    set: dict[str, object] = {}
    drop: dict[str, tuple[str, ...]] = {}


class RefsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a repo that can change. ``gone``: the tombstone of a deleted repo; ``last`` names its last body.

    ``edges``, ``records`` and ``squashed`` are the newest facts about commits, ``older`` names the objects with the
    others: ask `pfs.refs.edges`. ``shelf``, which is not stored, reads those; it is there when there are any.
    ``earlier``: the states of the name that were deleted before, the oldest first (`pfs.refs.buried`).
    ``born``: see `generation`; 0 where ``created`` says it.
    ``metadata`` and ``notes`` are what users say of the repo and of its commits. ``shreds`` names objects that say what
    was purged since the last collection (`pfs.refs.shreds`).
    """

    v: int = BODY_VERSION
    seq: int = 0
    gc_gen: int = 0
    wid: str = ""
    recent: tuple[str, ...] = ()
    description: str = ""
    created: int = 0
    branches: dict[str, BranchEntry] = {}
    tags: dict[str, BranchEntry] = {}
    open: dict[CommitId, OpenEntry] = {}
    edges: dict[str, str | None] = {}
    records: dict[str, str] = {}
    squashed: dict[str, str] = {}
    older: tuple[Older, ...] = ()
    metadata: dict[str, str] = {}
    notes: dict[CommitId, dict[str, str]] = {}
    retention: Retention | None = None
    rewrites: int = 0
    shreds: tuple[str, ...] = ()
    trash: dict[str, TrashEntry] = {}
    prepared: tuple[Prepared, ...] = ()
    gone: bool = False
    last: str | None = None
    deleted: int = 0
    earlier: tuple[Buried, ...] = ()
    born: int = 0
    extra: dict[str, object] = {}
    shelf: Shelf | None = None

    def generation(self) -> int:
        """Return what tells the repos of one name apart: larger than that of each which had the name before."""
        return self.born or self.created

    def heads(self) -> dict[CommitId, PackId]:
        """Return every commit that this body makes live by name, with the pack of its record."""
        entries = [*self.branches.values(), *self.tags.values(), *(item.branch for item in self.trash.values())]
        return {e.head: PackId(bytes.fromhex(e.pack)) for e in entries if e.head is not None and e.pack is not None}

    def open_on(self, branch: str) -> CommitId | None:
        """Return the open commit of a branch, the first of those that wait in line; None if there is none."""
        return next(iter(self.all_open_on(branch)), None)

    def all_open_on(self, branch: str) -> list[CommitId]:
        """Return the open commits of a branch, in the order in which they were opened."""
        return [commit for commit, entry in self.open.items() if entry.branch == branch]


_REQUIRED = ("v", "seq", "wid")
_LEFT_OUT = (
    "squashed",
    "older",
    "metadata",
    "notes",
    "retention",
    "rewrites",
    "shreds",
    "deleted",
    "earlier",
    "born",
    "shelf",
)
"""Fields that are not stored while they say nothing."""


def encode_body(body: RefsBody) -> bytes:
    """Return the stored JSON; its last field is the checksum of what comes before."""
    return encode_signed(replace(body, shelf=None), left_out=_LEFT_OUT)


def decode_body(data: bytes, *, where: str) -> RefsBody:
    """Parse a stored body.

    Raises:
        CorruptionError: it is no refs body, or its checksum does not match.
        InvalidInputError: it was written by a newer release.
    """
    return decode_signed(
        data, RefsBody, where=where, what="a refs body", version=BODY_VERSION, unsaid=("shelf",), required=_REQUIRED
    )


def root_entry(root: Root) -> RootEntry:
    """Return a tree's root as refs hold it."""
    return RootEntry(bytes(root.pid).hex(), bytes(root.tid).hex(), root.size, root.count)


def check_branch_name(name: str) -> str:
    """Return ``name`` if it may name a branch: as other names, or hidden with one dot in front."""
    if not _BRANCH.fullmatch(name) or len(name) > 255:
        raise InvalidNameError("branch", name)
    return name


def check_user_branch(name: str) -> str:
    """Return ``name`` if a user may write to a branch of that name: hidden ones are written by `Repo.publish` alone."""
    if is_hidden(name):
        raise InvalidNameError("branch", name)
    return check_branch_name(name)


def is_hidden(branch: str) -> bool:
    """Say whether a branch is one of the system's own."""
    return branch.startswith(".")


def with_branch(body: RefsBody, name: str, entry: BranchEntry) -> RefsBody:
    """Return the body with the branch set."""
    return replace(body, branches={**body.branches, name: entry})


def with_open(body: RefsBody, commit: CommitId, entry: OpenEntry) -> RefsBody:
    """Return the body with the open commit set."""
    return replace(body, open={**body.open, commit: entry})


def without_open(body: RefsBody, commit: CommitId) -> RefsBody:
    """Return the body without the open commit."""
    return replace(body, open={key: entry for key, entry in body.open.items() if key != commit})


def move_head(body: RefsBody, branch: str, *, head: CommitId, pack: PackId, now_ns: int) -> RefsBody:
    """Return the body with the branch at ``head``; a branch that does not exist yet is made."""
    old = body.branches.get(branch, BranchEntry(created=now_ns))
    return with_branch(body, branch, replace(old, head=head, pack=pack.hex(), updated=now_ns, move=None))


def pointed(entry: BranchEntry, target: BranchEntry, *, now_ns: int, move: CommitId | None = None) -> BranchEntry:
    """Return a branch at the head of ``target``; ``move`` names a move that is not forwards, or of a transaction."""
    return replace(entry, head=target.head, pack=target.pack, updated=now_ns, move=move)


def without_branch(body: RefsBody, name: str, *, now_ns: int) -> RefsBody:
    """Return the body with the branch in the trash."""
    entry = TrashEntry(branch=body.branches[name], deleted=now_ns)
    branches = {key: value for key, value in body.branches.items() if key != name}
    return with_trash(replace(body, branches=branches), name, entry)


def with_trash(body: RefsBody, name: str, entry: TrashEntry) -> RefsBody:
    """Return the body with an entry in the trash, under the name that it had; a head leaves the branch its settings."""
    if entry.kind in {HEAD, DROPPED} and entry.branch.settings:
        entry = replace(entry, branch=replace(entry.branch, settings={}))
    number = entry.deleted
    while f"{name}/{number}" in body.trash:
        number += 1
    return replace(body, trash={**body.trash, f"{name}/{number}": entry})


def tombstone(body: RefsBody, *, last: str, now_ns: int) -> RefsBody:
    """Return what stands for a repo that is deleted now; ``last`` is the object that keeps its last body."""
    stone = RefsBody(seq=body.seq, gc_gen=body.gc_gen, wid=body.wid, recent=body.recent, gone=True)
    return replace(stone, last=last, deleted=now_ns, earlier=body.earlier, born=body.generation())
