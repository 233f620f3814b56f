"""What inputs may be and when their commits make jobs (docs/compatibility.md, 2.3), by the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs as library
from pfs.errors import ConflictError
from pfs.store import Store
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input
from tests.pps.test_cron import MINUTE, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pipes(tmp_path: Path, clock: Clock) -> Iterator[World]:
    library.init(tmp_path).close()
    with Store(tmp_path / ".pfs", clock_ns=clock) as store:
        yield World(tmp_path, store)


@pytest.mark.row("2.3 one branch twice")
def test_two_inputs_of_one_branch(pipes: World) -> None:
    pipes.put("images", {"/a": b"1", "/b": b"2"})
    script = 'cat "$x" "$y" > "$PFS_OUT/$(basename "$x")$(basename "$y")"'
    pipes.create("p", {"cross": [pfs_input("images", name="x"), pfs_input("images", name="y")]}, ["sh", "-c", script])
    assert pipes.run_one().data_total == 4
    assert pipes.output("p") == {"/aa": b"11", "/ab": b"12", "/ba": b"21", "/bb": b"22"}


@pytest.mark.row("2.3 two branches of one repo")
def test_two_branches_of_one_repo_are_refused(pipes: World) -> None:
    pipes.put("images", {"/a": b"1"})
    pipes.put("images", {"/a": b"1"}, branch="dev")
    given: Plain = {"cross": [pfs_input("images", name="x"), pfs_input("images", branch="dev", name="y")]}
    with pytest.raises(ConflictError, match="images"):
        pipes.create("p", given, ["true"])
    assert pipes.pipelines.list() == []


@pytest.mark.row("2.3 trigger.size", "2.3 trigger.all", "2.3 trigger.rate_spec")
def test_the_conditions_of_triggers(pipes: World, clock: Clock) -> None:
    pipes.put("images", {"/0": b""})
    triggers: dict[str, dict[str, Plain]] = {
        "size": {"size": "1KB"},
        "both": {"size": "1KB", "commits": 4, "all": True},
        "rate": {"rateSpec": "*/5 * * * *"},
    }
    for name, trigger in triggers.items():
        pipes.create(name, pfs_input("images", "/", trigger=trigger), ["true"])
    pipes.run()

    def jobs_after(size: int, *, minutes: int = 0) -> set[str]:
        clock.forward(minutes * MINUTE)
        pipes.put("images", {f"/{clock()}": b"x" * size})
        return {job.pipeline for job in pipes.run().jobs}

    seen = [jobs_after(600), jobs_after(600), jobs_after(10), jobs_after(10, minutes=5)]
    assert [("size" in one, "both" in one) for one in seen] == [
        (False, False),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert "rate" in seen[3]
    assert not {"rate"} & seen[1]


@pytest.mark.row("2.3 cron updates")
def test_a_schedule_is_changed_by_an_update(pipes: World, clock: Clock) -> None:
    def cron(spec: str, name: str = "tick") -> dict[str, Plain]:
        return {"cron": {"name": name, "spec": spec}}

    pipes.create("p", cron("@never"), ["true"])
    clock.forward(6 * MINUTE)
    assert pipes.run().jobs == ()
    pipes.pipelines.update(pipes.spec("p", cron("*/5 * * * *"), ["true"]), base_dir=pipes.folder)
    clock.forward(6 * MINUTE)
    assert pipes.run_one().data_total == 1
    pipes.pipelines.update(pipes.spec("p", cron("*/5 * * * *", "other"), ["true"]), base_dir=pipes.folder)
    clock.forward(6 * MINUTE)
    assert [given.repo for given in pipes.run_one().inputs] == ["p_other"]
