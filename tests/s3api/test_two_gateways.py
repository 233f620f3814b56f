"""Two gateways on one store: all state is in the store, so they act as one."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import pfs
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.s3api.conftest import running

EACH = 3


@pytest.fixture
def clients(home: Store) -> Iterator[list[BaseClient]]:
    """Clients of two gateways, each gateway with a store of its own on the same folder."""
    home.create_repo("r")
    with ExitStack() as stack:
        stores = [stack.enter_context(pfs.open(home.path)) for _ in range(2)]
        servers = [stack.enter_context(running(store)) for store in stores]
        yield [stack.enter_context(closing(server.client())) for server in servers for _ in range(EACH)]


def in_parallel(clients: list[BaseClient], work: object) -> list[object]:
    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(work, range(len(clients))))  # type: ignore[arg-type]  # a function of the client's number


def test_one_creator_wins(clients: list[BaseClient]) -> None:
    def create(number: int) -> list[int]:
        won = []
        for key in range(4):
            try:
                clients[number].put_object(Bucket="r", Key=str(key), Body=str(number).encode(), IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
            else:
                won.append(key)
        return won

    won = in_parallel(clients, create)
    for key in range(4):
        winners = [number for number, keys in enumerate(won) if key in keys]  # type: ignore[operator]
        assert len(winners) == 1
        assert clients[0].get_object(Bucket="r", Key=str(key))["Body"].read() == str(winners[0]).encode()


def test_every_acknowledged_write_is_a_version(clients: list[BaseClient], home: Store) -> None:
    def write(number: int) -> list[tuple[str, bytes]]:
        done = []
        for turn in range(5):
            body = f"{number}/{turn}".encode()
            done.append((clients[number].put_object(Bucket="r", Key="same", Body=body)["VersionId"], body))
            clients[number].put_object(Bucket="r", Key=f"own{number}", Body=body)
        return done

    for versions in in_parallel(clients, write):
        for version, body in versions:  # type: ignore[attr-defined]
            assert clients[-1].get_object(Bucket="r", Key="same", VersionId=version)["Body"].read() == body
    assert clients[0].list_objects_v2(Bucket="r")["KeyCount"] == 1 + len(clients)
    assert list(fsck(home, deep=True)) == []


def test_compare_and_set_counts_right(clients: list[BaseClient]) -> None:
    clients[0].put_object(Bucket="r", Key="counter", Body=b"0")

    def increment(number: int) -> int:
        done = 0
        while done < 4:
            got = clients[number].get_object(Bucket="r", Key="counter")
            body = str(int(got["Body"].read()) + 1).encode()
            try:
                clients[number].put_object(Bucket="r", Key="counter", Body=body, IfMatch=got["ETag"])
                done += 1
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
        return done

    in_parallel(clients, increment)
    assert clients[-1].get_object(Bucket="r", Key="counter")["Body"].read() == str(4 * len(clients)).encode()


def test_an_upload_through_both(clients: list[BaseClient]) -> None:
    one, other = clients[0], clients[-1]
    upload_id = one.create_multipart_upload(Bucket="r", Key="k")["UploadId"]
    parts = {1: os.urandom(5 << 20), 2: b"end"}
    listed = []
    for client, (number, data) in zip((other, one), parts.items(), strict=True):
        tag = client.upload_part(Bucket="r", Key="k", UploadId=upload_id, PartNumber=number, Body=data)["ETag"]
        listed.append({"PartNumber": number, "ETag": tag})
    other.complete_multipart_upload(Bucket="r", Key="k", UploadId=upload_id, MultipartUpload={"Parts": listed})
    assert one.get_object(Bucket="r", Key="k")["Body"].read() == b"".join(parts.values())
