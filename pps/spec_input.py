"""The ``input`` field of a spec: leaves and how they are combined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pfs.errors import InvalidInputError
from pfs.paths import check_name
from pps.spec_fields import Fields
from pps.spec_known import INPUT, PFS, PROPAGATION
from pps.spec_node import Node
from pps.spec_types import DEFAULT_BRANCH, CrossInput, Input, PfsInput

_RESERVED_NAMES = frozenset({"out", ".env"})


def read_input(node: Node, notes: list[str]) -> Input:
    """Return the input, its children in the order of their names, so that datum ids do not depend on the spec's order.

    Raises:
        InvalidInputError: no kind or several, one that is not supported, a bad field, a name that is taken.
    """
    made = _read(node, notes)
    taken: set[str] = set()
    for leaf in leaves(made):
        if leaf.name in taken:
            hint = "give each input a name of its own"
            raise node.place.error(f"two inputs have the name {leaf.name!r}: {hint}")
        taken.add(leaf.name)
    return made


def leaves(node: Input) -> Iterator[PfsInput]:
    """Yield the leaves of an input in name order."""
    match node:
        case PfsInput():
            yield node
        case CrossInput():
            for child in node.children:
                yield from leaves(child)


def _read(node: Node, notes: list[str]) -> Input:
    fields = Fields(node, INPUT, notes)
    given = [kind for kind in _KINDS if fields.has(kind)]
    if not given:
        raise node.place.error(f"the input has no kind: use {' or '.join(_KINDS)}")
    if len(given) > 1:
        raise fields.place(given[1]).error(f"the input has several kinds, {' and '.join(given)}: use exactly one")
    return _KINDS[given[0]](fields, notes)


def _pfs(fields: Fields, notes: list[str]) -> Input:
    leaf = fields.child("pfs", PFS)
    if leaf is None:
        raise fields.node.place.error("the input has no kind")
    repo = _repo(leaf)
    made = PfsInput(
        name=_input_name(leaf, leaf.text("name") or repo),
        repo=repo,
        branch=_checked(leaf, "branch", leaf.text("branch") or DEFAULT_BRANCH),
        glob=_glob(leaf),
        empty_files=leaf.flag("empty_files"),
        reference=leaf.flag("reference"),
    )
    _propagation(leaf)
    return made


def _repo(leaf: Fields) -> str:
    repo, project, kind = leaf.text("repo"), leaf.text("project"), leaf.text("repo_type")
    if project not in {"", "default"}:
        raise leaf.place("project").error(f"there are no projects: {project!r} is none (only 'default' is accepted)")
    if kind not in {"", "user"}:
        raise leaf.place("repo_type").error(f"the repo_type {kind!r} is not supported yet: only 'user' can be read")
    if not repo:
        raise leaf.place("repo").error("the field 'repo' of pfs is missing: it says which repo to read")
    return _checked(leaf, "repo", repo)


def _checked(leaf: Fields, what: str, name: str) -> str:
    try:
        return check_name(what, name)
    except InvalidInputError as error:
        raise leaf.place(what).error(str(error)) from None


def _input_name(leaf: Fields, name: str) -> str:
    if name in _RESERVED_NAMES:
        raise leaf.place("name").error(f"an input cannot be called {name!r}: give it another name with 'name'")
    try:
        return check_name("input", name)
    except InvalidInputError as error:
        raise leaf.place("name").error(str(error)) from None


def _glob(leaf: Fields) -> str:
    from pfs.glob import Glob

    pattern = leaf.text("glob")
    if not pattern:
        raise leaf.place("glob").error(
            'the field \'glob\' of pfs is missing: "/" makes one datum, "/*" one for each file'
        )
    try:
        Glob(pattern)
    except InvalidInputError as error:
        raise leaf.place("glob").error(str(error)) from None
    return pattern


def _propagation(leaf: Fields) -> None:
    spec = leaf.child("propagation_spec", PROPAGATION)
    if spec is not None and spec.flag("never"):
        raise leaf.place("propagation_spec").error("propagation_spec 'never' is not supported yet: remove it")


def _cross(fields: Fields, notes: list[str]) -> Input:
    children = [_read(child, notes) for child in fields.items("cross")]
    if not children:
        raise fields.place("cross").error("the field 'cross' of input is empty: list the inputs to combine")
    return CrossInput(tuple(sorted(children, key=_first_name)))


def _first_name(node: Input) -> str:
    return next((leaf.name for leaf in leaves(node)), "")


_KINDS: Mapping[str, Callable[[Fields, list[str]], Input]] = {"pfs": _pfs, "cross": _cross}
