"""Requests and limits of a spec: what they mean, that requests keep commands apart, and that limits end them."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.job_gateways import job_gateways
from pfs.errors import InvalidInputError
from pfs.store import init
from pps.controller import Controller
from pps.executor import Capacity, DatumDone, Executor, Lost
from pps.executors.local import LocalExecutor
from pps.executors.shares import group_limits
from pps.sandbox import container
from pps.sandbox.isolation import IsolationUnavailableError
from pps.spec.resources import quantity, size_text
from pps.spec.types import Resources
from tests.pps.executor_contract import Bench
from tests.pps.pipe_world import World, pfs_input, world_in

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1), ("0.5", 0.5), ("500m", 0.5), ("64M", 64e6), ("64Mi", 64 * MIB), ("1G", 1e9), ("1Gi", 1 << 30),
        ("1e3", 1000), ("2k", 2000), ("1.5Ki", 1536), ("100MB", 1e8), (" 7 ", 7),
        ("1X", None), ("", None), ("-1", None),
        ("Gi", None), ("inf", None),
    ],
)  # fmt: skip
def test_quantities_are_those_of_kubernetes(text: str, number: float | None) -> None:
    assert quantity(text) == number


def test_sizes_are_told_in_the_nearest_unit() -> None:
    assert [size_text(size) for size in (0, 1023, 64 * MIB, 3 << 29)] == ["0 bytes", "1023 bytes", "64 MiB", "1.5 GiB"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as found:
        found.put("in", {f"/f{number}": b"%d" % number for number in range(6)})
        yield found


def test_a_wrong_quantity_names_its_field(world: World) -> None:
    with pytest.raises(InvalidInputError, match=r"'memory' of resources must be like 64M, 1Gi .* not 'much'"):
        world.spec("p", pfs_input("in"), resource_limits={"memory": "much"})


def test_they_are_read_and_noted_no_more(world: World) -> None:
    spec = world.spec(
        "p",
        pfs_input("in"),
        resource_requests={"cpu": 0.5, "memory": "64M", "disk": "1G"},
        resource_limits={"gpu": {"type": "nvidia.com/gpu", "number": 1}},
        sidecar_resource_limits={"cpu": 1},
    )
    assert spec.requests == Resources(0.5, 64_000_000, 1_000_000_000)
    assert spec.asks == Resources(0.5, 64_000_000, 1_000_000_000, 1)
    assert [note.partition(":")[0] for note in spec.notes] == ["pipeline spec.sidecar_resource_limits"]


@pytest.mark.parametrize("asked", [{"cpu": 1e6}, {"memory": "1E"}, {"disk": "1E"}])
def test_a_request_beyond_the_machine_is_an_error_and_no_wait(world: World, asked: dict[str, float | str]) -> None:
    world.create("p", pfs_input("in"), ["true"], resource_requests={**asked})
    job = world.run_one()
    (name,) = asked
    assert job.state == "unrunnable"
    assert f"resource_requests.{name} asks for " in job.reason
    assert "and this machine has " in job.reason


def run_with(world: World, executor: Executor) -> None:
    controller = Controller(world.store, lambda _isolation: executor)
    assert [job.state for job in controller.run_pending(()).jobs] == ["success"]


def executor(world: World, capacity: Capacity, *, gpus: tuple[str, ...] = ()) -> Executor:
    return LocalExecutor(
        world.store,
        slots=capacity.slots,
        work_dir=world.folder / "work",
        log_dir=world.folder / "logs",
        capacity=capacity,
        gpus=gpus,
        gateways=job_gateways(world.store),
    )


@pytest.mark.row("2.2 resources.cpu")
@pytest.mark.row("2.2 resources.gpu")
@pytest.mark.row("2.2 gpu.number")
@pytest.mark.parametrize("asked", [{"cpu": 0.6}, {"memory": "51M"}, {"gpu": {"type": "g", "number": 1}}])
def test_commands_that_do_not_fit_together_run_one_after_the_other(world: World, asked: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as meeting:
        script = [f"mkdir {meeting}/alone || exit 3", "cat /dev/null $(printf '/dev/null %.0s' $(seq 500))"]
        script += [f"rmdir {meeting}/alone", 'echo "$CUDA_VISIBLE_DEVICES $PFS_GPUS" > "$PFS_OUT/$PFS_DATUM_ID"']
        world.create(
            "p",
            pfs_input("in"),
            ["sh"],
            {"stdin": script},
            datum_set_spec={"number": 1},
            datum_tries=1,
            resource_requests=asked,  # type: ignore[arg-type]  # plain values
        )
        run_with(world, executor(world, Capacity(4, cpu=1.0, memory=100_000_000, gpus=1), gpus=("GPU-7",)))
    shown = b"GPU-7 GPU-7\n" if "gpu" in asked else b" \n"
    assert set(world.output("p").values()) == {shown}


def test_gpus_are_not_waited_for_where_there_are_none(world: World) -> None:
    world.create("p", pfs_input("in"), ["true"], resource_limits={"gpu": {"type": "g", "number": 1}})
    assert world.run_one().state == "success"


@pytest.fixture(params=["namespace", "none"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            for number in range(10):
                commit.put_file(f"/f{number}", f"file {number}\n".encode())
        try:
            made = LocalExecutor(
                store, slots=1, work_dir=tmp_path / "work", log_dir=tmp_path / "logs", isolation=request.param
            )
        except IsolationUnavailableError as error:
            pytest.skip(str(error))
        yield Bench(store, made, repo["master"])
        made.close()


def run(bench: Bench, *script: str, limits: Resources) -> DatumDone:
    return bench.run(bench.unit(bench.task(0), script=script, limits=limits))["datum-0"]


HOG = f"{sys.executable} -c 'import time; held = bytearray(48 << 20); time.sleep(1000)'"


@pytest.mark.row("2.2 resources.memory")
def test_memory_of_all_processes_together_is_limited(bench: Bench) -> None:
    done = run(bench, f"{HOG} &", f"{HOG} &", "wait", limits=Resources(memory=90 * MIB))
    assert (done.state, done.error) == ("failed", "the command used more than resource_limits.memory (90 MiB)")


def test_memory_within_the_limit_is_left_alone(bench: Bench) -> None:
    done = run(bench, 'echo ok > "$PFS_OUT/x"', limits=Resources(memory=500 * MIB, disk=MIB))
    assert (done.state, done.error) == ("success", None)


@pytest.mark.row("2.2 resources.disk")
@pytest.mark.parametrize("place", ["$PFS_OUT", "$TMPDIR", "$HOME"])
@pytest.mark.parametrize("after", ["sleep 1000", "true"])
def test_disk_is_limited_while_the_command_runs_and_in_what_it_leaves(bench: Bench, place: str, after: str) -> None:
    script = f'head -c 3000000 /dev/urandom > "{place}/x"; {after}'
    done = run(bench, script, limits=Resources(disk=2 * MIB))
    assert (done.state, done.error) == ("failed", "the command used more than resource_limits.disk (2 MiB)")


def test_a_command_stays_on_as_many_processors_as_it_may_use(bench: Bench) -> None:
    script = f"""{sys.executable} -c 'import os; print(len(os.sched_getaffinity(0)))' > "$PFS_OUT/n" """
    done = run(bench, script, limits=Resources(cpu=0.5))
    view = bench.commit(done.unit, done.outputs)
    assert view.read("/n") == b"1\n"
    assert len(os.sched_getaffinity(0)) >= 1


def test_a_unit_that_waits_for_its_share_can_be_cancelled(tmp_path: Path) -> None:
    with init(tmp_path / "store") as store:
        repo = store.create_repo("in")
        with repo.commit("master") as commit:
            commit.put_file("/f0", b"")
            commit.put_file("/f1", b"")
        capacity = Capacity(2, cpu=1.0)
        made = LocalExecutor(store, slots=2, work_dir=tmp_path / "w", log_dir=tmp_path / "l", capacity=capacity)
        bench = Bench(store, made, repo["master"])
        asks = Resources(cpu=1.0)
        first = bench.unit(bench.task(0), script=("sleep 1000",), requests=asks)
        second = bench.unit(bench.task(1), script=("sleep 1000",), requests=asks, number=1)
        for unit in (first, second):
            made.submit(unit)
        made.cancel(second.id, 0.0)
        assert isinstance(bench.until_end(second.id)[second.id], Lost)
        made.close()


@pytest.mark.parametrize(
    ("cpu", "memory", "limits"),
    [
        ("200000 100000\n", "1073741824\n", (2.0, 1 << 30)),
        ("max 100000\n", "max\n", (math.inf, sys.maxsize)),
        ("50000 100000\n", None, (0.5, sys.maxsize)),
        (None, "5\n", (math.inf, 5)),
    ],
)
def test_the_machine_is_as_large_as_the_container_that_pps_runs_in(
    tmp_path: Path, cpu: str | None, memory: str | None, limits: tuple[float, int]
) -> None:
    for name, text in (("cpu.max", cpu), ("memory.max", memory)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert group_limits(tmp_path) == limits


def test_an_engine_keeps_the_limits_of_containers() -> None:
    argv = container.run_argv(
        "podman", "i", ["true"], name="n", store="s", env={}, cwd=None, volumes=[], cpu=0.5, memory=64 * MIB
    )
    words = " ".join(argv)
    assert "--cpus 0.5 --memory 67108864" in words
