"""Writing through the S3 gateway: a large object beside MD5, small durable ones beside a commit each, processes.

The client sends what was made and signed before, in as few calls as it can, so that it is the server that is measured.
A gateway that commits each write alone is ours with groups of one.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median

import pfs
from benchmarks.load import load, signed
from benchmarks.servers import Server, gateway
from pfs.keys import Keys

MIB = 1 << 20
CLIENTS = 32
ALONE = """
import sys, threading, pfs
from pfs.keys import Keys
from s3api.gateway import Gateway
from s3api.http.server import Listen, serve
from s3api.objects import groupcommit
groupcommit.MAX_EDITS = 1
with pfs.open(sys.argv[1]) as store:
    on_bound = lambda host, port: print("on", "a", "port", port, flush=True)
    serve(Gateway(store, Keys(store)), Listen(port=0), stop=threading.Event(), on_bound=on_bound)
"""
SERVE = "from cli.pfs_main import main; main()"
Row = dict[str, object]


def run(*, quick: bool) -> list[Row]:
    """Measure; ``quick`` with small sizes."""
    size, number, rounds = (8 * MIB, 96, 1) if quick else (1024 * MIB, 3200, 3)
    return [*_large(size, rounds), *_small(number, rounds), *_processes(size // 8, number, rounds)]


def _large(size: int, rounds: int) -> list[Row]:
    """One object, put in one request and in parts, beside its MD5."""
    data, found = os.urandom(size), list[dict[str, float]]()
    with _store() as folder, gateway(folder) as server:
        for number in range(rounds):
            found.append(
                {
                    "md5 alone": _timed(lambda: hashlib.md5(data, usedforsecurity=False).digest()),
                    "put": _timed(lambda one=number: _put(server, f"/bench/{one}", data)),  # type: ignore[misc]
                    "16 parts, 4 at a time": _timed(lambda one=number: _put_parts(server, f"/bench/p{one}", data)),  # type: ignore[misc]
                }
            )
    return _rows("one large object", size, "md5 alone", found)


def _small(number: int, rounds: int) -> list[Row]:
    """Objects of 1 KiB, durable one by one: from one client, from many, and with a commit for each."""
    found = list[dict[str, float]]()
    with _store() as ours, _store() as theirs, gateway(ours) as server, _serving(theirs, "-c", ALONE, theirs) as alone:
        for one in range(rounds):
            many, single = f"{CLIENTS} clients", f"{CLIENTS} clients, a commit each"
            found.append(
                {
                    single: _puts(alone, number // 4, f"s{one}", connections=CLIENTS) * 4,
                    "1 client": _puts(server, number // 4, f"o{one}", connections=1) * 4,
                    many: _puts(server, number, f"m{one}", connections=CLIENTS),
                }
            )
    return _rows(f"{number} puts of 1 KiB", number * 1024, single, found)


def _processes(size: int, number: int, rounds: int) -> list[Row]:
    """The same work for one process and for several: large puts and small puts and gets at once."""
    found: dict[str, list[dict[str, float]]] = {"puts of 1 KiB": [], "gets of 1 KiB": [], "4 large puts at once": []}
    data = os.urandom(size)
    with ExitStack() as stack:
        servers = {}
        for workers in (1, 2, 4):
            folder = stack.enter_context(_store())
            options = ("-c", SERVE, "serve", "--no-pipelines", "--port", "0", "--workers", str(workers))
            servers[f"{workers} processes"] = stack.enter_context(_serving(folder, *options))
        for one in range(rounds):
            found["puts of 1 KiB"].append(
                {name: _puts(server, number, f"p{one}", connections=CLIENTS) for name, server in servers.items()}
            )
            found["gets of 1 KiB"].append({name: _gets(server, number, f"p{one}") for name, server in servers.items()})
            found["4 large puts at once"].append(
                {name: _timed(lambda s=server: _put_many(s, data, 4)) for name, server in servers.items()}  # type: ignore[misc]
            )
    sizes = {"puts of 1 KiB": number << 10, "gets of 1 KiB": number << 10, "4 large puts at once": 4 * size}
    return [row for case, rows in found.items() for row in _rows(case, sizes[case], "1 processes", rows)]


@contextmanager
def _store() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        with pfs.init(folder) as store:
            store.create_repo("bench")
        yield folder


@contextmanager
def _serving(folder: str, *command: str) -> Iterator[Server]:
    """Run a program that serves a store and says on which address in its fourth word."""
    with pfs.open(folder) as store:
        key, secret = Keys(store).root()
    line, environment = [sys.executable, *command], {**os.environ, "PFS_STORE": folder}
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[3].rpartition(b":")[2])
            yield Server("pfs", port, (process.pid,), key.access_key, secret)
        finally:
            process.terminate()
            process.wait()


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _with_body(head: bytes, body: bytes) -> bytes:
    return head[:-2] + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _puts(server: Server, number: int, prefix: str, *, connections: int) -> float:
    requests = [_with_body(signed(server, "PUT", f"/bench/{prefix}/{one}"), os.urandom(1024)) for one in range(number)]
    return load(server, requests, connections=connections).seconds


def _gets(server: Server, number: int, prefix: str) -> float:
    requests = [signed(server, "GET", f"/bench/{prefix}/{one}") for one in range(number)]
    return load(server, requests, connections=CLIENTS).seconds


def _put(server: Server, path: str, data: bytes | memoryview) -> bytes:
    """Put one object with large sends, which are all that costs the client anything; return the answer."""
    head = signed(server, "PUT", path)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(head[:-2] + b"Content-Length: %d\r\n\r\n" % len(data))
        sock.sendall(data)
        answer = sock.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"answered {answer!r}")
        return answer


def _put_many(server: Server, data: bytes, number: int) -> None:
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(lambda one: _put(server, f"/bench/large{one}", data), range(number)))


def _put_parts(server: Server, path: str, data: bytes) -> None:
    """Upload in 16 parts over 4 connections."""
    import boto3

    options = {"aws_access_key_id": server.key, "aws_secret_access_key": server.secret, "region_name": "us-east-1"}
    client, place = boto3.client("s3", endpoint_url=server.url, **options), {"Bucket": "bench", "Key": path[7:]}
    upload = client.create_multipart_upload(**place)["UploadId"]
    size, view = len(data) // 16, memoryview(data)

    def part(number: int) -> dict[str, object]:
        piece = view[(number - 1) * size : number * size if number < 16 else None]
        answer = _put(server, f"{path}?partNumber={number}&uploadId={upload}", piece)
        etag = answer.lower().partition(b'etag: "')[2][:32].decode()
        return {"PartNumber": number, "ETag": etag}

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(part, range(1, 17)))
    if size >= 5 * MIB:
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    client.close()


def _rows(case: str, size: int, baseline: str, rounds: Sequence[dict[str, float]]) -> list[Row]:
    rows = list[Row]()
    for variant in rounds[0]:
        seconds = median(one[variant] for one in rounds)
        ratio = None if variant == baseline else median(one[baseline] / one[variant] for one in rounds)
        row = {"suite": "s3_write", "case": case, "variant": variant, "bytes": size, "seconds": seconds}
        rows.append({**row, "mb_s": size / seconds / 1e6, "ratio": ratio, "baseline": baseline if ratio else None})
    return rows
