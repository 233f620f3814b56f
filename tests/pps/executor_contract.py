"""What every executor keeps: subclass `ExecutorContract` and give the fixture `make`.

The commands find their input and output by ``PFS``, ``PFS_OUT`` and the variable of the input, so that the suite runs
with every kind of isolation.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pfs.errors import ConflictError
from pfs.store import Store, init
from pfs.view import View
from pps.executor import (
    DatumDone,
    DatumInput,
    DatumTask,
    Event,
    Executor,
    Lost,
    OutputFile,
    Started,
    UnitDone,
    UnitId,
    WorkUnit,
)
from pps.spec import Transform

Make = Callable[[Store], Executor]
PATIENCE_S = 120.0
SHELL = ("sh", "-e")


@dataclass
class Bench:
    """A store with the repo ``in`` (ten small files and a folder), and an executor on it."""

    store: Store
    executor: Executor
    view: View
    seen: list[Event] = field(default_factory=list)
    image: str | None = None

    def given(self, *keys: str, name: str = "in", empty_files: bool = False) -> DatumInput:
        """Return an input of these paths (empty: the whole commit)."""
        rows = []
        for key in keys:
            row = self.view.tree.stat(key.encode())
            assert row is not None
            rows.append(row)
        path = "/" + keys[-1]
        return DatumInput(name, "in", "master", self.view.info.id, path, tuple(rows), empty_files)

    def task(self, number: int, *inputs: DatumInput, tries: int = 1, env: Mapping[str, str] | None = None) -> DatumTask:
        """Return a datum, by default of one of the ten files."""
        given = inputs or (self.given(f"f{number % 10}"),)
        return DatumTask(f"datum-{number}", number, given, env or {}, tries)

    def unit(self, *tasks: DatumTask, script: tuple[str, ...] = (), **fields: object) -> WorkUnit:
        """Return a unit that runs ``script`` in a shell; ``fields`` replace those of the WorkUnit."""
        transform = Transform(cmd=SHELL, stdin=script, image=self.image)
        unit = WorkUnit("job", "pipe", attempt=1, number=0, transform=transform, code_dir=None, datums=tasks)
        return replace(unit, **fields)  # type: ignore[arg-type]  # the fields of WorkUnit, named by the test

    def until_end(self, *units: UnitId) -> dict[UnitId, Event]:
        """Collect events until each of the units is done or lost; return those last events."""
        ends: dict[UnitId, Event] = {}
        while not set(units) <= set(ends):
            before = len(self.seen)
            for event in self.executor.events(PATIENCE_S):
                self.seen.append(event)
                if isinstance(event, UnitDone | Lost):
                    ends[event.unit] = event
            assert len(self.seen) > before, f"nothing happened for {PATIENCE_S} s; so far {self.seen}"
        return ends

    def run(self, unit: WorkUnit) -> dict[str, DatumDone]:
        """Run one unit to its end and return what became of its datums."""
        self.executor.submit(unit)
        assert self.until_end(unit.id) == {unit.id: UnitDone(unit.id)}
        return self.done(unit.id)

    def done(self, unit: UnitId) -> dict[str, DatumDone]:
        """Return what became of the datums of a unit so far."""
        return {event.datum: event for event in self.seen if isinstance(event, DatumDone) and event.unit == unit}

    def commit(self, unit: UnitId, outputs: tuple[OutputFile, ...]) -> View:
        """Commit outputs of a unit as a controller does, and return the commit."""
        repo = self.store.create_repo("out", exist_ok=True)
        with repo.commit("master") as commit:
            commit.session.adopt(self.executor.take_session(unit))
            for output in outputs:
                commit.put_ref(output.key, output.ref)
        return repo["master"]


def renamed(done: DatumDone) -> list[OutputFile]:
    """Return the outputs with the datum's number after their names."""
    number = done.datum.removeprefix("datum-").encode()
    return [output._replace(key=output.key + number) for output in done.outputs]


class ExecutorContract:
    """The suite."""

    no_op_count = 2000
    image: str | None = None

    @pytest.fixture
    def bench(self, tmp_path: Path, make: Make) -> Iterator[Bench]:
        with init(tmp_path / "store") as store:
            repo = store.create_repo("in")
            with repo.commit("master") as commit:
                for number in range(10):
                    commit.put_file(f"/f{number}", f"file {number}\n".encode())
                commit.put_file("/dir/a", b"in a folder\n")
                commit.put_file("/dir/sub/b", b"deeper\n")
            executor = make(store)
            yield Bench(store, executor, repo["master"], image=self.image)
            executor.close()

    def test_output_is_committed_from_the_session(self, bench: Bench) -> None:
        unit = bench.unit(
            bench.task(3), script=('cp "$in" "$PFS_OUT/copy"', 'mkdir "$PFS_OUT/d"', 'echo new > "$PFS_OUT/d/x"')
        )
        done = bench.run(unit)["datum-3"]
        assert (done.state, done.exit_code, done.tries, done.error) == ("success", 0, 1, None)
        assert [output.key for output in done.outputs] == [b"copy", b"d/x"]
        view = bench.commit(unit.id, done.outputs)
        assert view.read("/copy") == b"file 3\n"
        assert view.read("/d/x") == b"new\n"

    def test_events_come_in_order(self, bench: Bench) -> None:
        unit = bench.unit(bench.task(0), bench.task(1), script=("true",))
        bench.run(unit)
        kinds = [(type(event), getattr(event, "datum", None)) for event in bench.seen]
        assert kinds == [
            (Started, "datum-0"),
            (DatumDone, "datum-0"),
            (Started, "datum-1"),
            (DatumDone, "datum-1"),
            (UnitDone, None),
        ]

    def test_poison_datum_fails_alone(self, bench: Bench) -> None:
        script = ('case "$in" in *f4) echo poison >&2; exit 9;; esac', 'cp "$in" "$PFS_OUT/"')
        unit = bench.unit(*(bench.task(number, tries=2) for number in range(8)), script=script)
        done = bench.run(unit)
        assert {name for name, event in done.items() if event.state != "success"} == {"datum-4"}
        bad = done["datum-4"]
        assert (bad.state, bad.exit_code, bad.tries, bad.outputs) == ("failed", 9, 2, ())
        assert bad.error == "the command ended with exit code 9"
        assert bad.log_tail == "poison\npoison\n"
        assert bad.log is not None

    def test_each_try_starts_clean(self, bench: Bench) -> None:
        count = '[ -z "$(ls -A "$PFS_OUT")" ]; echo half > "$PFS_OUT/half"; echo x > "$TMPDIR/x"; rm -f "$in"; exit 1'
        done = bench.run(
            bench.unit(bench.task(1, tries=3), script=('[ -e "$in" ] && [ ! -e "$TMPDIR/x" ] || exit 7', count))
        )
        assert (done["datum-1"].tries, done["datum-1"].exit_code) == (3, 1)
        assert [event.attempt_no for event in bench.seen if isinstance(event, Started)] == [1, 2, 3]

    def test_killed_command_leaves_exactly_one_output(self, bench: Bench) -> None:
        # Whether an attempt was the first is known to the log of attempts only: the command dies by chance.
        script = (
            'echo half > "$PFS_OUT/y"',
            "case $(od -An -N1 -tu1 /dev/urandom) in *[02468]) kill -KILL $$;; esac",
            'cp "$in" "$PFS_OUT/y"',
        )
        tasks = [bench.task(number, tries=60) for number in range(6)]
        unit = bench.unit(*tasks, script=script)
        done = bench.run(unit)
        assert {event.state for event in done.values()} == {"success"}
        assert sum(event.tries for event in done.values()) == sum(isinstance(event, Started) for event in bench.seen)
        outputs = [replaced for task in tasks for replaced in renamed(done[task.id])]
        view = bench.commit(unit.id, tuple(outputs))
        assert {info.path: view.read(info.path) for info in view.list()} == {
            f"/y{number}": f"file {number}\n".encode() for number in range(6)
        }

    def test_cancel_ends_the_command_within_grace(self, bench: Bench) -> None:
        unit = bench.unit(bench.task(0), script=("trap '' TERM", "echo up", "while :; do sleep 0.1; done"))
        bench.executor.submit(unit)
        assert next(iter(bench.executor.events(PATIENCE_S))) == Started(unit.id, "datum-0", 1)
        bench.executor.cancel(unit.id, 0.2)
        ends = bench.until_end(unit.id)
        assert isinstance(ends[unit.id], Lost)
        assert bench.done(unit.id) == {}
        with pytest.raises(ConflictError):
            bench.executor.take_session(unit.id)

    def test_cancel_of_what_waits_and_of_the_unknown(self, bench: Bench) -> None:
        slots = bench.executor.capacity().slots
        busy = [bench.unit(bench.task(0), script=("sleep 1000",), number=number) for number in range(slots)]
        waiting = bench.unit(bench.task(1), script=("true",), number=slots)
        for unit in (*busy, waiting):
            bench.executor.submit(unit)
        bench.executor.cancel(UnitId("pipe", "other", 1, 0), 0.0)
        for unit in (waiting, *busy):
            bench.executor.cancel(unit.id, 0.0)
        ends = bench.until_end(*(unit.id for unit in (*busy, waiting)))
        assert all(isinstance(event, Lost) for event in ends.values())
        assert not bench.done(waiting.id)

    def test_zombie_attempt_is_refused(self, bench: Bench) -> None:
        old = bench.unit(bench.task(5), script=('echo old > "$PFS_OUT/x"',))
        bench.run(old)
        new = bench.unit(bench.task(5), script=('echo new > "$PFS_OUT/x"',), attempt=2)
        done = bench.run(new)["datum-5"]
        with pytest.raises(ConflictError):
            bench.executor.take_session(old.id)
        with pytest.raises(ConflictError):
            bench.executor.submit(bench.unit(bench.task(5), number=1))
        assert bench.commit(new.id, done.outputs).read("/x") == b"new\n"
        with pytest.raises(ConflictError):
            bench.executor.take_session(new.id)

    def test_the_end_of_a_job_ends_nothing_else(self, bench: Bench) -> None:
        bench.executor.end_job("pipe", "unknown", 1)
        unit = bench.unit(bench.task(0), script=("true",))
        bench.run(unit)
        bench.executor.end_job(unit.pipeline, unit.job, unit.attempt)
        bench.executor.end_job(unit.pipeline, unit.job, unit.attempt)
        bench.executor.take_session(unit.id).abandon()
        assert bench.run(replace(unit, job="other"))["datum-0"].state == "success"

    def test_later_attempt_ends_a_running_one(self, bench: Bench) -> None:
        old = bench.unit(bench.task(5), script=("sleep 1000",))
        bench.executor.submit(old)
        assert next(iter(bench.executor.events(PATIENCE_S))) == Started(old.id, "datum-5", 1)
        new = bench.unit(bench.task(5), script=("true",), attempt=2)
        bench.executor.submit(new)
        ends = bench.until_end(old.id, new.id)
        assert isinstance(ends[old.id], Lost)
        assert ends[new.id] == UnitDone(new.id)

    def test_jobs_of_two_pipelines_may_share_their_id(self, bench: Bench) -> None:
        one = bench.unit(bench.task(1), script=("echo one",), attempt=2)
        two = bench.unit(bench.task(1), script=("echo two",), attempt=1, pipeline="other")
        assert bench.run(one)["datum-1"].log_tail == "one\n"
        assert bench.run(two)["datum-1"].log_tail == "two\n"
        bench.executor.take_session(one.id)
        bench.executor.take_session(two.id)

    def test_many_no_ops(self, bench: Bench) -> None:
        self.no_ops(bench, self.no_op_count)

    @pytest.mark.long
    def test_ten_thousand_no_ops(self, bench: Bench) -> None:
        self.no_ops(bench, 10_000)

    def no_ops(self, bench: Bench, count: int) -> None:
        """Run ``count`` datums in units of 50, with two units a slot in flight."""
        transform = Transform(cmd=("true",), image=bench.image)
        tasks = [bench.task(number) for number in range(count)]
        units = [bench.unit(*tasks[at : at + 50], number=at, transform=transform) for at in range(0, count, 50)]
        flying, waiting = 0, list(reversed(units))
        while flying or waiting:
            while waiting and flying < 2 * bench.executor.capacity().slots:
                bench.executor.submit(waiting.pop())
                flying += 1
            for event in bench.executor.events(PATIENCE_S):
                assert not isinstance(event, Lost)
                bench.seen.append(event)
                if isinstance(event, UnitDone):
                    bench.executor.take_session(event.unit).abandon()
                    flying -= 1
        finished = [event for event in bench.seen if isinstance(event, DatumDone)]
        assert len(finished) == count
        assert {event.datum for event in finished} == {task.id for task in tasks}
        assert {event.state for event in finished} == {"success"}

    def test_close_leaves_no_process(self, bench: Bench) -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        others = {pid for pid in children.read_text().split() if not _is_spawner(pid)}  # of tests before this one
        for number in range(bench.executor.capacity().slots + 1):
            bench.executor.submit(bench.unit(bench.task(0), script=("sleep 1000",), number=number))
        assert isinstance(next(iter(bench.executor.events(PATIENCE_S))), Started)
        bench.executor.close()
        bench.executor.close()
        assert set(children.read_text().split()) <= others
        with pytest.raises(ConflictError):
            bench.executor.submit(bench.unit(bench.task(0), number=99))

    def test_sigkill_of_a_command_by_its_number(self, bench: Bench) -> None:
        done = bench.run(bench.unit(bench.task(0), script=("kill -SEGV $$",)))["datum-0"]
        assert (done.state, done.exit_code, done.signal) == ("failed", None, signal.SIGSEGV)
        assert done.error == "the command was ended by signal 11"


def _is_spawner(pid: str) -> bool:
    with suppress(FileNotFoundError):
        return b"spawner_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
