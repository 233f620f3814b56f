"""The S3 gateway: one large object beside MD5 alone and beside a bare handler; many small ones, alone and together.

Servers run in processes of their own, clients speak plain HTTP with presigned addresses, so that it is the server that
is measured. Seconds are wall time; the contestants take turns in each round, and a ratio is the median of the rounds'.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import median
from urllib.parse import urlsplit

import pfs
from benchmarks.servers import Server, bare, gateway

MIB = 1 << 20
CLIENTS = 32


class _Client:
    """Addresses signed in advance, and one connection."""

    def __init__(self, server: Server) -> None:
        import boto3

        self._url = server.url
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)
        options = {"aws_access_key_id": server.key, "aws_secret_access_key": server.secret}
        with closing(boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", **options)) as client:
            self._sign = client.generate_presigned_url

    def put(self, name: str, body: bytes) -> None:
        """Put an object."""
        self._request("PUT", self._sign("put_object", Params={"Bucket": "bench", "Key": name}), body)

    def get(self, name: str) -> int:
        """Get an object; return its size."""
        return self._request("GET", self._sign("get_object", Params={"Bucket": "bench", "Key": name}), None)

    def get_any(self) -> int:
        """Get what a server without names gives."""
        return self._request("GET", f"{self._url}/", None)

    def _request(self, method: str, url: str, body: bytes | None) -> int:
        parts = urlsplit(url)
        self._connection.request(method, f"{parts.path}?{parts.query}", body)
        response = self._connection.getresponse()
        if response.status != 200:
            raise SystemExit(f"{method}: {response.status} {response.read()!r}")
        buffer, size = memoryview(bytearray(MIB)), 0
        while count := response.readinto(buffer):
            size += count
        return size


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _rows(case: str, size: int, baseline: str, rounds: list[dict[str, float]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for variant in rounds[0]:
        seconds = median(one[variant] for one in rounds)
        ratio = None if variant == baseline else median(one[baseline] / one[variant] for one in rounds)
        row = {"suite": "s3", "case": case, "variant": variant, "bytes": size, "seconds": seconds}
        named = None if variant == baseline else baseline
        rows.append({**row, "mb_s": size / seconds / 1e6, "ratio": ratio, "baseline": named})
    return rows


def run(*, quick: bool) -> list[dict[str, object]]:
    """Measure; ``quick`` with small sizes."""
    size, number, rounds = (8 * MIB, 64, 1) if quick else (256 * MIB, 640, 3)
    with tempfile.TemporaryDirectory() as folder:
        with pfs.init(folder) as store:
            store.create_repo("bench")
        with gateway(folder) as ours, bare(size) as uvicorn:
            clients = [_Client(ours) for _ in range(CLIENTS)]
            other = _Client(uvicorn)
            large = [_large(clients[0], other, size, f"large{one}") for one in range(rounds)]
            small = [_small(clients, number, one) for one in range(rounds)]
    put = [{"md5 alone": one["md5"], "put": one["put"]} for one in large]
    get = [{"bare uvicorn": one["bare"], "get": one["get"]} for one in large]
    return [
        *_rows("one large object", size, "md5 alone", put),
        *_rows("one large object", size, "bare uvicorn", get),
        *_rows(f"{number} puts of 1 KiB", number * 1024, "1 client", small),
    ]


def _large(client: _Client, other: _Client, size: int, name: str) -> dict[str, float]:
    data = os.urandom(size)
    return {
        "md5": _timed(lambda: hashlib.md5(data, usedforsecurity=False).digest()),
        "put": _timed(lambda: client.put(name, data)),
        "bare": _timed(other.get_any),
        "get": _timed(lambda: client.get(name)),
    }


def _small(clients: list[_Client], number: int, round_no: int) -> dict[str, float]:
    def put(client: int, count: int) -> None:
        for one in range(count):
            clients[client].put(f"small/{round_no}/{len(clients)}/{client}/{one}", os.urandom(1024))

    def together() -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda client: put(client, number // CLIENTS), range(CLIENTS)))

    return {"1 client": _timed(lambda: put(0, number)), f"{CLIENTS} clients": _timed(together)}
