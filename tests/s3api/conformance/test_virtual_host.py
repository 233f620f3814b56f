"""Buckets by host name: `bucket.domain`, beside path style on the same server."""

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.conftest import DOMAIN
from tests.s3api.conformance.wire import Wire, refused, text, texts


def test_everything_by_host(wire: Wire, bucket: str) -> None:
    host = {"Host": f"{bucket}.{DOMAIN}"}
    assert wire.put("/dir/a%20b", b"hello", {**host, "x-amz-meta-a": "1"}).status == 200
    assert wire.get(f"/{bucket}/dir/a%20b").body == b"hello"
    assert wire.get("/dir/a%20b", host).headers["x-amz-meta-a"] == "1"
    assert wire.head("/dir/a%20b", host).status == 200
    assert texts(wire.get("/?list-type=2&prefix=dir", host), "Contents/Key") == ["dir/a b"]
    assert text(wire.get("/", host), "Name") == bucket
    assert wire.head("/", host).status == 200
    copied = wire.put("/copy", b"", {**host, "x-amz-copy-source": f"{bucket}/dir/a%20b"})
    assert copied.status == 200
    body = b"<Delete><Object><Key>copy</Key></Object></Delete>"
    assert texts(wire.post("/?delete", body, host), "Deleted/Key") == ["copy"]
    assert wire.delete("/dir/a%20b", host).status == 204
    assert wire.delete("/", host).status == 204
    refused(wire.get("/", host), 404, "NoSuchBucket")


@pytest.mark.parametrize("port", ["", ":80", ":30600"])
def test_with_a_port(wire: Wire, bucket: str, port: str) -> None:
    assert text(wire.get("/", {"Host": f"{bucket}.{DOMAIN}{port}"}), "Name") == bucket
    assert text(wire.get(f"/{bucket}", {"Host": f"{DOMAIN}{port}"}), "Name") == bucket


@pytest.mark.parametrize("domain", [DOMAIN.upper(), DOMAIN.title(), f"{DOMAIN}."])
def test_the_case_of_the_domain_does_not_matter(wire: Wire, bucket: str, domain: str) -> None:
    assert text(wire.get("/", {"Host": f"{bucket}.{domain}"}), "Name") == bucket
    assert text(wire.get(f"/{bucket}", {"Host": domain}), "Name") == bucket


def test_the_domain_itself_has_the_buckets(wire: Wire, bucket: str) -> None:
    assert bucket in texts(wire.get("/", {"Host": DOMAIN}), "Buckets/Bucket/Name")
    assert wire.put(f"/{bucket}/k", b"1", {"Host": DOMAIN}).status == 200


def test_branches_by_host(wire: Wire, s3: BaseClient, bucket: str) -> None:
    s3.create_bucket(Bucket=f"dev.{bucket}")
    host = {"Host": f"dev.{bucket}.{DOMAIN}"}
    assert wire.put("/k", b"dev", host).status == 200
    assert wire.get(f"/dev.{bucket}/k").body == b"dev"
    refused(wire.get(f"/{bucket}/k"), 404, "NoSuchKey")


def test_a_key_that_looks_like_a_bucket(wire: Wire, bucket: str) -> None:
    host = {"Host": f"{bucket}.{DOMAIN}"}
    for path, key in ((f"/{bucket}/k", f"{bucket}/k"), ("//x", "/x"), ("/%2F", "/")):
        assert wire.put(path, b"1", host).status == 200
        assert key in texts(wire.get("/", host), "Contents/Key")


def test_the_place_of_a_completed_upload(wire: Wire, bucket: str) -> None:
    host = {"Host": f"{bucket}.{DOMAIN}"}
    upload = text(wire.post("/k?uploads", b"", host), "UploadId")
    tag = wire.put(f"/k?partNumber=1&uploadId={upload}", b"1", host).headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
    done = wire.post(
        f"/k?uploadId={upload}", f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode(), host
    )
    scheme = wire.server.url.partition(":")[0]
    assert text(done, "Location") == f"{scheme}://{bucket}.{DOMAIN}/k"
    assert text(done, "Bucket") == bucket
