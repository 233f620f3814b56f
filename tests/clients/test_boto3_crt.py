"""boto3 with awscrt, which adds CRC32C and CRC64NVME. Its own transfers cannot name a port, so they are not tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
from botocore.client import BaseClient

from tests.clients import settings
from tests.clients.samples import MIB, content
from tests.clients.served import Endpoint

pytestmark = pytest.mark.client("awscrt")


@pytest.fixture
def s3(endpoint: Endpoint) -> Iterator[BaseClient]:
    with closing(boto3.client("s3", **settings.boto(endpoint))) as client:
        yield client


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_checksums(s3: BaseClient, bucket: str, algorithm: str) -> None:
    named = {"Bucket": bucket, "Key": "k"}
    put = s3.put_object(**named, Body=b"data", ChecksumAlgorithm=algorithm)
    got = s3.get_object(**named, ChecksumMode="ENABLED")
    assert (got["Body"].read(), got[f"Checksum{algorithm}"]) == (b"data", put[f"Checksum{algorithm}"])
    upload = s3.create_multipart_upload(**named, ChecksumAlgorithm=algorithm)["UploadId"]
    parts = []
    for number, data in ((1, content(5 * MIB)), (2, b"end")):
        part = s3.upload_part(**named, UploadId=upload, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, **{name: part[name] for name in ("ETag", f"Checksum{algorithm}")}})
    done = s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
    got = s3.get_object(**named, ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == done[f"Checksum{algorithm}"]
    assert got["Body"].read() == content(5 * MIB) + b"end"
