"""kill -9 at random moments: what was acknowledged is whole, and the next command works without repair."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tarfile
import threading
from pathlib import Path

import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from pfs.backends.unnamed import open_unnamed
from pfs.store import init
from pfs.store import open as open_store
from tests.cli.processes import Served, ids, kill_after, run, serving, start

ROUNDS = [pytest.param(10), pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with init(tmp_path) as made:
        made.create_repo("r")
    return tmp_path


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killed_put_file(store: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    acknowledged: dict[str, tuple[str, bytes]] = {}
    for number in range(rounds):
        data = chance.randbytes(chance.choice([1000, 300_000, 24_000_000]))
        (store / "data").write_bytes(data)
        process = start(store, "pfs", "put-file", f"r@master:/f{number}", "-f", "data")
        commit = kill_after(process, chance.uniform(0.15, 0.9)).decode().strip()
        if commit:
            acknowledged[commit] = (f"/f{number}", data)
    run(store, "pfs", "put-file", "r@master:/last", "-f", "data")
    _check(store, acknowledged)
    shutil.rmtree(store / ".pfs" / "index.lmdb")
    before = ids(store, "r")
    run(store, "pfs", "recover")
    assert ids(store, "r") == before
    _check(store, acknowledged)


def _check(store: Path, acknowledged: dict[str, tuple[str, bytes]]) -> None:
    run(store, "pfs", "fsck", "--deep")
    there = set(ids(store, "r"))
    assert set(acknowledged) <= there
    with open_store(store) as opened:
        for commit, (path, data) in acknowledged.items():
            assert opened.repo("r")[commit].read(path) == data
            assert opened.repo("r")["master"].read(path) == data


@pytest.mark.parametrize("words", [("-f", "-"), ("--untar", "-f", "-"), ("-f", "-", "-f", "data", "--delete-extra")])
def test_interrupted_put_file_leaves_nothing(store: Path, words: tuple[str, ...]) -> None:
    (store / "data").write_bytes(b"data")
    process = start(store, "pfs", "put-file", "r@master:/x/y", *words, stdin=subprocess.PIPE)
    assert process.stdin is not None
    info = tarfile.TarInfo("big")
    info.size = 60_000_000
    process.stdin.write(info.tobuf() + os.urandom(8_000_000))  # returns once most of it was read
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.strip() == b"pfs: interrupted: nothing half-written was kept"
    assert ids(store, "r") == []
    run(store, "pfs", "put-file", "r@master", "-f", "data")
    run(store, "pfs", "fsck", "--deep")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("stood", [b"", b"what stood there"])
def test_an_ended_get_file_leaves_nothing_beside_its_target(store: Path, number: signal.Signals, stood: bytes) -> None:
    data = random.Random(1).randbytes(30_000_000)
    (store / "data").write_bytes(data)
    run(store, "pfs", "put-file", "r@master:/f", "-f", "data")
    folder = store / "out"
    folder.mkdir()
    target = folder / "f"
    if open_unnamed(folder) is None and number is signal.SIGKILL:
        pytest.skip("this file system has no files without a name")
    for round_no in range(5):
        target.unlink(missing_ok=True)
        if stood:
            target.write_bytes(stood)
        process = start(store, "pfs", "get-file", "r@master:/f", "-o", str(target))
        kill_after(process, 0.05 + 0.05 * round_no, number)
        assert [one.name for one in folder.iterdir()] in ([], ["f"])
        left = target.read_bytes() if target.exists() else b""
        assert left in (stood, data)


class Writers:
    """Clients that put objects until their server is gone, and know what was acknowledged."""

    def __init__(self, served: Served, seed: int) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self._changed = threading.Condition()
        self._served = served
        self._threads = [threading.Thread(target=self._write, args=(f"{seed}/{n}", seed + n)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def wait(self, count: int) -> None:
        """Return when ``count`` objects are acknowledged."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= count, timeout=240)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _write(self, prefix: str, seed: int) -> None:
        chance = random.Random(seed)
        config = botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        client = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self._served.url,
            aws_access_key_id=self._served.access_key,
            aws_secret_access_key=self._served.secret_key,
            config=config,
        )
        try:
            for number in range(10_000):
                body = chance.randbytes(chance.choice([10, 5000, 200_000, 6_000_000]))
                client.put_object(Bucket="r", Key=f"{prefix}/{number}", Body=body)
                with self._changed:
                    self.acknowledged[f"{prefix}/{number}"] = body
                    self._changed.notify()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            pass  # the server is gone: the end of this round
        finally:
            client.close()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_killed_serve(store: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    acknowledged: dict[str, bytes] = {}
    for number in range(rounds):
        with serving(store, "--no-pipelines") as served:
            writers = Writers(served, seed=number * 100)
            writers.wait(chance.randrange(1, 6))  # not after a time: a busy machine would have acknowledged nothing
            kill_after(served.process, chance.uniform(0.0, 0.1))
            writers.join()
            acknowledged |= writers.acknowledged
    assert acknowledged
    run(store, "pfs", "fsck", "--deep")
    with open_store(store) as opened:
        view = opened.repo("r")["master"]
        for key, body in acknowledged.items():
            assert view.read("/" + key) == body
    objects = store / ".pfs" / "objects"
    leftovers = [path for path in objects.rglob("*") if path.is_file() and "tmp" in path.relative_to(objects).parts]
    assert len(leftovers) <= rounds, os.linesep.join(map(str, leftovers))
