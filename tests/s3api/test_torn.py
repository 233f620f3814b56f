"""Uploads that end too early, come slowly, or meet the end of the server: whole objects or none, and nothing is left.

What is left of a torn upload is collected; so after a collection the packs are those of the objects that are there.
"""

import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pfs.keys import Keys
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.s3api.conformance.uploads import PART, Upload, begin
from tests.s3api.conformance.wire import Wire, texts
from tests.s3api.conftest import Server, running
from tests.s3api.processes import Process, gateway_process

MIB = 1 << 20
BODY = os.urandom(9 * MIB + 123)
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def pack_bytes(store: Store) -> int:
    """Return what packs hold once everything is collected that nothing leads to."""
    store.collect()
    return sum(entry.size for entry in store.backend.entries("packs/"))


def plain(body: bytes) -> tuple[dict[str, str], str, bytes]:
    return {"Content-Length": str(len(body))}, "UNSIGNED-PAYLOAD", body


def chunked(body: bytes) -> tuple[dict[str, str], str, bytes]:
    return {"Transfer-Encoding": "chunked"}, "UNSIGNED-PAYLOAD", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def framed(body: bytes) -> tuple[dict[str, str], str, bytes]:
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    headers = {"Content-Length": str(len(data)), "x-amz-decoded-content-length": str(len(body))}
    return headers, TRAILER, data


Framing = Callable[[bytes], tuple[dict[str, str], str, bytes]]


def head_of(server: Server, path: str, headers: dict[str, str], payload: str) -> bytes:
    framing = {name: headers.pop(name) for name in ("Content-Length", "Transfer-Encoding") if name in headers}
    lines = server.sign("PUT", path, headers, payload=payload) | framing
    return "".join([f"PUT {path} HTTP/1.1\r\n", *(f"{n}: {v}\r\n" for n, v in lines.items()), "\r\n"]).encode()


def reset(sock: socket.socket) -> None:
    """End a connection as a process that died ends it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("framing", [plain, chunked, framed])
def test_clients_that_go_in_the_middle(home: Store, framing: Framing) -> None:
    home.create_repo("r")
    headers, payload, data = framing(BODY)
    with running(home) as server, closing(Wire(server)) as wire:
        wire.put("/r/old", b"old")
        before = pack_bytes(home)
        upload = begin(wire, "/r/parts")
        for path in ("/r/new", "/r/old", f"/r/parts?partNumber=1&uploadId={upload.id}"):
            for number, cut in enumerate((0, 1, 100_000, MIB, 5 * MIB, len(data) - 1)):
                sock = server.socket()
                sock.sendall(head_of(server, path, dict(headers), payload) + data[:cut])
                if number % 2:
                    reset(sock)
                else:
                    sock.close()
        assert wire.head("/r/new").status == 404
        assert wire.get("/r/old").body == b"old"
        assert texts(upload.parts(), "Part") == []
        upload.abort()
    assert pack_bytes(home) == before
    assert list(fsck(home, deep=True)) == []


@pytest.mark.parametrize("framing", [plain, chunked, framed])
def test_a_client_that_sends_byte_by_byte(home: Store, framing: Framing) -> None:
    home.create_repo("r")
    headers, payload, data = framing(BODY[:200])
    with running(home) as server, closing(Wire(server)) as wire, server.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = head_of(server, "/r/k", headers, payload) + data
        for at in range(len(message)):
            sock.sendall(message[at : at + 1])
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        assert wire.get("/r/k").body == BODY[:200]


@contextmanager
def serving(home: Store, log: Path) -> Iterator[tuple[Process, Server]]:
    """Serve a store by a process that can be killed."""
    keys = Keys(home)
    with gateway_process(home.path, log) as process:
        yield process, Server(home, keys, process.url, *keys.root())


def half_sent(server: Server, path: str) -> socket.socket:
    """Send half of a body once the server waits for it."""
    sock = server.socket()
    sock.sendall(
        head_of(server, path, {"Expect": "100-continue", "Content-Length": str(len(BODY))}, "UNSIGNED-PAYLOAD")
    )
    assert sock.recv(100).startswith(b"HTTP/1.1 100")
    sock.sendall(BODY[: len(BODY) // 2])
    return sock


def test_a_server_that_is_killed_in_the_middle(home: Store, tmp_path: Path) -> None:
    home.create_repo("r")
    with serving(home, tmp_path / "log") as (process, server), closing(Wire(server)) as wire:
        wire.put("/r/old", b"old")
        upload = begin(wire, "/r/parts")
        upload.put(2, b"kept")
        paths = ("/r/new", "/r/old", f"/r/parts?partNumber=1&uploadId={upload.id}")
        torn = [half_sent(server, path) for path in paths]
        process.kill()
        for sock in torn:
            sock.close()
    with serving(home, tmp_path / "log") as (process, server), closing(Wire(server)) as wire:
        assert wire.head("/r/new").status == 404
        assert wire.get("/r/old").body == b"old"
        again = Upload(wire, upload.path, upload.id, upload.tags)
        assert texts(again.parts(), "Part/PartNumber") == ["2"]
        assert again.complete().status == 200
        assert wire.get("/r/parts").body == b"kept"
    assert pack_bytes(home) < MIB
    assert list(fsck(home, deep=True)) == []


def test_a_server_that_is_killed_while_an_upload_is_completed(home: Store, tmp_path: Path) -> None:
    """The object is there whole or not at all; the client asks again, and then it is there."""
    home.create_repo("r")
    for turn in range(3):
        path = f"/r/k{turn}"
        with serving(home, tmp_path / "log") as (process, server), closing(Wire(server)) as wire:
            upload = begin(wire, path)
            upload.put(1, PART)
            upload.put(2, b"%d" % turn)
            body = "".join(
                f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in upload.tags.items()
            )
            body = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>"
            target = f"{path}?uploadId={upload.id}"
            lines = server.sign("POST", target, {}) | {"Content-Length": str(len(body))}
            with server.socket() as sock:
                head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
                sock.sendall(f"POST {target} HTTP/1.1\r\n{head}\r\n{body}".encode())
                for _ in range(2 * turn):
                    wire.head("/r")  # a while that is longer each time
                process.kill()
        with serving(home, tmp_path / "log") as (process, server), closing(Wire(server)) as wire:
            found = wire.get(path)
            assert found.status == 404 or found.body == PART + b"%d" % turn
            again = Upload(wire, path, upload.id, upload.tags)
            assert again.complete().status == 200
            assert wire.get(path).body == PART + b"%d" % turn
            assert texts(wire.get("/r?uploads"), "Upload") == []
    assert list(fsck(home, deep=True)) == []


CLIENT = """
import itertools, os, random, sys
import boto3
from boto3.s3.transfer import TransferConfig
url, key, secret, seed = sys.argv[1:]
client = boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret,
                      region_name="us-east-1")
for number in itertools.count():
    size = (200_000, 11 << 20)[number % 2]
    data = random.Random(f"{seed}/{number}").randbytes(size)
    import io
    client.upload_fileobj(io.BytesIO(data), "r", f"{seed}/{number}", Config=TransferConfig(multipart_chunksize=5 << 20))
    print(number, flush=True)
"""


def test_clients_that_are_killed(home: Store, tmp_path: Path) -> None:
    home.create_repo("r")
    with serving(home, tmp_path / "log") as (_, server), closing(Wire(server)) as wire:
        arguments = [server.url, server.key.access_key, server.secret]
        command = [sys.executable, "-c", CLIENT, *arguments]
        clients = [subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True) for seed in range(3)]
        acknowledged = [0] * len(clients)
        for seed, client in enumerate(clients):
            assert client.stdout is not None
            for _ in range(2 + seed):
                acknowledged[seed] = int(client.stdout.readline()) + 1
            client.kill()
            acknowledged[seed] += len(client.stdout.readlines())
            client.stdout.close()
            client.wait()
        keys = texts(wire.get("/r"), "Contents/Key")
        for seed, count in enumerate(acknowledged):
            assert {f"{seed}/{number}" for number in range(count)} <= set(keys)
        sizes = 0
        for key in keys:
            number = int(key.partition("/")[2])
            data = random.Random(key).randbytes((200_000, 11 << 20)[number % 2])
            assert wire.get(f"/r/{key}").body == data
            sizes += len(data)
        uploads = wire.get("/r?uploads")
        for key, upload_id in zip(texts(uploads, "Upload/Key"), texts(uploads, "Upload/UploadId"), strict=True):
            assert Upload(wire, f"/r/{key}", upload_id).abort().status == 204
    seams = sum(1 for key in keys if int(key.partition("/")[2]) % 2)
    assert sizes <= pack_bytes(home) < sizes + (1 + seams) * MIB
    assert list(fsck(home, deep=True)) == []
