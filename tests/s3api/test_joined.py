"""The head of an answer goes with its body."""

import asyncio
import socket
from contextlib import closing

import pytest

from s3api.http.joined import SMALL_BYTES, Joined
from tests.s3api.conftest import Server


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = list[bytes]()
        self.closed_at: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed_at = len(self.writes)


@pytest.mark.parametrize(
    ("pieces", "writes"),
    [
        ([b"head", b"body"], [b"headbody"]),
        ([b"head", memoryview(b"body"), b"more"], [b"headbody", b"more"]),
        ([b"head", b""], [b"head"]),
        (
            [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200", b"x"],
            [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200x"],
        ),
        ([b"head", bytes(SMALL_BYTES + 1)], [b"head", bytes(SMALL_BYTES + 1)]),
        ([b"head"], []),
    ],
)
def test_what_is_written(pieces: list[bytes], writes: list[bytes]) -> None:
    transport = Written()
    joined = Joined(transport)
    for piece in pieces:
        joined.write(piece)
    assert transport.writes == writes


def test_a_head_without_body_goes_at_the_end_and_before_the_close() -> None:
    for end in ("flush", "close"):
        transport = Written()
        joined = Joined(transport)
        joined.write(b"head")
        getattr(joined, end)()
        joined.flush()
        assert transport.writes == [b"head"]
        assert transport.closed_at == (1 if end == "close" else None)


@pytest.mark.parametrize(("method", "body"), [("GET", b"small"), ("HEAD", b"")])
def test_a_small_answer_comes_in_one_piece(server: Server, bucket: str, method: str, body: bytes) -> None:
    path = f"/{bucket}/k"
    assert server.request("PUT", path, body=b"small").status == 200
    head = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in server.sign(method, path, {}).items())]
    with closing(socket.create_connection(server.address, timeout=30)) as connection:
        for _ in range(3):
            connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
            answer = connection.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n\r\n" + body)
