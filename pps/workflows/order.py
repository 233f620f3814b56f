"""The order of tasks: each after those that it reads or names with ``after``; circles are told."""

from __future__ import annotations

from collections.abc import Sequence

from pps.workflows.reading import Reading
from pps.workflows.types import TaskDef


def ordered(tasks: Sequence[TaskDef], reading: Reading) -> tuple[TaskDef, ...]:
    """Return tasks so that each comes after its sources, else in the order of the file; a circle goes to the findings.

    A task that reads itself, or comes after itself, is told where that is read.
    Not by recursion: chains may be longer than Python's stack.
    """
    by_name = {task.name: task for task in tasks}
    waits = {task.name: {name for name in task.sources if name in by_name and name != task.name} for task in tasks}
    found: list[TaskDef] = []
    while waits:
        free = [name for name, sources in waits.items() if not sources]
        if not free:
            _tell(_circle(waits), by_name, reading)
            return tuple(tasks)
        # The first of the file, so that what is independent keeps its order.
        found.append(by_name[free[0]])
        del waits[free[0]]
        for sources in waits.values():
            sources.discard(free[0])
    return tuple(found)


def _circle(waits: dict[str, set[str]]) -> list[str]:
    """Return the names of a circle, beginning with the first of them in the file, in the order of work."""
    path: list[str] = [next(iter(waits))]
    while path.count(path[-1]) == 1:
        path.append(min(waits[path[-1]]))
    circle = path[path.index(path[-1]) : -1][::-1]
    names = list(waits)
    first = circle.index(min(circle, key=names.index))
    return circle[first:] + circle[:first]


def _tell(circle: Sequence[str], by_name: dict[str, TaskDef], reading: Reading) -> None:
    way = " -> ".join([*circle, circle[0]])
    reading.wrong(by_name[circle[0]].place, f"these tasks wait for each other: {way}")
