"""The operations of a transaction: what was asked for, with refs made fast to commit ids when it was asked.

Values that are stored in the transaction's object (docs/format/transaction.md) and carried out again, in their order,
on whatever the repos are when it is finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from pfs.errors import CorruptionError
from pfs.ids import CommitId, PageId, TreeId
from pfs.model import BranchRef
from pfs.refs.body import RootEntry, TriggerEntry
from pfs.structs import ready
from pfs.trees.row import Root


class _Op(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op"):
    repo: str


class CreateRepo(_Op, frozen=True, tag="create-repo"):
    """Make a repo."""

    description: str = ""


class DeleteRepo(_Op, frozen=True, tag="delete-repo"):
    """Take a repo away."""

    force: bool = False


class CreateBranch(_Op, frozen=True, tag="create-branch"):
    """Make or change a branch. ``provenance``: None leaves it; so does ``keep`` the trigger.

    ``move``: the id for what the move to ``head`` brings about, that of the transaction.
    """

    branch: str
    head: CommitId | None = None
    move: CommitId | None = None
    provenance: tuple[BranchRef, ...] | None = None
    never: tuple[BranchRef, ...] = ()
    trigger: TriggerEntry | Literal["keep", "none"] = "keep"


class DeleteBranch(_Op, frozen=True, tag="delete-branch"):
    """Take a branch away."""

    branch: str
    force: bool = False


class CreateTag(_Op, frozen=True, tag="create-tag"):
    """Name a commit for good."""

    tag: str
    ref: str


class DeleteTag(_Op, frozen=True, tag="delete-tag"):
    """Take a tag away."""

    tag: str


class Start(_Op, frozen=True, tag="start"):
    """Open a commit; ``parent`` only where it was named: then ``onto`` is the head that it is to take the place of."""

    commit: CommitId
    branch: str
    parent: CommitId | None = None
    onto: CommitId | None = None
    message: str = ""
    started: int = 0


class Write(_Op, frozen=True, tag="write"):
    """Change the files of an open commit from ``base`` to ``root``; ``packs`` hold what is new.

    ``branch`` is for people: that of the commit.
    """

    commit: CommitId
    base: RootEntry
    root: RootEntry
    branch: str = ""
    packs: tuple[str, ...] = ()


class Finish(_Op, frozen=True, tag="finish"):
    """Finish an open commit. ``auto``: by the command that wrote to it; a later one may write to it still."""

    commit: CommitId
    branch: str = ""
    message: str | None = None
    error: str | None = None
    auto: bool = False


Op: TypeAlias = CreateRepo | DeleteRepo | CreateBranch | DeleteBranch | CreateTag | DeleteTag | Start | Write | Finish
Ops: TypeAlias = tuple[Op, ...]


def to_stored(ops: Ops) -> tuple[dict[str, object], ...]:
    """Return operations as the object holds them."""
    stored: list[dict[str, object]] = msgspec.to_builtins(list(ops))
    return tuple(stored)


def from_stored(stored: Sequence[dict[str, object]], *, where: str) -> Ops:
    """Parse the operations of an object.

    Raises:
        CorruptionError: one is none that this release knows.
    """
    try:
        return msgspec.convert(tuple(stored), ready(Ops))
    except msgspec.ValidationError as error:
        raise CorruptionError(where, f"an operation that is unknown ({error})") from error


def as_root(entry: RootEntry) -> Root:
    """Return a stored root as the tree takes it."""
    return Root(PageId(bytes.fromhex(entry.pid)), TreeId(bytes.fromhex(entry.tid)), entry.size, entry.count)


def with_write(ops: Ops, write: Write) -> Ops:
    """Return operations with a write behind them; it joins that before it of the same commit."""
    last = ops[-1] if ops else None
    if isinstance(last, Write) and (last.repo, last.commit) == (write.repo, write.commit):
        packs = tuple(dict.fromkeys([*last.packs, *write.packs]))
        return (*ops[:-1], replace(write, base=last.base, packs=packs))
    return (*ops, write)


def reopened(ops: Ops, repo: str, branch: str) -> tuple[Ops, Ops]:
    """Return the operations up to the end of a commit that may still be written to, and those from there on.

    That is a commit on the branch (or of that id) which a command finished by itself, unless something was done in the
    repo since: that may rest on the commit as it was. What was done in other repos may rest on its being finished, so
    its end stays where it is. Without such a commit there is nothing behind.
    """
    at = next((at for at in range(len(ops) - 1, -1, -1) if ops[at].repo == repo), None)
    last = None if at is None else ops[at]
    if at is None or not isinstance(last, Finish) or not last.auto:
        return ops, ()
    if branch not in (branches_of(ops).get((repo, last.commit)), last.commit):
        return ops, ()
    return ops[:at], ops[at:]


def branches_of(ops: Ops) -> dict[tuple[str, CommitId], str]:
    """Return the branch of each commit that is started, written to or finished, by (repo, id)."""
    return {(op.repo, op.commit): op.branch for op in ops if isinstance(op, Start | Write | Finish) and op.branch}


def commits_of(ops: Ops) -> list[tuple[str, CommitId]]:
    """Return (repo, id) of every commit that is started, written to or finished, in the order of first mention."""
    named = ((op.repo, op.commit) for op in ops if isinstance(op, Start | Write | Finish))
    return list(dict.fromkeys(named))


def roots_of(ops: Ops) -> Iterator[tuple[Write, Root]]:
    """Yield every tree that the operations need, with the write that names it."""
    for op in ops:
        if isinstance(op, Write):
            yield op, as_root(op.base)
            yield op, as_root(op.root)


def described(op: Op) -> str:
    """Return an operation as one line for people."""
    match op:
        case CreateRepo() | DeleteRepo():
            what = op.repo
        case CreateBranch() | DeleteBranch():
            what = f"{op.repo}@{op.branch}"
        case CreateTag() | DeleteTag():
            what = f"{op.repo}@{op.tag}"
        case Start():
            what = f"{op.repo}@{op.branch} as {op.commit}"
        case Write() | Finish():
            what = f"{op.repo}@{op.commit}"
    return f"{verb(op)} {what}"


def verb(op: Op) -> str:
    """Return the name of an operation as the object has it; those on commits with what they work on."""
    names = {Start: "start-commit", Write: "write", Finish: "finish-commit"}
    tag = type(op).__struct_config__.tag
    return names.get(type(op), str(tag))
