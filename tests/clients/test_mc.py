"""mc, MinIO's client (minio-go): mirrors, pipes, tags, versions, shares."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.programs import Outcome, Program, fetch, run
from tests.clients.samples import read_tree, write_tree
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("mc")


class Mc:
    """mc with the aliases ``pfs`` and ``reader``, and settings of its own."""

    def __init__(self, program: Program, endpoint: Endpoint, folder: Path) -> None:
        self._line = [program.path, "--config-dir", folder, "--quiet", "--no-color", "--json"]
        self._environment = endpoint.environment()
        for alias, reader in (("pfs", False), ("reader", True)):
            self._environment[f"MC_HOST_{alias}"] = endpoint.url.replace(
                "://", "://{}:{}@".format(*endpoint.keys(reader=reader))
            )
        if endpoint.ca_file:
            (folder / "certs/CAs").mkdir(parents=True)
            shutil.copy(endpoint.ca_file, folder / "certs/CAs/ca.pem")

    def __call__(self, *words: object, stdin: bytes = b"", status: int | None = 0) -> Outcome:
        return run(*self._line, *words, environment=self._environment, stdin=stdin, status=status)

    def lines(self, *words: object) -> list[dict[str, str]]:
        """Run it and return what it says, one object a line."""
        return [json.loads(line) for line in self(*words).out.splitlines()]


@pytest.fixture
def mc(installed: Program, endpoint: Endpoint, tmp_path: Path) -> Mc:
    return Mc(installed, endpoint, tmp_path / "settings")


def test_mirror(mc: Mc, bucket: str, tmp_path: Path) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    files = write_tree(up)
    copied = mc.lines("mirror", up, f"pfs/{bucket}/x")
    assert sum("source" in line for line in copied) == len(files)
    assert not any("source" in line for line in mc.lines("mirror", up, f"pfs/{bucket}/x"))
    assert mc("diff", up, f"pfs/{bucket}/x").out == ""
    (up / "sizes/small").write_bytes(b"another")
    (up / "sizes/one-part").unlink()
    mc("mirror", "--overwrite", "--remove", up, f"pfs/{bucket}/x")
    mc("mirror", f"pfs/{bucket}/x", down)
    assert read_tree(down) == read_tree(up)


def test_copies_moves_and_deletes(mc: Mc, bucket: str, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "up")
    mc("cp", "--recursive", f"{tmp_path / 'up'}/", f"pfs/{bucket}/a/")
    mc("cp", "--recursive", f"pfs/{bucket}/a/", f"pfs/{bucket}/b/")
    mc("mv", "--recursive", f"pfs/{bucket}/a/", f"pfs/{bucket}/c/")
    found = sorted(line["key"] for line in mc.lines("ls", "--recursive", f"pfs/{bucket}"))
    assert found == sorted(f"{at}/{name}" for at in "bc" for name in files)
    mc("cp", "--recursive", f"pfs/{bucket}/c/", f"{tmp_path / 'down'}/")
    assert read_tree(tmp_path / "down") == files
    mc("rm", "--recursive", "--force", f"pfs/{bucket}")
    assert mc("ls", "--recursive", f"pfs/{bucket}").out == ""
    assert "not empty" in mc("rb", f"pfs/{bucket}", status=1).out  # it asks for versions, and history stays
    mc("mb", f"pfs/{bucket}-new")
    mc("rb", f"pfs/{bucket}-new")


def test_streams_and_what_is_kept(mc: Mc, bucket: str) -> None:
    mc("pipe", "--attr", "Cache-Control=max-age=60;colour=blue", f"pfs/{bucket}/piped", stdin=b"from a pipe")
    assert mc("cat", f"pfs/{bucket}/piped").out == "from a pipe"
    assert mc("cat", "--offset", 5, f"pfs/{bucket}/piped").out == "a pipe"
    assert mc("cat", "--tail", 4, f"pfs/{bucket}/piped").out == "pipe"
    kept = json.dumps(mc.lines("stat", f"pfs/{bucket}/piped"))
    assert "max-age=60" in kept
    assert "blue" in kept
    mc("pipe", f"pfs/{bucket}/large", stdin=bytes(20 << 20))  # in parts, with a checksum of the whole
    assert mc.lines("stat", f"pfs/{bucket}/large")[0]["size"] == 20 << 20
    mc("tag", "set", f"pfs/{bucket}/piped", "state=new&a b=c/d")
    assert mc.lines("tag", "list", f"pfs/{bucket}/piped")[0]["tagset"] == {"state": "new", "a b": "c/d"}


def test_versions(mc: Mc, bucket: str) -> None:
    for data in (b"one", b"second"):
        mc("pipe", f"pfs/{bucket}/k", stdin=data)
    mc("rm", f"pfs/{bucket}/k")
    found = mc.lines("ls", "--versions", f"pfs/{bucket}")
    assert [bool(line.get("isDeleteMarker")) for line in found] == [True, False, False]
    assert [line["size"] for line in found[1:]] == [6, 3]
    assert mc("cat", "--version-id", found[2]["versionId"], f"pfs/{bucket}/k").out == "one"
    mc("undo", f"pfs/{bucket}/k", status=None)  # it would delete a version


def test_lists_page_by_page(mc: Mc, endpoint: Endpoint) -> None:
    found = [line["key"] for line in mc.lines("ls", f"pfs/{endpoint.many}")]
    assert found == [f"key-{number:04}" for number in range(MANY)]
    assert mc.lines("du", f"pfs/{endpoint.many}")[0]["objects"] == MANY


def test_share(mc: Mc, endpoint: Endpoint, bucket: str) -> None:
    mc("pipe", f"pfs/{bucket}/ä b+c", stdin=b"shared")
    url = mc.lines("share", "download", f"pfs/{bucket}/ä b+c")[0]["share"]
    assert fetch(url, endpoint) == (200, b"shared")
    assert fetch(url.replace("b%2Bc", "d"), endpoint)[0] == 403


def test_what_is_not_there(mc: Mc, bucket: str) -> None:
    assert "does not exist" in mc("ls", "pfs/no-such-bucket", status=1).said
    assert "does not exist" in mc("cat", f"pfs/{bucket}/no", status=1).said


def test_read_only(mc: Mc, endpoint: Endpoint, tmp_path: Path) -> None:
    for place in (f"pfs/{endpoint.frozen}", f"reader/{endpoint.kept}"):
        mc("mirror", "--overwrite", place, tmp_path / "down")
        assert read_tree(tmp_path / "down") == KEPT
        assert "Insufficient permissions" in mc("cp", tmp_path / "down/kept.txt", f"{place}/new", status=1).said
        assert "Failed to remove" in mc("rm", f"{place}/kept.txt", status=1).said
