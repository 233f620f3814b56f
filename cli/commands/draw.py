"""`pps draw`: the graph of pipelines, as text, Graphviz DOT or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.graph import Lanes
from cli.output import print_json, printable

if TYPE_CHECKING:
    from pps.pipelines.dag import Dag, Edge, Node

_SHAPES = {"repo": "cylinder", "cron": "oval", "pipeline": "box"}


@click.command("draw")
@click.argument("pipeline", metavar="[PIPELINE]", required=False)
@click.option("--dot", is_flag=True, help="Print Graphviz DOT: `pps draw --dot | dot -Tsvg`.")
@options.json_option
def draw(pipeline: str | None, dot: bool, as_json: bool) -> None:
    """Draw pipelines and what they read, sources first; of one pipeline, all that feeds it and that it feeds."""
    from pps.pipelines.dag import dag

    if dot and as_json:
        raise usage_error("--dot and --json exclude each other")
    with wiring.open_store() as store:
        found = dag(store, pipeline)
    if as_json:
        print_json({"nodes": [_node_record(one) for one in found.nodes], "edges": [e._asdict() for e in found.edges]})
        return
    for line in _dot(found) if dot else _text(found):
        click.echo(line)


def _node_record(node: Node) -> dict[str, str | int | None]:
    info = node.info
    return {
        "name": node.name,
        "type": node.type,
        "version": None if info is None else info.version,
        "state": None if info is None else info.state,
        "last_job_state": None if info is None else info.last_job_state,
    }


def _text(found: Dag) -> Iterator[str]:
    """Draw as a log of commits is drawn: a lane leads from each node down to those that read it."""
    lanes = Lanes()
    for node in found.nodes:
        row, links = lanes.draw(node.name, found.readers(node.name), mark="*" if node.type == "pipeline" else "o")
        yield f"{row} {_label(node)}"
        yield from links


def _label(node: Node) -> str:
    if node.info is None:
        return f"{node.name} ({node.type})"
    last = node.info.last_job_state or "-"
    return f"{node.name} <- {printable(node.info.input_text) or '?'}  {node.info.state} / {last}"


def _dot(found: Dag) -> Iterator[str]:
    yield "digraph pipelines {"
    yield "  rankdir=LR;"
    for node in found.nodes:
        yield f"  {json.dumps(node.name)} [shape={_SHAPES[node.type]}];"
    for edge in found.edges:
        yield f"  {json.dumps(edge.source)} -> {json.dumps(edge.target)} [label={json.dumps(_edge_label(edge))}];"
    yield "}"


def _edge_label(edge: Edge) -> str:
    name = "" if edge.input == edge.source else f"{edge.input}="
    branch = "" if edge.branch == "master" else f"@{edge.branch}"
    return f"{name}{branch}{':' if branch or name else ''}{edge.glob}"
