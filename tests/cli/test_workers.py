"""`pfs serve --workers N` as processes: atomic together, started again, ended together, none left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from pfs.store import init
from pfs.store import open as open_at
from pfs.upkeep.check import fsck
from tests.cli.processes import Served, run, serving

PATIENCE_S = 60


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with init(tmp_path) as made:
        made.create_repo("r")
    return tmp_path


@pytest.fixture
def served(store: Path) -> Iterator[Served]:
    with serving(store, "--no-pipelines", "--workers", "3") as live:
        yield live


def client(served: Served, *, attempts: int = 1) -> BaseClient:
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=served.url,
        aws_access_key_id=served.access_key,
        aws_secret_access_key=served.secret_key,
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}, max_pool_connections=1),
    )


def children(pid: int) -> set[int]:
    """Return the processes that a process has started and that live."""
    found = set()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            stat = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == pid and stat[0] != "Z":
                found.add(int(name))
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in state(pid)}


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def wait_for(check: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < end
        threading.Event().wait(0.05)


def test_of_many_who_create_one_key_one_wins(served: Served, store: Path) -> None:
    assert len(children(served.process.pid)) == 3

    def create(number: int) -> list[int]:
        won = []
        with closing(client(served)) as s3:
            for key in range(3):
                try:
                    s3.put_object(Bucket="r", Key=str(key), Body=str(number).encode(), IfNoneMatch="*")
                    won.append(key)
                except ClientError as error:
                    if error.response["Error"]["Code"] != "PreconditionFailed":
                        raise
                s3.put_object(Bucket="r", Key=f"own/{number}/{key}", Body=b"1")
        return won

    with ThreadPoolExecutor(32) as pool:
        won = list(pool.map(create, range(32)))
    with open_at(store) as opened:
        head = opened.repo("r")["master"]
        for key in range(3):
            [winner] = [number for number, keys in enumerate(won) if key in keys]
            assert head.read(f"/{key}") == str(winner).encode()
        assert sum(1 for _ in head.list("/own")) == 32
        assert list(fsck(opened)) == []


def test_a_worker_that_is_killed_is_followed_by_another(served: Served) -> None:
    parent = served.process.pid
    with closing(client(served, attempts=5)) as s3:
        for turn in range(2):
            before = children(parent)
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            for number in range(10):
                s3.put_object(Bucket="r", Key=f"{turn}/{number}", Body=b"1")
            wait_for(lambda gone=victim: len(children(parent) - {gone}) == 3)  # type: ignore[misc]  # mypy: default
            assert served.process.poll() is None
        assert s3.list_objects_v2(Bucket="r")["KeyCount"] == 20
    served.process.send_signal(signal.SIGTERM)
    assert served.process.stderr is not None
    said = served.process.stderr.read().decode()
    assert served.process.wait(timeout=PATIENCE_S) == 0
    assert said.count("ended by signal 9: starting another\n") == 2


def test_a_signal_drains_all(served: Served) -> None:
    with closing(client(served)) as s3:
        s3.put_object(Bucket="r", Key="k", Body=b"1")
        workers = children(served.process.pid)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=PATIENCE_S) == 0
        assert alive(workers) == set()


def test_no_worker_outlives_a_supervisor_that_is_killed(served: Served, store: Path) -> None:
    workers = children(served.process.pid)
    os.kill(served.process.pid, signal.SIGKILL)
    wait_for(lambda: not alive(workers))
    port = served.url.rpartition(":")[2]
    with serving(store, "--no-pipelines", "--workers", "2", "--port", port) as again:
        assert again.url == served.url


def test_a_worker_that_is_told_to_end_is_replaced_too(served: Served) -> None:
    parent = served.process.pid
    first = min(children(parent))
    os.kill(first, signal.SIGTERM)
    wait_for(lambda: len(children(parent) - {first}) == 3)


def test_wrong_options_are_told_once(store: Path) -> None:
    run(store, "pfs", "serve", "--workers", "0", code=2)
    run(store, "pfs", "serve", "--workers", "2", "--port", "0", "--anonymous-read", "none", code=3)
    (store / "cert.pem").write_text("no certificate")
    options = ("--tls-cert", store / "cert.pem", "--tls-key", store / "cert.pem")
    run(store, "pfs", "serve", "--workers", "2", "--port", "0", *options, code=2)
