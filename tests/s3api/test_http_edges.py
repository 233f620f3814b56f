"""The HTTP below S3, byte by byte: what cannot be parsed, odd targets and hosts, and large bodies past the parser."""

import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

import pfs
from pfs.store import Store
from s3api.http.intake import LARGE_BYTES
from tests.s3api.certificates import certificate
from tests.s3api.conftest import Server, running

ANSWER = re.compile(rb"HTTP/1\.1 (\d\d\d)")


@pytest.fixture(scope="module", params=["http", "https"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("edges")
    with pfs.init(folder) as store:
        store.create_repo("r").create_branch("master")
        tls = certificate(folder) if request.param == "https" else None
        with running(store, tls=tls, domains=["s3.test", "other.test"]) as served:
            assert served.request("PUT", "/r/first", body=b"").status == 200
            yield served


def head(server: Server, line: str, headers: dict[str, str] | None = None, *, signed: str = "") -> bytes:
    """Return a head; ``signed`` is the path that the signature is for, else that of the line."""
    method, path = line.split(" ")[:2]
    sent = server.sign(method, signed or path, {}) | (headers or {})
    return "".join([f"{line}\r\n", *(f"{name}: {value}\r\n" for name, value in sent.items()), "\r\n"]).encode()


def last(server: Server) -> bytes:
    """Return a request after whose answer the connection ends."""
    return head(server, "GET /r?location HTTP/1.1", {"Connection": "close"})


def all_of(sock: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    got = b""
    while more := sock.recv(65536):
        got += more
    return got


def ask(server: Server, *parts: bytes) -> tuple[list[int], bytes]:
    """Send parts, one after the other, on a connection that ends by itself; return the statuses and all that came."""
    with server.socket() as sock:
        for part in parts:
            sock.sendall(part)
        got = all_of(sock)
    return [int(status) for status in ANSWER.findall(got)], got


def stored(server: Server, key: str) -> bytes:
    return server.store.repo("r")["master"].read(f"/{key}")


GARBAGE = {
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
    "TLS spoken to HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "no version": b"GET /r\r\n\r\n",
    "unknown method": b"FROB /r HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "no host": b"GET /r HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /r HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "raw UTF-8": "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a blank before the colon": b"GET /r HTTP/1.1\r\nHost: a\r\nx : 1\r\n\r\n",
    "a folded header": b"GET /r HTTP/1.1\r\nHost: a\r\nx: 1\r\n 2\r\n\r\n",
    "two lengths": b"PUT /r/k HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length and chunks": b"PUT /r/k HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a length below zero": b"PUT /r/k HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a length with a sign": b"PUT /r/k HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
    "a length beyond all": b"PUT /r/k HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "an encoding without chunks": b"PUT /r/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "a header that is too long": b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
    "an address that is too long": b"GET /?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_cannot_be_parsed_gets_a_400_in_xml(live: Server, what: str) -> None:
    with live.socket() as sock:
        sock.sendall(GARBAGE[what])
        answer = b""
        while b"</Error>" not in answer:
            more = sock.recv(65536)
            assert more, answer
            answer += more
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in answer
    assert b"content-type: application/xml" in answer
    assert b"<Code>BadRequest</Code>" in answer


def test_other_transfer_encodings_are_not_known(live: Server) -> None:
    put = head(live, "PUT /r/gz HTTP/1.1", {"Transfer-Encoding": "gzip, chunked"})
    statuses, got = ask(live, put, b"0\r\n\r\n", last(live))
    assert statuses == [501, 200]
    assert b"<Code>NotImplemented</Code>" in got


@pytest.mark.parametrize("sent", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloworld\r\n", b"-1\r\n"])
def test_chunks_that_are_none(live: Server, sent: bytes) -> None:
    statuses, _ = ask(live, head(live, "PUT /r/torn HTTP/1.1", {"Transfer-Encoding": "chunked"}), sent)
    assert statuses == [400]
    with pytest.raises(pfs.errors.PathNotFoundError):
        stored(live, "torn")


def test_what_follows_a_body_that_is_longer_than_announced(live: Server) -> None:
    statuses, got = ask(live, head(live, "PUT /r/longer HTTP/1.1", {"Content-Length": "3"}) + b"hello")
    assert statuses == [200]
    assert b"connection: close" in got
    assert stored(live, "longer") == b"hel"


@pytest.mark.parametrize("length", ["5497558138881", "9" * 19])
def test_a_body_beyond_what_an_object_may_have(live: Server, length: str) -> None:
    with live.socket() as sock:
        sock.sendall(head(live, "PUT /r/k HTTP/1.1", {"Content-Length": length, "Expect": "100-continue"}))
        got = all_of(sock)
    assert got.startswith(b"HTTP/1.1 400")
    assert b"<Code>EntityTooLarge</Code>" in got
    assert f"<ProposedSize>{length}</ProposedSize>".encode() in got


@pytest.mark.parametrize(
    "target", ["http://{host}/r?location", "HTTPS://{host}/r?location", "http://u:p@{host}/r?location"]
)
def test_a_full_address_as_target(live: Server, target: str) -> None:
    line = f"GET {target.format(host='{}:{}'.format(*live.address))} HTTP/1.1"
    for host in ({}, {"Host": "other"}):
        request = head(live, line, {"Connection": "close", **host}, signed="/r?location")
        statuses, got = ask(live, request)
        assert statuses == [200], got
        assert b"LocationConstraint" in got


def test_a_full_address_without_a_path(live: Server) -> None:
    line = "GET http://{}:{} HTTP/1.1".format(*live.address)
    statuses, got = ask(live, head(live, line, {"Connection": "close"}, signed="/"))
    assert statuses == [200]
    assert b"<Name>r</Name>" in got


@pytest.mark.parametrize(
    "host", ["r.s3.test", "r.S3.Test:80", "r.other.test.", "master.r.s3.test", "master.r.default.s3.test:443"]
)
def test_buckets_in_hosts(live: Server, host: str) -> None:
    signed = live.sign("PUT", "/virtual", {"Host": host})
    assert live.request("PUT", "/virtual", body=host.encode(), headers=signed, sign=False).status == 200
    assert stored(live, "virtual") == host.encode()


@pytest.mark.parametrize("host", ["", ":80", "[::1]:80", "s3.test", "S3.TEST:1", "s3.test.evil", "..", "a b", "ü"])
def test_hosts_that_name_no_bucket(live: Server, host: str) -> None:
    signed = live.sign("GET", "/r?location", {"Host": host.encode().decode("latin-1")})
    assert live.request("GET", "/r?location", headers=signed, sign=False).status in {200, 403}
    assert live.request("GET", "/r?location").status == 200


@pytest.mark.parametrize("upgrade", ["TLS/1.2", "h2c", "websocket"])
@pytest.mark.parametrize("size", [0, 5, LARGE_BYTES - 1, LARGE_BYTES, 3 << 20])
def test_an_upgrade_is_passed_over(live: Server, upgrade: str, size: int) -> None:
    body = os.urandom(size)
    asks = {"Connection": "Upgrade", "Upgrade": upgrade, "Content-Length": str(size)}
    statuses, _ = ask(live, head(live, "PUT /r/up HTTP/1.1", asks), body, last(live))
    assert statuses == [200, 200]
    assert stored(live, "up") == body
    chunked = {"Connection": "Upgrade", "Upgrade": upgrade, "Transfer-Encoding": "chunked"}
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if size else b"0\r\n\r\n"
    statuses, _ = ask(live, head(live, "PUT /r/up2 HTTP/1.1", chunked) + framed + last(live))
    assert statuses == [200, 200]
    assert stored(live, "up2") == body


# large bodies


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, (1 << 20) + 1, 5_000_000])
@pytest.mark.parametrize("cut", [0, 1, 100_000])
def test_large_bodies_however_they_come(live: Server, size: int, cut: int) -> None:
    body = os.urandom(size)
    put = head(live, "PUT /r/large HTTP/1.1", {"Content-Length": str(size)})
    get = head(live, "HEAD /r/large HTTP/1.1")
    statuses, got = ask(live, put + body[:cut], body[cut:] + get, put + body, get + last(live))
    assert statuses == [200, 200, 200, 200, 200]
    assert got.count(hashlib.md5(body).hexdigest().encode()) == 4
    assert stored(live, "large") == body


def test_large_bodies_behind_one_another_in_one_go(live: Server) -> None:
    bodies = [os.urandom(400_000 + number) for number in range(4)]
    puts = [head(live, f"PUT /r/{one} HTTP/1.1", {"Content-Length": str(len(b))}) + b for one, b in enumerate(bodies)]
    statuses, _ = ask(live, b"".join(puts) + last(live))
    assert statuses == [200] * 5
    assert [stored(live, str(one)) for one in range(4)] == bodies


def test_a_large_body_that_waits_to_be_asked_for(live: Server) -> None:
    body = os.urandom(2 << 20)
    with live.socket() as sock:
        asks = {"Content-Length": str(len(body)), "Expect": "100-continue"}
        sock.sendall(head(live, "PUT /r/asked HTTP/1.1", asks))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body + last(live))
        assert [int(status) for status in ANSWER.findall(all_of(sock))] == [200, 200]
    assert stored(live, "asked") == body


@pytest.mark.parametrize("line", ["GET /r?location HTTP/1.1", "PUT /none/k HTTP/1.1"])
def test_a_large_body_that_nobody_wants_is_passed_over(live: Server, line: str) -> None:
    body = os.urandom(3 << 20)
    statuses, _ = ask(live, head(live, line, {"Content-Length": str(len(body))}), body, last(live))
    assert statuses == [404 if "none" in line else 200, 200]


def test_a_large_body_that_is_refused_at_its_end(live: Server) -> None:
    body = os.urandom(3 << 20)
    headers = {"Content-Length": str(len(body)), "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    statuses, got = ask(live, head(live, "PUT /r/bad HTTP/1.1", headers), body, last(live))
    assert statuses == [400, 200]
    assert b"<Code>BadDigest</Code>" in got


@pytest.mark.parametrize("sent", [0, 1000, 300_000, 2 << 20])
def test_a_large_body_that_is_torn(live: Server, sent: int) -> None:
    with live.socket() as sock:
        sock.sendall(head(live, "PUT /r/torn HTTP/1.1", {"Content-Length": str(3 << 20)}) + bytes(sent))
    assert live.request("PUT", "/r/after", body=b"1").status == 200
    with pytest.raises(pfs.errors.PathNotFoundError):
        stored(live, "torn")


def test_a_large_body_that_stops_coming(live: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3api.bodies.body.IDLE_TIMEOUT_S", 0.05)
    with live.socket() as sock:
        sock.sendall(head(live, "PUT /r/torn HTTP/1.1", {"Content-Length": str(3 << 20)}) + bytes(1_500_000))
        got = b""
        while b"</Error>" not in got:
            got += sock.recv(65536)
    assert b"<Code>RequestTimeout</Code>" in got


def test_a_body_that_comes_slowly_but_comes(live: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3api.bodies.body.IDLE_TIMEOUT_S", 0.5)
    body = os.urandom(2_000_000)
    with live.socket() as sock:
        sock.sendall(head(live, "PUT /r/slow HTTP/1.1", {"Content-Length": str(len(body))}))
        for start in range(0, len(body), 100_000):
            sock.sendall(body[start : start + 100_000])
        sock.sendall(last(live))
        assert [int(status) for status in ANSWER.findall(all_of(sock))] == [200, 200]
    assert stored(live, "slow") == body


def test_blank_lines_keep_no_connection_alive(live: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3api.http.protocol.HEAD_TIMEOUT_S", 0.1)
    with live.socket() as sock:
        sock.sendall(head(live, "GET /r?location HTTP/1.1"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        sock.sendall(b"\r\n")
        while sock.recv(65536):
            pass


def test_connections_stay_open_long_enough_for_pools() -> None:
    from s3api.http.server import KEEP_ALIVE_S

    assert KEEP_ALIVE_S >= 75


def test_the_date_is_that_of_the_answer(home: Store) -> None:
    """The clock goes on while a body comes: what began at 8:00 and was answered at 8:05 was answered at 8:05."""
    home.create_repo("r").create_branch("master")
    began = time.time()
    now = began
    with running(home, clock_s=lambda: now) as server, server.socket() as sock:
        sock.sendall(head(server, "PUT /r/k HTTP/1.1", {"Content-Length": "5", "Expect": "100-continue"}))
        assert b" 100 " in sock.recv(100)
        now = began + 300
        sock.sendall(b"hello" + last(server))
        got = all_of(sock)
    dates = re.findall(rb"(?i)\r\ndate: ([^\r]*)\r\n", got)
    assert [parsedate_to_datetime(date.decode()).timestamp() for date in dates] == [int(began + 300)] * 2


def test_nothing_was_modified_after_its_answer(live: Server) -> None:
    for number in range(40):
        live.request("PUT", "/r/dated", body=b"%d" % number)
        headers = live.request("HEAD", "/r/dated").headers
        assert parsedate_to_datetime(headers["last-modified"]) <= parsedate_to_datetime(headers["date"])


def test_refusals_of_what_is_no_http_have_one_date(live: Server) -> None:
    _, got = ask(live, GARBAGE["unknown method"])
    assert len(re.findall(rb"(?i)\r\ndate: [^\r]* GMT\r\n", got)) == 1
