"""Bodies in the framing aws-chunked, signed and not, and in HTTP's own chunks."""

import hashlib
import hmac
from dataclasses import dataclass, field

import pytest

from tests.s3api.conformance.wire import Wire, refused
from tests.s3api.conftest import Reply, Server

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass
class Chain:
    """Signs chunks as a client does, from the signature of the request on."""

    server: Server
    headers: dict[str, str]
    last: str = field(default="")

    def __post_init__(self) -> None:
        fields = dict(part.strip().split("=", 1) for part in self.headers["Authorization"].split(" ", 1)[1].split(","))
        self.last = fields["Signature"]
        self.scope = fields["Credential"].split("/", 1)[1]
        key = f"AWS4{self.server.secret}".encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        self.key = key

    def sign(self, kind: str, *digests: str) -> str:
        lines = [f"AWS4-HMAC-SHA256-{kind}", self.headers["X-Amz-Date"], self.scope, self.last, *digests]
        self.last = hmac.digest(self.key, "\n".join(lines).encode(), "sha256").hex()
        return self.last

    def chunk(self, data: bytes) -> bytes:
        signature = self.sign("PAYLOAD", EMPTY, hashlib.sha256(data).hexdigest())
        return f"{len(data):x};chunk-signature={signature}\r\n".encode() + data + (b"\r\n" if data else b"")

    def trailer(self, line: str) -> bytes:
        signature = self.sign("TRAILER", hashlib.sha256(f"{line}\n".encode()).hexdigest())
        return f"{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()


def put(
    wire: Wire, path: str, chunks: list[bytes], *, trailer: str = "", spoil: tuple[bytes, bytes] = (b"", b"")
) -> Reply:
    """Put a signed stream; `spoil` is replaced in what is sent."""
    payload = SIGNED_TRAILER if trailer else SIGNED
    sent = {"x-amz-decoded-content-length": str(sum(map(len, chunks))), "Content-Encoding": "aws-chunked"}
    if trailer:
        sent["x-amz-trailer"] = trailer.partition(":")[0]
    headers = wire.server.sign("PUT", path, sent, payload=payload)
    chain = Chain(wire.server, headers)
    body = b"".join(chain.chunk(chunk) for chunk in [*chunks, b""])
    body += chain.trailer(trailer) if trailer else b"\r\n"
    return wire.send("PUT", path, body.replace(*spoil, 1) if spoil[0] else body, headers, sign=False)


@pytest.mark.parametrize("chunks", [[b"hello"], [b"hel", b"lo"], [], [b"x" * 65536, b"y" * 65536, b"z"], [b"1"] * 50])
def test_signed_chunks(wire: Wire, bucket: str, chunks: list[bytes]) -> None:
    assert put(wire, f"/{bucket}/k", chunks).status == 200
    got = wire.get(f"/{bucket}/k")
    assert (got.body, got.headers.get("content-encoding")) == (b"".join(chunks), None)


def test_signed_chunks_and_a_signed_trailer(wire: Wire, bucket: str) -> None:
    trailer = "x-amz-checksum-crc32:NhCmhg=="
    reply = put(wire, f"/{bucket}/k", [b"hel", b"lo"], trailer=trailer)
    assert (reply.status, reply.headers.get("x-amz-checksum-crc32")) == (200, "NhCmhg==")
    wrong = put(wire, f"/{bucket}/l", [b"hello"], trailer="x-amz-checksum-crc32:AAAAAA==")
    refused(wrong, 400, "BadDigest")


@pytest.mark.parametrize(
    ("spoil", "status", "code"),
    [
        ((b"hello", b"jello"), 403, "SignatureDoesNotMatch"),
        ((b";chunk-signature=", b";chunk-signature=0"), 403, "SignatureDoesNotMatch"),
        ((b";chunk-signature=", b";other="), 403, "SignatureDoesNotMatch"),
        ((b"x-amz-checksum-crc32:NhCmhg==", b"x-amz-checksum-crc32:AAAAAA=="), 403, "SignatureDoesNotMatch"),
        ((b"x-amz-trailer-signature:", b"x-amz-trailer-signature:0"), 403, "SignatureDoesNotMatch"),
    ],
)
def test_a_spoiled_chain_changes_nothing(
    wire: Wire, bucket: str, spoil: tuple[bytes, bytes], status: int, code: str
) -> None:
    reply = put(wire, f"/{bucket}/k", [b"hello"], trailer="x-amz-checksum-crc32:NhCmhg==", spoil=spoil)
    refused(reply, status, code)
    assert wire.head(f"/{bucket}/k").status == 404


@pytest.mark.parametrize("split", [(0, 5), (1, 4), (5, 0)])
def test_unsigned_chunks_with_extensions_and_upper_case(wire: Wire, bucket: str, split: tuple[int, int]) -> None:
    first, second = b"hello"[: split[0]], b"hello"[split[0] :]
    body = b"".join(f"{len(one):X}\r\n".encode() + one + b"\r\n" for one in (first, second) if one) + b"0\r\n\r\n"
    headers = {"x-amz-decoded-content-length": "5", "Content-Encoding": "aws-chunked"}
    assert wire.send("PUT", f"/{bucket}/k", body, headers, payload=UNSIGNED_TRAILER).status == 200
    assert wire.get(f"/{bucket}/k").body == b"hello"


@pytest.mark.parametrize(
    ("body", "length", "status", "code"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", "6", 400, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\n", "4", 400, "IncompleteBody"),
        (b"5\r\nhello\r\n", "5", 400, "IncompleteBody"),
        (b"5\r\nhel", "5", 400, "IncompleteBody"),
        (b"", "0", 400, "IncompleteBody"),
        (b"hello", "5", 400, "IncompleteBody"),
        (b"6\r\nhello\r\n0\r\n\r\n", "5", 400, "IncompleteBody"),
        (b"4\r\nhello\r\n0\r\n\r\n", "5", 400, "InvalidRequest"),
        (b"-5\r\nhello\r\n0\r\n\r\n", "5", 400, "InvalidRequest"),
        (b"5\r\nhello\r\n0\r\n\r\nmore", "5", 400, "InvalidRequest"),
        (b"5\r\nhello\r\n0\r\n\r\n", "five", 400, "InvalidArgument"),
        (b"5\r\nhello\r\n0\r\n\r\n", "-5", 400, "InvalidArgument"),
        (b"5\r\nhello\r\n0\r\n\r\n", None, 411, "MissingContentLength"),
        (b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "5", 400, "IncompleteBody"),
        (b"5" + b"x" * 3000 + b"\r\nhello\r\n0\r\n\r\n", "5", 400, "InvalidRequest"),
    ],
    ids=range(15),
)
def test_broken_framing_changes_nothing(
    wire: Wire, bucket: str, body: bytes, length: str | None, status: int, code: str
) -> None:
    headers = {"x-amz-decoded-content-length": length} if length is not None else {}
    reply = wire.send("PUT", f"/{bucket}/k", body, headers, payload=UNSIGNED_TRAILER)
    refused(reply, status, code)
    assert wire.head(f"/{bucket}/k").status == 404


def test_http_chunks_around_aws_chunks(wire: Wire, server: Server, bucket: str) -> None:
    path = f"/{bucket}/k"
    sent = {"x-amz-decoded-content-length": "5", "x-amz-trailer": "x-amz-checksum-crc32"}
    headers = server.sign("PUT", path, sent, payload=UNSIGNED_TRAILER) | {"Transfer-Encoding": "chunked"}
    inner = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    outer = (
        b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in (inner[:7], inner[7:])) + b"0\r\n\r\n"
    )
    with server.socket() as sock:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sock.sendall(f"PUT {path} HTTP/1.1\r\n{head}\r\n".encode() + outer)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    assert wire.get(path).body == b"hello"


@pytest.mark.parametrize(
    "payload", ["STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"]
)
def test_streams_signed_with_key_pairs(wire: Wire, bucket: str, payload: str) -> None:
    headers = {"x-amz-decoded-content-length": "0"}
    refused(wire.send("PUT", f"/{bucket}/k", b"", headers, payload=payload), 501, "NotImplemented")


def test_parts_come_in_chunks_too(wire: Wire, bucket: str) -> None:
    from tests.s3api.conformance.uploads import begin

    upload = begin(wire, f"/{bucket}/k")
    reply = put(wire, f"{upload.path}?partNumber=1&uploadId={upload.id}", [b"hel", b"lo"])
    upload.tags[1] = reply.headers["etag"]
    assert upload.complete().status == 200
    assert wire.get(upload.path).body == b"hello"
