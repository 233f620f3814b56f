"""How a bucket is reached: over TLS with one's own CA, by host name, unsigned, at one's own cost, under object lock."""

from __future__ import annotations

import datetime
import ipaddress
import json
import random
import socket
import ssl
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.conftest import Run
from tests.cli.test_bucket_trouble import xml
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World, over_tls


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/{uuid4().hex}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (tmp_path / "a").write_text("1")
    return tmp_path


def work(pfs: Run) -> None:
    pfs("create-repo", "r")
    pfs("put-file", "r@master", "-f", "a")
    assert pfs("get-file", "r@master:/a").out == "1"
    pfs("fsck", "--deep")


def certificate(folder: Path) -> ssl.SSLContext:
    """Write ``ca.pem``, which signed itself, and return a server's context with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a private CA")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def test_tls_with_a_private_ca(bucket: World, here: Path, pfs: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with over_tls(bucket, certificate(here)) as secure:
        to = ("--backend", url, "--endpoint", secure)
        assert "certificate" in pfs("init", *to, code=5).err
        assert not (here / ".pfs").exists()
        pfs("init", *to, "--ca-bundle", "ca.pem")
        work(pfs)
        assert json.loads((here / ".pfs/config.json").read_text())["s3"]["ca_bundle"] == str(here / "ca.pem")
        assert "certificate" in pfs("init", "two", *to, code=5).err
        monkeypatch.setenv("AWS_CA_BUNDLE", str(here / "ca.pem"))
        pfs("init", "two", *to)
        assert pfs("--store", "two", "get-file", "r@master:/a").out == "1"
    assert "does not exist" in pfs("init", "x", *to, "--ca-bundle", "none.pem", code=2).err


def test_the_bucket_in_the_host_name(bucket: World, pfs: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def local(host: Any, *more: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if str(host).endswith(".test") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    port = bucket.url.rpartition(":")[2]
    pfs("init", "--backend", url, "--endpoint", f"http://s3.test:{port}", "--addressing", "virtual")
    work(pfs)
    assert {asked.headers["host"] for asked in bucket.asked} == {f"{BUCKET}.s3.test:{port}"}


def test_what_is_open_to_everybody(bucket: World, here: Path, pfs: Run) -> None:
    name = f"open-{uuid4().hex[:8]}"
    bucket.client.create_bucket(Bucket=name)
    allowed = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
    places = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": places}]}
    bucket.client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    to = ("--backend", f"s3://{name}", "--endpoint", bucket.url)
    pfs("init", *to)
    work(pfs)

    def rule(asked: Asked) -> Answer | None:
        return xml("InvalidAccessKeyId") if asked.access_key else xml("AccessDenied") if asked.is_write else None

    bucket.refuse = rule
    assert "may only read" in pfs("init", "open", *to, "--anonymous").err
    assert pfs("--store", "open", "get-file", "r@master:/a").out == "1"
    assert "may only read" in pfs("--store", "open", "put-file", "r@master", "-f", "a", code=5).err


def test_requests_at_our_cost(bucket: World, here: Path, pfs: Run, url: str) -> None:
    def rule(asked: Asked) -> Answer | None:
        return None if asked.headers.get("x-amz-request-payer") == "requester" else xml("AccessDenied")

    bucket.refuse = rule
    to = ("--backend", url, "--endpoint", bucket.url)
    assert "AccessDenied" in pfs("init", *to, code=5).err
    pfs("init", *to, "--requester-pays")
    work(pfs)
    pfs("delete-file", "r@master:/a")
    pfs("gc", "--min-age", "0", "--grace", "0")


def test_a_bucket_with_object_lock_and_versions(bucket: World, here: Path, pfs: Run) -> None:
    name = f"locked-{uuid4().hex[:8]}"
    bucket.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    days = {"Mode": "GOVERNANCE", "Days": 1}
    bucket.client.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": days}},
    )
    said = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"

    def rule(asked: Asked) -> Answer | None:
        summed = any(header.startswith("x-amz-checksum-") for header in asked.headers)
        return None if asked.method != "PUT" or summed else xml("InvalidRequest", "400 Bad Request", said)

    bucket.refuse = rule
    pfs("init", "--backend", f"s3://{name}/x", "--endpoint", bucket.url)
    work(pfs)
    pfs("delete-file", "r@master:/a")
    pfs("gc", "--min-age", "0", "--grace", "0")
    pfs("put-file", "r@master", "-f", "a")
    pfs("recover")
    work_again = pfs("get-file", "r@master:/a").out
    assert work_again == "1"
    pfs("fsck", "--deep")


def test_encryption_that_no_server_knows_is_refused(bucket: World, here: Path, pfs: Run, url: str) -> None:
    to = ("init", "--backend", url, "--endpoint", bucket.url)
    assert "is not one of" in pfs(*to, "--sse", "AES128", code=2).err
    assert "add --sse aws:kms" in pfs(*to, "--sse-key", "k", code=2).err
    assert "add --sse aws:kms" in pfs(*to, "--sse-key", "k", "--sse", "AES256", code=2).err
    assert not (here / ".pfs").exists()


def test_encryption_and_classes_are_passed_on(bucket: World, here: Path, pfs: Run, url: str) -> None:
    pfs("init", "--backend", url, "--endpoint", bucket.url, "--sse", "AES256", "--storage-class", "STANDARD_IA")
    (here / "a").write_bytes(random.Random(1).randbytes(5_000_000))
    pfs("create-repo", "r")
    pfs("put-file", "r@master", "-f", "a")
    pfs("fsck", "--deep")
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    keys = [item["Key"] for item in bucket.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    heads = {key.removeprefix(f"{prefix}/"): bucket.client.head_object(Bucket=BUCKET, Key=key) for key in keys}
    assert {head["ServerSideEncryption"] for head in heads.values()} == {"AES256"}
    cold = {name for name, head in heads.items() if head.get("StorageClass") == "STANDARD_IA"}
    assert cold == {name for name in heads if name.startswith("packs/d/")} != set()
