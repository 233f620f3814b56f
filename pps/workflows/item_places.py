"""Items of a task, looked at before it runs: each must leave its outputs at a place of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

from pfs.errors import InvalidInputError
from pfs.paths import clean_path
from pfs.shorten import quoted
from pps.spec.node import Plain
from pps.spec.template import Reference, parse_template
from pps.workflows.names import item_name
from pps.workflows.types import OutputArtifact, TaskDef


def check_items(task: TaskDef, items: Sequence[Plain]) -> None:
    """Check that no two items are the same, and that what they leave is not at, or below, the same name.

    Of an ``as`` without the item nothing is said: what several items leave in one directory may well be apart.

    Raises:
        InvalidInputError: it is not so, an item can be no name, or one that is no text needs an ``as``.
    """
    seen: set[str] = set()
    for item in items:
        name = item_name(item)
        if name in seen:
            raise InvalidInputError(f"for_each of task {task.name!r} has the item {item!r} twice")
        seen.add(name)
    for one in task.outputs:
        if not one.as_ or (one.type == "file" and not one.as_.endswith("/") and _names_item(one.as_)):
            _check_apart(task, one, items)


def item_text(item: Plain) -> str:
    """Return an item as it is put into texts: a text as it is, anything else as JSON in one line."""
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def below_item(value: Plain, reference: Reference) -> Plain:
    """Return what ``item.key`` means for an item; InvalidInputError where it has no such key."""
    for name in reference.names[1:]:
        if not isinstance(value, dict) or name not in value:
            raise InvalidInputError(f"there is no {reference}: the item has no {name!r}")
        value = value[name]
    return value


def _names_item(text: str) -> bool:
    return any(reference.names[0] == "item" for reference in parse_template(text).references)


def _check_apart(task: TaskDef, one: OutputArtifact, items: Sequence[Plain]) -> None:
    # With a slash at its end, a directory comes right before what is below it.
    places = sorted((f"{_place(task, one, item)}/", number) for number, item in enumerate(items))
    for (upper, first), (lower, second) in pairwise(places):
        if lower.startswith(upper):
            how = "the same name as" if lower == upper else "a name below"
            what = f"of the items of task {task.name!r}, {_shown(items[second])} has {how} {_shown(items[first])}"
            raise InvalidInputError(f"{what} in output {one.name!r}: give the output an 'as' that tells them apart")


def _place(task: TaskDef, one: OutputArtifact, item: Plain) -> str:
    if isinstance(item, dict | list) and not one.as_:
        what = f"an item of task {task.name!r} is a {'mapping' if isinstance(item, dict) else 'list'}"
        raise InvalidInputError(f"{what}: give its outputs an 'as', such as {{{{item.name}}}}/")

    def value(reference: Reference) -> str:
        return item_text(below_item(item, reference)) if reference.names[0] == "item" else "x"

    made = parse_template(one.as_ or "{{item}}").render(value)
    try:
        found = clean_path(made)
    except InvalidInputError as error:
        raise InvalidInputError(f"the item {_shown(item)} of task {task.name!r} makes no name: {error}") from error
    if found == "/":
        what = f"the item {_shown(item)} of task {task.name!r} makes no name in output {one.name!r}"
        raise InvalidInputError(f"{what}: give the output an 'as'")
    return found


def _shown(item: Plain) -> str:
    return quoted(item_text(item))
