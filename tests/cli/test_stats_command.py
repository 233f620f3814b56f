"""`pfs stats` from the shell."""

from pathlib import Path

from tests.cli.conftest import Run


def test_stats(store: Path, pfs: Run) -> None:
    Path("file").write_bytes(b"12345")
    pfs("put-file", "r@master:/a", "-f", "file")
    pfs("put-file", "r@master:/b", "-f", "file")
    lines = pfs("stats", "--raw").out.splitlines()
    assert lines[0].split() == ["REPO", "COMMITS", "HEADS", "ALL", "COMMITS"]
    assert lines[1].split() == ["r", "2", "10", "15"]
    assert lines[2].split() == ["all", "together", "2", "10", "15"]
    assert lines[3].startswith("on disk: ")
    assert "10 B" in pfs("stats").out
    cheap = pfs("stats", "--json").json
    assert cheap["repos"][0]["deduplicated_bytes"] is None  # type: ignore[index]
    exact = pfs("stats", "--exact", "--json").json
    assert exact["name"] == "stats"  # type: ignore[index]
    assert exact["repos"][0]["deduplicated_bytes"] == exact["deduplicated_bytes"] == 5  # type: ignore[index]
    assert exact["compressed_bytes"] > 5  # type: ignore[index]
    assert pfs("stats", "--exact", "--raw").out.splitlines()[1].split()[:5] == ["r", "2", "10", "15", "5"]
