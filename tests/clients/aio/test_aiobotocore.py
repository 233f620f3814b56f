"""aiobotocore: many requests at once on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiobotocore.client import AioBaseClient
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from tests.clients import settings
from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("aiobotocore")


@asynccontextmanager
async def connect(endpoint: Endpoint, *, reader: bool = False) -> AsyncIterator[AioBaseClient]:
    async with get_session().create_client("s3", **settings.boto(endpoint, reader=reader)) as client:
        yield client


async def get(s3: AioBaseClient, bucket: str, key: str, **more: str) -> bytes:
    answer = await s3.get_object(Bucket=bucket, Key=key, **more)
    async with answer["Body"] as body:
        found: bytes = await body.read()
        return found


def test_many_at_once(endpoint: Endpoint, bucket: str) -> None:
    async def go() -> None:
        async with connect(endpoint) as s3:
            data = {**{key: key.encode() for key in ODD_KEYS}, **{key: content(size) for key, size in SIZES.items()}}
            await asyncio.gather(*(s3.put_object(Bucket=bucket, Key=key, Body=body) for key, body in data.items()))
            found = await asyncio.gather(*(get(s3, bucket, key) for key in data))
            assert dict(zip(data, found, strict=True)) == data
            assert len({(await s3.head_object(Bucket=bucket, Key=key))["VersionId"] for key in data}) >= 1
            await asyncio.gather(*(s3.delete_object(Bucket=bucket, Key=key) for key in data))
            assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0

    asyncio.run(go())


def test_one_of_many_creates_a_key(endpoint: Endpoint, bucket: str) -> None:
    async def go() -> None:
        async with connect(endpoint) as s3:
            puts = (s3.put_object(Bucket=bucket, Key="k", Body=str(n).encode(), IfNoneMatch="*") for n in range(32))
            answers = await asyncio.gather(*puts, return_exceptions=True)
            won = [number for number, answer in enumerate(answers) if isinstance(answer, dict)]
            lost = [answer for answer in answers if isinstance(answer, ClientError)]
            assert (len(won), len(lost)) == (1, 31)
            assert {answer.response["Error"]["Code"] for answer in lost} <= {"PreconditionFailed"}
            assert await get(s3, bucket, "k") == str(won[0]).encode()

    asyncio.run(go())


def test_pages_and_ranges(endpoint: Endpoint) -> None:
    async def go() -> None:
        async with connect(endpoint) as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=endpoint.many)
            assert len([item async for page in pages for item in page["Contents"]]) == MANY
            starts = range(0, MIB, MIB // 16)
            ranges = (f"bytes={start}-{start + MIB // 16 - 1}" for start in starts)
            parts = await asyncio.gather(*(get(s3, endpoint.kept, "sub/big.bin", Range=text) for text in ranges))
            assert b"".join(parts) == KEPT["sub/big.bin"]

    asyncio.run(go())


def test_parts_in_any_order(endpoint: Endpoint, bucket: str) -> None:
    async def go() -> None:
        async with connect(endpoint) as s3:
            where = {"Bucket": bucket, "Key": "k"}
            parts = {1: content(5 * MIB, seed="1"), 2: content(6 * MIB, seed="2"), 3: b"end"}
            for ending in ("abort", "complete"):
                upload = {**where, "UploadId": (await s3.create_multipart_upload(**where))["UploadId"]}
                tags = await asyncio.gather(
                    *(s3.upload_part(**upload, PartNumber=n, Body=parts[n]) for n in sorted(parts, reverse=True))
                )
                named = [
                    {"PartNumber": n, "ETag": tag["ETag"]}
                    for n, tag in zip(sorted(parts, reverse=True), tags, strict=True)
                ]
                if ending == "abort":
                    await s3.abort_multipart_upload(**upload)
                    with pytest.raises(ClientError, match="NoSuchKey"):
                        await s3.get_object(**where)
                else:
                    await s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named[::-1]})
            assert await get(s3, bucket, "k") == b"".join(parts.values())

    asyncio.run(go())
    assert endpoint.uploads(bucket) == []


def test_refusals(endpoint: Endpoint, bucket: str) -> None:
    async def go() -> None:
        async with AsyncExitStack() as stack:
            s3 = await stack.enter_async_context(connect(endpoint))
            reader = await stack.enter_async_context(connect(endpoint, reader=True))
            with pytest.raises(ClientError, match="NoSuchKey"):
                await s3.get_object(Bucket=bucket, Key="no")
            with pytest.raises(ClientError, match="NoSuchBucket"):
                await s3.get_object(Bucket="no-such-bucket", Key="no")
            for client, place in ((s3, endpoint.frozen), (reader, endpoint.kept)):
                with pytest.raises(ClientError, match="AccessDenied"):
                    await client.put_object(Bucket=place, Key="new", Body=content(MIB))
                with pytest.raises(ClientError, match="AccessDenied"):
                    await client.delete_object(Bucket=place, Key="kept.txt")

    asyncio.run(go())
