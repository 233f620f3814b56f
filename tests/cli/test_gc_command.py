"""`pfs gc` from the shell: what it says, what it frees, how it ends."""

import os
import re
from pathlib import Path
from typing import cast

import pytest

import pfs as library
from tests.cli.conftest import Run


def waste(store: Path, pfs: Run) -> None:
    """Leave 3 MB that nothing leads to."""
    (store / "a").write_bytes(os.urandom(3_000_000))
    (store / "b").write_bytes(os.urandom(50_000))
    pfs("put-file", "r@master:/x", "-f", store / "a")
    pfs("put-file", "r@master:/x", "-f", store / "b")
    pfs("squash-commit", "r@master^")


def test_it_frees_what_nothing_leads_to(store: Path, pfs: Run) -> None:
    waste(store, pfs)
    foreseen = pfs("gc", "--dry-run").out
    said = r"would delete \d packs? and write \d again: 2\.9 MiB freed, .* KiB stored, .* of it live\n"
    assert re.fullmatch(said, foreseen)
    done = pfs("gc").out
    assert done == foreseen.replace("would delete", "deleted").replace("and write", "and wrote")
    again = pfs("gc").out
    assert re.fullmatch(r"no packs to free: .* KiB stored, .* KiB of it live\n", again)
    assert pfs("gc", "--dry-run").out == again
    assert pfs("fsck", "--deep").out == "no damage found\n"
    assert len(pfs("get-file", "r@master:/x").out) > 0


def test_the_report_as_json(store: Path, pfs: Run) -> None:
    waste(store, pfs)
    told = cast("dict[str, object]", pfs("gc", "--dry-run", "--json").json)
    done = cast("dict[str, object]", pfs("gc", "--json").json)
    assert told["name"] == done["name"] == "gc"
    assert (told["dry_run"], done["dry_run"]) == (True, False)
    assert told["live_bytes"] == done["live_bytes"]
    assert done["generation"] == 1
    assert cast("int", done["bytes_before"]) - cast("int", done["bytes_after"]) > 2_900_000
    assert done.keys() >= {"packs", "deleted", "repacked", "written", "kept", "trash", "repos", "uploads", "retention"}


def test_times_have_units(store: Path, pfs: Run) -> None:
    waste(store, pfs)
    assert "no packs to free" in pfs("gc", "--min-age", "1h").out
    assert "a time: write" in pfs("gc", "--min-age", "1y", code=2).err
    assert "a time: write" in pfs("gc", "--grace", "10", code=2).err
    assert "too long a time" in pfs("gc", "--grace", "9" * 5_000 + "d", code=2).err
    assert "deleted" in pfs("gc", "--min-age", "0", "--grace", "0s").out


def test_trash_goes_after_thirty_days_and_is_told(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    waste(store, pfs)
    pfs("create-branch", "r@old", "--head", "master")
    pfs("delete-branch", "r@old")
    pfs("create-repo", "gone")
    pfs("delete-repo", "gone")
    assert "let go" not in pfs("gc").out
    real = library.store.time.time_ns  # type: ignore[attr-defined]
    init = library.store.Store.__init__
    later = lambda: real() + 31 * 24 * 3600 * 1_000_000_000  # noqa: E731
    monkeypatch.setattr(
        library.store.Store, "__init__", lambda self, path, **more: init(self, path, clock_ns=later, **more)
    )
    told = pfs("gc", "--dry-run").out
    assert "would let go of r@old: deleted or replaced more than 30 days ago\n" in told
    assert "would let go of the deleted repos gone\n" in told
    assert "let go of r@old" in pfs("gc").out
    assert "let go" not in pfs("gc").out


def test_damage_in_the_way_ends_it_with_5(store: Path, pfs: Run) -> None:
    waste(store, pfs)
    packs = list((store / ".pfs/objects/packs/m").rglob("*.pack"))
    for pack in packs:
        pack.unlink()
    assert "missing" in pfs("gc", code=5).err


def test_another_collection_is_a_conflict(store: Path, pfs: Run) -> None:
    from pfs.refs.collector_lock import alone

    with alone(store / ".pfs"):
        assert f"process {os.getpid()}" in pfs("gc", code=4).err
        assert "would" in pfs("gc", "--dry-run").out or "no packs" in pfs("gc", "--dry-run").out
