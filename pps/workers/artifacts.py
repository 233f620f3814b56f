"""What one datum of a task has: its templates rendered, and the inputs that are put at paths instead of in /pfs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pps.executor import DatumInput, DatumTask, WorkUnit
from pps.spec.task import RUN_INPUT, ArtifactIn, Task
from pps.workers.rendering import rendered, values_of

if TYPE_CHECKING:
    from pfs.store import Store


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The task of one datum, rendered, with the inputs that it has at paths, by name."""

    task: Task
    inputs: Mapping[str, DatumInput]

    @property
    def size(self) -> int:
        """Bytes that are put in place."""
        return sum(row.size for given in self.inputs.values() for row in given.rows)


def artifacts_of(store: Store, unit: WorkUnit, datum: DatumTask) -> tuple[WorkUnit, DatumTask, Artifacts]:
    """Return a unit rendered for one of its datums, that datum with what is left for /pfs, and its artifacts.

    The variable with the name of an input holds the path of its artifact.

    Raises:
        FailedError, InvalidInputError: a template cannot be rendered with what the datum has.
        PfsError: the task's file of the run cannot be read.
    """
    task = unit.transform.task
    assert task is not None, "asked of the datums of tasks only"
    given = {one.name: one for one in datum.inputs}
    task = replace(task, inputs=tuple(_with_type(one, given[one.name]) for one in task.inputs))
    unit, task = rendered(unit, task, values_of(store, task, given, job=unit.job))
    put = {one.name: given[one.name] for one in task.inputs}
    shown = tuple(one for one in datum.inputs if one.name not in put and one.name != RUN_INPUT)
    env = {one.name: one.path for one in task.inputs}
    env |= {f"{name}_COMMIT": one.commit for name, one in put.items()}
    return unit, replace(datum, inputs=shown, env={**datum.env, **env}), Artifacts(task, put)


def _with_type(one: ArtifactIn, given: DatumInput) -> ArtifactIn:
    """Return an input with the type that its match has, where it may be any."""
    if one.type != "any":
        return one
    is_file = len(given.rows) == 1 and not given.rows[0].is_dir
    return replace(one, type="file" if is_file else "directory")
