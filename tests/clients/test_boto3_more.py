"""boto3 beyond objects: versions, tags, posted forms, CORS, virtual hosts, deletes under conditions."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import uuid
from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients import settings
from tests.clients.samples import MIB, ODD_KEYS, content
from tests.clients.served import Endpoint

pytestmark = pytest.mark.client("boto3")


@pytest.fixture
def s3(endpoint: Endpoint) -> Iterator[BaseClient]:
    with closing(boto3.client("s3", **settings.boto(endpoint))) as client:
        yield client


def test_versions(s3: BaseClient, bucket: str) -> None:
    key = "umlaut-ä +&"
    made = [s3.put_object(Bucket=bucket, Key=key, Body=str(n).encode())["VersionId"] for n in range(3)]
    gone = s3.delete_object(Bucket=bucket, Key=key)
    assert gone["DeleteMarker"]
    s3.put_object(Bucket=bucket, Key="other", Body=b"x")
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}))
    versions = [v for page in pages for v in page.get("Versions", [])]
    markers = [m for page in pages for m in page.get("DeleteMarkers", [])]
    assert [v["VersionId"] for v in versions if v["Key"] == key] == made[::-1]
    assert [(m["Key"], m["VersionId"], m["IsLatest"]) for m in markers] == [(key, gone["VersionId"], True)]
    for number, version in enumerate(made):
        assert s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == str(number).encode()
    s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key, "VersionId": made[1]})
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=made[0])
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_tags(s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="colour=red&with+blank=a%20b")
    assert s3.head_object(Bucket=bucket, Key="k")["TagCount"] == 2
    tags = [{"Key": "colour", "Value": "blue"}, {"Key": "größe", "Value": "1"}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    found = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert sorted(found, key=lambda tag: str(tag["Key"])) == tags
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.upload_fileobj(io.BytesIO(content(9 * MIB)), bucket, "big", ExtraArgs={"Tagging": "colour=red"})
    assert s3.get_object_tagging(Bucket=bucket, Key="big")["TagSet"] == [{"Key": "colour", "Value": "red"}]


def test_deletes_under_conditions(s3: BaseClient, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["ETag"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=first)
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": first}]})
    assert [error["Code"] for error in answer["Errors"]] == ["PreconditionFailed"]
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=second)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def post(endpoint: Endpoint, url: str, fields: dict[str, str], data: bytes) -> tuple[int, bytes]:
    """Post a form as a browser does."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\n\r\n'.encode()
    body = b"".join([*parts, head, data, f"\r\n--{mark}--\r\n".encode()])
    host, port = endpoint.host.split(":")
    tls = ssl.create_default_context(cafile=str(endpoint.ca_file)) if endpoint.ca_file else None
    made = (
        http.client.HTTPSConnection(host, int(port), context=tls) if tls else http.client.HTTPConnection(endpoint.host)
    )
    with closing(made) as connection:
        path = url.partition(endpoint.host)[2]
        connection.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_a_posted_form(endpoint: Endpoint, bucket: str, version: str | None) -> None:
    with closing(boto3.client("s3", **settings.boto(endpoint), config=Config(signature_version=version))) as s3:
        conditions = [["content-length-range", 1, 100], {"success_action_status": "201"}]
        form = s3.generate_presigned_post(
            bucket, "up/${filename}", Fields={"success_action_status": "201"}, Conditions=conditions
        )
        status, said = post(endpoint, form["url"], form["fields"], b"by form")
        assert (status, b"<Key>up/a b.txt</Key>" in said) == (201, True)
        assert s3.get_object(Bucket=bucket, Key="up/a b.txt")["Body"].read() == b"by form"
        status, said = post(endpoint, form["url"], form["fields"], b"x" * 101)
        assert (status, b"<Code>EntityTooLarge</Code>" in said) == (400, True)
        status, said = post(endpoint, form["url"], {**form["fields"], "key": "other"}, b"x")
        assert (status, b"<Code>AccessDenied</Code>" in said) == (403, True)


def test_cors(s3: BaseClient, endpoint: Endpoint, bucket: str) -> None:
    rule = {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.org"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{**rule, "MaxAgeSeconds": 60}]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [{**rule, "MaxAgeSeconds": 60}]
    s3.delete_bucket_cors(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)


def test_virtual_hosts(endpoint: Endpoint, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo  # not every resolver knows the names below localhost

    def resolve(host: str, *more: object, **options: object) -> object:
        return real("127.0.0.1" if str(host).endswith("localhost") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    how = {**settings.boto(endpoint), "endpoint_url": endpoint.url.replace("127.0.0.1", "localhost")}
    virtual = Config(s3={"addressing_style": "virtual"}, signature_version="s3v4")
    with closing(boto3.client("s3", **how, config=virtual)) as s3:
        assert (
            s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
            .split("/")[2]
            .startswith(bucket)
        )
        for key in ODD_KEYS:
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        s3.upload_fileobj(io.BytesIO(content(9 * MIB)), bucket, "big")
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "big"})
        found = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert {item["Key"] for item in found} == {*ODD_KEYS, "big", "copy"}
        assert bucket in {item["Name"] for item in s3.list_buckets()["Buckets"]}
