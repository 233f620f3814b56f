"""Large files into a bucket and out again, with one connection at a time and with several.

The server is a radosgw on this machine, without latency; so each request waits as it would for a bucket elsewhere:
30 ms and the time of its bytes at 60 MB/s, which is about what one connection to S3 gives.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3

import pfs
from benchmarks.bucket import BUCKET, keep_credentials
from benchmarks.radosgw import radosgw
from pfs import parallel
from pfs.backends.s3 import S3Backend

Row = dict[str, object]
_LATENCY_S, _BYTES_S = 0.03, 60e6


def run(*, quick: bool) -> list[Row]:
    """Return rows for a put and a restore; none where there is no radosgw."""
    with radosgw() as server, tempfile.TemporaryDirectory(prefix="pfs-bench-") as name:
        if server is None:
            return []
        folder = Path(name)
        keep_credentials(folder, server)
        session = boto3.Session(profile_name="bench", region_name="us-east-1")
        with suppress(Exception):
            session.client("s3", endpoint_url=server.url).create_bucket(Bucket=BUCKET)
        options = pfs.S3Options(endpoint=server.url, region="us-east-1", profile="bench")
        with (
            patch.object(S3Backend, "_put", _slow(S3Backend._put)),
            patch.object(S3Backend, "_get", _slow(S3Backend._get)),
        ):
            return _measure(folder, pfs.Settings(options, cache_bytes=0), (256 if quick else 1024) << 20)


def _slow(call: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(backend: S3Backend, name: str, *rest: Any, **more: Any) -> Any:
        answer = call(backend, name, *rest, **more)
        body = rest[0] if rest and isinstance(rest[0], bytes | bytearray) else answer[0]
        time.sleep(_LATENCY_S + len(body) / _BYTES_S)
        return answer

    return waiting


def _measure(folder: Path, settings: pfs.Settings, size: int) -> list[Row]:
    rows: list[Row] = []
    case = f"{size >> 20:,} MiB, 30 ms and 60 MB/s a request"
    source = folder / "source"
    for number, at_once in enumerate((1, parallel.UPLOADS)):
        with source.open("wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
        with pfs.connect(folder / f"{number}", f"s3://{BUCKET}/{number}", settings=settings).store as store:
            assert store.uploads is not None
            store.uploads = parallel.Uploads(at_once)
            begun = time.perf_counter()
            with store.create_repo("data").commit("master") as commit:
                commit.put_file("/large", source)
            rows.append(_row(case, f"put, {at_once} packs at once", time.perf_counter() - begun, rows[:1]))
    for jobs in (1, os.cpu_count() or 1, None):
        with pfs.open(folder / "1") as store:
            threads = jobs or store.objects.threads
            begun = time.perf_counter()
            store.repo("data")["master"].restore("/large", folder / "target", jobs=jobs)
            rows.append(_row(case, f"restore, {threads} ranges at once", time.perf_counter() - begun, rows[2:3]))
    assert (folder / "target").read_bytes() == source.read_bytes()
    return rows


def _row(case: str, variant: str, seconds: float, first: list[Row]) -> Row:
    baseline = first[0] if first else None
    row: Row = {"suite": "bucket_transfer", "case": case, "variant": variant, "seconds": seconds}
    if baseline is not None:
        row |= {"ratio": float(str(baseline["seconds"])) / seconds, "baseline": baseline["variant"]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{variant}: {seconds:.2f} s, {row.get('ratio', 1):.2f} times, peak {peak} MiB", flush=True)
    return row
