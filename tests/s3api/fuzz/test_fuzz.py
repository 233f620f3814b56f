"""Random and mutated requests: never a 500, a hang, a traceback in an answer or the log, or growing memory.

A failure names its seed and the bytes that were sent.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs
from pfs.upkeep.check import fsck
from tests.s3api.fuzz.driver import Fuzzer
from tests.s3api.fuzz.signing import Signer
from tests.s3api.processes import Process, gateway_process, root_key

SEED = int(os.environ.get("PFS_FUZZ_SEED", "1"))
"""Another one may be tried; what fails, fails again with the same seed."""
GROWTH_BYTES = 96 << 20


@pytest.fixture
def home() -> Iterator[Path]:
    """A store with two repos and some objects, in memory where there is some."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="pfs-fuzz-", dir=memory if memory.is_dir() else None))
    with pfs.init(folder / "home") as store:
        for repo, branch in (("b", "master"), ("public", "master"), ("b", "dev")):
            with store.create_repo(repo, exist_ok=True).commit(branch) as commit:
                for name in ("k", "k0", "k1", "dir/k"):
                    commit.put_file(f"/{name}", name.encode() * 50)
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture
def process(home: Path, tmp_path: Path) -> Iterator[Process]:
    with gateway_process(home, tmp_path / "gateway.log") as running:
        yield running


@pytest.fixture
def fuzzer(home: Path, process: Process) -> Fuzzer:
    key, secret = root_key(home)
    return Fuzzer(process, Signer(key.access_key, secret), SEED)


def check(fuzzer: Fuzzer, home: Path) -> None:
    """Look at the whole run: all kinds of answers came, memory did not grow, the store is whole."""
    assert {200, 204, 206, 304, 400, 403, 404, 411, 412, 416, 501} <= fuzzer.statuses.keys(), fuzzer.statuses
    warm = fuzzer.memory[len(fuzzer.memory) // 4]
    assert fuzzer.memory[-1] - warm < GROWTH_BYTES, [size >> 20 for size in fuzzer.memory]
    with pfs.open(home) as store:
        assert list(fsck(store, deep=True)) == []


def test_two_thousand_requests(fuzzer: Fuzzer, home: Path) -> None:
    fuzzer.run(2_000)
    check(fuzzer, home)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(5))
def test_twenty_thousand_requests(fuzzer: Fuzzer, home: Path, part: int) -> None:
    fuzzer.seed += 100 + part
    fuzzer.run(20_000)
    check(fuzzer, home)
