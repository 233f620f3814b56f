"""Delivery to and from an S3 beside `aws s3 cp` and, where it is installed, `s5cmd`: one large file, many small ones.

The server is radosgw in memory, else our own gateway over another store. Each is a process of its own, started for each
round; ours reads from a store, and writes into one: chunks, hashes, a commit. Theirs read and write plain files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import boto3

import pfs
from benchmarks.radosgw import radosgw
from benchmarks.servers import Server, gateway

MIB = 1 << 20
BUCKET = "bench"
SMALL = 4096
Row = dict[str, object]
SEND = """
import sys, threading, pfs
from pfs.trees.tree import Tree
from pps.egress.delivered import Notes
from pps.egress.naming import Naming
from pps.egress.send import Delivery, Part
from pps.spec.delivery import Levers
from pps.transfers.open import open_target
home, repo, url, endpoint = sys.argv[1:]
with pfs.open(home) as store:
    tree, levers = store.repo(repo).view("master").tree, Levers(endpoint=endpoint)
    target, notes = open_target(url, levers), Notes(store, None, "t")
    print(Delivery(Part(store.objects, tree), target, Naming(levers, {}), notes, job="0" * 32).send(threading.Event()))
    target.close()
    notes.session.abandon()
print("peak MiB", int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) >> 10)
"""
FETCH = """
import sys, pfs
from pps.spec.delivery import Levers
from pps.transfers.imports import ImportHow, import_uri
home, repo, url, endpoint = sys.argv[1:]
with pfs.open(home) as store:
    print(import_uri(store, repo, "/", url, ImportHow(levers=Levers(endpoint=endpoint))))
print("peak MiB", int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) >> 10)
"""


def run(*, quick: bool) -> list[Row]:
    """Measure; ``quick`` with small sizes."""
    size, number, rounds = (16 * MIB, 200, 1) if quick else (1024 * MIB, 10_000, 3)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, _server(Path(name)) as server:
        bench = _Bench(Path(name), server)
        return [*bench.case("large", size, 1, rounds), *bench.case("small", SMALL, number, rounds)]


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        server = stack.enter_context(radosgw())
        if server is None:
            pfs.init(folder / "other").close()
            server = stack.enter_context(gateway(folder / "other"))
        print(f"delivery to {server.name}", file=sys.stderr)
        yield server


class _Bench:
    """Files on disk and in a store, and what moves them."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder, self._server = folder, server
        self._keys = {
            "AWS_ACCESS_KEY_ID": server.key,
            "AWS_SECRET_ACCESS_KEY": server.secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
        }
        self._client = boto3.client(
            "s3",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id=server.key,
            aws_secret_access_key=server.secret,
        )
        self._client.create_bucket(Bucket=BUCKET)
        self._home = folder / "home"
        pfs.init(self._home).close()

    def case(self, name: str, size: int, number: int, rounds: int) -> list[Row]:
        """Deliver and fetch ``number`` files of ``size`` bytes, in alternation."""
        top = self._folder / name
        top.mkdir()
        for one in range(number):
            with (top / f"{one:05}").open("wb") as out:
                for left in range(size, 0, -MIB):
                    out.write(os.urandom(min(left, MIB)))
        with pfs.open(self._home) as store:
            repo = store.create_repo(name)
            with repo.commit("master") as writer:
                writer.put_tree("/", top)
        sent, fetched = list[dict[str, float]](), list[dict[str, float]]()
        for one in range(rounds):
            sent.append(self._round("send", name, one))
            fetched.append(self._round("fetch", name, one))
        what = f"{number} x {size / MIB:g} MiB" if size >= MIB else f"{number} x {size >> 10} KiB"
        total = size * number
        return [*_rows(f"deliver {what}", total, sent), *_rows(f"fetch {what}", total, fetched)]

    def _round(self, way: str, name: str, number: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for tool in ("aws s3 cp", "s5cmd", "pfs"):
            command = self._command(way, tool, name, number)
            if command is not None:
                begun = time.perf_counter()
                done = subprocess.run(command, env=os.environ | self._keys, capture_output=True, text=True)
                found[tool] = time.perf_counter() - begun
                if done.returncode:
                    raise RuntimeError(f"{tool}: {done.stderr[-2000:]}")
                if tool == "pfs":
                    print(f"  {way} {name}: {found[tool]:.2f} s, {done.stdout.split(chr(10))[-2]}", file=sys.stderr)
        self._clear(name)
        return found

    def _clear(self, name: str) -> None:
        shutil.rmtree(self._folder / "got", ignore_errors=True)

    def _command(self, way: str, tool: str, name: str, number: int) -> list[str] | None:
        top, endpoint = self._folder / name, self._server.url
        to = f"s3://{BUCKET}/{name}/{tool.replace(' ', '')}{number}/"
        got = self._folder / "got" / tool.replace(" ", "")
        if tool == "pfs" and way == "send":
            return [sys.executable, "-c", SEND, str(self._home), name, to.rstrip("/"), endpoint]
        if tool == "pfs":
            home = self._folder / f"home{name}{number}"
            pfs.init(home).close()
            return [sys.executable, "-c", FETCH, str(home), name, to, endpoint]
        got.mkdir(parents=True, exist_ok=True)
        program = shutil.which("aws" if tool.startswith("aws") else "s5cmd")
        if program is None:
            return None
        if tool == "s5cmd":
            pair = [f"{top}/*", to] if way == "send" else [f"{to}*", f"{got}/"]
            return [program, "--endpoint-url", endpoint, "--log", "error", "cp", *pair]
        pair = [f"{top}/", to] if way == "send" else [to, f"{got}/"]
        return [program, "--endpoint-url", endpoint, "s3", "cp", "--only-show-errors", "--recursive", *pair]


def _rows(case: str, total: int, rounds: list[dict[str, float]]) -> list[Row]:
    """Return a row for each tool; ratios are of rates, taken within rounds, to `aws s3 cp`."""
    rows: list[Row] = []
    for tool in rounds[0]:
        seconds = median(one[tool] for one in rounds)
        bases = ["aws s3 cp", *(["s5cmd"] if tool == "pfs" and "s5cmd" in rounds[0] else [])]
        rows += [
            {
                "suite": "delivery",
                "case": case,
                "variant": tool,
                "mb_s": total / 1e6 / seconds,
                "seconds": seconds,
                "ratio": median(one[base] / one[tool] for one in rounds),
                "baseline": base,
            }
            for base in bases
        ]
    return rows
