"""Checking a store in a bucket: what is damaged, cut or gone is found and named, at a few requests a pack."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from uuid import uuid4

import pytest

from pfs import open as pfs_open
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.cli.conftest import Run
from tests.pfs.bucket_world import BUCKET, World

BYTES = 5_000_000
"""Of each file: too much for a meta pack, and more than is read at once."""
COUNT = 3
WINDOWS = 2


class Objects:
    """The objects of a store, behind its back."""

    def __init__(self, world: World, prefix: str) -> None:
        self._client, self._prefix = world.client, prefix

    def names(self, start: str) -> list[str]:
        page = self._client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self._prefix}/{start}")
        return [item["Key"].removeprefix(f"{self._prefix}/") for item in page["Contents"]]

    def get(self, name: str) -> bytes:
        return bytes(self._client.get_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}")["Body"].read())

    def put(self, name: str, data: bytes | None) -> None:
        if data is None:
            self._client.delete_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}")
        else:
            self._client.put_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}", Body=data)


@pytest.fixture
def objects(bucket: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run) -> Objects:
    """The objects of a store with a data pack and a meta pack for each file."""
    monkeypatch.chdir(tmp_path)
    prefix, chance = uuid4().hex, random.Random(1)
    pfs("init", "--backend", f"s3://{BUCKET}/{prefix}", "--endpoint", bucket.url)
    pfs("create-repo", "r")
    for number in range(COUNT):
        (tmp_path / f"f{number}").write_bytes(chance.randbytes(BYTES))
        pfs("put-file", "r@master", "-f", f"f{number}")
    return Objects(bucket, prefix)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def gone(_: bytes) -> None:
    return None


def test_harm_is_named(objects: Objects, pfs: Run) -> None:
    for kind, harm in product(("packs/d/", "packs/m/", "refs/r.json"), (flipped, cut, gone)):
        name = objects.names(kind)[0]
        whole = objects.get(name)
        objects.put(name, harm(whole))
        with pfs_open() as store:
            found = list(fsck(store, deep=True))
        wanted = "r" if kind.startswith("refs/") else name
        assert any(damage.object.startswith((wanted, name)) for damage in found), (name, harm, found)
        if kind == "packs/d/":
            assert any(path.startswith("/f") for damage in found for path in damage.paths)
        objects.put(name, whole)
        recover(Path(".pfs"))
    pfs("fsck", "--deep")


def test_requests_of_a_check(bucket: World, objects: Objects, pfs: Run) -> None:
    """Some ten, one or two a pack, and with --deep one for each 4 MiB."""
    packs = len(objects.names("packs/"))
    assert packs >= 2 * COUNT
    bucket.counted()
    pfs("fsck")
    writes, reads = bucket.counted()
    assert writes == 0
    assert reads <= 20 + 2 * packs
    pfs("fsck", "--deep")
    writes, reads = bucket.counted()
    assert writes == 0
    assert reads <= 20 + 3 * packs + COUNT * WINDOWS
