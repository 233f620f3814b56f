"""Unions, joins and groups as jobs run them: what commands see, what is skipped, what people are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pps.datums.inputs import EmptyKeyError
from pps.jobs.preview import preview_datums
from pps.model.state import JobState
from pps.spec.node import Plain
from tests.pps.pipe_world import World, pfs_input, world_in

ONCE_A_DATUM = 'find -L "$PFS" -type f -not -path "*/out/*" | sort > files; cp files "$PFS_OUT/$PFS_DATUM_ID"\n'
"""Leaves, under the datum's id, the list of all files that its command saw."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    with world_in(tmp_path) as made:
        yield made


def seen(world: World, name: str) -> list[list[str]]:
    """What the datums of a pipeline saw, each as its sorted paths below /pfs."""
    lists = (data.decode().splitlines() for data in world.output(name).values())
    return sorted([line.partition("/pfs/")[2] for line in lines if "/.env" not in line] for lines in lists)


def keyed(repo: str, glob: str, **more: Plain) -> dict[str, Plain]:
    return pfs_input(repo, glob, **more)


def make(world: World, name: str, given: Plain) -> None:
    world.code("run.sh", ONCE_A_DATUM)
    world.create(name, given)


@pytest.mark.row("2.3 input.join", "2.3 pfs.join_on")
def test_a_join_matches_readings_with_their_parameters(world: World) -> None:
    world.put("readings", {"/ID1-a.txt": b"1", "/ID1-b.txt": b"2", "/ID2-a.txt": b"3"})
    world.put("parameters", {"/ID1.txt": b"p", "/ID3.txt": b"q"})
    sides = [
        keyed("readings", "/(*)-*.txt", join_on="$1"),
        keyed("parameters", "/(*).txt", join_on="$1"),
    ]
    make(world, "joined", {"join": [*sides]})
    assert world.run_one("joined").data_processed == 2
    assert seen(world, "joined") == [
        ["parameters/ID1.txt", "readings/ID1-a.txt"],
        ["parameters/ID1.txt", "readings/ID1-b.txt"],
    ]
    world.put("parameters", {"/ID2.txt": b"r"})
    job = world.run_one("joined")
    assert (job.data_processed, job.data_skipped) == (1, 2)
    world.put("readings", {"/ID1-a.txt": None})
    assert world.run_one("joined").data_total == 2
    assert ["parameters/ID1.txt", "readings/ID1-a.txt"] not in seen(world, "joined")


@pytest.mark.row("2.3 empty keys")
@pytest.mark.parametrize("join_on", ["$1", "k-$1", "$$${1}$2"])
def test_files_with_empty_keys_are_not_a_cross(world: World, join_on: str) -> None:
    for repo in ("src", "ref"):
        world.put(repo, {"/a": b"", "/b": b""})
    sides = [keyed(repo, "/?(x)?(y)*", join_on=join_on) for repo in ("src", "ref")]
    make(world, "joined", {"join": [*sides]})
    job = world.run_one("joined")
    assert (job.state, job.data_total) == (JobState.UNRUNNABLE, 0)
    assert "ref@master:/a of input 'ref' cannot be joined: the glob '/?(x)?(y)*' captures nothing" in job.reason
    with pytest.raises(EmptyKeyError, match=r"ref@master:/a of input 'ref'"):
        list(preview_datums(world.store, world.spec("joined", {"join": [*sides]}).input))
    for repo in ("src", "ref"):
        world.put(repo, {"/a": None, "/b": None, "/x1": b"", "/yz": b""})
    last = world.run("joined").jobs[-1]
    if join_on == "$$${1}$2":
        assert (last.state, last.data_total) == (JobState.SUCCESS, 2)
    else:
        assert "/yz of input" in last.reason


@pytest.mark.row("2.3 outer join", "2.3 pfs.outer_join")
def test_an_outer_join_runs_what_has_no_partner(world: World) -> None:
    world.put("a", {"/1": b"1", "/2": b"2"})
    world.put("b", {"/2": b"3", "/3": b"4"})
    given = {"join": [keyed("a", "/(*)", join_on="$1", outer_join=True), keyed("b", "/(*)", join_on="$1")]}
    make(world, "outer", given)
    world.run_one("outer")
    assert seen(world, "outer") == [["a/1"], ["a/2", "b/2"]]


@pytest.mark.row("2.3 input.group", "2.3 pfs.group_by")
def test_a_group_over_three_repos_is_one_datum_for_each_text(world: World) -> None:
    world.put("labs", {"/T1606707613-LIPID-PATID2-CLIA24D9871327.txt": b"l", "/T1-X-PATID1-C.txt": b"l"})
    world.put("hospitals", {"/PATID2/a.txt": b"h", "/PATID4/b.txt": b"h"})
    world.put("doctors", {"/PATID1.txt": b"d", "/PATID2.txt": b"d"})
    given = {
        "group": [
            keyed("labs", "/*-(PATID?)-*", group_by="$1"),
            keyed("hospitals", "/(PATID?)/*", group_by="$1"),
            keyed("doctors", "/(*).txt", group_by="$1"),
        ]
    }
    make(world, "grouped", given)
    assert world.run_one("grouped").data_total == 3
    assert seen(world, "grouped") == [
        ["doctors/PATID1.txt", "labs/T1-X-PATID1-C.txt"],
        ["doctors/PATID2.txt", "hospitals/PATID2/a.txt", "labs/T1606707613-LIPID-PATID2-CLIA24D9871327.txt"],
        ["hospitals/PATID4/b.txt"],
    ]


@pytest.mark.row("2.6 PACH_DATUM_x_JOIN_ON")
def test_a_command_is_told_what_it_was_joined_and_grouped_by(world: World) -> None:
    world.put("a", {"/x-1": b"", "/x-2": b""})
    world.code("run.sh", 'echo "$PACH_DATUM_a_JOIN_ON $PFS_DATUM_a_GROUP_BY $a" > "$PFS_OUT/told"\n')
    world.create("told", {"group": [{"join": [keyed("a", "/(*)-(*)", join_on="$2", group_by="$1")]}]})
    world.run_one("told")
    (told,) = world.output("told").values()
    assert told.decode().split()[:2] == ["2", "x"]
    assert told.decode().split()[2].endswith("/a/x-2")


@pytest.mark.row("2.3 input.union", "2.3 names in a union")
def test_children_of_a_union_may_share_a_name(world: World) -> None:
    world.put("a", {"/1": b"one"})
    world.put("b", {"/1": b"one", "/2": b"two"})
    make(world, "either", {"union": [pfs_input("a", name="in"), pfs_input("b", name="in")]})
    job = world.run_one("either")
    assert seen(world, "either") == [["in/1"], ["in/1"], ["in/2"]]
    shown = [file.repo + file.path for datum in world.jobs.datums("either", job.id) for file in datum.inputs]
    assert sorted(shown) == ["a/1", "b/1", "b/2"]


def test_the_datums_of_a_spec_are_those_that_its_job_has(world: World) -> None:
    world.put("a", {"/1": b"1", "/2": b"22"})
    world.put("b", {"/2": b"333"})
    given = {"join": [keyed("a", "/(*)", join_on="$1", outer_join=True), keyed("b", "/(*)", join_on="$1")]}
    before = list(preview_datums(world.store, world.spec("p", given).input))
    assert [(sorted(file.path for file in one.inputs), one.input_bytes) for one in before] == [
        (["/1"], 1),
        (["/2", "/2"], 5),
    ]
    make(world, "p", given)
    job = world.run_one("p")
    assert {one.id for one in before} == {datum.id for datum in world.jobs.datums("p", job.id)}
