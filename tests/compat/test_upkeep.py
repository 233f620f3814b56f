"""Upkeep and others (docs/compatibility.md, 1.9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfs.store import open as open_store
from pfs.upkeep.check import fsck
from tests.cli.conftest import Run
from tests.compat.conftest import Put


@pytest.mark.row("1.9 check storage")
def test_fsck_deep_reads_every_chunk(pfs: Run, put: Put, store: Path) -> None:
    put("r@master", a="content that is to be damaged")
    pfs("fsck", "--deep")
    for pack in (store / ".pfs/objects/packs").rglob("*.pack"):
        data = pack.read_bytes()
        pack.chmod(0o644)
        pack.write_bytes(data.replace(b"that is to be", b"that is not a"))
    with open_store(store) as opened:
        assert {path for damage in fsck(opened, deep=True) for path in damage.paths} == {"/a"}


@pytest.mark.row("1.9 fsck")
def test_a_sound_store_has_nothing_to_report(pfs: Run, put: Put) -> None:
    put("r@master", a="1")
    assert pfs("fsck", "--json").json == []
