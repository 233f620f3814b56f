"""5 GiB and 50,000 files to and from a real S3, radosgw: memory, kills in the middle, and what is sent twice."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from benchmarks.radosgw import PROGRAMS, radosgw
from benchmarks.servers import Server
from pfs.store import init
from tests.pps.standing_world import ROOT

if TYPE_CHECKING:
    from botocore.client import BaseClient

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]
BUCKET = "large"
MIB = 1 << 20
LARGE = 5 << 30
MANY = 50_000
MOST_MIB = 300
PEAK = """
def peak():  # of this program; what getrusage says goes back to the one that started it
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) >> 10
"""
SEND = (
    PEAK
    + """
import json, os, sys, threading, pfs
from pps.egress.delivered import Notes
from pps.egress.naming import Naming
from pps.egress.packing import PackedDelivery
from pps.egress.send import Delivery, Part
from pps.spec.delivery import Levers
from pps.transfers.open import open_target
from pps.transfers.wire import Wire
home, repo, url, endpoint, archive, log = sys.argv[1:]
sent, out = Wire.send, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def send(self, request, **more):
    answer = sent(self, request, **more)
    if request.method == "PUT":
        os.write(out, json.dumps([request.key, (request.query or {}).get("partNumber")]).encode() + b"\\n")
    return answer
Wire.send = send
with pfs.open(home) as store:
    part = Part(store.objects, store.repo(repo).view("master").tree)
    levers = Levers(endpoint=endpoint, archive=archive)
    target, notes = open_target(url, levers), Notes(store, None, "t")
    made = (Delivery if archive == "none" else PackedDelivery)(part, target, Naming(levers, {}), notes, job="0" * 32)
    more = [] if archive == "none" else [levers]
    made.send(threading.Event(), *more, **({"called": "all"} if more else {}))
    target.close()
    notes.session.abandon()
print(peak())
"""
)
FETCH = (
    PEAK
    + """
import sys, pfs
from pps.spec.delivery import Levers
from pps.transfers.imports import ImportHow, import_uri
home, repo, url, endpoint = sys.argv[1:]
with pfs.open(home) as store:
    done = import_uri(store, repo, "/", url, ImportHow(levers=Levers(endpoint=endpoint)))
print(peak(), done.fetched, done.unchanged)
"""
)


class Noise(io.RawIOBase):
    """Bytes that neither compress nor repeat, the same each time."""

    def __init__(self, size: int) -> None:
        self._left, self._number, self._held = size, 0, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._held and self._left:
            self._held = random.Random(self._number).randbytes(min(MIB, self._left))
            self._number += 1
            self._left -= len(self._held)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


@dataclass
class Place:
    """The server, and a store with what is sent."""

    server: Server
    home: Path
    client: BaseClient

    def environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": self.server.key, "AWS_SECRET_ACCESS_KEY": self.server.secret}
        return os.environ | keys | {"AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": "/nonexistent"}

    def sender(self, repo: str, prefix: str, log: Path, archive: str = "none") -> subprocess.Popen[str]:
        words = [str(self.home), repo, f"s3://{BUCKET}/{prefix}", self.server.url, archive, str(log)]
        return subprocess.Popen(
            [sys.executable, "-c", SEND, *words], cwd=ROOT, env=self.environment(), stdout=subprocess.PIPE, text=True
        )

    def send(self, repo: str, prefix: str, log: Path, archive: str = "none") -> int:
        """Send; return the peak of memory in MiB."""
        with self.sender(repo, prefix, log, archive) as process:
            said, _ = process.communicate()
        assert process.returncode == 0
        return int(said)

    def send_until(self, lines: int, repo: str, prefix: str, log: Path) -> None:
        """Send, and kill it once so many requests were answered."""
        with self.sender(repo, prefix, log) as process:
            while not log.exists() or len(log.read_bytes().splitlines()) < lines:
                assert process.poll() is None
            process.kill()

    def fetch(self, repo: str, url: str) -> tuple[int, int, int]:
        words = [str(self.home), repo, url, self.server.url]
        command = [sys.executable, "-c", FETCH, *words]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(), stdout=subprocess.PIPE, text=True, check=True)
        peak, fetched, unchanged = map(int, done.stdout.split())
        return peak, fetched, unchanged

    def keys(self, prefix: str) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        return {one["Key"] for page in pages for one in page.get("Contents", [])}


def sent(log: Path) -> list[tuple[str, str | None]]:
    found = [tuple(json.loads(line)) for line in log.read_bytes().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if not all(map(shutil.which, PROGRAMS)):
        pytest.skip(f"radosgw is not installed: {', '.join(PROGRAMS)}")
    with radosgw() as made:
        if made is None:
            pytest.skip("radosgw does not start here")
        yield made


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Iterator[Place]:
    client = boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
    )
    client.create_bucket(Bucket=BUCKET)
    init(tmp_path / "home").close()
    yield Place(server, tmp_path / "home", client)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        keys = [{"Key": one["Key"]} for one in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def test_5_gib_killed_in_the_middle(place: Place, tmp_path: Path) -> None:
    import pfs

    log = tmp_path / "log"
    with pfs.open(place.home) as store:
        repo = store.create_repo("large")
        with repo.commit("master") as writer:
            writer.put_file("/big", io.BufferedReader(Noise(LARGE), MIB))
        content = repo.view("master").tree.stat(b"big")
    place.send_until(250, "large", "out", log)
    sent(log)
    (upload,) = place.client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    pages = place.client.get_paginator("list_parts").paginate(Bucket=BUCKET, Key="out/big", UploadId=upload["UploadId"])
    arrived = {str(part["PartNumber"]) for page in pages for part in page.get("Parts", [])}
    assert len(arrived) >= 250
    peak = place.send("large", "out", log)
    again = [number for _, number in sent(log)]
    parts = -(-LARGE // (8 * MIB))
    assert len(arrived & set(filter(None, again))) <= 1
    assert len(again) <= parts - len(arrived) + 1
    assert peak < MOST_MIB
    assert place.client.head_object(Bucket=BUCKET, Key="out/big")["ContentLength"] == LARGE
    assert place.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    peak_again = place.send("large", "out", log)
    assert (sent(log), peak_again < MOST_MIB) == ([], True)
    peak_in, fetched, _ = place.fetch("back", f"s3://{BUCKET}/out/")
    assert (fetched, peak_in < MOST_MIB) == (1, True)
    with pfs.open(place.home) as store:
        row = store.repo("back").view("master").tree.stat(b"big")
    assert row is not None
    assert content is not None
    assert row.tid == content.tid
    assert place.fetch("back", f"s3://{BUCKET}/out/")[1:] == (0, 1)
    print(f"5 GiB: peak {peak} MiB to send, {peak_in} MiB to fetch; {len(arrived)} parts before the kill")


def test_50000_files_killed_in_the_middle_and_as_one_archive(place: Place, tmp_path: Path) -> None:
    import pfs

    log, top = tmp_path / "log", tmp_path / "many"
    for number in range(MANY):
        file = top / f"{number // 1000:02}" / f"{number:05}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(random.Random(number).randbytes(1000))
    with pfs.open(place.home) as store:
        repo = store.create_repo("many")
        with repo.commit("master") as writer:
            writer.put_tree("/", top)
        tid = repo.view("master").tree.root.tid
    place.send_until(MANY // 2, "many", "out", log)
    first = sent(log)
    arrived = place.keys("out")
    assert len(arrived) >= len(first) >= MANY // 2
    peak = place.send("many", "out", log)
    again = [key for key, _ in sent(log)]
    assert len(arrived & set(again)) <= 1
    assert len(again) <= MANY - len(arrived) + 1
    assert len(place.keys("out")) == MANY
    peak_again = place.send("many", "out", log)
    assert sent(log) == []
    peak_in, fetched, _ = place.fetch("back", f"s3://{BUCKET}/out/")
    with pfs.open(place.home) as store:
        assert store.repo("back").view("master").tree.root.tid == tid
    assert place.fetch("back", f"s3://{BUCKET}/out/")[1:] == (0, MANY)
    peak_packed = place.send("many", "packed", log, "tar.zst")
    assert place.keys("packed") == {"packed/all.tar.zst"}
    sent(log)
    place.send("many", "packed", log, "tar.zst")
    assert sent(log) == []
    peak_one, one, _ = place.fetch("packed", f"s3://{BUCKET}/packed/")
    assert (fetched, one) == (MANY, 1)
    peaks = (peak, peak_again, peak_in, peak_packed, peak_one)
    assert max(peaks) < MOST_MIB
    print(f"50,000 files: peaks {peaks} MiB to send, send again, fetch, pack, fetch packed")
