"""s3cmd: sync both ways, MD5 by ETag, listing V1, signatures of both versions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.clients.programs import Outcome, Program, fetch, run
from tests.clients.samples import read_tree, write_tree
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("s3cmd")


class S3cmd:
    def __init__(self, program: Program, endpoint: Endpoint, *, reader: bool = False) -> None:
        access_key, secret_key = endpoint.keys(reader=reader)
        self._line: list[object] = [
            sys.executable,
            program.path,
            "--config",
            os.devnull,
            "--no-progress",
            "--max-retries=1",
        ]
        self._line += [f"--access_key={access_key}", f"--secret_key={secret_key}", "--region=us-east-1"]
        self._line += [f"--host={endpoint.host}", f"--host-bucket={endpoint.host}", "--multipart-chunk-size-mb=5"]
        self._line += ["--ssl", f"--ca-certs={endpoint.ca_file}"] if endpoint.ca_file else ["--no-ssl"]
        self._environment = endpoint.environment(PYTHONPATH=str(program.path.parent.parent), LC_ALL="C.UTF-8")

    def __call__(self, *words: object, stdin: bytes = b"", status: int | None = 0) -> Outcome:
        return run(*self._line, *words, environment=self._environment, stdin=stdin, status=status)


@pytest.fixture
def s3cmd(installed: Program, endpoint: Endpoint) -> S3cmd:
    return S3cmd(installed, endpoint)


def test_sync(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    files = write_tree(up)
    place = f"s3://{bucket}/x/"
    assert s3cmd("sync", f"{up}/", place).out.count("upload: ") >= len(files)
    assert "upload: " not in s3cmd("sync", f"{up}/", place).out
    (up / "sizes/small").write_bytes(b"other")
    (up / "sizes/one-part").unlink()
    again = s3cmd("sync", "--delete-removed", f"{up}/", place).out
    assert (again.count("upload: "), again.count("delete: ")) == (1, 1)
    down.mkdir()
    s3cmd("sync", place, f"{down}/")
    assert read_tree(down) == read_tree(up)
    assert "download: " not in s3cmd("sync", place, f"{down}/").out


def test_copies_moves_and_deletes(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "up")
    s3cmd("put", "--recursive", f"{tmp_path / 'up'}/", f"s3://{bucket}/a/")
    s3cmd("cp", "--recursive", f"s3://{bucket}/a/", f"s3://{bucket}/b/")
    s3cmd("mv", "--recursive", f"s3://{bucket}/a/", f"s3://{bucket}/c/")
    (tmp_path / "down").mkdir()
    s3cmd("get", "--recursive", f"s3://{bucket}/c/", f"{tmp_path / 'down'}/")
    assert read_tree(tmp_path / "down") == files
    assert s3cmd("du", f"s3://{bucket}").out.split()[0] == str(2 * sum(len(data) for data in files.values()))
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}")
    s3cmd("rb", f"s3://{bucket}")
    assert bucket not in s3cmd("ls").out
    s3cmd("mb", f"s3://{bucket}")


def test_what_is_kept(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    s3cmd("put", "--mime-type=text/x-y", "--add-header=x-amz-meta-colour:blue", tmp_path / "a", f"s3://{bucket}/a")
    said = s3cmd("info", f"s3://{bucket}/a").out
    for wanted in ("text/x-y", "x-amz-meta-colour: blue", "8d777f385d3dfec8815d20f7496026dc"):
        assert wanted in said
    s3cmd("modify", "--add-header=x-amz-meta-colour:red", f"s3://{bucket}/a")
    assert "x-amz-meta-colour: red" in s3cmd("info", f"s3://{bucket}/a").out
    s3cmd("put", "-", f"s3://{bucket}/piped", stdin=bytes(6 << 20))
    assert "6291456" in s3cmd("ls", f"s3://{bucket}/piped").out
    assert s3cmd("get", f"s3://{bucket}/a", "-").out == "data"


def test_uploads(s3cmd: S3cmd, endpoint: Endpoint, bucket: str) -> None:
    upload = endpoint.begin_upload(bucket, "left")
    assert upload in s3cmd("multipart", f"s3://{bucket}").out
    s3cmd("abortmp", f"s3://{bucket}/left", upload)
    assert upload not in s3cmd("multipart", f"s3://{bucket}").out


def test_lists_page_by_page(s3cmd: S3cmd, endpoint: Endpoint) -> None:
    names = [line.rpartition("/")[2] for line in s3cmd("ls", f"s3://{endpoint.many}").out.splitlines()]
    assert names == [f"key-{number:04}" for number in range(MANY)]


@pytest.mark.parametrize("options", [(), ("--signature-v2",)], ids=["v4", "v2"])
def test_signurl(s3cmd: S3cmd, endpoint: Endpoint, bucket: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "a").write_bytes(b"signed")
    s3cmd(*options, "put", tmp_path / "a", f"s3://{bucket}/ä b")
    url = s3cmd(*options, "signurl", f"s3://{bucket}/ä b", "+60").out.strip()
    if endpoint.ca_file:
        url = url.replace("http://", "https://")
    assert fetch(url, endpoint) == (200, b"signed")


def test_what_is_not_there(s3cmd: S3cmd, bucket: str, tmp_path: Path) -> None:
    assert "NoSuchBucket" in s3cmd("ls", "s3://no-such-bucket", status=12).err
    assert "404" in s3cmd("info", f"s3://{bucket}/no", status=12).err
    s3cmd("get", f"s3://{bucket}/no", tmp_path / "no", status=None)


def test_read_only(s3cmd: S3cmd, installed: Program, endpoint: Endpoint, tmp_path: Path) -> None:
    for number, (client, name) in enumerate(
        ((s3cmd, endpoint.frozen), (S3cmd(installed, endpoint, reader=True), endpoint.kept))
    ):
        down = tmp_path / str(number)
        down.mkdir()
        client("sync", f"s3://{name}/", f"{down}/")
        assert read_tree(down) == KEPT
        assert "AccessDenied" in client("put", down / "kept.txt", f"s3://{name}/new", status=77).err
        assert "AccessDenied" in client("del", f"s3://{name}/kept.txt", status=77).err
