"""Which tree a branch, tag or commit shows now: looked up again when the last look is older than a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pfs.errors import BranchEmptyError
from pfs.ids import CommitId, is_commit_id
from pfs.store import Store
from pfs.trees.row import EMPTY_ROOT
from pfs.trees.tree import Tree

FRESH_S: Final = 1.0
_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Shown:
    """The files behind one ref at one moment."""

    tree: Tree
    commit: CommitId | None
    """None: a branch without a commit, which is an empty directory."""
    at_ns: int
    fixed: bool
    """Whether the ref is the full id of a finished commit, under which nothing ever changes."""


class Heads:
    """Refs and what they mean; thread-safe."""

    def __init__(self, store: Store, *, clock_s: Callable[[], float]) -> None:
        self._store, self._clock_s = store, clock_s
        self._known: dict[tuple[str, str], tuple[float, Shown]] = {}

    def find(self, repo: str, ref: str) -> Shown:
        """Return what ``ref`` shows; as it was up to `FRESH_S` seconds ago.

        Raises:
            NotFoundError, InvalidInputError: there is no such repo or ref.
        """
        now = self._clock_s()
        known = self._known.get((repo, ref))
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        shown = self._look(repo, ref)
        if len(self._known) >= _REMEMBERED:
            self._known = {}
        self._known[repo, ref] = (now, shown)
        return shown

    def _look(self, repo: str, ref: str) -> Shown:
        found = self._store.repo(repo)
        try:
            view = found.view(ref)
        except BranchEmptyError:
            branch = found.branch(ref)
            return Shown(Tree(self._store.objects, EMPTY_ROOT), None, branch.created_ns, fixed=False)
        info = view.info
        at_ns = info.started_ns if info.finished_ns is None else info.finished_ns
        return Shown(view.tree, info.id, at_ns, fixed=is_commit_id(ref) and info.id == ref and not info.open)
