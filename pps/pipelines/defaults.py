"""What specs are laid over: built-in defaults, those of the store, those of its one project.

Kept in the object ``pps/defaults.json`` of the store (docs/format/layout.md), replaced by compare-and-swap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from pfs.errors import BranchMovedError, InvalidInputError
from pfs.refs.signed import decode_signed, encode_signed
from pps.spec.fields import snake
from pps.spec.given import given_text
from pps.spec.json import parse_json
from pps.spec.merge import effective, in_snake_case
from pps.spec.node import Node, Plain
from pps.spec.parse import check_documents, parse_nodes
from pps.spec.types import DEFAULT_BRANCH, DEFAULT_TRIES, Reprocess

if TYPE_CHECKING:
    from pfs.backends.base import Backend

Level = Literal["store", "project"]
NAME: Final = "pps/defaults.json"
VERSION: Final = 1
BUILT_IN: Final[dict[str, Plain]] = {
    "output_branch": DEFAULT_BRANCH,
    "datum_tries": DEFAULT_TRIES,
    "reprocess_spec": Reprocess.UNTIL_SUCCESS.value,
}
_WRAPPER: Final = "create_pipeline_request"
_ROUNDS: Final = 10


class _Body(msgspec.Struct, frozen=True):
    """The stored object; ``extra``: fields of later releases."""

    v: int = VERSION
    store: dict[str, object] = {}
    project: dict[str, object] = {}
    extra: dict[str, object] = {}


@dataclass(frozen=True, slots=True)
class DefaultsText:
    """The defaults of one level as JSON text, and where it comes from, for messages."""

    text: str = "{}"
    source: str = "defaults"

    def node(self) -> Node:
        """Return it as a document."""
        return parse_json(self.text, self.source)[0]


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults of a store: of the store itself, and of its project, which go before those."""

    store: DefaultsText = DefaultsText()
    project: DefaultsText = DefaultsText()

    def base(self) -> Node:
        """Return what a spec is laid over."""
        built_in = DefaultsText(json.dumps(BUILT_IN))
        return effective([built_in.node(), self.store.node(), self.project.node()])

    def with_level(self, level: Level, text: DefaultsText) -> Defaults:
        """Return them with one level replaced."""
        return Defaults(text, self.project) if level == "store" else Defaults(self.store, text)

    def document(self, level: Level | None) -> Plain:
        """Return the defaults of one level; None: of all levels together, with the built-in ones."""
        if level is None:
            return self.base().plain()
        return (self.store if level == "store" else self.project).node().plain()


def parse_defaults(text: str, *, name: str) -> DefaultsText:
    """Return the defaults in a file, checked: a mapping with fields of a spec, but no name.

    It may stand alone or, as in Pachyderm, in ``create_pipeline_request``.

    Raises:
        InvalidInputError: it is not such a mapping, or a field of it is unknown, refused or wrong.
    """
    nodes = parse_nodes(text, name)
    if len(nodes) != 1 or not isinstance(nodes[0].value, dict):
        raise InvalidInputError(f"{name}: defaults are one mapping, with fields of a pipeline spec")
    node = _unwrapped(nodes[0])
    given = in_snake_case(node)
    assert isinstance(given.value, dict)
    if "pipeline" in given.value:
        raise given.key_place("pipeline").error("defaults have no name: take the field 'pipeline' away")
    check_documents([effective([_sample(given.value.get("input")), given])])
    return DefaultsText(given_text(given), name)


def _sample(given: Node | None) -> Node:
    """Return a pipeline that lacks nothing, to check defaults with; its input is a pfs where defaults have no other."""
    sample: dict[str, Plain] = {"pipeline": {"name": "sample"}, "transform": {"cmd": ["true"]}}
    if given is None or not isinstance(given.value, dict) or "pfs" in given.value:
        sample["input"] = {"pfs": {"repo": "sample", "glob": "/"}}
    return parse_json(json.dumps(sample), "defaults")[0]


def _unwrapped(node: Node) -> Node:
    assert isinstance(node.value, dict)
    only = next(iter(node.value), "")
    inside = node.value.get(only)
    if snake(only) != _WRAPPER or len(node.value) != 1 or inside is None:
        return node
    if not isinstance(inside.value, dict):
        raise inside.place.error(f"{_WRAPPER} must be a mapping with fields of a pipeline spec")
    return inside


def read_defaults(backend: Backend) -> Defaults:
    """Return the defaults of a store.

    Raises:
        CorruptionError: they are damaged. InvalidInputError: they are of a newer release.
    """
    found = backend.read(NAME)
    return Defaults() if found is None else _defaults(_decoded(found[0]))


def write_defaults(backend: Backend, level: Level, text: DefaultsText) -> None:
    """Replace the defaults of one level, whole.

    Raises:
        BranchMovedError: others replace them all the time.
        CorruptionError, InvalidInputError: as `read_defaults`.
    """
    fields = json.loads(text.text)
    for _ in range(_ROUNDS):
        found = backend.read(NAME)
        body = _Body() if found is None else _decoded(found[0])
        body = replace(body, store=fields) if level == "store" else replace(body, project=fields)
        try:
            backend.swap(NAME, None if found is None else found[1], encode_signed(body))
        except BranchMovedError:
            continue
        return
    raise BranchMovedError(NAME)


def _decoded(data: bytes) -> _Body:
    return decode_signed(data, _Body, where=NAME, what="the defaults of pipelines", version=VERSION, required=["v"])


def _defaults(body: _Body) -> Defaults:
    return Defaults(
        DefaultsText(json.dumps(body.store, indent=2, ensure_ascii=False), "defaults of the store"),
        DefaultsText(json.dumps(body.project, indent=2, ensure_ascii=False), "defaults of the project"),
    )
