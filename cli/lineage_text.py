"""A lineage as JSON, as a tree of text, and as Graphviz DOT."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.output import Json, Record, counted, human_size, printable
from pps.lineage.model import CommitNode, DatumNode, DatumRef, FileNode, FileRef, Lineage, Node, Ref

if TYPE_CHECKING:
    from pfs.ids import CommitId
    from pps.lineage.model import Edge

_SHORT = 12


def lineage_record(found: Lineage) -> Record:
    """Return the record of a lineage; an edge leads from what was there before to what was made of it."""
    return {
        "roots": [str(ref) for ref in found.roots],
        "direction": found.direction,
        "nodes": [_node_record(node) for node in found.nodes.values()],
        "edges": [{"source": str(one.source), "target": str(one.target), "how": one.how} for one in found.edges],
        "left_out": [
            {"id": str(one.ref), "direction": "up" if one.up else "down", "count": one.more} for one in found.left_out
        ],
    }


def _node_record(node: Node) -> dict[str, Json]:
    if isinstance(node, FileNode):
        return {
            "id": str(node.ref),
            "kind": "file",
            "repo": node.ref.repo,
            "commit": node.ref.commit,
            "path": node.ref.path,
            "type": node.type,
            "size_bytes": node.size_bytes,
            "file_count": node.file_count,
            "hash": node.hash,
            "made": node.made or None,
            "since": node.since,
            "note": node.note,
        }
    if isinstance(node, DatumNode):
        return {
            "id": str(node.ref),
            "kind": "datum",
            "pipeline": node.ref.pipeline,
            "job": node.ref.job,
            "datum": node.ref.datum,
            "state": node.state,
            "ran_in": node.ran_in,
            "version": node.version,
            "spec_commit": node.spec_commit,
            "code": node.code or None,
            "note": node.note,
        }
    return {
        "id": str(node.ref),
        "kind": "commit",
        "repo": node.ref.repo,
        "commit": node.ref.commit,
        "branch": node.branch,
        "state": node.state,
        "pipeline": node.pipeline,
        "job_state": node.job_state,
        "version": node.version,
        "spec_commit": node.spec_commit,
        "code": node.code or None,
        "note": node.note or node.message,
    }


def lineage_tree(found: Lineage) -> Iterator[str]:
    """Yield the lines of a tree from the root on; what was shown before is not opened again."""
    ways = [True] if found.direction == "up" else [False] if found.direction == "down" else [True, False]
    for up in ways:
        if len(ways) > 1:
            yield "made from:" if up else "went into:"
        yield from _Tree(found, up=up).lines()


class _Tree:
    """One direction of a lineage; it keeps its own stack, as chains of pipelines may be long."""

    def __init__(self, found: Lineage, *, up: bool) -> None:
        self._found, self._up = found, up
        self._edges: dict[Ref, list[Edge]] = {}
        for edge in found.edges:
            self._edges.setdefault(edge.target if up else edge.source, []).append(edge)
        self._more = {one.ref: one.more for one in found.left_out if one.up == up}

    def lines(self) -> Iterator[str]:
        """Yield the lines."""
        shown = set[Ref]()
        stack: list[tuple[str, str, str, Ref | None]] = [("", "", "", ref) for ref in reversed(self._found.roots)]
        while stack:
            lead, below, text, ref = stack.pop()
            if ref is None:
                yield lead + text
                continue
            again = ref in shown and bool(self._edges.get(ref))
            shown.add(ref)
            yield lead + printable(text + _label(self._found.nodes[ref])) + ("  (as above)" if again else "")
            if not again:
                stack += reversed(self._children(ref, below))

    def _children(self, ref: Ref, below: str) -> list[tuple[str, str, str, Ref | None]]:
        edges = self._edges.get(ref, [])
        found: list[tuple[str, Ref | None]] = [
            (f"{edge.how.replace('-', ' ')} " if edge.how in {"looked-up", "listed"} else "", self._other(edge))
            for edge in edges
        ]
        if ref in self._more:
            more = self._more[ref]
            found.append((f"… and {'' if more is None else f'{more} '}more", None))
        last = len(found) - 1
        return [
            (below + ("└─ " if at == last else "├─ "), below + ("   " if at == last else "│  "), text, one)
            for at, (text, one) in enumerate(found)
        ]

    def _other(self, edge: Edge) -> Ref:
        return edge.source if self._up else edge.target


def _label(node: Node) -> str:
    return name_of(node.ref) + "".join(f", {text}" for text in _said(node) if text)


def name_of(ref: Ref) -> str:
    """Return a node's name for people, with ids cut short."""
    if isinstance(ref, DatumRef):
        return f"datum {ref.datum[:_SHORT]} of {ref.pipeline}@{ref.job[:_SHORT]}"
    place = f"{ref.repo}@{ref.commit[:_SHORT]}"
    return f"{place}:{ref.path}" if isinstance(ref, FileRef) else place


def _said(node: Node) -> Iterator[str]:
    if isinstance(node, DatumNode):
        yield from _said_of_datum(node)
    elif isinstance(node, FileNode):
        yield from _said_of_file(node)
    else:
        yield from _said_of_commit(node)


def _said_of_datum(node: DatumNode) -> Iterator[str]:
    yield _made_by(node.version, node.code)
    if node.state == "skipped":
        yield f"taken over from job {node.ran_in[:_SHORT]}"
    elif node.state != "success":
        yield node.state
    yield node.note


def _made_by(version: int | None, code: str) -> str:
    told = [f"version {version}" if version is not None else "", f"code {code[:_SHORT]}" if code else ""]
    return ", ".join(text for text in told if text)


def _said_of_file(node: FileNode) -> Iterator[str]:
    if node.type == "directory":
        yield f"{counted(node.file_count, 'file')}, {human_size(node.size_bytes)}"
    elif node.type == "gone":
        yield "gone"
    else:
        yield human_size(node.size_bytes)
    if node.made == "user":
        yield f"put by a user{_in(node.since)}"
    elif node.since is not None:
        yield f"as it was in {node.since[:_SHORT]}"
    yield node.note


def _in(commit: CommitId | None) -> str:
    return "" if commit is None else f" in {commit[:_SHORT]}"


def _said_of_commit(node: CommitNode) -> Iterator[str]:
    yield node.state if node.state != "finished" else ""
    if node.pipeline is not None:
        yield f"made by {node.pipeline}"
        yield _made_by(node.version, node.code)
        yield node.job_state if node.job_state not in (None, "success") else ""
    yield node.note or node.message


_SHAPES = {"file": "note", "directory": "folder", "removed": "note", "gone": "note"}


def lineage_dot(found: Lineage) -> Iterator[str]:
    """Yield the lines of a graph in the DOT language."""
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    for node in found.nodes.values():
        shape = (
            _SHAPES[node.type] if isinstance(node, FileNode) else "box" if isinstance(node, DatumNode) else "cylinder"
        )
        style = ", style=dashed" if _is_gone(node) else ""
        yield f"  {_quoted(str(node.ref))} [label={_quoted(name_of(node.ref))}, shape={shape}{style}];"
    for edge in found.edges:
        yield f"  {_quoted(str(edge.source))} -> {_quoted(str(edge.target))} [label={_quoted(edge.how)}];"
    for one in found.left_out:
        about = f"left out {'up' if one.up else 'down'} {one.ref}"
        count = "" if one.more is None else f"{one.more} "
        ends = (about, str(one.ref)) if one.up else (str(one.ref), about)
        yield f"  {_quoted(about)} [label={_quoted(f'{count}more')}, shape=plaintext];"
        yield f"  {_quoted(ends[0])} -> {_quoted(ends[1])} [style=dotted];"
    yield "}"


def _is_gone(node: Node) -> bool:
    return (isinstance(node, FileNode) and node.type in {"gone", "removed"}) or (
        isinstance(node, CommitNode) and node.state == "gone"
    )


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)
