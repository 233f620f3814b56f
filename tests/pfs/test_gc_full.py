"""Collection on a disk without a single free block: what is wholly dead goes."""

import subprocess
import sys
from pathlib import Path

import pytest

from pfs.backends.reserve import BYTES, keep_reserve, released
from tests.pfs.test_index import can_mount

_COLLECT_ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
import pfs
from pfs.errors import StorageFullError
from pfs.gc.collect import collect
from pfs.lifecycle.purge import purge
from pfs.upkeep.check import fsck

top = Path(sys.argv[1])
with pfs.init(top) as store:
    repo = store.create_repo("r")
    for name in ("dead", "live"):
        with repo.commit(name) as commit:
            commit.put_file("/x", os.urandom(3_000_000))
    purge(store, "r", "/x")
    with repo.commit("live") as commit:
        commit.put_file("/y", os.urandom(3_000_000))
    with (top / "fill").open("wb", buffering=0) as fill:
        for size in (4096, 1):
            try:
                while True:
                    fill.write(bytes(size))
            except OSError:
                pass
    try:
        repo.create_branch("other", head="live")
    except StorageFullError as error:
        print("full:", error)
    report = collect(store)
    print(report.deleted > 0, report.bytes_before - report.bytes_after > 5_000_000, os.statvfs(top).f_bavail > 1_000)
    print(len(repo["live"].read("/y")), list(fsck(store, deep=True)))
"""


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace for a small file system")
def test_what_is_dead_goes_from_a_full_disk(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=16m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, _COLLECT_ON_A_FULL_DISK]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    full, *rest = done.stdout.splitlines()
    assert full.startswith("full: cannot")
    assert "refs/r.json" in full
    assert rest == ["True True True", "3000000 []"]


def test_the_reserve_is_there_but_for_a_collection(tmp_path: Path) -> None:
    keep_reserve(tmp_path)
    place = tmp_path / "run" / "reserve"
    assert place.stat().st_size == BYTES
    with released(tmp_path):
        assert not place.exists()
    assert place.stat().st_size == BYTES
    assert place.stat().st_blocks * 512 >= BYTES
