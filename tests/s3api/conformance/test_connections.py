"""Connections: Expect, keep-alive, requests behind one another, bodies that nobody reads."""

import socket

import pytest

from tests.s3api.conformance.wire import Wire
from tests.s3api.conftest import Server


def head_of(method: str, path: str, headers: dict[str, str]) -> bytes:
    return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{n}: {v}\r\n" for n, v in headers.items()), "\r\n"]).encode()


def until(sock: socket.socket, end: bytes) -> bytes:
    """Receive until something has come, or the connection ends."""
    got = b""
    while end not in got:
        more = sock.recv(65536)
        if not more:
            break
        got += more
    return got


@pytest.fixture
def put(server: Server, bucket: str) -> dict[str, str]:
    return server.sign("PUT", f"/{bucket}/k", {}) | {"Content-Length": "5"}


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_continue_is_said_at_once(wire: Wire, server: Server, bucket: str, put: dict[str, str], value: str) -> None:
    with server.socket() as sock:
        sock.sendall(head_of("PUT", f"/{bucket}/k", {**put, "Expect": value}))
        assert until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert wire.get(f"/{bucket}/k").body == b"hello"


def test_a_body_may_come_without_waiting(server: Server, bucket: str, put: dict[str, str]) -> None:
    with server.socket() as sock:
        sock.sendall(head_of("PUT", f"/{bucket}/k", {**put, "Expect": "100-continue"}) + b"hello")
        got = until(sock, b"x-amz-version-id")
        assert got.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_what_is_refused_is_not_asked_for_its_body(server: Server, put: dict[str, str]) -> None:
    with server.socket() as sock:
        sock.sendall(head_of("PUT", "/nobody-has-this/k", {**put, "Expect": "100-continue"}))
        assert until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 403")  # signed for another path


def test_requests_behind_one_another_are_answered_in_order(server: Server, bucket: str, put: dict[str, str]) -> None:
    get = server.sign("GET", f"/{bucket}/k", {})
    gone = server.sign("GET", f"/{bucket}/none", {})
    with server.socket() as sock:
        sock.sendall(
            head_of("PUT", f"/{bucket}/k", put)
            + b"hello"
            + head_of("GET", f"/{bucket}/none", gone)
            + head_of("GET", f"/{bucket}/k", get)
        )
        got = until(sock, b"\r\n\r\nhello")
    first, second, third = (part.split(b" ", 1)[0] for part in got.split(b"HTTP/1.1 ")[1:])
    assert (first, second, third) == (b"200", b"404", b"200")
    assert got.endswith(b"hello")


def test_a_refused_body_is_passed_over(server: Server, bucket: str, put: dict[str, str]) -> None:
    spoiled = {**put, "Content-Length": str(300_000), "Authorization": put["Authorization"][:-4] + "0000"}
    get = server.sign("GET", f"/{bucket}", {})
    with server.socket() as sock:
        sock.sendall(head_of("PUT", f"/{bucket}/k", spoiled))
        for _ in range(3):
            sock.sendall(b"x" * 100_000)
        sock.sendall(head_of("GET", f"/{bucket}", get))
        got = until(sock, b"</ListBucketResult>")
    assert got.startswith(b"HTTP/1.1 403")
    assert b"HTTP/1.1 200" in got


@pytest.mark.parametrize(("version", "header"), [("1.1", "Connection: close\r\n"), ("1.0", "")])
def test_connections_that_are_to_end(server: Server, bucket: str, version: str, header: str) -> None:
    headers = server.sign("GET", f"/{bucket}", {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with server.socket() as sock:
        sock.sendall(f"GET /{bucket} HTTP/{version}\r\n{lines}{header}\r\n".encode())
        got = until(sock, b"no such end")
    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(b"</ListBucketResult>")


def test_one_connection_for_everything(wire: Wire, bucket: str) -> None:
    before = wire.opened
    for number in range(10):
        wire.put(f"/{bucket}/k", b"x" * number)
        wire.head(f"/{bucket}/k")
        wire.get(f"/{bucket}/k", {"If-None-Match": "*"})
        wire.get(f"/{bucket}/none")
        wire.delete(f"/{bucket}/k")
    assert wire.opened == before


OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}


@pytest.mark.parametrize("size", [0, 5, 300_000, 6 << 20])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_of_another_protocol_is_passed_over(
    wire: Wire, server: Server, bucket: str, size: int, chunked: bool
) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    headers = server.sign("PUT", f"/{bucket}/k", {}) | OFFER
    headers |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
    body = (b"%x\r\n%s\r\n" % (size, data) if size else b"") + b"0\r\n\r\n" if chunked else data
    get = head_of("GET", f"/{bucket}", server.sign("GET", f"/{bucket}", {}) | OFFER)
    with server.socket() as sock:
        sock.sendall(head_of("PUT", f"/{bucket}/k", headers) + body + get + get)
        got = until(sock, b"</ListBucketResult>")
        got += until(sock, b"</ListBucketResult>") if got.count(b"</ListBucketResult>") < 2 else b""
    assert got.count(b"HTTP/1.1 200 OK") == 3, got[:2000]
    assert wire.get(f"/{bucket}/k").body == data


def test_a_tunnel_is_refused_and_the_connection_goes_on(server: Server, bucket: str) -> None:
    get = head_of("GET", f"/{bucket}", server.sign("GET", f"/{bucket}", {}))
    with server.socket() as sock:
        sock.sendall(b"CONNECT /b HTTP/1.1\r\nHost: x\r\n\r\n" + get)
        got = until(sock, b"</ListBucketResult>")
    assert got.startswith(b"HTTP/1.1 501")
    assert b"HTTP/1.1 200" in got


def test_header_names_of_any_case(server: Server, bucket: str) -> None:
    headers = server.sign("GET", f"/{bucket}", {})
    for change in (str.lower, str.upper):
        with server.socket() as sock:
            sent = {change(name): value for name, value in headers.items()}
            sock.sendall(head_of("GET", f"/{bucket}", {**sent, "Connection": "close"}))
            assert until(sock, b"no such end").startswith(b"HTTP/1.1 200")


def test_any_number_of_offers_behind_one_another(server: Server, bucket: str) -> None:
    get = head_of("HEAD", "/", {"Host": "x", "Connection": "Upgrade", "Upgrade": "h2c"})
    with server.socket() as sock:
        sock.sendall(get * 1500)
        got = b""
        while got.count(b"HTTP/1.1 405") < 1500:
            more = sock.recv(1 << 16)
            assert more, len(got)
            got += more
