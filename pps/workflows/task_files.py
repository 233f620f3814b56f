"""The files that the tasks of a run start from: one for each item, with what the task's templates need to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pfs.errors import InvalidInputError
from pps.spec.node import Plain
from pps.spec.template import Reference
from pps.workflows.item_places import below_item, check_items
from pps.workflows.names import item_name
from pps.workflows.records import canonical
from pps.workflows.types import TaskDef, Workflow

ALL = "all"
"""The file of a task that has no items, or whose items are files."""
MOST_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a run tells one task: ``params`` are all of the run, ``used`` those that its templates name."""

    params: Mapping[str, Plain]
    used: tuple[str, ...]
    again: int = 0


def task_files(workflow: Workflow, task: TaskDef, told: Told) -> dict[str, bytes]:
    """Return the files of a task by name: none where its condition does not hold.

    Raises:
        InvalidInputError: items are not apart (`check_items`), or the condition compares what has no order.
    """
    found: dict[str, bytes] = {}
    items: list[Plain] = []
    for item in _items(task, told.params):
        value = None if item is None else item[0]
        if not _holds(workflow, task, told.params, value):
            continue
        name = ALL if item is None else item_name(value)
        items += item or ()
        document: dict[str, Plain] = {"params": {name: told.params[name] for name in told.used}}
        document |= {} if item is None else {"item": value}
        document |= {"again": told.again} if told.again else {}
        found[name] = canonical(document)
    check_items(task, items)
    return found


def _items(task: TaskDef, params: Mapping[str, Plain]) -> Iterator[tuple[Plain] | None]:
    """Yield each item in a tuple of its own; None alone for a task without."""
    each = task.for_each
    if each is None or each.is_of_files:
        yield None
        return
    items = params[each.param] if each.param else list(each.items)
    if not isinstance(items, list):
        raise InvalidInputError(f"for_each of task {task.name!r} needs a list")
    if len(items) > MOST_ITEMS:
        raise InvalidInputError(f"for_each of task {task.name!r} has {len(items)} items: {MOST_ITEMS} are the most")
    for item in items:
        yield (item,)


def _holds(workflow: Workflow, task: TaskDef, params: Mapping[str, Plain], item: Plain) -> bool:
    def value(reference: Reference) -> Plain:
        match reference.names:
            case ("params", name):
                return params[name]
            case ("item", *_):
                return below_item(item, reference)
            case ("workflow", "name"):
                return workflow.name
            case _:
                return task.name

    try:
        return task.when is None or task.when.holds(value)
    except InvalidInputError as error:
        raise InvalidInputError(f"the condition of task {task.name!r}: {error}") from error
