"""Each request to a bucket fails once, in each way: what is there is the old state or the new one, and work goes on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.s3_place import S3Options
from pfs.errors import StorageError
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World

REFUSED: Answer = "403 Forbidden", {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"


def nth(number: int) -> Callable[[Asked], bool]:
    """Return what says yes to the n-th request from now on, and never again."""
    numbers = count(1)
    return lambda _: next(numbers) == number


def refuse(world: World, number: int) -> None:
    chosen = nth(number)
    world.refuse = lambda asked: REFUSED if chosen(asked) else None


def refuse_all_from(world: World, number: int) -> None:
    numbers = count(1)
    world.refuse = lambda _: REFUSED if next(numbers) >= number else None


def lose(world: World, number: int) -> None:
    world.lose = nth(number)


def healthy(world: World) -> None:
    world.refuse, world.lose = lambda _: None, lambda _: False


def files(store: Store) -> dict[str, bytes]:
    view = store.repo("data")["master"]
    return {info.path: view.read(info.path) for info in view.list("/", recursive=True)}


@pytest.mark.parametrize("fault", [refuse, refuse_all_from, lose])
def test_a_commit(bucket: World, tmp_path: Path, fault: Callable[[World, int], None]) -> None:
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    with connect(tmp_path / "one", url, settings=settings).store as store:
        repo = store.create_repo("data")
        with repo.commit("master") as commit:
            commit.put_file("/0", b"0")
    there = {"/0": b"0"}
    for number in range(1, 12):
        path = f"/{number}"
        fault(bucket, number)
        done = False
        try:
            with pfs.open(tmp_path / "one") as store, store.repo("data").commit("master") as commit:
                commit.put_file(path, b"x" * 1000)
            done = True
        except StorageError:
            assert fault is not lose, "the bucket did what it was asked for, and can be asked about it"
        healthy(bucket)
        with pfs.open(tmp_path / "one") as store:
            found = files(store)
            assert found in (there, {**there, path: b"x" * 1000})
            assert not done or path in found
            there = found
    assert there["/11"] == b"x" * 1000, "so many requests a commit has not"
    with pfs.open(tmp_path / "one") as store:
        assert list(fsck(store, deep=True)) == []


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("fault", [refuse, lose])
def test_connecting(bucket: World, tmp_path: Path, fault: Callable[[World, int], None], step: int) -> None:
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    with connect(tmp_path / "one", url, settings=settings).store as store:
        repo = store.create_repo("data")
        for number in range(3):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", b"%d" % number)
    failed = 0
    for number in range(1, 37, step):
        folder = tmp_path / f"{number}"
        fault(bucket, number)
        try:
            connect(folder, url, settings=settings).store.close()
        except StorageError:
            failed += 1
        healthy(bucket)
        if not (folder / ".pfs" / "config.json").exists():
            connect(folder, url, settings=settings).store.close()
        with pfs.open(folder) as store:
            assert files(store) == {"/0": b"0", "/1": b"1", "/2": b"2"}
    assert failed > (0 if fault is refuse else -1)  # of reads one refusal is made up for, as boto3 is asked next
