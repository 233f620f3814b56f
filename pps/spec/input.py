"""The ``input`` field of a spec: leaves and how they are combined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from pfs.errors import InvalidInputError
from pfs.model import Trigger
from pfs.paths import check_name
from pps.spec.fields import Fields
from pps.spec.findings import Findings
from pps.spec.known import INPUT
from pps.spec.node import Node, Place
from pps.spec.s3 import bare_repo, read_s3
from pps.spec.trigger import read_trigger, with_branches
from pps.spec.types import DEFAULT_BRANCH, Cron, CrossInput, GroupInput, Input, JoinInput, PfsInput, UnionInput

_NOTHING = UnionInput(())
"""What stands for an input that cannot be read."""
_RESERVED_NAMES = frozenset({"out", ".env"})


class _Scope(NamedTuple):
    """Where a node is: in whose spec, what collects notes, and the kinds of nodes around it.

    ``names``: where each name of an input is given, the last time in the text.
    """

    pipeline: str
    findings: Findings
    names: dict[str, Place]
    inside: frozenset[str] = frozenset()

    def within(self, kind: str) -> _Scope:
        return self._replace(inside=self.inside | {kind})


def read_input(node: Node, findings: Findings, *, pipeline: str) -> Input:
    """Return the input of a pipeline; what is wrong with it goes to ``findings``.

    Children are in the order of their names, so that datum ids do not depend on the spec's order.
    """
    scope = _Scope(pipeline, findings, {})
    made = with_branches(_read(node, scope), pipeline)
    if not findings.errors:
        _check_names(made, scope)
    return made


def leaves(node: Input) -> Iterator[PfsInput]:
    """Yield the leaves of an input in name order."""
    if isinstance(node, PfsInput):
        yield node
        return
    for child in node.children:
        yield from leaves(child)


def _check_names(made: Input, scope: _Scope) -> set[str]:
    """Return the names of an input; only the children of a union, of which a datum has one, may share a name."""
    if isinstance(made, PfsInput):
        return {made.name}
    taken: set[str] = set()
    for child in made.children:
        names = _check_names(child, scope)
        both = sorted(taken & names)
        if both and not isinstance(made, UnionInput):
            what = f"two inputs have the name {both[0]!r}: give each input a name of its own"
            place = scope.names[both[0]]
            scope.findings.add(place, place.error(what))
        taken |= names
    return taken


def _read(node: Node, scope: _Scope) -> Input:
    try:
        return _read_kind(Fields(node, INPUT, scope.findings), scope)
    except InvalidInputError as error:
        scope.findings.add(node.place, error)
        return _NOTHING


def _read_kind(fields: Fields, scope: _Scope) -> Input:
    given = [kind for kind in (*_LEAVES, *_NODES) if fields.get(kind) is not None]
    if not given and any(map(fields.is_bad, (*INPUT.read, *INPUT.refused))):
        return _NOTHING
    if not given:
        raise fields.node.place.error(f"the input has no kind: use one of {', '.join([*_LEAVES, *_NODES])}")
    if len(given) > 1:
        raise fields.place(given[1]).error(f"the input has several kinds, {' and '.join(given)}: use exactly one")
    (kind,) = given
    return _LEAVES[kind](fields, scope) if kind in _LEAVES else _node(fields, kind, scope)


def _node(fields: Fields, kind: str, scope: _Scope) -> Input:
    children = [_read(child, scope.within(kind)) for child in fields.children(kind)]
    if not children:
        fields.bad(kind, f"the field {kind!r} of input is empty: list the inputs to combine")
    return _NODES[kind](tuple(sorted(children, key=_first_name)))


def _first_name(node: Input) -> str:
    return next((leaf.name for leaf in leaves(node)), "")


def _pfs(fields: Fields, scope: _Scope) -> Input:
    leaf = fields.child("pfs")
    if leaf is None:
        return _NOTHING
    s3 = read_s3(leaf, repo=leaf.text("repo"), inside=scope.inside)
    scope = scope._replace(inside=frozenset()) if s3 else scope
    repo = _repo(leaf)
    glob = "/" if s3 else _glob(leaf)
    trigger = read_trigger(leaf)
    return PfsInput(
        name=_input_name(leaf, leaf.text("name") or repo, scope),
        repo=repo,
        branch=_branch(leaf, trigger),
        glob=glob,
        empty_files=leaf.flag("empty_files"),
        reference=leaf.flag("reference"),
        join_on=_template(leaf, "join_on", glob, scope),
        outer_join=leaf.flag("outer_join") and "join" in scope.inside,
        group_by=_template(leaf, "group_by", glob, scope),
        s3=s3,
        never=_never(leaf),
        trigger=trigger,
        lazy=_lazy(leaf),
    )


def _cron(fields: Fields, scope: _Scope) -> Input:
    leaf = fields.child("cron")
    if leaf is None:
        return _NOTHING
    around = sorted(scope.inside & {"join", "group"})
    if around:
        raise leaf.node.place.error(f"a cron input cannot be in a {around[0]}: its files have no text in common")
    name = leaf.text("name")
    if not name:
        leaf.bad("name", "the field 'name' of cron is missing: its files are in /pfs/<name>")
    repo = leaf.text("repo") or f"{scope.pipeline}_{name}"
    cron = Cron(_schedule(leaf), leaf.flag("overwrite"), _start(leaf), leaf.flag("backfill"))
    return PfsInput(_input_name(leaf, name, scope), _checked(leaf, "repo", repo), glob="/*", cron=cron)


def _schedule(leaf: Fields) -> str:
    from pfs.provenance.cron import parse_schedule

    try:
        schedule = parse_schedule(leaf.text("spec"))
    except InvalidInputError as error:
        leaf.bad("spec", f"the field 'spec' of cron: {error}")
        return ""
    if schedule.never and not schedule.text.lower().endswith("@never"):
        leaf.findings.notes.append(f"cron.spec: {schedule.text!r} never ticks, as there is no such day")
    return schedule.text


def _start(leaf: Fields) -> int | None:
    from pps.times import parse_time

    text = leaf.text("start")
    start_ns = parse_time(text) if text else None
    if text and start_ns is None:
        leaf.bad("start", f"the field 'start' of cron must be like 2026-01-31T00:00:00Z, not {text!r}")
    return start_ns


def _template(leaf: Fields, name: str, glob: str, scope: _Scope) -> str:
    """Return what files are put together by; without one, or one that says the same of all, a join were a cross."""
    from pfs.glob import Glob

    kind, template = name.partition("_")[0], leaf.text(name)
    if kind not in scope.inside:
        if template:
            scope.findings.notes.append(f"pfs.{name}: has no effect outside a {kind}")
        return ""
    if not template:
        hint = '"$1" is what the first parenthesis of its glob matched, as in "/(*).csv"'
        leaf.bad(name, f"the field {name!r} of pfs is missing, by which a {kind} puts files together: {hint}")
    if template and not Glob.has_references(template):
        _tell_constant(leaf, name, template, scope)
    unknown = [] if leaf.is_bad("glob") else Glob(glob).unknown_groups(template)
    if unknown:
        leaf.bad(name, f"{name!r} names ${unknown[0]}, but the glob {glob!r} has no such parenthesis")
    return template


def _tell_constant(leaf: Fields, name: str, template: str, scope: _Scope) -> None:
    """Refuse a join of everything with everything, which is a cross; a group of everything may be meant."""
    if name == "join_on":
        hint = 'write "$1" for what the first parenthesis of its glob matched, or use a cross'
        leaf.bad(name, f"the field 'join_on' of pfs is {template!r} for every file, so all are joined with all: {hint}")
    else:
        scope.findings.notes.append(f"pfs.{name}: {template!r} is the same for every file: all are in one group")


def _repo(leaf: Fields) -> str:
    repo, kind = leaf.text("repo"), leaf.text("repo_type")
    if kind not in {"", "user"}:
        hint = "what jobs leave is in hidden branches of the repo itself, which `pps list-datum` and `pps logs` show"
        leaf.bad("repo_type", f"the repo_type {kind!r} cannot be read, only 'user': {hint}")
    if not repo:
        leaf.bad("repo", "the field 'repo' of pfs is missing: it says which repo to read")
    return _checked(leaf, "repo", bare_repo(repo))


def _checked(leaf: Fields, what: str, name: str) -> str:
    try:
        return check_name(what, name)
    except InvalidInputError as error:
        leaf.bad(what, str(error))
        return name


def _input_name(leaf: Fields, name: str, scope: _Scope) -> str:
    scope.names[name] = leaf.place("name" if leaf.has("name") else "repo")
    if name in _RESERVED_NAMES:
        leaf.bad("name", f"an input cannot be called {name!r}: give it another name with 'name'")
    try:
        return check_name("input", name)
    except InvalidInputError as error:
        if not leaf.is_bad("repo"):
            leaf.bad("name", str(error))
        return name


def _glob(leaf: Fields) -> str:
    from pfs.glob import Glob

    pattern = leaf.text("glob")
    if not pattern:
        leaf.bad("glob", 'the field \'glob\' of pfs is missing: "/" makes one datum, "/*" one for each file')
    try:
        Glob(pattern)
    except InvalidInputError as error:
        leaf.bad("glob", str(error))
    return pattern


def _branch(leaf: Fields, trigger: Trigger | None) -> str:
    """Return the branch to read; with a trigger it may be empty, and is given a name later."""
    given = leaf.text("branch")
    if trigger is not None and not given:
        return ""
    return _checked(leaf, "branch", given or DEFAULT_BRANCH)


def _lazy(leaf: Fields) -> bool:
    lazy = leaf.flag("lazy")
    if lazy and leaf.flag("empty_files"):
        leaf.bad("lazy", "an input cannot be lazy and empty_files: a pipe gives its bytes when it is opened")
    return lazy


def _never(leaf: Fields) -> bool:
    spec = leaf.child("propagation_spec")
    return spec is not None and spec.flag("never")


_LEAVES: Mapping[str, Callable[[Fields, _Scope], Input]] = {"pfs": _pfs, "cron": _cron}
_NODES: Mapping[str, type[CrossInput | UnionInput | JoinInput | GroupInput]] = {
    "cross": CrossInput,
    "union": UnionInput,
    "join": JoinInput,
    "group": GroupInput,
}
