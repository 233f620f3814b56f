"""The aws CLI: `aws s3` and `aws s3api`."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("awscli")
AWS = Path(sys.executable).parent / "aws"


def run(endpoint: Endpoint, *words: object, reader: bool = False) -> subprocess.CompletedProcess[str]:
    line = [str(AWS), *map(str, words)]
    environment = endpoint.environment(reader=reader)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=120)


def aws(endpoint: Endpoint, *words: object) -> str:
    result = run(endpoint, *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def api(endpoint: Endpoint, *words: object) -> Any:
    return json.loads(aws(endpoint, "s3api", *words) or "null")


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_sync(endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    files = {**{f"sizes/{name}": content(size) for name, size in SIZES.items()}, **{k: k.encode() for k in ODD_KEYS}}
    source, target = write(tmp_path / "source", files), f"s3://{bucket}/data"
    assert aws(endpoint, "s3", "sync", source, target).count("upload:") == len(files)
    assert aws(endpoint, "s3", "sync", source, target) == ""
    assert aws(endpoint, "s3", "sync", target, tmp_path / "back").count("download:") == len(files)
    assert read(tmp_path / "back") == files
    assert aws(endpoint, "s3", "sync", target, tmp_path / "back") == ""
    write(source, {"sizes/small": b"other and longer"})
    (source / "with blank").unlink()
    changed = aws(endpoint, "s3", "sync", "--delete", source, target)
    assert (changed.count("upload:"), changed.count("delete:")) == (1, 1)
    assert aws(endpoint, "s3", "sync", target, f"s3://{bucket}/copy").count("copy:") == len(files) - 1
    assert aws(endpoint, "s3", "sync", target, f"s3://{bucket}/copy") == ""
    removed = aws(endpoint, "s3", "rm", "--recursive", f"s3://{bucket}/copy", "--exclude", "*", "--include", "sizes/*")
    assert removed.count("delete:") == len(SIZES)
    listed = aws(endpoint, "s3", "ls", "--recursive", "--summarize", f"s3://{bucket}/copy/")
    assert f"Total Objects: {len(ODD_KEYS) - 1}" in listed
    assert "copy/漢字/かな" in listed


def test_single_files(endpoint: Endpoint, tmp_path: Path) -> None:
    bucket = f"made-by-cli-{'s' if endpoint.secure else 'p'}"
    source = write(tmp_path, {"a b+c.bin": content(SIZES["one-part"])}) / "a b+c.bin"  # of parts it copies no metadata
    aws(endpoint, "s3", "mb", f"s3://{bucket}")
    assert f" {bucket}\n" in aws(endpoint, "s3", "ls")
    headers = ["--content-type", "image/x-raw", "--metadata", "by=a test", "--cache-control", "no-cache"]
    aws(endpoint, "s3", "cp", source, f"s3://{bucket}/d/", *headers)
    assert "a b+c.bin" in aws(endpoint, "s3", "ls", f"s3://{bucket}/d/")
    assert "PRE d/" in aws(endpoint, "s3", "ls", f"s3://{bucket}")
    aws(endpoint, "s3", "mv", f"s3://{bucket}/d/a b+c.bin", f"s3://{bucket}/moved")
    head = api(endpoint, "head-object", "--bucket", bucket, "--key", "moved")
    assert (head["ContentType"], head["Metadata"], head["CacheControl"]) == (
        "image/x-raw",
        {"by": "a test"},
        "no-cache",
    )
    assert run(endpoint, "s3", "rb", f"s3://{bucket}").returncode != 0  # BucketNotEmpty
    aws(endpoint, "s3", "mv", f"s3://{bucket}/moved", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == source.read_bytes()
    aws(endpoint, "s3", "rb", f"s3://{bucket}")
    assert f" {bucket}\n" not in aws(endpoint, "s3", "ls")


def test_reading(endpoint: Endpoint, tmp_path: Path) -> None:
    listed = aws(endpoint, "s3", "ls", f"s3://{endpoint.many}").splitlines()
    assert [line.split()[-1] for line in listed] == [f"key-{number:04}" for number in range(MANY)]
    assert len(api(endpoint, "list-objects", "--bucket", endpoint.many)["Contents"]) == MANY
    assert aws(endpoint, "s3", "cp", f"s3://{endpoint.kept}/kept.txt", "-") == KEPT["kept.txt"].decode()
    arguments = ["--bucket", endpoint.kept, "--key", "sub/big.bin", "--range", "bytes=1000-1999"]
    found = api(endpoint, "get-object", *arguments, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == KEPT["sub/big.bin"][1000:2000]
    assert found["ContentRange"] == f"bytes 1000-1999/{MIB}"
    url = aws(endpoint, "s3", "presign", f"s3://{endpoint.kept}/kept.txt").strip()
    tls = ssl.create_default_context(cafile=str(endpoint.ca_file)) if endpoint.ca_file else None
    with urllib.request.urlopen(url, context=tls, timeout=30) as answer:
        assert answer.read() == KEPT["kept.txt"]


def test_multipart_by_hand(endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    where = ["--bucket", bucket, "--key", "k"]
    body = write(tmp_path, {"part": content(5 * MIB)}) / "part"
    upload = api(endpoint, "create-multipart-upload", *where)["UploadId"]
    tag = api(endpoint, "upload-part", *where, "--part-number", 1, "--body", body, "--upload-id", upload)["ETag"]
    assert api(endpoint, "list-parts", *where, "--upload-id", upload)["Parts"][0]["ETag"] == tag
    assert len(api(endpoint, "list-multipart-uploads", "--bucket", bucket)["Uploads"]) == 1
    api(endpoint, "abort-multipart-upload", *where, "--upload-id", upload)
    assert "Uploads" not in (api(endpoint, "list-multipart-uploads", "--bucket", bucket) or {})
    gone = run(endpoint, "s3api", "list-parts", *where, "--upload-id", upload)
    assert "NoSuchUpload" in gone.stderr


def test_refusals(endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    source = write(tmp_path, {"f": b"x"}) / "f"
    missing = run(endpoint, "s3", "cp", f"s3://{bucket}/no", "-")
    assert (missing.returncode, "404" in missing.stderr) == (1, True)
    for words in (["ls", "s3://no-such-bucket"], ["cp", source, "s3://no-such-bucket/k"]):
        refused = run(endpoint, "s3", *words)
        assert refused.returncode != 0
        assert "NoSuchBucket" in refused.stderr
    for place, reader in ((endpoint.frozen, False), (endpoint.kept, True)):
        for words in (["cp", source, f"s3://{place}/new"], ["rm", f"s3://{place}/kept.txt"]):
            refused = run(endpoint, "s3", *words, reader=reader)
            assert refused.returncode != 0
            assert "AccessDenied" in refused.stderr
            assert "max retries" not in refused.stderr
    website = run(endpoint, "s3", "website", f"s3://{bucket}", "--index-document", "index.html")
    assert "NotImplemented" in website.stderr
