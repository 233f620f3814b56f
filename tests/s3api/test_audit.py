"""The audit log: a line for each request, whatever became of it, and what a disk does to lines."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import StorageError
from pfs.keys import Keys
from pfs.store import Store
from s3api.audit.log import AuditLog
from s3api.audit.note import Record, encode
from tests.s3api.conftest import Server, running

Line = dict[str, object]


def record(number: int) -> Record:
    return Record(time="2026-11-22T08:00:00.000Z", request_id=f"{number:016X}", method="GET")


def lines_of(file: Path) -> list[Line]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


@contextmanager
def audited(store: Store, file: Path) -> Iterator[Server]:
    """Serve a store with an audit log; all lines are there at the end."""
    with running(store, audit=AuditLog(file)) as server:
        yield server


def by_operation(lines: list[Line]) -> dict[object, Line]:
    return {line.get("operation"): line for line in lines}


def test_who_did_what_and_which_commit_it_made(home: Store, tmp_path: Path) -> None:
    home.create_repo("data").create_branch("master")
    writer, secret = Keys(home).create("ann", role="writer")
    with audited(home, tmp_path / "log") as server, closing(server.client(key=writer, secret=secret)) as s3:
        put = s3.put_object(Bucket="data", Key="a/k", Body=b"12345")
        s3.get_object(Bucket="data", Key="a/k", Range="bytes=1-2")["Body"].read()
        s3.head_object(Bucket="data", Key="a/k")
        s3.copy_object(Bucket="data", Key="c", CopySource="data/a/k")
        s3.delete_objects(Bucket="data", Delete={"Objects": [{"Key": "c"}]})
        s3.list_objects_v2(Bucket="data")
        s3.list_buckets()
    lines = lines_of(tmp_path / "log")
    assert [line["operation"] for line in lines] == [
        *("PutObject", "GetObject", "HeadObject", "CopyObject", "DeleteObjects", "ListObjectsV2", "ListBuckets")
    ]
    found = by_operation(lines)
    for line in lines:
        assert (line["key_name"], line["access_key"]) == ("ann", writer.access_key)
        assert (line["auth"], line["status"]) == ("v4-header", 206 if line["operation"] == "GetObject" else 200)
        assert str(line["remote"]).startswith("127.0.0.1:")
        assert "boto" in str(line["user_agent"]).lower()
        assert float(str(line["duration_ms"])) >= 0
        assert "cut" not in line
        assert "error" not in line
    assert found["PutObject"]["commit"] == put["VersionId"]
    assert (found["PutObject"]["bytes_in"], found["PutObject"]["bucket"]) == (5, "data")
    assert (found["PutObject"]["repo"], found["PutObject"]["branch"], found["PutObject"]["key"]) == (
        *("data", "master", "a/k"),
    )
    assert (found["GetObject"]["version"], found["GetObject"]["bytes_out"]) == (put["VersionId"], 2)
    assert "commit" not in found["GetObject"]
    assert "bytes_out" not in found["HeadObject"]
    assert found["CopyObject"]["source"] == "data/a/k"
    commits = [info.id for info in home.repo("data").commits("master")]
    assert [found[name]["commit"] for name in ("DeleteObjects", "CopyObject", "PutObject")] == commits
    assert "bucket" not in found["ListBuckets"]


def test_refused_requests_are_there_too(home: Store, tmp_path: Path) -> None:
    home.create_repo("data").create_branch("master")
    with audited(home, tmp_path / "log") as server:
        server.request("PUT", "/data/k", sign=False)
        server.request("GET", "/data/none", headers={"x-amz-server-side-encryption": "aws:kms"})
        server.request("GET", "/data/none")
        server.request("GET", "/data?policy")
        server.request("PUT", "/bad..name/k")
        server.request("GET", "/data/k", headers={"Authorization": "AWS NOBODY:xyz", "Date": "now"}, sign=False)
        signed = server.sign("GET", "/data/k", {})
        signed["Authorization"] = signed["Authorization"][:-4] + "0000"
        server.request("GET", "/data/k", headers=signed, sign=False)
    lines = lines_of(tmp_path / "log")
    seen = [(line["status"], line["error"], line.get("operation"), line.get("auth")) for line in lines]
    assert seen == [
        (403, "AccessDenied", "PutObject", "anonymous"),
        (501, "NotImplemented", "GetObject", "v4-header"),
        (404, "NoSuchKey", "GetObject", "v4-header"),
        (501, "NotImplemented", None, "v4-header"),
        (400, "InvalidBucketName", "PutObject", "v4-header"),
        (403, "InvalidAccessKeyId", None, None),
        (403, "SignatureDoesNotMatch", None, None),
    ]
    assert "access_key" not in lines[5]
    assert lines[6]["access_key"] == server.key.access_key
    assert "key_name" not in lines[6]
    assert lines[4]["bucket"] == "bad..name"
    assert "repo" not in lines[4]


def test_no_line_holds_a_secret_or_a_signature(home: Store, tmp_path: Path) -> None:
    home.create_repo("data").create_branch("master")
    secrets = list[str]()
    with audited(home, tmp_path / "log") as server:
        for version in ("s3", "s3v4"):
            with closing(server.client(signature_version=version)) as s3:
                url = s3.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "k"})
                path = url.removeprefix(server.url)
                server.request("GET", path, sign=False)
                secrets.append(path.rpartition("ignature=")[2].partition("&")[0])
        signed = server.sign("GET", "/data/k", {"x-amz-security-token": "t0ken"})
        server.request("GET", "/data/k", headers=signed, sign=False)
        secrets += [signed["Authorization"].rpartition("=")[2], "t0ken", server.secret]
        wrong = {**signed, "Authorization": signed["Authorization"] + "f"}
        server.request("GET", "/data/k", headers=wrong, sign=False)
    text = (tmp_path / "log").read_text()
    assert len(text.splitlines()) == 4
    assert [secret for secret in secrets if secret in text] == []


def test_a_secret_in_the_place_of_the_access_key_is_not_logged(home: Store, tmp_path: Path) -> None:
    home.create_repo("data").create_branch("master")
    with audited(home, tmp_path / "log") as server:
        swapped = replace(server.key, access_key=server.secret)
        for version in ("s3", "s3v4"):
            with closing(server.client(key=swapped, secret=server.key.access_key, signature_version=version)) as s3:
                with pytest.raises(ClientError) as refused:
                    s3.get_object(Bucket="data", Key="k")
                assert refused.value.response["Error"]["Code"] == "InvalidAccessKeyId"
                url = s3.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "k"})
                assert server.request("GET", url.removeprefix(server.url), sign=False).code == "InvalidAccessKeyId"
    text = (tmp_path / "log").read_text()
    assert len(text.splitlines()) == 4
    assert server.secret not in text
    assert quote(server.secret, safe="") not in text
    assert "access_key" not in text


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_address_where_it_does_not_belong_is_not_logged_whole(
    home: Store, tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.create_repo("data").create_branch("master")
    with audited(home, tmp_path / "log") as server, closing(server.client(signature_version=version)) as s3:
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "k"})
        query = url.partition("?")[2]
        signature = query.rpartition("ignature=")[2].partition("&")[0]
        encoded = quote(query, safe="")
        server.request("GET", f"/data%3F{encoded}")
        server.request("GET", f"/data/k%3F{encoded}")
        server.request("GET", f"/data/k%3F{quote(encoded)}")
        server.request("PUT", "/data/c", headers={"x-amz-copy-source": f"/data/k?{query}"})
        server.request("PUT", "/data/c", headers={"x-amz-copy-source": f"/data/k?versionId={encoded}"})
        server.request("PUT", "/data/c", headers={"x-amz-copy-source": f"?{query}"})
        server.request("GET", "/data/k", headers={"User-Agent": url, "Referer": url})
    text = (tmp_path / "log").read_text() + caplog.text
    assert len((tmp_path / "log").read_text().splitlines()) == 7
    assert signature not in text
    assert unquote(signature) not in text
    lines = lines_of(tmp_path / "log")
    assert str(lines[0]["bucket"]).startswith("data?")
    assert str(lines[3]["source"]).startswith("data/k?")


def test_the_key_that_signed_a_form(home: Store, tmp_path: Path) -> None:
    from tests.s3api.test_post_object import key_form, post

    home.create_repo("data").create_branch("master")
    with audited(home, tmp_path / "log") as server:
        assert post(server, "data", key_form(server, "data")).status == 204
        assert post(server, "data", {"key": "k"}).status == 403
    made, refused = lines_of(tmp_path / "log")
    assert (made["operation"], made["key_name"], made["auth"], made["key"]) == ("PostObject", "root", "v2-form", "k")
    assert made["commit"] == home.repo("data").branch("master").head
    assert (refused["auth"], refused["error"]) == ("anonymous", "AccessDenied")


def test_requests_that_were_cut_off(home: Store, tmp_path: Path) -> None:
    """A client that leaves in the middle of its body, and one that takes only the beginning of the answer."""
    home.create_repo("data").create_branch("master")
    with audited(home, tmp_path / "log") as server:
        server.request("PUT", "/data/big", body=os.urandom(24 << 20))
        head = "\r\n".join(f"{n}: {v}" for n, v in server.sign("PUT", "/data/k", {"Content-Length": "1000"}).items())
        with socket.create_connection(server.address) as client:
            client.sendall(f"PUT /data/k HTTP/1.1\r\n{head}\r\n\r\nabc".encode())
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b""
        with socket.create_connection(server.address) as client:
            head = "\r\n".join(f"{n}: {v}" for n, v in server.sign("GET", "/data/big", {}).items())
            client.sendall(f"GET /data/big HTTP/1.1\r\n{head}\r\n\r\n".encode())
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
    big, *cut = lines_of(tmp_path / "log")
    get, put = sorted(cut, key=lambda line: str(line["operation"]))  # whichever was noticed first
    assert (big["bytes_in"], big["status"]) == (24 << 20, 200)
    assert "cut" not in big
    assert (put["operation"], put["cut"], put.get("status")) == ("PutObject", True, None)
    assert int(str(put.get("bytes_in", 0))) <= 3
    assert (get["cut"], get["status"]) == (True, 200)
    assert 0 < int(str(get["bytes_out"])) < 24 << 20


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_is_one_line_of_ascii(text: str) -> None:
    line = encode(Record(time="t", request_id="1", method="GET", key=text, user_agent=text))
    assert line.isascii()
    assert not any(byte < 0x20 or byte == 0x7F for byte in line[:-1])
    assert line.endswith(b"\n")
    assert json.loads(line).get("key") == text


def test_lines_are_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log")
    for number in range(5_000):
        log.put(record(number))
    log.close()
    assert [line["request_id"] for line in lines_of(tmp_path / "log")] == [f"{n:016X}" for n in range(5_000)]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def written(file: Path, count: int) -> None:
    """Wait until the file has so many lines."""
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        threading.Event().wait(0.005)


def test_a_file_that_is_renamed_or_removed_is_made_anew(tmp_path: Path) -> None:
    file, log = tmp_path / "log", AuditLog(tmp_path / "log")
    log.put(record(1))
    written(file, 1)
    file.rename(tmp_path / "log.1")
    log.put(record(2))
    written(file, 1)
    file.unlink()
    log.put(record(3))
    written(file, 1)
    with file.open("r+b") as truncated:  # as logrotate's copytruncate does
        truncated.truncate(0)
    log.put(record(4))
    log.close()
    assert [line["request_id"] for line in lines_of(tmp_path / "log.1")] == [f"{1:016X}"]
    assert [line["request_id"] for line in lines_of(file)] == [f"{4:016X}"]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or directory"):
        AuditLog(tmp_path / "no" / "log")


FULL = """
import resource, sys, threading
from pathlib import Path
from s3api.audit.log import AuditLog
from s3api.audit.note import Record
file = Path(sys.argv[1])
log = AuditLog(file)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
def put(numbers):
    for number in numbers:
        log.put(Record(time="t", request_id=str(number), method="GET"))
def until(ready):
    while not ready():
        threading.Event().wait(0.005)
put(range(10))
until(lambda: file.read_bytes().count(b"\\n") == 10)
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 60, limit))
put(range(10, 30))
until(lambda: not log._queue and log.lost)
put(range(30, 40))
until(lambda: not log._queue and log.lost > 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
put(range(40, 50))
log.close()
"""


def test_a_disk_that_is_full_costs_lines_and_says_how_many(tmp_path: Path) -> None:
    """The limit on the size of files cuts a line in two, refuses more, and then is lifted."""
    file = tmp_path / "log"
    ended = subprocess.run([sys.executable, "-c", FULL, str(file)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stderr.splitlines()) == 2
    assert "requests go on" in ended.stderr
    whole, torn = list[Line](), 0
    for line in file.read_bytes().splitlines():
        try:
            whole.append(json.loads(line))
        except ValueError:
            torn += 1
    numbers = [int(str(line["request_id"])) for line in whole if "request_id" in line]
    lost = [int(str(line["lost"])) for line in whole if "lost" in line]
    assert torn <= 1
    assert numbers == sorted(set(numbers))
    assert numbers[-10:] == list(range(40, 50))
    assert len(numbers) + sum(lost) == 50


SHARED = """
import sys
from pathlib import Path
from s3api.audit.log import AuditLog
from s3api.audit.note import Record
log = AuditLog(Path(sys.argv[1]))
for number in range(3000):
    log.put(Record(time="t", request_id=f"{sys.argv[2]}-{number}", method="GET", key="k" * (number % 900)))
log.close()
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    running_ones = [subprocess.Popen([sys.executable, "-c", SHARED, str(file), name]) for name in "abc"]
    assert [process.wait(60) for process in running_ones] == [0, 0, 0]
    seen = [str(line["request_id"]) for line in lines_of(file)]
    for name in "abc":
        assert [one for one in seen if one.startswith(name)] == [f"{name}-{number}" for number in range(3000)]


def test_a_log_that_stands_still_holds_up_requests_and_then_loses_lines() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")
    os.set_blocking(writer, True)
    log = AuditLog(writer, queue=10)
    log.put(record(0))
    while log._queue:  # until the thread has it, and waits for the pipe
        threading.Event().wait(0.005)
    for number in range(1, 16):
        log.put(record(number))
    assert log.lost == 5

    async def wait_for_room() -> bytes:
        waiting = asyncio.ensure_future(log.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        data = b""
        while not waiting.done():
            data += await asyncio.to_thread(os.read, reader, 1 << 16)
            await asyncio.wait([waiting], timeout=1)
        return data

    data = asyncio.run(wait_for_room())
    log.close()
    os.close(writer)
    while piece := os.read(reader, 1 << 16):
        data += piece
    os.close(reader)
    lines = [json.loads(line) for line in data.splitlines() if line]
    assert [line.get("lost", line.get("request_id")) for line in lines] == [
        *(f"{0:016X}", 5),
        *(f"{number:016X}" for number in range(1, 11)),
    ]


def test_a_client_error_shows_the_request_id_of_the_line(home: Store, tmp_path: Path) -> None:
    with audited(home, tmp_path / "log") as server, closing(server.client()) as s3:
        with pytest.raises(ClientError) as caught:
            s3.get_object(Bucket="none", Key="k")
        shown = caught.value.response["ResponseMetadata"]["RequestId"]
    assert lines_of(tmp_path / "log")[0]["request_id"] == shown
