"""Processes on machines of their own that write to one bucket, with lost replies and kill -9."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.s3_place import S3Options
from pfs.upkeep.check import fsck
from tests.pfs.bucket_world import BUCKET, Asked, World

WRITER = """
import sys, pfs
from pfs.errors import ConflictError, StorageError
folder, name = sys.argv[1:3]
with pfs.open(folder) as store:
    repo = store.repo("data")
    for number in range(int(sys.argv[3])):
        path = f"/{name}/{number}"
        try:
            with repo.commit("master", message=path) as commit:
                commit.put_file(path, path.encode() * 100)
        except (ConflictError, StorageError):
            continue
        print(commit.id, path, flush=True)
"""
ROUNDS = [pytest.param(1, 5), pytest.param(5, 15, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]


def acknowledged(process: subprocess.Popen[str], lines: int) -> list[list[str]]:
    """Return what a writer prints, to its end, or so many lines, after which it is killed at once."""
    found = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            found.append(line.split())
            if len(found) == lines:
                process.kill()
    return [ack for ack in found if len(ack) == 2]


@pytest.mark.s3
@pytest.mark.parametrize(("rounds", "count"), ROUNDS)
def test_writers_on_four_machines(bucket: World, tmp_path: Path, rounds: int, count: int) -> None:
    """Every fifth reply to a write is lost, one of the four is killed: what was acknowledged is there, once."""
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    for machine in range(4):
        with connect(tmp_path / f"{machine}", url, settings=settings).store as store:
            store.create_repo("data", exist_ok=True)
    dice, lock = random.Random(rounds), threading.Lock()

    def lose(asked: Asked) -> bool:
        with lock:
            return asked.is_write and dice.random() < 0.2

    bucket.lose = lose
    done: list[list[str]] = []
    for number in range(rounds):
        writers = [_start(tmp_path / f"{machine}", f"{number}-{machine}", count) for machine in range(4)]
        killed = number % 4
        readers = [
            threading.Thread(
                target=lambda process=process, lines=2 if machine == killed else 0: done.extend(  # type: ignore[misc]
                    acknowledged(process, lines)
                )
            )
            for machine, process in enumerate(writers)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert [writer.returncode for machine, writer in enumerate(writers) if machine != killed] == [0] * 3
    bucket.lose = lambda _: False
    assert len(done) >= rounds * count
    for machine in range(4):
        with pfs.open(tmp_path / f"{machine}") as store:
            repo = store.repo("data")
            commits = {info.id: info.message for info in repo.commits("master")}
            assert len(set(commits.values())) == len(commits)
            for commit, path in done:
                assert commits[commit] == path
                assert repo["master"].read(path) == path.encode() * 100
            assert list(fsck(store, deep=True)) == []


def _start(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
