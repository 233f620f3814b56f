"""What a ref expression means: branch, tag, commit id or prefix, with ancestry behind it.

``master``, ``0f3a9c``, ``master^``, ``master^^``, ``master^3``, ``master~2`` (the same as ``^2``), ``master.1``
(the first commit of the branch). An id that the repo does not have, but another repo's commit that was made
from this repo, means the commit of this repo that it was made from: ``images@<job id>`` reads what the job
read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pfs.errors import BranchEmptyError, CommitClosedError, CommitNotFoundError, ConflictError, InvalidInputError
from pfs.history.lineage import Lineage
from pfs.ids import CommitId, is_commit_id
from pfs.model import CommitInfo, Provenance
from pfs.refs.body import OpenEntry, RefsBody
from pfs.refs.edges import effective
from pfs.refs.read import RefsState
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.store import Store

MIN_PREFIX = 6
_FAR = 10**12
_REF = r"(?P<base>\.?[A-Za-z0-9_-]+)(?P<up>(?:\^\d*)*|(?:~\d*)*)(?P<nth>\.\d+)?"
_STEP = r"[\^~](\d*)"
_PREFIX = rf"[0-9a-f]{{{MIN_PREFIX},31}}"


def resolve(store: Store, state: RefsState, ref: str) -> CommitInfo:
    """Return the commit that ``ref`` means in the repo.

    Raises:
        InvalidInputError: it is no ref expression, or an ambiguous prefix. CommitNotFoundError: there is no
        such branch or commit, the branch has no finished commit, or no such ancestor.
    """
    match = re.fullmatch(_REF, ref)
    if match is None or (match["up"] and match["nth"]):
        hint = "write master, an id, master^, master~2 or master.1"
        raise InvalidInputError(f"{quoted(ref)} is no branch or commit: {hint}")
    if match["nth"]:
        return _nth(store, state, match["base"], ref)
    info = _base(store, state, match["base"])
    steps = sum(_number(count or "1") for count in re.findall(_STEP, match["up"]))
    return _ancestor(store, info, steps, ref) if steps else info


def _number(digits: str) -> int:
    """Return a count of commits; what is more than any repo has is _FAR."""
    return int(digits) if len(digits) < len(str(_FAR)) else _FAR


def finished(store: Store, state: RefsState, ref: str) -> CommitInfo:
    """Return the finished commit that ``ref`` means; errors as `resolve`, and ConflictError for an open one."""
    info = resolve(store, state, ref)
    if info.open:
        raise ConflictError(f"commit {state.repo}@{info.id} is open: finish it first")
    return info


def chosen(store: Store, state: RefsState, ref: str) -> CommitInfo:
    """Return the commit that ``ref`` means, as `resolve`, for what takes that very commit away or changes it.

    Raises:
        ConflictError: ``ref`` begins with the id of a squashed commit, which reads as the child that took it over.
    """
    refuse_squashed(store, state, ref)
    return resolve(store, state, ref)


def refuse_squashed(store: Store, state: RefsState, ref: str) -> None:
    """Raise ConflictError if ``ref`` begins with the id of a squashed commit, or with a prefix of it alone."""
    match = re.fullmatch(_REF, ref)
    base = "" if match is None else match["base"]
    if (
        base in state.body.branches
        or base in state.body.tags
        or not (is_commit_id(base) or re.fullmatch(_PREFIX, base))
    ):
        return
    lineage = Lineage(store, state)
    if is_commit_id(base):
        gone = CommitId(base)
    elif find_id(store, state, base) is None:
        gone = min((commit for commit in lineage.squashed if commit.startswith(base)), default=CommitId(base))
    else:
        return
    heir = lineage.heir(gone)
    if heir is not None:
        raise ConflictError(f"commit {state.repo}@{gone} was squashed into {state.repo}@{heir}: name that")


def base_of(store: Store, state: RefsState, ref: str) -> CommitInfo:
    """Return the parent of what is to start from ``ref``: that commit, or the nearest before it without an error.

    Raises:
        ConflictError: it is open, or there is none without error. All else as `resolve`.
    """
    info = finished(store, state, ref)
    for record in store.history.first_parents(state.repo, info.id):
        if record.error is None:
            return record.info()
    raise ConflictError(f"commit {state.repo}@{info.id} ended with an error, and so did all before it: name another")


def open_info(repo: str, commit: CommitId, entry: OpenEntry) -> CommitInfo:
    """Return the public value of an open commit."""
    return CommitInfo(
        id=commit,
        repo=repo,
        branch=entry.branch,
        parents=() if entry.parent is None else (entry.parent,),
        root=entry.tree_root(),
        size_bytes=entry.root.size,
        file_count=entry.root.count,
        started_ns=entry.started,
        finished_ns=None,
        message=entry.message,
        provenance=tuple(Provenance(repo, branch, CommitId(id)) for repo, branch, id in entry.provenance),
        error=None,
        open=True,
        origin=entry.origin,
    )


def find_id(store: Store, state: RefsState, text: str) -> CommitId | None:
    """Return the commit of the repo, open or finished, that a full id or an unambiguous prefix names.

    The id of a squashed commit names the child that took it over; a dropped one is not found.

    Raises:
        InvalidInputError: several commits start with it.
    """
    body, repo = state.body, state.repo
    if is_commit_id(text):
        return CommitId(text) if text in body.open else Lineage(store, state).survivor(CommitId(text))
    if not re.fullmatch(_PREFIX, text):
        return None
    ids = {*body.open, *(record.id for record in Lineage(store, state).records())}
    fitting = sorted(commit for commit in ids if commit.startswith(text))
    if len(fitting) > 1:
        raise InvalidInputError(f"{text} is ambiguous in repo {repo!r}: it starts {', '.join(c[:12] for c in fitting)}")
    return fitting[0] if fitting else None


def refuse_commit(store: Store, state: RefsState, name: str) -> None:
    """Refuse a name for a new branch that means a commit, by its full id or a prefix of it.

    Raises:
        CommitClosedError, ConflictError: the commit is finished, or open. CommitNotFoundError: a full id of none.
        InvalidInputError: the beginning of several ids.
    """
    if name in state.body.branches:
        return
    commit = find_id(store, state, name)
    if commit in state.body.open:
        raise ConflictError(f"{name} is the open commit {state.repo}@{commit}: write to it, or name a branch")
    if commit is not None:
        raise CommitClosedError(state.repo, commit)
    if is_commit_id(name):
        raise CommitNotFoundError(state.repo, name)


def _base(store: Store, state: RefsState, base: str) -> CommitInfo:
    head = _named_head(state.body, base)
    commit = head or find_id(store, state, base)
    if commit is None and base not in state.body.branches:
        commit = _through_provenance(store, state.repo, base)
    if commit is None and base in state.body.branches:
        raise BranchEmptyError(state.repo, base)
    if commit is None:
        raise CommitNotFoundError(state.repo, base)
    entry = state.body.open.get(commit)
    if entry is not None:
        return open_info(state.repo, commit, entry)
    return effective(state.body, store.history.get(state.repo, commit)).info()


def _named_head(body: RefsBody, name: str) -> CommitId | None:
    entry = body.branches.get(name) or body.tags.get(name)
    return None if entry is None else entry.head


def _ancestor(store: Store, info: CommitInfo, steps: int, ref: str) -> CommitInfo:
    chain = _before(store, info)
    found = next(islice(chain, min(steps, _FAR) - 1, None), None)
    if found is None:
        number = sum(1 for _ in _before(store, info))
        raise CommitNotFoundError(info.repo, ref, f"{info.id[:12]} has {_commits(number)} before it")
    return found


def _before(store: Store, info: CommitInfo) -> Iterator[CommitInfo]:
    """Yield the commits before one by first parents, newest first."""
    if info.parents:
        yield from (record.info() for record in store.history.first_parents(info.repo, info.parents[0]))


def _nth(store: Store, state: RefsState, branch: str, ref: str) -> CommitInfo:
    """Return the commit of a branch that ``ref`` says by its number, counted from 1 at its first."""
    entry, number = state.body.branches.get(branch), _number(ref.rpartition(".")[2])
    if entry is None:
        raise InvalidInputError(f"{ref}: only a branch can be counted from its first commit")
    chain = [] if entry.head is None else [r.info() for r in store.history.first_parents(state.repo, entry.head)]
    if not 1 <= number <= len(chain):
        why = f"{branch} has {_commits(len(chain))}, counted from 1"
        raise CommitNotFoundError(state.repo, ref, why)
    return chain[-number]


def _commits(number: int) -> str:
    return f"only {number:,} commit{'' if number == 1 else 's'}" if number else "no commit"


def _through_provenance(store: Store, repo: str, text: str) -> CommitId | None:
    """Return the commit of ``repo`` that the commit set ``text`` was made from, nearest first."""
    if not is_commit_id(text):
        return None
    wave = [source for info in store.commits_by_id(CommitId(text)) for source in info.provenance]
    seen: set[Provenance] = set()
    while wave:
        for source in wave:
            if source.repo == repo:
                return source.commit
        seen.update(wave)
        records = (store.history.find(source.repo, source.commit) for source in wave)
        found = (source for record in records if record is not None for source in record.info().provenance)
        wave = [source for source in dict.fromkeys(found) if source not in seen]
    return None
