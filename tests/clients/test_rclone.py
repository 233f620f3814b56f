"""rclone: sync, check, move, streams, metadata, versions, links."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.programs import Outcome, Program, fetch, run
from tests.clients.samples import read_tree, write_tree
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("rclone")


class Rclone:
    """rclone with the remotes ``pfs:`` and ``reader:``."""

    def __init__(self, program: Program, endpoint: Endpoint) -> None:
        self._line: list[object] = [program.path, "--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"]
        if endpoint.ca_file:
            self._line += ["--ca-cert", endpoint.ca_file]
        self._environment = endpoint.environment()
        for remote, access, secret in (
            ("PFS", endpoint.access_key, endpoint.secret_key),
            ("READER", endpoint.reader_access_key, endpoint.reader_secret_key),
        ):
            settings = {"TYPE": "s3", "PROVIDER": "Other", "REGION": "us-east-1", "ENDPOINT": endpoint.url}
            settings |= {"ACCESS_KEY_ID": access, "SECRET_ACCESS_KEY": secret}
            self._environment |= {f"RCLONE_CONFIG_{remote}_{name}": value for name, value in settings.items()}

    def __call__(self, *words: object, stdin: bytes = b"", status: int | None = 0) -> Outcome:
        return run(*self._line, *words, environment=self._environment, stdin=stdin, status=status)


@pytest.fixture
def rclone(installed: Program, endpoint: Endpoint) -> Rclone:
    return Rclone(installed, endpoint)


def test_sync(rclone: Rclone, bucket: str, tmp_path: Path) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    files = write_tree(up)
    parts = ("--s3-chunk-size", "5Mi", "--s3-upload-cutoff", "5Mi")
    place = f"pfs:{bucket}/x"
    rclone("sync", up, place, *parts)
    assert "There was nothing to transfer" in rclone("sync", "-v", up, place, *parts).said
    assert "There was nothing to transfer" in rclone("sync", "-v", up, place, "--checksum").said
    rclone("check", up, place)
    rclone("check", "--download", up, place)
    assert sorted(rclone("lsf", "-R", "--files-only", "--fast-list", place).out.splitlines()) == sorted(files)
    (up / "sizes/small").write_bytes(b"other")
    (up / "sizes/one-part").unlink()
    (up / "new").write_bytes(b"new")
    again = rclone("sync", "-v", up, place).said
    assert (again.count(": Copied"), again.count(": Deleted")) == (2, 1)
    rclone("sync", place, down)
    assert read_tree(down) == read_tree(up)
    assert "There was nothing to transfer" in rclone("sync", "-v", place, down).said
    assert int((down / "new").stat().st_mtime) == int((up / "new").stat().st_mtime)


def test_moves_and_copies_in_the_bucket(rclone: Rclone, bucket: str, tmp_path: Path) -> None:
    files = write_tree(tmp_path)
    rclone("copy", tmp_path, f"pfs:{bucket}/a")
    moved = rclone("move", "-v", f"pfs:{bucket}/a", f"pfs:{bucket}/b").said
    assert moved.count("server-side copy") == len(files)
    assert "There was nothing to transfer" in rclone("copy", "-v", tmp_path, f"pfs:{bucket}/b").said
    rclone("moveto", f"pfs:{bucket}/b/sizes/parts", f"pfs:{bucket}/c/parts")
    rclone("copyto", f"pfs:{bucket}/c/parts", f"pfs:{bucket}/c/again", "--s3-copy-cutoff", "5Mi")  # UploadPartCopy
    assert rclone("lsf", "-R", f"pfs:{bucket}/c").out.split() == ["again", "parts"]
    rclone("check", f"pfs:{bucket}/c/parts", f"pfs:{bucket}/c/again", "--download", status=None)  # no folders: an error
    assert rclone("cat", f"pfs:{bucket}/c/again").out == rclone("cat", f"pfs:{bucket}/c/parts").out
    rclone("delete", f"pfs:{bucket}")
    rclone("rmdir", f"pfs:{bucket}")
    assert bucket not in rclone("lsf", "pfs:").out


def test_streams_and_ranges(rclone: Rclone, endpoint: Endpoint, bucket: str) -> None:
    rclone("rcat", f"pfs:{bucket}/piped", stdin=b"from a pipe")
    assert rclone("cat", f"pfs:{bucket}/piped").out == "from a pipe"
    assert rclone("cat", "--offset", 5, "--count", 4, f"pfs:{bucket}/piped").out == "a pi"
    assert rclone("cat", "--tail", 4, f"pfs:{bucket}/piped").out == "pipe"
    big = KEPT["sub/big.bin"]
    assert rclone("cat", "--offset", 256 * 4000, f"pfs:{endpoint.kept}/sub/big.bin").out == big[256 * 4000 :].decode(
        errors="replace"
    )
    rclone("touch", f"pfs:{bucket}/touched", "--timestamp", "2001-02-03T04:05:06")
    rclone("rcat", f"pfs:{bucket}/large", "--streaming-upload-cutoff", "5Mi", stdin=bytes(6 << 20))
    found = {item["Path"]: item for item in json.loads(rclone("lsjson", f"pfs:{bucket}").out)}
    assert (found["touched"]["Size"], found["large"]["Size"]) == (0, 6 << 20)
    assert found["touched"]["ModTime"].startswith("2001-02-03T04:05:06")


def test_metadata(rclone: Rclone, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    options = ("--metadata", "--metadata-set", "colour=blue", "--metadata-set", "cache-control=max-age=60")
    rclone("copyto", tmp_path / "a.json", f"pfs:{bucket}/a.json", *options)
    rclone("copyto", f"pfs:{bucket}/a.json", f"pfs:{bucket}/b.json", "--metadata")
    for item in json.loads(rclone("lsjson", "--metadata", f"pfs:{bucket}").out):
        found = item["Metadata"]
        assert (found["colour"], found["cache-control"]) == ("blue", "max-age=60")
        assert found["content-type"] == "application/json"


@pytest.mark.parametrize("version", [1, 2])
def test_lists_page_by_page(rclone: Rclone, endpoint: Endpoint, version: int) -> None:
    names = rclone("lsf", f"pfs:{endpoint.many}", "--s3-list-version", version).out.split()
    assert names == [f"key-{number:04}" for number in range(MANY)]
    few = rclone("lsf", f"pfs:{endpoint.many}", "--s3-list-version", version, "--s3-list-chunk", 500).out.split()
    assert few == names


def test_versions(rclone: Rclone, bucket: str) -> None:
    assert rclone("backend", "versioning", f"pfs:{bucket}").out.strip() == '"Enabled"'
    for data in (b"one", b"two"):
        rclone("rcat", f"pfs:{bucket}/a.txt", stdin=data)
    rclone("deletefile", f"pfs:{bucket}/a.txt")
    assert rclone("lsf", f"pfs:{bucket}").out == ""
    versions = rclone("lsf", "--s3-versions", f"pfs:{bucket}").out.split()
    assert len(versions) == 2
    assert sorted(rclone("cat", "--s3-versions", f"pfs:{bucket}/{name}").out for name in versions) == ["one", "two"]


def test_uploads_that_were_left_are_cleaned_up(rclone: Rclone, endpoint: Endpoint, bucket: str) -> None:
    upload = endpoint.begin_upload(bucket, "left")
    listed = json.loads(rclone("backend", "list-multipart-uploads", f"pfs:{bucket}").out)
    assert [found["UploadId"] for found in listed[bucket]] == [upload]
    rclone("backend", "cleanup", f"pfs:{bucket}", "-o", "max-age=1ns")
    assert json.loads(rclone("backend", "list-multipart-uploads", f"pfs:{bucket}").out) == {bucket: []}


def test_history_stays(rclone: Rclone, bucket: str) -> None:
    """Versions cannot be deleted, so what deletes them says so; `delete` and `rmdir` do what `purge` cannot."""
    rclone("rcat", f"pfs:{bucket}/a", stdin=b"one")
    rclone("rcat", f"pfs:{bucket}/a", stdin=b"two")
    assert "AccessDenied" in rclone("purge", f"pfs:{bucket}", status=None).err
    assert rclone("cat", f"pfs:{bucket}/a").out == "two"
    assert "AccessDenied" in rclone("backend", "cleanup-hidden", f"pfs:{bucket}", status=None).err
    rclone("delete", f"pfs:{bucket}")
    rclone("rmdir", f"pfs:{bucket}")
    assert bucket not in rclone("lsf", "pfs:").out


def test_link(rclone: Rclone, endpoint: Endpoint, bucket: str) -> None:
    rclone("rcat", f"pfs:{bucket}/ä b+c", stdin=b"linked")
    link = rclone("link", "--expire", "1h", f"pfs:{bucket}/ä b+c").out.strip()
    assert fetch(link, endpoint) == (200, b"linked")
    assert fetch(link.replace("3600", "3601"), endpoint)[0] == 403


def test_what_is_not_there(rclone: Rclone, bucket: str, tmp_path: Path) -> None:
    assert "directory not found" in rclone("lsf", "pfs:no-such-bucket", status=3).err
    rclone("copyto", f"pfs:{bucket}/no", tmp_path / "no")  # rclone takes it for an empty folder, on any S3
    assert read_tree(tmp_path) == {}


def test_read_only(rclone: Rclone, endpoint: Endpoint, tmp_path: Path) -> None:
    for place in (f"pfs:{endpoint.frozen}", f"reader:{endpoint.kept}"):
        rclone("sync", place, tmp_path)
        assert read_tree(tmp_path) == KEPT
        options = ("--s3-no-check-bucket",)
        assert "AccessDenied" in rclone("rcat", f"{place}/new", *options, stdin=b"x", status=None).err
        assert "AccessDenied" in rclone("deletefile", f"{place}/kept.txt", status=None).err
        assert "AccessDenied" in rclone("moveto", f"{place}/kept.txt", f"{place}/moved.txt", status=None).err
