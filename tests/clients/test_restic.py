"""restic (on minio-go): a repository through its whole life."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.programs import Outcome, Program, run
from tests.clients.samples import content, read_tree, write_tree
from tests.clients.served import Endpoint

pytestmark = pytest.mark.client("restic")


class Restic:
    def __init__(self, program: Program, endpoint: Endpoint, bucket: str, *, reader: bool = False) -> None:
        self._line: list[object] = [program.path, "--no-cache", "--repo", f"s3:{endpoint.url}/{bucket}/backups"]
        if endpoint.ca_file:
            self._line += ["--cacert", endpoint.ca_file]
        self._environment = endpoint.environment(reader=reader, RESTIC_PASSWORD="secret")

    def __call__(self, *words: object, cwd: Path | None = None, status: int | None = 0, **more: str) -> Outcome:
        return run(*self._line, *words, environment={**self._environment, **more}, cwd=cwd, status=status)

    def summary(self, *words: object, cwd: Path) -> dict[str, int]:
        """Make a backup and return its summary."""
        lines = self("backup", "--json", *words, cwd=cwd).out.splitlines()
        found: dict[str, int] = json.loads(lines[-1])
        return found


def test_life_of_a_repository(installed: Program, endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    restic = Restic(installed, endpoint, bucket)
    data = tmp_path / "data"
    write_tree(data)
    restic("init")
    restic("init", status=None)  # it is there
    first = restic.summary(".", cwd=data)
    second = restic.summary(".", cwd=data)
    assert (first["files_new"], second["files_new"], second["data_blobs"], second["data_added"]) == (
        len(read_tree(data)),
        0,
        0,
        0,
    )
    (data / "more").write_bytes(content(3 << 20, seed="more"))
    assert restic.summary(".", cwd=data)["files_new"] == 1
    assert "no errors were found" in restic("check", "--read-data").out
    restic("restore", "latest", "--target", tmp_path / "restored")
    assert read_tree(tmp_path / "restored") == read_tree(data)
    assert len(json.loads(restic("snapshots", "--json").out)) == 3
    (data / "sizes/parts").unlink()
    restic.summary(".", cwd=data)
    restic("forget", "--keep-last", 1, "--prune", "--max-unused", 0)
    assert len(json.loads(restic("snapshots", "--json").out)) == 1
    assert "no errors were found" in restic("check", "--read-data").out
    restic("restore", "latest", "--target", tmp_path / "again")
    assert read_tree(tmp_path / "again") == read_tree(data)
    assert restic("cat", "config", status=None, RESTIC_PASSWORD="wrong").status == 12


def test_read_only(installed: Program, endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    write_tree(tmp_path / "data")
    owner, reader = Restic(installed, endpoint, bucket), Restic(installed, endpoint, bucket, reader=True)
    owner("init")
    owner("backup", ".", cwd=tmp_path / "data")
    reader("restore", "latest", "--no-lock", "--target", tmp_path / "restored")
    assert read_tree(tmp_path / "restored") == read_tree(tmp_path / "data")
    assert "may not write" in reader("backup", ".", cwd=tmp_path / "data", status=None).err


def test_init_makes_the_bucket(installed: Program, endpoint: Endpoint, bucket: str) -> None:
    Restic(installed, endpoint, f"{bucket}-new")("init")
