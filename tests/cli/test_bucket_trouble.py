"""What can go wrong with a bucket: one line, exit code 5, nothing lost, and the next try goes on."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Run
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World

Rule = Callable[[Asked], Answer | None]


def xml(code: str, status: str = "403 Forbidden", said: str = "", **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/xml", **named}, body.encode()


def to_all(answer: Answer) -> Rule:
    return lambda _: answer


def to_writes(answer: Answer) -> Rule:
    return lambda asked: answer if asked.is_write else None


def to_swaps(answer: Answer) -> Rule:
    """Refuse what comes last: the packs are there by then."""
    return lambda asked: answer if asked.method == "PUT" and "refs/" in asked.key else None


@pytest.fixture
def store(bucket: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run) -> Path:
    """A store in a bucket, with the repo ``r``, that soon loses patience; files ``a`` and ``b``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    url = f"s3://{BUCKET}/{uuid4().hex}"
    pfs("init", "--backend", url, "--endpoint", bucket.url, "--timeout", "1")
    pfs("create-repo", "r")
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    pfs("put-file", "r@master", "-f", "a")
    return tmp_path


TROUBLE = {
    "no such key": (to_all(xml("InvalidAccessKeyId")), "there is no such access key"),
    "another secret": (to_all(xml("SignatureDoesNotMatch")), "the secret key is not that of the access key"),
    "revoked in the middle": (to_swaps(xml("InvalidAccessKeyId")), "there is no such access key"),
    "a session that ended": (to_writes(xml("ExpiredToken", "400 Bad Request")), "these credentials have ended"),
    "a clock that is off": (to_all(xml("RequestTimeTooSkewed")), "set this machine's clock: the server has "),
    "for reading only": (to_writes(xml("AccessDenied")), "check that the credentials have s3:PutObject there"),
    "not for reading": (
        lambda asked: xml("AccessDenied") if asked.method == "GET" else None,
        "check that the credentials have s3:GetObject and s3:ListBucket there",
    ),
    "another region": (
        to_all(xml("AuthorizationHeaderMalformed", "400 Bad Request", x_amz_bucket_region="eu-west-1")),
        "it is in region eu-west-1: set --region",
    ),
    "a quota": (to_writes(xml("QuotaExceeded")), "the bucket is full: http"),
    "full disks": (to_swaps(xml("XMinioStorageFull", "507 Insufficient Storage")), "make room and try again"),
    "a busy server": (to_all(xml("SlowDown", "503 Slow Down")), "answered SlowDown; it was tried again and again"),
    "a bucket that was removed": (to_swaps(xml("NoSuchBucket", "404 Not Found")), "there is no bucket 'bucket' at"),
    "no S3": (to_all(("405 Method Not Allowed", {"Content-Type": "text/html"}, b"<html>")), "is it an S3 server?"),
    "a portal": (to_all(("200 OK", {"Content-Type": "text/html"}, b"<html>")), "does not answer as S3 does"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_one_line_and_the_next_try_goes_on(bucket: World, store: Path, pfs: Run, name: str) -> None:
    bucket.refuse, words = TROUBLE[name]
    assert words in pfs("put-file", "r@master", "-f", "b", code=5).err
    bucket.refuse = lambda _: None
    assert pfs("get-file", "r@master:/a").out == "1"
    assert "/b" not in pfs("list-file", "r@master:/").out
    pfs("put-file", "r@master", "-f", "b")
    assert pfs("get-file", "r@master:/b").out == "2"
    pfs("fsck", "--deep")


def test_a_server_that_does_not_answer(bucket: World, store: Path, pfs: Run) -> None:
    answers = threading.Event()

    def hang(_: Asked) -> Answer:
        answers.wait()
        return xml("SlowDown", "503 Slow Down")

    bucket.refuse = hang
    try:
        assert "does not answer; check the network, or wait longer with --timeout" in pfs("list-repo", code=5).err
    finally:
        answers.set()
        bucket.refuse = lambda _: None
    assert "r" in pfs("list-repo").out


@pytest.mark.parametrize(
    ("endpoint", "code", "words"),
    [
        ("http://no-such-host.invalid", 5, "cannot be reached; check the network"),
        ("https://127.0.0.1:{port}", 5, "cannot be trusted ("),
        ("ftp://127.0.0.1", 5, "not a valid URI"),
        ("nonsense", 2, "Invalid endpoint: nonsense"),
    ],
)
def test_endpoints_that_cannot_be(bucket: World, store: Path, pfs: Run, endpoint: str, code: int, words: str) -> None:
    config = store / ".pfs/config.json"
    port = bucket.url.rpartition(":")[2]
    config.write_text(config.read_text().replace(bucket.url, endpoint.format(port=port)))
    assert words in pfs("list-repo", code=code).err


def test_credentials_that_cannot_be_had(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (store / "config").write_text(
        "[profile fails]\ncredential_process = sh -c 'echo no luck >&2; exit 3'\n"
        "[profile talks]\ncredential_process = echo good morning\n"
        "[profile works]\ncredential_process = echo "
        '\'{"Version": 1, "AccessKeyId": "tester", "SecretAccessKey": "tester-secret"}\'\n'
    )
    assert "Unable to locate credentials" in pfs("list-repo", code=5).err
    monkeypatch.setenv("AWS_CONFIG_FILE", str(store / "config"))
    for profile, code, words in (
        ("none", 5, "The config profile (none) could not be found"),
        ("fails", 5, "no luck; check the credentials"),
        ("talks", 2, "what credential_process prints is not JSON"),
    ):
        monkeypatch.setenv("AWS_PROFILE", profile)
        assert words in pfs("list-repo", code=code).err
    monkeypatch.setenv("AWS_PROFILE", "works")
    assert "r" in pfs("list-repo").out


def test_a_storm_of_refusals_is_sat_out(bucket: World, store: Path, pfs: Run) -> None:
    numbers = count()
    bucket.refuse = lambda _: xml("SlowDown", "503 Slow Down") if next(numbers) % 3 else None
    pfs("put-file", "r@master", "-f", "b")
    assert next(numbers) > 10


@pytest.fixture
def process(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentials that a program prints, from the file that is returned."""
    printed = store / "printed.json"
    (store / "config").write_text(f"[profile turns]\ncredential_process = cat {printed}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(store / "config"))
    monkeypatch.setenv("AWS_PROFILE", "turns")
    return printed


def test_a_session_that_ends_in_the_middle_is_renewed(bucket: World, store: Path, process: Path, pfs: Run) -> None:
    def issue(number: int) -> str:
        key = {"Version": 1, "AccessKeyId": f"key{number}", "SecretAccessKey": "s", "SessionToken": f"token{number}"}
        process.write_text(json.dumps(key))
        return f"key{number}"

    valid = issue(1)

    def rule(asked: Asked) -> Answer | None:
        nonlocal valid
        if valid == "key1" and asked.method == "PUT":
            valid = issue(2)
        return None if asked.access_key == valid else xml("ExpiredToken", "400 Bad Request")

    bucket.refuse = rule
    pfs("put-file", "r@master", "-f", "b")
    assert {asked.headers["x-amz-security-token"] for asked in bucket.asked[-2:]} == {"token2"}
    process.unlink()
    assert "cannot" in pfs("put-file", "r@master", "-f", "a", code=5).err


def test_without_the_right_to_list_or_delete(bucket: World, store: Path, pfs: Run) -> None:
    bucket.refuse = lambda asked: xml("AccessDenied") if "list-type" in asked.query else None
    assert "have s3:ListBucket there" in pfs("list-repo", code=5).err
    bucket.refuse = lambda asked: xml("AccessDenied") if asked.method == "DELETE" or "delete" in asked.query else None
    pfs("put-file", "r@master", "-f", "b")
    bucket.refuse = to_swaps(xml("AccessDenied"))
    pfs("delete-file", "r@master:/a", code=5)  # leaves a pack that nothing leads to
    bucket.refuse = lambda asked: xml("AccessDenied") if asked.method == "DELETE" or "delete" in asked.query else None
    assert "have s3:DeleteObject there" in pfs("gc", "--min-age", "0", "--grace", "0", code=5).err
    assert pfs("get-file", "r@master:/b").out == "2"
    bucket.refuse = lambda _: None
    pfs("gc", "--min-age", "0", "--grace", "0")
    pfs("fsck", "--deep")


def test_a_url_that_was_first_read_only_is_tried_again_once_its_folder_is_gone(
    bucket: World, store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = json.loads((store / ".pfs/config.json").read_text())["backend"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    bucket.refuse = to_writes(xml("AccessDenied"))
    assert pfs("--store", url, "get-file", "r@master:/a").out == "1"
    bucket.refuse = lambda _: None
    assert "may only read; connect another" in pfs("--store", url, "put-file", "r@master", "-f", "b", code=5).err
    shutil.rmtree(pfs("--store", url, "locate").out.strip())
    pfs("--store", url, "put-file", "r@master", "-f", "b")
    assert pfs("--store", url, "get-file", "r@master:/b").out == "2"


def test_a_machine_that_may_only_read(bucket: World, store: Path, pfs: Run) -> None:
    url = json.loads((store / ".pfs/config.json").read_text())["backend"]
    bucket.refuse = to_writes(xml("AccessDenied"))
    done = pfs("init", "reader", "--backend", url, "--endpoint", bucket.url)
    assert done.err == "note: these credentials may only read: nothing can be written from this folder\n"
    assert pfs("--store", "reader", "get-file", "r@master:/a").out == "1"
    pfs("--store", "reader", "fsck", "--deep")
    pfs("--store", "reader", "recover")
    pfs("clone", "reader", "copy")
    bucket.refuse = lambda _: None
    assert "may only read; connect another" in pfs("--store", "reader", "put-file", "r@master", "-f", "b", code=5).err
    assert "AccessDenied" not in pfs("init", "writer", "--backend", url, "--endpoint", bucket.url).err
    pfs("--store", "writer", "put-file", "r@master", "-f", "b")
    assert pfs("--store", "reader", "get-file", "r@master:/b").out == "2"
    bucket.refuse = to_writes(xml("AccessDenied"))
    assert "s3:PutObject" in pfs("init", "none", "--backend", f"{url}/none", "--endpoint", bucket.url, code=5).err
