"""`pfs tier`, `pfs set-tiering` and `pfs thaw` from the shell, over a bucket on real HTTP."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from cli.upkeep import Upkeep
from pfs import open as open_store
from tests.cli.conftest import Run
from tests.pfs.bucket_world import BUCKET, World

DAY_S = 86_400.0


@pytest.fixture
def aged(bucket: World, tmp_path: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store in a bucket with 5 MB that a commit of a hundred days ago alone has."""
    monkeypatch.chdir(tmp_path)
    pfs("init", "--backend", f"s3://{BUCKET}/{uuid4().hex}", "--endpoint", bucket.url)
    (tmp_path / "big").write_bytes(os.urandom(5_000_000))
    (tmp_path / "small").write_bytes(b"small")
    pfs("create-repo", "r")
    pfs("put-file", "r@master:/x", "-f", "big")
    bucket.later_s = 100 * DAY_S
    pfs("put-file", "r@master:/x", "-f", "small")
    return tmp_path


def old(pfs: Run) -> str:
    listed = cast("list[dict[str, str]]", pfs("list-commit", "r@master", "--json").json)
    return f"r@{listed[-1]['id']}:/x"


def test_moving_and_bringing_back(aged: Path, bucket: World, pfs: Run) -> None:
    told = pfs("tier", "--dry-run").out
    assert told.startswith("would move 1 data pack to STANDARD_IA: 4.8 MiB")
    done = cast("dict[str, object]", pfs("tier", "--json").json)
    assert (done["packs"], done["storage_class"], done["there"]) == (1, "STANDARD_IA", 0)
    assert "1 are there" in pfs("tier").out
    assert "4.8 MiB in STANDARD_IA; nothing is moved by itself" in pfs("doctor").out
    assert pfs("get-file", old(pfs), "-o", "out").code == 0
    assert (aged / "out").read_bytes() == (aged / "big").read_bytes()
    assert "moved 1 data pack to STANDARD:" in pfs("tier", "--storage-class", "standard").out


def test_archives(aged: Path, bucket: World, pfs: Run) -> None:
    """What is in one ends a read with 6 and a line; `thaw` asks for all of it, and can wait."""
    assert pfs("tier", "--storage-class", "DEEP_ARCHIVE").code == 0
    with bucket.slow_restore():
        failed = pfs("get-file", old(pfs), code=6)
        assert "is being restored from an archive" in failed.err
        assert failed.err.count("\n") == 1
        assert "4.8 MiB in 1 data pack) is being restored" in pfs("thaw", old(pfs), code=6).err
        assert "nothing of it is in an archive" in pfs("thaw", "r@master").out
    assert "can be read" in pfs("thaw", old(pfs), "--wait", "--speed", "Bulk", "--days", "3").out
    assert pfs("get-file", old(pfs), "-o", "out").code == 0
    assert (aged / "out").read_bytes() == (aged / "big").read_bytes()
    assert pfs("gc", "--min-age", "0", "--grace", "0").code == 0


def test_waiting_ends_when_it_is_there(aged: Path, bucket: World, pfs: Run) -> None:
    pfs("tier", "--storage-class", "GLACIER")
    assert "restored: 4.8 MiB in 1 data pack can be read" in pfs("thaw", old(pfs), "--wait").out


def test_a_rule_that_upkeep_keeps(aged: Path, bucket: World, pfs: Run) -> None:
    assert "nothing is moved by itself" in pfs("set-tiering").out
    out = pfs("set-tiering", "--older-than", "30d", "--storage-class", "GLACIER_IR", "--restore-days", 2).out
    assert out.startswith("`pfs serve` moves data to GLACIER_IR that only commits older than 30d00h need;")
    assert cast("dict[str, object]", pfs("set-tiering", "--json").json)["restore_days"] == 2
    told: list[str] = []
    with open_store(aged) as store:
        list(store.backend.entries("config.json"))
        upkeep = Upkeep(store, threading.Event(), tell=told.append)
        upkeep.once()
        assert told == ["upkeep: moved 1 data pack to GLACIER_IR: 4.8 MiB"]
        upkeep._seen = None
        upkeep.once()
        assert len(told) == 1, "once a day"
    assert "nothing is moved by itself" in pfs("set-tiering", "--off").out
    assert "no storage class" in pfs("set-tiering", "--storage-class", "a b", code=2).err


def test_a_store_on_a_disk_has_one_class(tmp_path: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pfs("init")
    pfs("create-repo", "r")
    assert "only buckets have others" in pfs("tier", code=2).err
    assert "only a bucket" in pfs("set-tiering", "--older-than", "1d", code=2).err
    pfs("put-file", "r@master:/x", "-f", __file__)
    assert "nothing of it is in an archive" in pfs("thaw", "r@master:/x").out
    assert "no file or directory" in pfs("thaw", "r@master:/y", code=3).err
