"""Reads from a bucket by boto3 and by obstore, side by side, through the backend that stores use.

The server is a radosgw on this machine, a process of its own: processor time is that of this one, the client's.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import boto3
from msgspec.structs import replace

from benchmarks.bucket import BUCKET, keep_credentials
from benchmarks.radosgw import radosgw
from pfs.backends.s3 import S3Backend
from pfs.backends.s3_place import S3Options

Row = dict[str, object]
_SIZES = ((16 << 10, 600), (1 << 20, 100))
_THREADS = 16
_OBJECT = "packs/d/aa/x.pack"


def run(*, quick: bool) -> list[Row]:
    """Return rows of time and processor time a request; none where there is no radosgw."""
    with radosgw() as server, tempfile.TemporaryDirectory(prefix="pfs-bench-") as name:
        if server is None:
            return []
        keep_credentials(Path(name), server)
        session = boto3.Session(profile_name="bench", region_name="us-east-1")
        with suppress(Exception):
            session.client("s3", endpoint_url=server.url).create_bucket(Bucket=BUCKET)
        options = S3Options(endpoint=server.url, region="us-east-1", profile="bench")
        return compare(f"s3://{BUCKET}/reads", options, rounds=2 if quick else 7)


def compare(url: str, options: S3Options, *, rounds: int) -> list[Row]:
    """Return the rows for the bucket at ``url``."""
    both = {"boto3": S3Backend(url, replace(options, boto3_only=True)), "obstore": S3Backend(url, options)}
    both["boto3"].put_new(_OBJECT, os.urandom(64 << 20))
    rows: list[Row] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for size, count in _SIZES:
            rows += _rows(size, both, lambda backend, n=size, m=count: _read(pool, backend, n, m), rounds=rounds)  # type: ignore[misc]
    for backend in both.values():
        backend.close()
    return rows


def _rows(
    size: int, both: dict[str, S3Backend], work: Callable[[S3Backend], tuple[float, float]], *, rounds: int
) -> list[Row]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in both}
    for _ in range(rounds):
        for name, backend in both.items():
            taken[name].append(work(backend))
    rows: list[Row] = []
    for kind, what in enumerate(("elapsed", "processor")):
        for name, times in taken.items():
            ratios = [other[kind] / mine[kind] for other, mine in zip(taken["boto3"], times, strict=True)]
            row: Row = {
                "suite": "bucket_reads",
                "case": f"{size >> 10:,} KiB, {_THREADS} at once",
                "variant": f"{name}, {what} a request",
                "seconds": statistics.median(each[kind] for each in times),
                "ratio": statistics.median(ratios),
                "baseline": "boto3",
            }
            rows.append(row)
            print(row["case"], row["variant"], f"{row['seconds']:.6f}", f"{row['ratio']:.2f}", flush=True)
    return rows


def _read(pool: ThreadPoolExecutor, backend: S3Backend, size: int, count: int) -> tuple[float, float]:
    """Return seconds and seconds of processor time a request."""
    offsets = [random.randrange(0, (64 << 20) - size, 4096) for _ in range(count)]
    buffers = [memoryview(bytearray(size)) for _ in range(_THREADS)]

    def read(number: int) -> None:
        for offset in offsets[number::_THREADS]:
            assert backend.read_into(_OBJECT, offset, buffers[number]) == size

    begun, used = time.perf_counter(), time.process_time()
    list(pool.map(read, range(_THREADS)))
    return (time.perf_counter() - begun) / count, (time.process_time() - used) / count
