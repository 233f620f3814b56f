"""A `pfs serve` process for clients to talk to, over HTTP or HTTPS, with what they read prepared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MANY = 1203  # keys in the bucket `many`: more than one page of 1000
DOMAIN = "s3.localhost"  # beside localhost: not every client takes a certificate for *.localhost
KEPT = {"kept.txt": b"kept\n", "sub/big.bin": bytes(range(256)) * 4096}  # what the read-only buckets hold


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running gateway: where it is, who may come in, and what is there to read."""

    url: str
    access_key: str
    secret_key: str
    reader_access_key: str  # of a key that may read every bucket and write none
    reader_secret_key: str
    ca_file: Path | None  # PEM of the authority that signed the server's certificate; None over plain HTTP
    home: Path  # PFS_STORE of this gateway, for pfs commands beside it
    frozen: str  # a bucket of a commit, read-only to everyone, with the files of KEPT

    many = "many"  # a bucket with MANY objects: key-0000 to key-1202, each holding its own number as text
    kept = "kept"  # a bucket of a branch with the files of KEPT: read-only with the reader's key

    @property
    def secure(self) -> bool:
        """Whether this is HTTPS."""
        return self.ca_file is not None

    @property
    def host(self) -> str:
        """Host and port, as in 127.0.0.1:30600."""
        return self.url.partition("://")[2]

    def keys(self, *, reader: bool = False) -> tuple[str, str]:
        """Return an access key and its secret: of the owner, or of the key that only reads."""
        return (self.reader_access_key, self.reader_secret_key) if reader else (self.access_key, self.secret_key)

    def environment(self, *, reader: bool = False, **more: str) -> dict[str, str]:
        """Return the environment for a client's process: no settings of the user, and AWS_* for this gateway."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PFS_"))}
        access_key, secret_key = self.keys(reader=reader)
        nothing = self.home.parent / "no-settings"
        nothing.touch()
        trust = {"AWS_CA_BUNDLE": str(self.ca_file), "SSL_CERT_FILE": str(self.ca_file)} if self.ca_file else {}
        return {
            **kept,
            **trust,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(nothing),
            "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
            **more,
        }

    def pfs(self, *words: object) -> str:
        """Run a pfs command on the gateway's store and return what it prints."""
        return pfs(self.home, *words)

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        _owner(self).create_bucket(Bucket=name)
        return name

    def begin_upload(self, bucket: str, key: str) -> str:
        """Begin a multipart upload that nobody ends, and return its id."""
        upload: str = _owner(self).create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        return upload

    def uploads(self, bucket: str) -> list[str]:
        """Return the keys of the uploads of a bucket that nobody ended."""
        return [upload["Key"] for upload in _owner(self).list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


@cache
def _owner(endpoint: Endpoint) -> Any:
    import boto3

    from tests.clients import settings

    return boto3.client("s3", **settings.boto(endpoint))


def programs() -> Path:
    """Return the folder with the gateway's programs, which are not in the clients' venv."""
    return Path(os.environ["PFS_CLIENTS"])


def pfs(home: Path, *words: object) -> str:
    """Run a pfs command and return what it prints."""
    line = [str(programs() / "pfs"), *map(str, words)]
    result = subprocess.run(line, env=_environment(home), capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, (words, result.stderr)
    return result.stdout


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PFS_"))}
    return {**kept, "PFS_STORE": str(home)}


@contextmanager
def serving(folder: Path, *, secure: bool, workers: int) -> Iterator[Endpoint]:
    """Make a store below ``folder`` and serve it; at the end the server has to drain, without trouble in its log."""
    home = folder / "home"
    pfs(home, "init", home)
    prepared = _prepare(home, folder)
    ca_file, options = _certificate(folder) if secure else (None, [])
    log = folder / "serve.log"
    audit = folder / "audit.jsonl"
    options += ["--no-pipelines", "--port", "0", "--domain", "localhost", "--domain", DOMAIN]
    options += ["--workers", str(workers), "--audit-log", str(audit)]
    line = [str(programs() / "pfs"), "serve", *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen(line, env=_environment(home), cwd=folder, stdout=subprocess.PIPE, stderr=stderr)
    try:
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        assert said, log.read_text()
        yield Endpoint(url=said.split()[3], ca_file=ca_file, home=home, **prepared)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
        _check([json.loads(line) for line in audit.read_text().splitlines()])
    finally:
        process.kill()
        process.communicate()


def _check(answers: list[dict[str, Any]]) -> None:
    """Look at what all clients were answered: no error of the server's own, no refusal that was asked for for ever.

    A client that left before it was answered has no status.
    """
    unanswered = [answer for answer in answers if "status" not in answer]
    assert all(answer["cut"] for answer in unanswered), unanswered
    answers = [answer for answer in answers if "status" in answer]
    failed = [answer for answer in answers if answer["status"] >= 500 and answer["error"] != "NotImplemented"]
    assert not failed, failed
    refused = Counter(
        tuple(str(answer.get(name)) for name in ("user_agent", "operation", "bucket", "key"))
        for answer in answers
        if answer["status"] == 403
    )
    often = [(what, count) for what, count in refused.items() if count > 5]
    assert not often, often


def _prepare(home: Path, folder: Path) -> dict[str, Any]:
    """Make the keys and the buckets that are only read; return the fields of Endpoint that name them."""
    for name, files in (("many", {f"key-{n:04}": str(n).encode() for n in range(MANY)}), ("kept", KEPT)):
        for key, content in files.items():
            (folder / name / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / key).write_bytes(content)
        pfs(home, "create-repo", name)
        pfs(home, "put-file", "-r", f"{name}@master", "-f", folder / name)
    commit = json.loads(pfs(home, "inspect-commit", "kept@master", "--json"))["id"]
    root = json.loads(pfs(home, "credentials", "--json"))
    reader = json.loads(pfs(home, "create-key", "reader", "--role", "reader", "--json"))
    return {
        "access_key": root["access_key"],
        "secret_key": root["secret_key"],
        "reader_access_key": reader["access_key"],
        "reader_secret_key": reader["secret_key"],
        "frozen": f"{commit}.kept",
    }


def _certificate(folder: Path) -> tuple[Path, list[str]]:
    """Make an authority and a certificate of the loopback; return the authority's PEM and options of `pfs serve`."""
    import trustme

    ca = trustme.CA()
    made = ca.issue_cert("127.0.0.1", "localhost", "*.localhost", DOMAIN, f"*.{DOMAIN}", f"*.kept.{DOMAIN}")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    for pem in made.cert_chain_pems:
        pem.write_to_path(str(folder / "cert.pem"), append=True)
    return folder / "ca.pem", ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
