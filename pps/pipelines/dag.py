"""The graph of pipelines and the repos that they read: what feeds what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from pfs.errors import NotFoundError
from pfs.provenance.dag import sources_first
from pps.model.infos import PipelineInfo
from pps.spec.input import leaves
from pps.spec.types import Input

if TYPE_CHECKING:
    from pfs.store import Store


class Edge(NamedTuple):
    """One input of a pipeline: ``source`` is read by ``target``; several where it is read under several names."""

    source: str
    branch: str
    target: str
    input: str
    glob: str


@dataclass(frozen=True, slots=True)
class Node:
    """A pipeline (``info``), or a repo that pipelines read: a plain one, or one that a schedule writes to."""

    name: str
    type: Literal["repo", "cron", "pipeline"]
    info: PipelineInfo | None = None


@dataclass(frozen=True, slots=True)
class Dag:
    """Nodes, each before those that read it, and edges in the same order."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def readers(self, name: str) -> tuple[str, ...]:
        """Return the nodes that read one, each once."""
        return tuple(dict.fromkeys(edge.target for edge in self.edges if edge.source == name))


def dag(store: Store, around: str | None = None) -> Dag:
    """Return the graph of a store's pipelines; ``around``: only that pipeline or repo, what feeds it and what it feeds.

    Raises:
        NotFoundError: no pipeline is called ``around`` or reads it.
    """
    from pps.model.catalog import Catalog
    from pps.pipelines.pipelines import Pipelines

    inputs = {pipeline.name: pipeline.spec.input for pipeline in Catalog(store).all()}
    edges = [edge for name, node in inputs.items() for edge in _edges(name, node)]
    crons = {leaf.repo for node in inputs.values() for leaf in leaves(node) if leaf.cron is not None}
    infos = {info.name: info for info in Pipelines(store).list()}
    names = {*infos, *(edge.source for edge in edges)}
    if around is not None:
        names = _around(around, names, edges)
    nodes = {name: Node(name, "cron" if name in crons else "repo") for name in names - infos.keys()}
    nodes |= {name: Node(name, "pipeline", infos[name]) for name in names & infos.keys()}
    return _ordered(nodes, [edge for edge in edges if edge.source in names and edge.target in names])


def _edges(name: str, node: Input) -> Iterable[Edge]:
    return (Edge(leaf.repo, leaf.branch, name, leaf.name, leaf.glob) for leaf in leaves(node))


def _around(name: str, names: set[str], edges: Iterable[Edge]) -> set[str]:
    if name not in names:
        raise NotFoundError(f"{name!r} is no pipeline, and none reads it: `pps draw` shows all")
    down, up = dict[str, list[str]](), dict[str, list[str]]()
    for edge in edges:
        down.setdefault(edge.source, []).append(edge.target)
        up.setdefault(edge.target, []).append(edge.source)
    return _reached(name, lambda one: down.get(one, [])) | _reached(name, lambda one: up.get(one, []))


def _reached(start: str, following: Callable[[str], Iterable[str]]) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        new = set(following(todo.pop())) - found
        found |= new
        todo += new
    return found


def _ordered(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> Dag:
    """Return the graph so that what is read comes shortly before its readers; names decide where that is free."""
    sources: dict[str, set[str]] = {name: set() for name in nodes}
    for edge in edges:
        sources[edge.target].add(edge.source)
    given = sorted(nodes, key=lambda one: (not sources[one], one))
    done = sources_first(given, lambda one: sorted(sources[one]))
    order = {name: at for at, name in enumerate(done)}
    return Dag(
        tuple(nodes[name] for name in done),
        tuple(sorted(edges, key=lambda edge: (order[edge.source], order[edge.target], edge.input))),
    )
