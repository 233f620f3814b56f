"""Retention by age of paths: files that a glob matches lose their bytes in commits older than a time.

What was looked at is remembered in the rule, so that each commit is looked at once. Heads, tagged commits and what open
commits stand on keep all; they are looked at again when they are that no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.expand import expand
from pfs.glob import Glob
from pfs.history.reachable import live_commits
from pfs.ids import CommitId
from pfs.lifecycle.commits import anchored_by_open
from pfs.lifecycle.plan import META
from pfs.lifecycle.rewrite import Contents
from pfs.lifecycle.rewriting import Pages, Rewriting
from pfs.lifecycle.traces import Traces
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import OpenEntry, RefsBody, is_hidden
from pfs.refs.read import RefsState
from pfs.refs.retention import PathRule
from pfs.trees.edit import Edit, edit
from pfs.trees.row import PageSink, Root
from pfs.trees.strip import Stripper
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.store import Store

MARGIN_NS = 3_600 * 10**9
"""Commits finished this long before the newest that is old enough are looked at again: clocks of writers differ."""
_BATCH = 8_192
_RESULTS = "/out/*"


@dataclass(frozen=True, slots=True)
class Aged:
    """What aging did to a repo, or would do: commits that lost content, and bytes of the different contents."""

    commits: int
    size_bytes: int


def age(store: Store, repo: str, *, now_ns: int, dry_run: bool = False) -> Aged:
    """Take the content out of what a repo's rules for paths say; nothing without such rules.

    A look-up a commit; of those that became old since the last time, a glob over their trees.

    Raises:
        CorruptionError, MissingObjectError: a commit or page is damaged: nothing was changed.
        ConflictError: the repo is being changed too often. StorageError: nothing was changed, or all of it.
    """
    rules = store.refs.read(repo).body.retention
    if rules is None or not rules.paths:
        return Aged(0, 0)
    with Pages(store, tentative=dry_run) as pages:
        change = _Aging(store, pages.sink, now_ns)
        work = Rewriting(store, repo, change, pages)
        work.run()
    return Aged(len(work.changed), change.contents.size_bytes)


def _in_results(glob: str) -> str:
    """Return the glob for what jobs keep of outputs: a directory for each datum, laid out like the output."""
    return f"{_RESULTS}/{glob.lstrip('/')}"


class _Aging:
    """Says what commits become by the path rules of their repo."""

    def __init__(self, store: Store, pages: PageSink, now_ns: int) -> None:
        self._store, self._pages, self._now_ns = store, pages, now_ns
        self.contents = Contents()
        self._strip = Stripper(pages, self.contents.note)
        self._held = frozenset[CommitId]()
        self._rules: tuple[PathRule, ...] = ()
        self._noted: tuple[PathRule, ...] = ()
        self._done: dict[tuple[str, bytes], Root] = {}

    @property
    def traces(self) -> Traces:
        """What lies in packs of the content that was taken out so far."""
        return self.contents.traces

    def begin(self, state: RefsState) -> None:
        """Take the rules of the present refs, and what is not to be touched."""
        body = state.body
        entries = [*body.branches.values(), *body.tags.values()]
        held = {*(entry.head for entry in entries), *anchored_by_open(state)}
        self._held = frozenset(commit for commit in held if commit is not None)
        self._rules = () if body.retention is None else body.retention.paths
        finished = {
            found.record.id: found.record.finished_ns
            for found in live_commits(self._store.history, state)
            if not is_hidden(found.record.branch) or found.record.branch == META
        }
        self._noted = tuple(self._next(rule, finished) for rule in self._rules)

    def _next(self, rule: PathRule, finished: dict[CommitId, int]) -> PathRule:
        """Return the rule with what will have been looked at."""
        due = {commit for commit, at_ns in finished.items() if self._is_due(rule, commit, at_ns)}
        newest_ns = max((finished[commit] for commit in due), default=0)
        left = tuple(sorted(due & self._held))
        return replace(rule, until=max(rule.until, newest_ns - MARGIN_NS), left=left)

    def _is_due(self, rule: PathRule, commit: CommitId, finished_ns: int) -> bool:
        is_old = finished_ns <= self._now_ns - rule.seconds * 1_000_000_000
        return is_old and (finished_ns > rule.until or commit in rule.left)

    def committed(self, record: CommitRecord) -> Root:
        """Return the tree of a commit without what has become too old in it."""
        root = record.tree_root()
        if record.id in self._held or (is_hidden(record.branch) and record.branch != META):
            return root
        for rule in self._rules:
            if self._is_due(rule, record.id, record.finished_ns):
                root = self._aged(root, _in_results(rule.glob) if record.branch == META else rule.glob)
        return root

    def restart(self) -> None:
        """Forget what was done, since the pages are forgotten."""
        self._strip.restart()
        self._done.clear()

    def opened(self, entry: OpenEntry) -> Root:
        """Return the tree of an open commit as it is."""
        return entry.tree_root()

    def noted(self, body: RefsBody) -> RefsBody:
        """Return the body with what was looked at in the rules."""
        if body.retention is None or self._noted == body.retention.paths:
            return body
        return replace(body, retention=replace(body.retention, paths=self._noted))

    def _aged(self, root: Root, glob: str) -> Root:
        known = (glob, root.pid)
        if known not in self._done:
            aged, edits = root, self._edits(Tree(self._pages, root), Glob(glob))
            while batch := list(islice(edits, _BATCH)):
                aged = edit(self._pages, aged, batch, changed=None, collisions="allow")
            self._done[known] = aged
        return self._done[known]

    def _edits(self, tree: Tree, glob: Glob) -> Iterator[Edit]:
        """Yield the edits that strip what matches; a directory with all below it."""
        inside: bytes | None = None
        for row in expand(tree, glob):
            if inside is not None and row.key.startswith(inside):
                continue
            if row.is_dir:
                inside = row.key + b"/" if row.key else b""
                yield from self._strip.folder(tree, row)
            else:
                yield from self._strip.file(row)
