"""Where a file, a directory or a commit comes from, and what it fed: level by level, until raw commits or a limit.

A level goes through one datum, or between commits of which no datum is known. All files of a commit that are reached
in one level are asked together, since what costs is the scan of a job's results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from pfs.errors import ConflictError
from pfs.history.dependents import made_from
from pfs.ids import CommitId
from pps.lineage.model import (
    CommitRef,
    DatumNode,
    DatumRef,
    Direction,
    Edge,
    FileNode,
    FileRef,
    How,
    LeftOut,
    Lineage,
    Node,
    Ref,
)
from pps.lineage.nodes import commit_node, datum_node, file_node, same_content, sources_of
from pps.lineage.origins import inputs_of, origins
from pps.lineage.readers import Readers, outputs_of
from pps.lineage.records import Records

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.trees.row import Row

LIMIT = 100
_TIMES = 100
"""The graph as a whole has at most so many times the limit of nodes."""


@dataclass(frozen=True, slots=True)
class Options:
    """``depth``: levels, None for all. ``limit``: the most entries at one place, such as a directory or a datum."""

    direction: Direction = "up"
    depth: int | None = None
    limit: int = LIMIT


def lineage(store: Store, repo: str, ref: str, path: str | None = None, *, options: Options | None = None) -> Lineage:
    """Return the lineage of ``repo@ref:path``; without a path that of the commit as a whole.

    A directory stands for all files below it. Memory: 100 times ``limit`` nodes, and the datum tables of two jobs.
    Commits that were squashed, dropped or collected, and deleted repos, are nodes that say so.

    Raises:
        RepoNotFoundError, CommitNotFoundError, PathNotFoundError: there is no such repo, commit or path.
        ConflictError: the commit is open.
        InvalidInputError: ``ref`` is malformed.
        CorruptionError: records of a job cannot be read.
    """
    wanted = options or Options()
    info = store.repo(repo).inspect(ref)
    if info.open:
        raise ConflictError(f"commit {info.repo}@{info.id} is open: its lineage is known when it is finished")
    start: Ref = CommitRef(info.repo, info.id)
    if path is not None:
        start = FileRef(info.repo, info.id, store.repo(repo).view(info.id).row(path).key)
    graph = _Graph(Records(store), wanted)
    graph.add(start)
    if wanted.direction in {"up", "both"}:
        graph.walk([start], graph.up)
    if wanted.direction in {"down", "both"}:
        graph.walk([start], graph.down)
        graph.explain_unread(start)
    return Lineage((start,), wanted.direction, graph.nodes, tuple(graph.edges), tuple(graph.left_out))


class _Graph:
    """A lineage in the making."""

    def __init__(self, records: Records, options: Options) -> None:
        self._records, self._options = records, options
        self.nodes: dict[Ref, Node] = {}
        self.edges: dict[Edge, None] = {}
        self.left_out: list[LeftOut] = []

    def walk(self, start: Sequence[Ref], step: Callable[[Sequence[Ref]], list[Ref]]) -> None:
        """Take steps until nothing new is reached, or the depth is."""
        frontier, seen, level = list(start), set(start), 0
        while frontier and level != self._options.depth:
            reached = step(frontier)
            frontier = [ref for ref in dict.fromkeys(reached) if ref not in seen]
            seen.update(frontier)
            level += 1

    def add(self, ref: Ref, node: Node | None = None) -> bool:
        """Put a node into the graph; False when that is full."""
        if ref in self.nodes:
            return True
        if len(self.nodes) >= _TIMES * self._options.limit:
            return False
        self.nodes[ref] = node or self._looked_up(ref)
        return True

    def _looked_up(self, ref: Ref) -> Node:
        if isinstance(ref, FileRef):
            return file_node(self._records, ref)
        assert isinstance(ref, CommitRef), "datums come with their nodes"
        return commit_node(self._records, ref)

    def _lead(self, source: Ref, target: Ref, how: How, *, new: Ref, node: Node | None = None) -> bool:
        """Add an edge to a node, ``new``, that may have to be added first; False when the graph is full."""
        if not self.add(new, node):
            return False
        self.edges[Edge(source, target, how)] = None
        return True

    def up(self, frontier: Sequence[Ref]) -> list[Ref]:
        """Return what leads to a level of nodes."""
        reached: list[Ref] = []
        files = list(self._files_of(frontier))
        for (repo, commit), rows in _by_commit(files).items():
            for key, origin in origins(self._records, repo, commit, rows).items():
                ref = FileRef(repo, commit, key)
                node = self.nodes[ref]
                assert isinstance(node, FileNode), "it was added as one"
                note = "; ".join(text for text in (node.note, origin.note) if text)
                self.nodes[ref] = replace(node, made=origin.made, since=origin.since, note=note)
                if origin.datum is not None:
                    reached += self._datum_above(ref, origin.datum)
                reached += self._commits_above(ref, origin.sources)
        for one in frontier:
            if isinstance(one, CommitRef):
                found = self._records.commit(*one)
                reached += self._commits_above(one, [] if found is None else sources_of(found))
        return reached

    def _files_of(self, frontier: Iterable[Ref]) -> Iterable[tuple[FileRef, Row]]:
        """Yield the files of a level with their rows: directories are opened, as far as the limit goes."""
        for ref in frontier:
            if not isinstance(ref, FileRef):
                continue
            tree = self._records.tree(ref.repo, ref.commit)
            row = None if tree is None else tree.stat(ref.key)
            if tree is None or row is None:
                continue
            if not row.is_dir:
                yield ref, row
                continue
            node = self.nodes[ref]
            assert isinstance(node, FileNode), "it was added as one"
            self.nodes[ref] = replace(node, made="holds")
            shown = 0
            for below in islice(tree.walk(ref.key), self._options.limit):
                inside = FileRef(ref.repo, ref.commit, below.key)
                if not self._lead(inside, ref, "holds", new=inside):
                    break
                shown += 1
                yield inside, below
            self._leave_out(ref, row.count - shown, up=True)

    def _datum_above(self, ref: FileRef, datum: DatumNode) -> list[Ref]:
        known = datum.ref in self.nodes
        if not self._lead(datum.ref, ref, "wrote", new=datum.ref, node=datum):
            self._leave_out(ref, 1, up=True)
            return []
        return [] if known else self._read_by(datum)

    def _read_by(self, datum: DatumNode) -> list[Ref]:
        given = list(inputs_of(self._records, datum))
        reached: list[Ref] = []
        shown = 0
        for source, how in given[: self._options.limit]:
            if not self._lead(source, datum.ref, how, new=source):
                break
            shown += 1
            if how != "listed":  # what else is in a folder that was listed did not make the file
                reached.append(source)
        self._leave_out(datum.ref, len(given) - shown, up=True)
        return reached

    def _commits_above(self, ref: Ref, sources: Sequence[CommitRef]) -> list[Ref]:
        reached: list[Ref] = [one for one in sources if self._lead(one, ref, "made-from", new=one)]
        self._leave_out(ref, len(sources) - len(reached), up=True)
        return reached

    def _leave_out(self, ref: Ref, count: int | None, *, up: bool) -> None:
        if count is None or count > 0:
            self.left_out.append(LeftOut(ref, up, count))

    def down(self, frontier: Sequence[Ref]) -> list[Ref]:
        """Return what a level of nodes led to."""
        reached: list[Ref] = []
        for (repo, commit), refs in _by_place(frontier).items():
            for other, id in sorted(made_from(self._records.store, repo, commit)):
                job = self._records.job(other, id)
                files = [ref for ref in refs if isinstance(ref, FileRef)]
                whole: list[Ref] = list(refs) if job is None else [ref for ref in refs if isinstance(ref, CommitRef)]
                for ref in whole:
                    target = CommitRef(other, id)
                    if self._lead(ref, target, "made-from", new=target):
                        reached.append(target)
                    else:
                        self._leave_out(ref, None, up=False)
                for file in files if job is not None else ():
                    reached += self._read_in(other, id, file)
        return reached

    def explain_unread(self, ref: Ref) -> None:
        """Note of a file that leads nowhere that no job read its commit, if so, and where the same content is.

        A branch that was moved over several commits, as by a merge, makes a job for the last of them only.
        """
        if not isinstance(ref, FileRef) or any(edge.source == ref for edge in self.edges):
            return
        if any(True for _ in made_from(self._records.store, ref.repo, ref.commit)):
            return
        node = self.nodes[ref]
        assert isinstance(node, FileNode), "it was added as one"
        same = ", ".join(f"{ref.repo}@{branch}" for branch in same_content(self._records, ref))
        note = "no job read this very commit" + (f": ask for {same}, where the same content is" if same else "")
        self.nodes[ref] = replace(node, note="; ".join(text for text in (node.note, note) if text))

    def _read_in(self, pipeline: str, id: CommitId, ref: FileRef) -> list[Ref]:
        """Return the outputs of the datums of one job that read a file."""
        job, node = self._records.job(pipeline, id), self.nodes[ref]
        assert job is not None, "asked for a job only"
        assert isinstance(node, FileNode), "it was added as one"
        reached: list[Ref] = []
        found = Readers(self._records, job, ref, folder=node.type == "directory")
        for entry, how in islice(found, self._options.limit):
            datum = datum_node(self._records, job, entry)
            known = datum.ref in self.nodes
            if not self._lead(ref, datum.ref, how, new=datum.ref, node=datum):
                self._leave_out(ref, None, up=False)
                return reached
            reached += [] if known else self._written_by(datum)
        self._leave_out(ref, found.left, up=False)
        return reached

    def _written_by(self, datum: DatumNode) -> list[Ref]:
        files, more = outputs_of(self._records, datum, limit=self._options.limit)
        reached: list[Ref] = [one for one in files if self._lead(datum.ref, one, "wrote", new=one)]
        self._leave_out(datum.ref, more + len(files) - len(reached), up=False)
        return reached


def _by_commit(files: Iterable[tuple[FileRef, Row]]) -> dict[tuple[str, CommitId], dict[bytes, Row]]:
    found: dict[tuple[str, CommitId], dict[bytes, Row]] = {}
    for ref, row in files:
        found.setdefault((ref.repo, ref.commit), {})[ref.key] = row
    return found


def _by_place(refs: Iterable[Ref]) -> dict[tuple[str, CommitId], list[Ref]]:
    found: dict[tuple[str, CommitId], list[Ref]] = {}
    for ref in refs:
        if not isinstance(ref, DatumRef):
            found.setdefault((ref[0], ref[1]), []).append(ref)
    return found
