"""s5cmd (on the AWS SDK for Go v1): many files at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.programs import Outcome, Program, fetch, run
from tests.clients.samples import read_tree, write_tree
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("s5cmd")


class S5cmd:
    def __init__(self, program: Program, endpoint: Endpoint, *, reader: bool = False) -> None:
        self._line = [program.path, "--retry-count", "0", "--endpoint-url", endpoint.url]
        self._environment = endpoint.environment(reader=reader)

    def __call__(self, *words: object, stdin: bytes = b"", status: int | None = 0) -> Outcome:
        return run(*self._line, *words, environment=self._environment, stdin=stdin, status=status)


@pytest.fixture
def s5cmd(installed: Program, endpoint: Endpoint) -> S5cmd:
    return S5cmd(installed, endpoint)


def test_sync(s5cmd: S5cmd, bucket: str, tmp_path: Path) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    files = write_tree(up)
    place = f"s3://{bucket}/x/"
    assert len(s5cmd("sync", f"{up}/", place).out.splitlines()) == len(files)
    assert s5cmd("sync", f"{up}/", place).out == ""
    (up / "sizes/small").write_bytes(b"another")
    (up / "sizes/one-part").unlink()
    assert len(s5cmd("sync", "--delete", f"{up}/", place).out.splitlines()) == 2
    s5cmd("sync", f"{place}*", f"{down}/")
    assert read_tree(down) == read_tree(up)
    assert s5cmd("sync", f"{place}*", f"{down}/").out == ""


def test_copies_moves_and_deletes(s5cmd: S5cmd, bucket: str, tmp_path: Path) -> None:
    files = write_tree(tmp_path / "up")
    s5cmd("cp", "--part-size", 5, f"{tmp_path / 'up'}/", f"s3://{bucket}/a/")
    s5cmd("cp", f"s3://{bucket}/a/*", f"s3://{bucket}/b/")
    s5cmd("mv", f"s3://{bucket}/a/*", f"s3://{bucket}/c/")
    s5cmd("cp", f"s3://{bucket}/*", f"{tmp_path / 'down'}/")
    assert read_tree(tmp_path / "down") == {f"{at}/{name}": data for at in "bc" for name, data in files.items()}
    assert s5cmd("du", f"s3://{bucket}/*").out.split()[0] == str(2 * sum(len(data) for data in files.values()))
    s5cmd("rm", f"s3://{bucket}/*")
    s5cmd("rb", f"s3://{bucket}")
    assert bucket not in s5cmd("ls").out


def test_streams_and_what_is_kept(s5cmd: S5cmd, bucket: str) -> None:
    options = ("--content-type", "text/x-y", "--metadata", "colour=blue", "--cache-control", "max-age=60")
    s5cmd("pipe", *options, f"s3://{bucket}/piped", stdin=b"from a pipe")
    assert s5cmd("cat", f"s3://{bucket}/piped").out == "from a pipe"
    head = json.loads(s5cmd("head", f"s3://{bucket}/piped").out)
    assert (head["content_type"], head["size"], {k.lower(): v for k, v in head["metadata"].items()}) == (
        "text/x-y",
        11,
        {"colour": "blue"},
    )


def test_lists_page_by_page(s5cmd: S5cmd, endpoint: Endpoint, bucket: str) -> None:
    for words in ((), ("--use-list-objects-v1",)):
        lines = s5cmd(*words, "ls", f"s3://{endpoint.many}/*").out.splitlines()
        assert [line.split()[-1] for line in lines] == [f"key-{number:04}" for number in range(MANY)]
    s5cmd("cp", f"s3://{endpoint.many}/*", f"s3://{bucket}/")
    assert len(s5cmd("rm", f"s3://{bucket}/*").out.splitlines()) == MANY  # two requests of a thousand keys
    assert s5cmd("ls", f"s3://{bucket}").out == ""


def test_versions(s5cmd: S5cmd, bucket: str) -> None:
    assert "Enabled" in s5cmd("bucket-version", f"s3://{bucket}").out
    for data in (b"one", b"second"):
        s5cmd("pipe", f"s3://{bucket}/k", stdin=data)
    lines = s5cmd("ls", "--all-versions", f"s3://{bucket}/*").out.splitlines()
    assert [line.split()[2] for line in lines] == ["6", "3"]
    version = lines[1].split()[-1]
    assert s5cmd("cat", "--version-id", version, f"s3://{bucket}/k").out == "one"


def test_what_is_not_there(s5cmd: S5cmd, bucket: str) -> None:
    assert "NoSuchBucket" in s5cmd("ls", "s3://no-such-bucket/", status=1).err
    assert "no object found" in s5cmd("ls", f"s3://{bucket}/no", status=1).err
    assert "not found" in s5cmd("cat", f"s3://{bucket}/no", status=1).err


def test_read_only(s5cmd: S5cmd, installed: Program, endpoint: Endpoint, tmp_path: Path) -> None:
    reader = S5cmd(installed, endpoint, reader=True)
    for client, name in ((s5cmd, endpoint.frozen), (reader, endpoint.kept)):
        client("sync", f"s3://{name}/*", f"{tmp_path}/")
        assert read_tree(tmp_path) == KEPT
        assert "AccessDenied" in client("cp", tmp_path / "kept.txt", f"s3://{name}/new", status=1).err
        assert "AccessDenied" in client("rm", f"s3://{name}/kept.txt", status=1).err
        assert "AccessDenied" in client("mv", f"s3://{name}/kept.txt", f"s3://{name}/moved", status=1).err


def test_presigned(s5cmd: S5cmd, endpoint: Endpoint, bucket: str) -> None:
    s5cmd("pipe", f"s3://{bucket}/k", stdin=b"signed")
    url = s5cmd("presign", f"s3://{bucket}/k").out.strip()
    assert fetch(url, endpoint) == (200, b"signed")
    assert fetch(url.replace("/k?", "/l?"), endpoint)[0] == 403
