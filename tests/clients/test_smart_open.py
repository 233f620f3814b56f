"""smart_open: streams over boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
import smart_open
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from smart_open.s3 import iter_bucket

from tests.clients import settings
from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, Endpoint

pytestmark = pytest.mark.client("smart_open")


def connect(endpoint: Endpoint, *, reader: bool = False) -> BaseClient:
    return boto3.client("s3", **settings.boto(endpoint, reader=reader))


@pytest.fixture
def how(endpoint: Endpoint) -> Iterator[dict[str, object]]:
    with closing(connect(endpoint)) as client:
        yield {"client": client}


@pytest.mark.parametrize("name", SIZES)
def test_transfers(how: dict[str, object], endpoint: Endpoint, bucket: str, name: str) -> None:
    data = content(SIZES[name])
    for multipart in (True, False):
        told = {**how, "multipart_upload": multipart, "min_part_size": 5 * MIB}
        with smart_open.open(f"s3://{bucket}/{name}", "wb", transport_params=told) as file:
            file.write(data)
        with smart_open.open(f"s3://{bucket}/{name}", "rb", transport_params={**how, "buffer_size": MIB}) as file:
            assert file.read() == data
    assert endpoint.uploads(bucket) == []


def test_text_gzip_and_odd_keys(how: dict[str, object], bucket: str) -> None:
    for key in [*(key for key in ODD_KEYS if "?" not in key), "lines.gz"]:
        with smart_open.open(f"s3://{bucket}/{key}", "w", transport_params=how, encoding="utf-8") as file:
            file.writelines(f"{key} {number}\n" for number in range(100))
        with smart_open.open(f"s3://{bucket}/{key}", transport_params=how, encoding="utf-8") as file:
            assert list(file) == [f"{key} {number}\n" for number in range(100)]


def test_seeks_and_versions(how: dict[str, object], endpoint: Endpoint, bucket: str) -> None:
    with smart_open.open(f"s3://{endpoint.kept}/sub/big.bin", "rb", transport_params=how) as file:
        file.seek(700_000)
        assert file.read(1000) == KEPT["sub/big.bin"][700_000:701_000]
        file.seek(-7, 2)
        assert file.read() == KEPT["sub/big.bin"][-7:]
    for text in ("1", "2"):
        with smart_open.open(f"s3://{bucket}/k", "w", transport_params=how) as file:
            file.write(text)
        if text == "1":
            first = how["client"].head_object(Bucket=bucket, Key="k")["VersionId"]
    with smart_open.open(f"s3://{bucket}/k", transport_params={**how, "version_id": first}) as file:
        assert file.read() == "1"


def test_a_failing_writer_is_aborted(how: dict[str, object], endpoint: Endpoint, bucket: str) -> None:
    def fail() -> None:
        with smart_open.open(f"s3://{bucket}/k", "wb", transport_params={**how, "min_part_size": 5 * MIB}) as file:
            file.write(content(11 * MIB))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert endpoint.uploads(bucket) == []
    assert how["client"].list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_many_objects(endpoint: Endpoint) -> None:
    found = iter_bucket(endpoint.many, prefix="key-11", client_kwargs=settings.boto(endpoint))
    assert sorted(found) == [(f"key-{number}", str(number).encode()) for number in range(1100, 1200)]


def test_refusals(how: dict[str, object], endpoint: Endpoint, bucket: str) -> None:
    for place in (f"{bucket}/no", "no-such-bucket/no"):
        with pytest.raises(OSError, match=r"NoSuch(Key|Bucket)"):
            smart_open.open(f"s3://{place}", transport_params=how).read()
    with closing(connect(endpoint, reader=True)) as reader:
        for client, place in ((how["client"], endpoint.frozen), (reader, endpoint.kept)):
            for multipart in (True, False):
                with pytest.raises((ClientError, ValueError), match=r"AccessDenied|is forbidden for access"):
                    write(f"s3://{place}/new", client=client, multipart_upload=multipart)


def write(url: str, **options: object) -> None:
    with smart_open.open(url, "wb", transport_params=options) as file:
        file.write(b"x")
