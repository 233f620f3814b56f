"""The datums of one job as units of work: what waits, what the executor has, and what it told of that so far."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from pfs.ids import CommitId
from pps.datums.units import Sizing
from pps.executor import DatumDone, DatumTask, UnitId, WorkUnit
from pps.model import state
from pps.scheduling.jobplan import input_bytes
from pps.scheduling.queue import Due
from pps.scheduling.surroundings import Surroundings

GRACE_S = 5.0


class Handout:
    """Gives the datums of a job to the executor, in units of a size that it learns. One thread.

    A datum is listed and not given out yet, or with the executor in a unit, or goes out again, alone.
    """

    def __init__(self, around: Surroundings, due: Due, job: CommitId, *, attempt: int) -> None:
        self._around, self._due, self._job, self._attempt = around, due, job, attempt
        self._tasks: Iterator[DatumTask] = iter(())
        self._given: dict[int, dict[str, DatumTask]] = {}
        self._again: dict[int, DatumTask] = {}
        self._ended: dict[int, list[DatumDone]] = {}
        self._sizing = Sizing(due.pipeline.spec.datum_set, 1)
        self._was_submitted = False

    def plan(self, tasks: Iterator[DatumTask]) -> None:
        """Take the datums that run."""
        self._tasks = tasks

    def prepare(self) -> int:
        """Make the executor; return how many units may be in flight: two a slot, so that none waits for us."""
        spec = self._due.pipeline.spec
        slots, parallelism = self._around.executor().capacity().slots, spec.parallelism
        batched = spec.transform.datum_batching
        self._sizing = Sizing(spec.datum_set, min(slots, parallelism or slots), batched=batched)
        return parallelism or 2 * slots

    def awaits(self, unit: UnitId) -> bool:
        """Say whether events of a unit still count: it is one of this attempt, and neither done nor cancelled."""
        return unit == self._unit_id(unit.number) and unit.number in self._given

    def give(self, effect: state.GiveOut, *, waiting: int) -> list[state.Event]:
        """Submit units; ``waiting`` datums were not given out yet. Return what was submitted."""
        given: list[state.Event] = [self._submit([self._again.pop(place)]) for place in effect.again]
        while waiting > 0 and len(given) < effect.units:
            unit = self._next_unit(waiting)
            waiting -= len(unit)
            given.append(self._submit(unit))
        return given

    def note(self, done: DatumDone) -> DatumTask | None:
        """Keep how a datum ended until its unit ends; return its task unless it is none of the unit."""
        self._ended[done.unit.number].append(done)
        return self._given[done.unit.number].get(done.datum)

    def finish(self, number: int) -> list[tuple[DatumTask, DatumDone]]:
        """Return the datums of a unit that ended; those of which nothing was told go out again."""
        tasks, ended = self._given.pop(number), self._ended.pop(number)
        done = [(tasks.pop(one.datum), one) for one in ended if one.datum in tasks]
        for _, one in done:
            self._sizing.learn(sum(one.seconds))
        self._again |= {task.index: task for task in tasks.values()}
        return done

    def take_back(self, number: int) -> list[DatumTask]:
        """Drop what the datums of a unit did; return them: they go out again."""
        tasks = list(self._given.pop(number).values())
        self._ended.pop(number, None)
        self._again |= {task.index: task for task in tasks}
        return tasks

    def give_up(self, place: int) -> DatumTask:
        """Return a datum that was to go out again, and does not."""
        return self._again.pop(place)

    def open_tasks(self) -> Iterator[DatumTask]:
        """Return the datums that have not ended, for a last look: those that were not given out are used up by it."""
        given = (task for tasks in self._given.values() for task in tasks.values())
        return chain(given, self._again.values(), self._tasks)

    def units_of(self, datum: str | None) -> list[int]:
        """Return the units with a datum, or all that the executor has.

        ``datum``: its id, the beginning of that, or the paths of some of its inputs, ``/a,/b``.
        """
        if datum is None:
            return list(self._given)
        given = self._given.items()
        return [number for number, tasks in given if any(_is_meant(task, datum) for task in tasks.values())]

    def cancel(self, numbers: tuple[int, ...]) -> None:
        """End units, and let go of their datums."""
        for number in numbers:
            self._given.pop(number, None)
            self._around.executor().cancel(self._unit_id(number), GRACE_S)

    def end(self) -> None:
        """Let the executor go of the job: all of its datums have ended, or do not count."""
        if self._was_submitted:
            self._around.executor().end_job(self._due.pipeline.name, self._job, self._attempt)

    def abandon(self) -> None:
        """End all units, and the job on the executor."""
        self.cancel(tuple(self._given))
        self.end()

    def _next_unit(self, remaining: int) -> list[DatumTask]:
        """Take the datums of one unit, at least one, off the list."""
        unit: list[DatumTask] = []
        size = 0
        for task in self._tasks:
            unit.append(task)
            size += input_bytes(task)
            if len(unit) >= self._sizing.count(remaining) or self._sizing.full(size):
                break
        return unit

    def _submit(self, tasks: list[DatumTask]) -> state.Event:
        number = self._around.next_unit()
        self._given[number] = {task.id: task for task in tasks}
        self._ended[number] = []
        spec = self._due.pipeline.spec
        unit = WorkUnit(
            job=self._job,
            pipeline=self._due.pipeline.name,
            attempt=self._attempt,
            number=number,
            transform=spec.transform,
            code_dir=self._around.code_dir(self._due),
            datums=tuple(tasks),
            timeout_s=spec.datum_timeout_s,
            s3_out=spec.s3_out,
            requests=spec.asks,
            limits=spec.limits,
        )
        self._was_submitted = True
        self._around.executor().submit(unit)
        return state.Submitted(number, tuple(task.index for task in tasks))

    def _unit_id(self, number: int) -> UnitId:
        return UnitId(self._due.pipeline.name, self._job, self._attempt, number)


def _is_meant(task: DatumTask, ref: str) -> bool:
    if not ref.startswith("/"):
        return task.id.startswith(ref)
    paths = {f"/{row.key.decode()}" for given in task.inputs for row in given.rows}
    return paths.issuperset(ref.split(","))
