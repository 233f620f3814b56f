"""`pfs consolidate-index` from the shell."""

from pathlib import Path
from typing import cast

from tests.cli.conftest import Run


def test_it_says_what_it_did(store: Path, pfs: Run) -> None:
    (store / "a").write_bytes(b"a")
    pfs("put-file", "r@master:/a", "-f", store / "a")
    assert pfs("consolidate-index").out == "wrote 1, left 0: 1 segment for 1 of 1 pack\n"
    assert pfs("consolidate-index").out == "nothing to do: 1 segment for 1 of 1 pack\n"
    pfs("put-file", "r@master:/b", "-f", store / "a")
    assert pfs("consolidate-index", "--anew").out == "wrote 1, left 1: 1 segment for 2 of 2 packs\n"
    done = cast("dict[str, object]", pfs("consolidate-index", "--json").json)
    wanted = {"name": "consolidate-index", "segments": 1, "written": 0, "replaced": 0, "covered": 2, "packs": 2}
    assert done == wanted
    assert pfs("fsck", "--deep").out == "no damage found\n"
