"""One put of many sources against a plain model: mirrors, unions, and what happens beside other writers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import FileCollisionError, InvalidInputError, PathConflictError
from pfs.intake import Intake, Intaken, PutHow
from pfs.repo import Repo


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return pfs.init(tmp_path_factory.mktemp("intake")).create_repo("r")


NAMES = st.sampled_from(["a", "b", "c", "dd"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.binary(max_size=3), max_size=12)


def collides(names: Mapping[str, object]) -> bool:
    return any(other.startswith(name + "/") for name in names for other in names)


def put(repo: Repo, files: Mapping[str, bytes], *, branch: str, mirror: str | None, base: str = "") -> Intaken:
    with repo.commit(branch) as commit:
        intake = Intake(commit, PutHow(mirror=mirror, jobs=1))
        for name, data in files.items():
            intake.stream(f"{base}/{name}", io.BytesIO(data))
        done = intake.finish()
        if not done.changed:
            commit.leave()
    return done


def contents(repo: Repo, branch: str) -> dict[str, bytes]:
    view = repo[branch]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=FILES.filter(lambda files: not collides(files)), after=FILES, base=st.sampled_from(["", "/a", "/b/c"]))
def test_a_mirror_makes_what_is_below_its_path_the_sources(
    repo: Repo, before: dict[str, bytes], after: dict[str, bytes], base: str
) -> None:
    put(repo, before, branch="m", mirror="/")
    there = contents(repo, "m")
    stamps = {info.path: info.commit for info in repo["m"].list(recursive=True)}
    head = repo["m"].info.id
    outside = {path: data for path, data in there.items() if not path.startswith(base + "/")}
    expected = outside | {f"{base}/{name}": data for name, data in after.items()}
    if collides(expected):
        with pytest.raises(InvalidInputError if collides(after) else FileCollisionError):
            put(repo, after, branch="m", mirror=base or "/", base=base)
        assert repo["m"].info.id == head
        return
    done = put(repo, after, branch="m", mirror=base or "/", base=base)
    assert contents(repo, "m") == expected
    assert done.changed == (expected != there)
    assert (repo["m"].info.id != head) == done.changed
    assert done.deleted == len(there.keys() - expected.keys())
    for info in repo["m"].list(recursive=True):
        if info.type == "file" and there.get(info.path) == expected[info.path]:
            assert info.commit == stamps[info.path], "what did not change keeps its commit"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(one=FILES, two=FILES)
def test_two_sources_are_their_union_or_refused(
    repo: Repo, tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    if collides(one) or collides(two):
        return
    folders = []
    for files in (one, two):
        folder = tmp_path_factory.mktemp("source")
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        folders.append(folder)

    def take() -> None:
        with repo.commit("u") as commit:
            intake = Intake(commit, PutHow(mirror="/", jobs=1))
            for folder in folders:
                intake.tree("/", folder)
            intake.finish()

    if any(two.get(name, data) != data for name, data in one.items()):
        with pytest.raises(InvalidInputError, match="two sources put"):
            take()
    elif collides(one | two):
        with pytest.raises(InvalidInputError, match="the sources put both"):
            take()
    else:
        take()
        assert contents(repo, "u") == {f"/{name}": data for name, data in (one | two).items()}


def test_a_mirror_beside_another_writer(repo: Repo) -> None:
    put(repo, {"x": b"1", "y": b"1"}, branch="w", mirror="/")
    with repo.commit("w") as mirror:
        intake = Intake(mirror, PutHow(mirror="/"))
        intake.stream("/x", io.BytesIO(b"2"))
        with repo.commit("w") as other:
            other.put_file("/z", b"new")
        intake.finish()
    assert contents(repo, "w") == {"/x": b"2", "/z": b"new"}, "a mirror deletes what it saw, not what came meanwhile"
    with repo.commit("w") as mirror:
        intake = Intake(mirror, PutHow(mirror="/"))
        intake.stream("/z", io.BytesIO(b"new"))
        intake.finish()
        with repo.commit("w") as other:
            other.put_file("/x", b"3")
        with pytest.raises(PathConflictError, match="/x"):
            mirror.finish()
    assert contents(repo, "w") == {"/x": b"3", "/z": b"new"}


def test_many_files_take_the_way_over_pages(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfs.changes.staging.PENDING", 50)
    files = {f"d{number % 7}/f{number}": b"%d" % number for number in range(400)}
    put(repo, files, branch="p", mirror="/")
    assert len(contents(repo, "p")) == 400
    swapped = {(f"d{number % 7}" if number < 7 else f"e{number}/g"): b"%d" % number for number in range(300)}
    done = put(repo, swapped, branch="p", mirror="/")
    assert (done.deleted, contents(repo, "p")) == (400, {f"/{name}": data for name, data in swapped.items()})
    assert not put(repo, swapped, branch="p", mirror="/").changed
