"""The server itself: HTTPS, draining, addresses that are taken, certificates that are not there."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import pfs
from pfs.errors import InvalidInputError, StorageError
from pfs.keys import Key, Keys
from pfs.store import Store
from s3api.gateway import Gateway
from s3api.http.server import DRAIN_S, Listen, serve
from tests.s3api.certificates import certificate
from tests.s3api.conftest import Server, running


@contextmanager
def over_https(store: Store, folder: Path) -> Iterator[BaseClient]:
    cert, key_file = certificate(folder)
    stop, bound, ports = threading.Event(), threading.Event(), list[int]()

    def on_bound(host: str, port: int) -> None:
        ports.append(port)
        bound.set()

    gateway = Gateway(store, Keys(store))
    listen = Listen(port=0, tls_cert=cert, tls_key=key_file)
    thread = threading.Thread(target=serve, args=(gateway, listen), kwargs={"stop": stop, "on_bound": on_bound})
    thread.start()
    client = None
    try:
        assert bound.wait(30)
        key, secret = Keys(store).root()
        client = boto3.client(
            "s3",
            endpoint_url=f"https://127.0.0.1:{ports[0]}",
            verify=str(cert),
            aws_access_key_id=key.access_key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield client
    finally:
        stop.set()
        thread.join()
        if client is not None:
            client.close()


def test_https_where_boto3_streams_with_trailers(home: Store, tmp_path: Path) -> None:
    with over_https(home, tmp_path) as client:
        client.create_bucket(Bucket="b")
        for size in (0, 5, 3 << 20):
            data = os.urandom(size)
            client.put_object(Bucket="b", Key="k", Body=data, ContentEncoding="gzip", ChecksumAlgorithm="CRC64NVME")
            got = client.get_object(Bucket="b", Key="k", ChecksumMode="ENABLED")
            assert got["Body"].read() == data
            assert got["ContentEncoding"] == "gzip"
            assert got["ChecksumCRC64NVME"]
        upload = client.create_multipart_upload(Bucket="b", Key="parts")["UploadId"]
        place = {"Bucket": "b", "Key": "parts", "UploadId": upload}
        etag = client.upload_part(**place, PartNumber=1, Body=b"1")["ETag"]
        done = client.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        assert done["Location"] == f"{client.meta.endpoint_url}/b/parts"
        client.upload_file(__file__, "b", "file")
        assert client.get_object(Bucket="b", Key="file")["Body"].read() == Path(__file__).read_bytes()


def test_virtual_host_style(home: Store) -> None:
    home.create_repo("images")
    with running(home, domains=["s3.test"]) as server:
        host = {"Host": "images.s3.test:80"}
        assert server.request("PUT", "/dir/k", body=b"1", headers=host).status == 200
        assert server.request("GET", "/images/dir/k").body == b"1"
        assert b"<Key>dir/k</Key>" in server.request("GET", "/", headers=host).body
        assert b"<Name>images</Name>" in server.request("GET", "/", headers={"Host": "s3.test"}).body


def test_an_idle_client_does_not_hold_up_the_end(home: Store, tmp_path: Path) -> None:
    with over_https(home, tmp_path) as client:
        client.create_bucket(Bucket="b")  # its connection stays in the pool until after the end
        started = time.monotonic()
    assert time.monotonic() - started < DRAIN_S


def test_an_address_that_is_taken(home: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, closing(Gateway(home, Keys(home))) as gateway:
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match=f"listen on 127.0.0.1:{port}"):
            serve(gateway, Listen(port=port), stop=threading.Event())


def test_a_certificate_that_is_not_there(home: Store, tmp_path: Path) -> None:
    listen = Listen(port=0, tls_cert=tmp_path / "no.pem", tls_key=tmp_path / "no.key")
    with pytest.raises(InvalidInputError, match=r"no\.pem"):
        serve(Gateway(home, Keys(home)), listen, stop=threading.Event())


def test_a_request_under_way_ends_before_the_server(home: Store) -> None:
    home.create_repo("r")
    with running(home) as server:
        headers = server.sign("PUT", "/r/k", {}) | {"Content-Length": "10", "Expect": "100-continue"}
        sock = socket.create_connection(server.address, timeout=30)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join(["PUT /r/k HTTP/1.1", *lines, "", ""]).encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        stopper = threading.Timer(0.3, lambda: sock.sendall(b"0123456789"))
        stopper.start()
    with sock:
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    stopper.join()
    assert home.repo("r")["master"].read("/k") == b"0123456789"


def begun(server: Server, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> socket.socket:
    """Send a request, take the first of the answer to a GET, and then nothing."""
    lines = [f"{name}: {value}" for name, value in (server.sign(method, path, {}) | headers).items()]
    sock = socket.create_connection(server.address, timeout=30)
    sock.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)
    if method == "GET":
        assert sock.recv(16).startswith(b"HTTP/1.1 200")
    return sock


def test_requests_that_do_not_end_are_cut_quietly(
    home: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("s3api.http.server.DRAIN_S", 1)
    with home.create_repo("r").commit("master") as commit:
        commit.put_file("/big", os.urandom(32 << 20))
    with running(home) as server:
        put = begun(server, "PUT", "/r/k", {"Content-Length": str(9 << 20)}, os.urandom(5 << 20))
        get = begun(server, "GET", "/r/big", {})
        started = time.monotonic()
    assert time.monotonic() - started < 8
    with get, put:
        assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == [
            "2 requests had not ended 1 s after the stop and were cut"
        ]
    assert not any(record.exc_info for record in caplog.records)


PROGRAM = """
import sys, threading
import pfs
from pfs.keys import Keys
from s3api.gateway import Gateway
from s3api.http.server import Listen, serve
stop = threading.Event()
with pfs.open(sys.argv[1]) as store:
    serve(Gateway(store, Keys(store)), Listen(port=0), stop=stop, on_bound=lambda h, p: print(p, flush=True))
"""


def put_until_the_end(client: BaseClient, first: int, acknowledged: list[int]) -> None:
    """Put numbered objects, noting those that were acknowledged, until the server is gone."""
    with closing(client), suppress(BotoCoreError, ClientError):
        for number in count(first):
            client.put_object(Bucket="r", Key=str(number), Body=str(number).encode() * 100)
            acknowledged.append(number)


def test_killed_while_writing_keeps_every_acknowledged_object(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        key, secret = Keys(store).root()
        store.create_repo("r")
    acknowledged = list[int]()
    for round_no in range(3):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            firsts = [(round_no * 4 + writer) * 1_000_000 for writer in range(4)]
            clients = [plain_client(url, key, secret) for _ in firsts]
            work = [
                threading.Thread(target=put_until_the_end, args=(client, first, acknowledged))
                for client, first in zip(clients, firsts, strict=True)
            ]
            enough = len(acknowledged) + 15 + 17 * round_no
            for thread in work:
                thread.start()
            while len(acknowledged) < enough and any(thread.is_alive() for thread in work):
                work[0].join(0.001)
            process.kill()
            for thread in work:
                thread.join()
    assert len(acknowledged) >= 90
    with pfs.open(tmp_path) as store:
        view = store.repo("r")["master"]
        for number in acknowledged:
            assert view.read(f"/{number}") == str(number).encode() * 100


def plain_client(url: str, key: Key, secret: str) -> BaseClient:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )
