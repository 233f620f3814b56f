"""A store in a bucket of a real S3 server (radosgw, on this machine): what operations take, and what they ask of it.

Seconds depend on the machine and on what else it does; requests do not.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

import pfs
from benchmarks.gc import _commit
from benchmarks.radosgw import radosgw
from benchmarks.servers import Server
from pfs.backends import s3_client
from pfs.backends.s3_fast import FastReads
from pfs.upkeep.check import fsck
from pfs.upkeep.consolidate import consolidate
from pfs.upkeep.recover import recover

BUCKET = "bench"
Row = dict[str, object]


class Requests:
    """Counts what all clients of boto3 in this process send, and what obstore reads."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what clients send that are made inside."""
        make, get = s3_client._make, FastReads.get

        def counted(options: pfs.S3Options) -> tuple[object, object]:
            session, client = make(options)
            client.meta.events.register("before-send.s3", self._add)
            return session, client

        def read(fast: FastReads, key: str, offset: int, length: int | None) -> tuple[bytes, str] | None:
            self._add()
            return get(fast, key, offset, length)

        s3_client._make, FastReads.get = counted, read  # type: ignore[method-assign]
        try:
            yield
        finally:
            s3_client._make, FastReads.get = make, get  # type: ignore[method-assign]

    def _add(self, **_: object) -> None:
        with self._lock:
            self.count += 1


def run(*, quick: bool) -> list[Row]:
    """Return a row for each operation; none where there is no radosgw."""
    files, commits = (10_000, 20) if quick else (1_000_000, 1_000)
    requests = Requests()
    with radosgw() as server, tempfile.TemporaryDirectory(prefix="pfs-bench-") as name, requests.counting():
        if server is None:
            return []
        return _measure(server, Path(name), (files, commits), requests)


def _measure(server: Server, folder: Path, sizes: tuple[int, int], requests: Requests) -> list[Row]:
    files, commits = sizes
    boto3.setup_default_session(
        aws_access_key_id=server.key, aws_secret_access_key=server.secret, region_name="us-east-1"
    )
    boto3.client("s3", endpoint_url=server.url).create_bucket(Bucket=BUCKET)
    keep_credentials(folder, server)
    settings = pfs.Settings(pfs.S3Options(endpoint=server.url, region="us-east-1", profile="bench"))
    rows: list[Row] = []

    def timed(variant: str, work: Callable[[], object], *, count: int = 1) -> None:
        before, begun = requests.count, time.perf_counter()
        work()
        seconds, asked = (time.perf_counter() - begun) / count, (requests.count - before) / count
        case = f"{files:,} files, {commits:,} commits"
        rows.append({"suite": "bucket", "case": case, "variant": f"{variant}, {asked:g} requests", "seconds": seconds})
        print(f"{variant}: {seconds:.3f} s, {asked:g} requests", flush=True)

    url, chance = f"s3://{BUCKET}/store", random.Random(1)
    with pfs.connect(folder / "one", url, settings=settings).store as store:
        repo = store.create_repo("data")
        timed("the first commit", lambda: _commit(repo, range(files), 1000, 0))
        turns = iter(range(1, commits))
        timed(
            "a commit of one file",
            lambda: [_commit(repo, [chance.randrange(files)], 1000, turn) for turn in turns],
            count=commits - 1,
        )
    timed(
        "connect another machine, by footers", lambda: pfs.connect(folder / "f", url, settings=settings).store.close()
    )
    timed("recover it", lambda: recover(folder / "f" / ".pfs"))
    with pfs.open(folder / "one") as store:
        timed("consolidate-index", lambda: consolidate(store))
    timed("connect a third one, by segments", lambda: pfs.connect(folder / "two", url, settings=settings).store.close())
    shutil.rmtree(folder / "two" / ".pfs" / "cache", ignore_errors=True)
    timed("recover it without a cache", lambda: recover(folder / "two" / ".pfs"))
    with pfs.open(folder / "two") as store:
        timed("read a small file", lambda: store.repo("data")["master"].read("/d000000/f00000001"))
        damages: list[object] = []
        timed("fsck", lambda: damages.extend(fsck(store, deep=False)))
        assert not damages
    return rows


def keep_credentials(folder: Path, server: Server) -> None:
    """Let the profile ``bench`` have the server's keys."""
    file = folder / "credentials"
    file.write_text(f"[bench]\naws_access_key_id={server.key}\naws_secret_access_key={server.secret}\n")
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(file)
