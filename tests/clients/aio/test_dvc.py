"""DVC with a bucket as its remote: push, pull, gc, and data straight from an address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.samples import ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, Endpoint

pytestmark = pytest.mark.client("dvc")


def _name(place: str) -> str:
    return place.split("/")[2]


class Project:
    """A folder under DVC, without git."""

    def __init__(self, folder: Path, endpoint: Endpoint, *places: str) -> None:
        """Make a project whose remotes are ``places``, as s3:// addresses; the first is the default."""
        self.folder = folder
        self._environment = endpoint.environment(DVC_NO_ANALYTICS="1", HOME=str(folder))
        lines = ["[core]", "no_scm = True", "analytics = False", f"remote = {_name(places[0])}"]
        for place in places:
            lines += [f"['remote \"{_name(place)}\"']", f"url = {place}", f"endpointurl = {endpoint.url}"]
            if endpoint.ca_file:
                lines.append(f"ssl_verify = {endpoint.ca_file}")
        write(folder, {".dvc/config": "\n".join(lines).encode()})

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        line = [str(Path(sys.executable).parent / "dvc"), *words]
        return subprocess.run(
            line, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )

    def __call__(self, *words: str) -> str:
        result = self.run(*words)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_push_pull_and_gc(endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    place = f"s3://{bucket}/remote"
    files = {**{f"sizes/{n}": content(size) for n, size in SIZES.items()}, **{k: k.encode() for k in ODD_KEYS}}
    first = Project(tmp_path / "first", endpoint, place)
    write(first.folder / "data", files)
    first("add", "data")
    assert "pushed" in first("push")
    assert "Everything is up to date" in first("push")
    second = Project(tmp_path / "second", endpoint, place)
    write(second.folder, {"data.dvc": (first.folder / "data.dvc").read_bytes()})
    second("pull")
    assert read(second.folder / "data") == files
    assert "Everything is up to date" in second("pull")
    assert "in sync" in second("status", "--cloud")
    write(first.folder / "data", {"sizes/small": b"other"})
    first("add", "data")
    first("push")
    assert "Removed 2 objects from remote" in first("gc", "--workspace", "--cloud", "--force")
    write(second.folder, {"data.dvc": (first.folder / "data.dvc").read_bytes()})
    second("pull")
    assert read(second.folder / "data") == {**files, "sizes/small": b"other"}
    assert endpoint.uploads(bucket) == []


def test_import_url(endpoint: Endpoint, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", endpoint, f"s3://{endpoint.kept}")
    project("import-url", f"remote://{endpoint.kept}/sub", "sub")
    assert read(project.folder / "sub") == {"big.bin": KEPT["sub/big.bin"]}
    assert "up to date" in project("update", "sub.dvc") + project("status")


def test_refusals(endpoint: Endpoint, tmp_path: Path) -> None:
    places = [f"s3://{endpoint.frozen}/remote", "s3://no-such-bucket/remote"]
    project = Project(tmp_path / "project", endpoint, *places)
    write(project.folder, {"data": b"x"})
    project("add", "data")
    for place, reason in zip(places, ("AccessDenied", "NoSuchBucket"), strict=True):
        refused = project.run("push", "--remote", _name(place))
        assert refused.returncode != 0
        assert reason in refused.stderr
