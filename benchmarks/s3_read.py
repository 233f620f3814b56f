"""Reading through the S3 gateway, side by side with a bare uvicorn, moto and a real S3 server (radosgw).

The contestants take turns in each round, forwards and backwards, and a ratio is the median of the rounds' own. Requests
are signed before. Where the case says CPU, seconds are those that the server's processes used: radosgw and its OSD have
several processes, and the client works on the same cores. What is not installed and cannot be is left out.
"""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

import pfs
from benchmarks.load import Took, load, signed, turns
from benchmarks.radosgw import radosgw
from benchmarks.servers import Server, bare, gateway, moto
from pfs.files.fileref import FileRef
from pfs.ids import TreeId, chunk_id
from pfs.repo import Repo
from pfs.trees.page import Kind

KIB, MIB = 1 << 10, 1 << 20
SMALL = 1200
"""Objects of 1 KiB: more than a page of a listing."""
CONNECTIONS = 16
RANGE = 64 * KIB
Row = dict[str, object]
Rounds = dict[str, list[Took]]


def run(*, quick: bool) -> list[Row]:
    """Measure; ``quick`` with small sizes."""
    size, gets, keys, rounds = (32 * MIB, 300, 20_000, 1) if quick else (1024 * MIB, 4_000, 1_000_000, 5)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pfs-bench-"))
        with pfs.init(folder) as store:
            _many(store.create_repo("many"), keys)
            store.create_repo("bench")
        ours = stack.enter_context(gateway(folder))
        others = [stack.enter_context(start()) for start in (moto, radosgw)]
        servers = [ours, *(server for server in others if server is not None)]
        for server in servers:
            _fill(server, size if server.name != "moto" else 0)
        rows = _large(stack.enter_context(bare(size)), servers, size, rounds)
        rows += _small(servers, gets, rounds) + _ranges(servers, size, gets, rounds)
        return rows + _pages(servers, keys, rounds) + _cold(folder, rounds)


def _many(repo: Repo, keys: int) -> None:
    """Make objects in directories of a thousand; all have the same bytes, and an ETag of their own."""
    data = bytes(100)
    id = chunk_id(data)
    with repo.commit("master") as commit:
        commit.session.put_chunks([(id, data)])
        for number in range(keys):
            etag = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
            ref = FileRef(Kind.FILE, len(data), TreeId(id))
            commit.put_ref(b"d%06d/f%08d" % (number // 1000, number), ref, aux={"e": etag})


def _fill(server: Server, size: int) -> None:
    """Put small objects, and one of ``size`` bytes if that is not 0."""
    import boto3

    options = {"aws_access_key_id": server.key, "aws_secret_access_key": server.secret, "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=server.url, **options)
    s3.create_bucket(Bucket="bench")
    for number in range(SMALL):
        s3.put_object(Bucket="bench", Key=f"small/{number:06}", Body=os.urandom(KIB))
    if size:
        s3.put_object(Bucket="bench", Key="large", Body=os.urandom(size))
    s3.close()


def _large(other: Server, servers: Sequence[Server], size: int, rounds: int) -> list[Row]:
    """One object over one connection; moto copies it several times and is left out."""
    found: Rounds = {}
    for _, server in turns([other, *(one for one in servers if one.name != "moto")], rounds):
        request = signed(server, "GET", "/bench/large")
        found.setdefault(server.name, []).append(load(server, [request], connections=1))
    return _rows(f"GET of {size // MIB} MiB", other.name, found)


def _small(servers: Sequence[Server], gets: int, rounds: int) -> list[Row]:
    found: Rounds = {}
    for _, server in turns(servers, rounds):
        number = gets // 5 if server.name == "moto" else gets
        paths = (f"/bench/small/{one % SMALL:06}" for one in range(number))
        requests = [signed(server, "GET", path) for path in paths]
        found.setdefault(server.name, []).append(load(server, requests, connections=CONNECTIONS))
    return _against("a signed GET of 1 KiB", found)


def _ranges(servers: Sequence[Server], size: int, gets: int, rounds: int) -> list[Row]:
    """Pieces of a large object in any order, as readers of Parquet fetch them."""
    found: Rounds = {}
    for number, server in turns([one for one in servers if one.name != "moto"], rounds):
        starts = random.Random(number).choices(range(size - RANGE), k=gets)
        headers = ({"Range": f"bytes={start}-{start + RANGE - 1}"} for start in starts)
        requests = [signed(server, "GET", "/bench/large", one) for one in headers]
        found.setdefault(server.name, []).append(load(server, requests, connections=CONNECTIONS))
    return _against("a signed GET of 64 KiB of a large object", found)


def _pages(servers: Sequence[Server], keys: int, rounds: int) -> list[Row]:
    """A page of a thousand keys, of few and of many, at the start and far behind it."""
    few, many = "/bench?list-type=2&encoding-type=url", "/many?list-type=2&encoding-type=url"
    found: Rounds = {}
    for _, server in turns(servers, rounds):
        found.setdefault(f"{server.name}, {SMALL:,}", []).append(_asked(server, few))
    ours, last = servers[0], f"d{keys // 1000 - 1:06}"
    variants = {
        "first": many,
        "middle": f"{many}&start-after=d{keys // 2000:06}%2Ff",
        "last": f"{many}&start-after={last}%2F",
        "first, version 1": "/many",
        "top level": f"{many}&delimiter=%2F",
        "second level": f"{many}&delimiter=%2F&prefix=d{keys // 2000:06}%2F",
        "max-keys 1": f"{many}&max-keys=1",
    }
    for _ in range(rounds):
        for name, path in variants.items():
            found.setdefault(f"pfs, {keys:,}: {name}", []).append(_asked(ours, path))
    return _rows("a page of a listing", f"pfs, {SMALL:,}", found)


def _cold(folder: str, rounds: int) -> list[Row]:
    """The very first request to a gateway that was just started."""
    found: Rounds = {}
    for _ in range(rounds):
        with gateway(folder) as server:
            found.setdefault("first request", []).append(_asked(server, "/many?list-type=2", number=1))
            found.setdefault("then", []).append(_asked(server, "/many?list-type=2"))
    return _rows("a page of a listing, new process", "then", found)


def _asked(server: Server, path: str, *, number: int = 20) -> Took:
    return load(server, [signed(server, "GET", path)] * number, connections=1)


def _against(case: str, found: Rounds) -> list[Row]:
    """Return rows by the clock beside moto, and by CPU time beside radosgw."""
    by_clock = _rows(f"{case}, {CONNECTIONS} connections", "moto", found)
    return by_clock + _rows(
        f"{case}, CPU", "radosgw", {name: list(map(_in_cpu, tooks)) for name, tooks in found.items()}
    )


def _in_cpu(took: Took) -> Took:
    return Took(took.cpu_s, took.cpu_s, took.each_s, took.bytes)


def _rows(case: str, baseline: str, found: Rounds) -> list[Row]:
    """Return a row for each: seconds an answer, and how many times as fast as the baseline it was, if that is there."""
    rows = list[Row]()
    base = [_each_s(took) for took in found.get(baseline, [])]
    for variant, tooks in found.items():
        each = [_each_s(took) for took in tooks]
        ratio = median(a / b for a, b in zip(base, each, strict=True)) if base and variant != baseline else None
        speed = median(took.bytes / len(took.each_s) / s for took, s in zip(tooks, each, strict=True)) / 1e6
        row = {"suite": "s3_read", "case": case, "variant": variant, "seconds": median(each), "mb_s": speed}
        rows.append({**row, "ratio": ratio, "baseline": baseline if ratio else None})
    return rows


def _each_s(took: Took) -> float:
    return max(took.seconds, 1e-6) / len(took.each_s)
