"""Fixtures of the S3 tests: a live server in a thread, and an unmodified boto3 client."""

import http.client
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials

import pfs
from pfs.keys import Key, Keys
from pfs.store import Store
from s3api.gateway import Gateway
from s3api.http.server import Listen, serve


@dataclass(frozen=True)
class Reply:
    """What came back over plain HTTP; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code in the XML."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


@dataclass(frozen=True)
class Server:
    """A server on a store; requests by hand are signed with the root key unless told otherwise."""

    store: Store
    keys: Keys
    url: str
    key: Key
    secret: str
    ca: Path | None = None
    """What HTTPS is checked with."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, plain or with TLS; close it."""
        if self.ca is None:
            return http.client.HTTPConnection(*self.address, timeout=30)
        return http.client.HTTPSConnection(*self.address, timeout=30, context=self._tls())

    def socket(self) -> socket.socket:
        """Return an open socket, plain or with TLS; close it."""
        plain = socket.create_connection(self.address, timeout=30)
        return plain if self.ca is None else self._tls().wrap_socket(plain, server_hostname=self.address[0])

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, *, key: Key | None = None, secret: str | None = None, **config: object) -> BaseClient:
        """Return a boto3 client that tries once; close it."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=(key or self.key).access_key,
            aws_secret_access_key=secret or self.secret,
            region_name="us-east-1",
            verify=str(self.ca) if self.ca else None,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def sign(
        self, method: str, path: str, headers: dict[str, str], *, payload: str = "UNSIGNED-PAYLOAD"
    ) -> dict[str, str]:
        """Return headers with a version 4 signature by botocore, for ``path`` as it stands, query included."""
        host, port = self.address
        signed = {"Host": f"{host}:{port}", "X-Amz-Content-SHA256": payload, **headers}
        request = AWSRequest(method=method, url=self.url + path, headers=signed)
        request.context["payload_signing_enabled"] = False

        class Signer(S3SigV4Auth):
            def payload(self, request: AWSRequest) -> str:
                return payload

        Signer(Credentials(self.key.access_key, self.secret), "s3", "us-east-1").add_auth(request)
        return dict(request.headers.items())

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        payload: str = "UNSIGNED-PAYLOAD",
        sign: bool = True,
    ) -> Reply:
        """Send one request on a connection of its own."""
        sent = self.sign(method, path, headers or {}, payload=payload) if sign else (headers or {})
        with closing(self.connect()) as connection:
            connection.putrequest(method, path, skip_host="Host" in sent, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if "Content-Length" not in sent and (body or method in {"PUT", "POST"}):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())

    def path(self, bucket: str, key: str = "", query: str = "") -> str:
        """Return the path of an object, encoded."""
        place = f"/{bucket}/{quote(key)}" if key else f"/{bucket}"
        return f"{place}?{query}" if query else place


@contextmanager
def running(store: Store, *, tls: tuple[Path, Path] | None = None, **options: object) -> Iterator[Server]:
    """Serve a store in a thread, over HTTPS with a certificate and its key; ``options`` are the gateway's."""
    keys = Keys(store)
    key, secret = keys.root()
    stop, bound, address = threading.Event(), threading.Event(), list[tuple[str, int]]()

    def on_bound(host: str, port: int) -> None:
        address.append((host, port))
        bound.set()

    gateway = Gateway(store, keys, **options)  # type: ignore[arg-type]  # each test knows what it passes
    listen = Listen(port=0) if tls is None else Listen(port=0, tls_cert=tls[0], tls_key=tls[1])
    thread = threading.Thread(target=serve, args=(gateway, listen), kwargs={"stop": stop, "on_bound": on_bound})
    thread.start()
    try:
        assert bound.wait(30)
        scheme = "http" if tls is None else "https"
        ca = None if tls is None else tls[0]
        yield Server(store, keys, "{}://{}:{}".format(scheme, *address[0]), key, secret, ca)
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pfs.init(tmp_path_factory.mktemp("home")) as store, running(store) as live:
        yield live


@pytest.fixture
def s3(server: Server) -> Iterator[BaseClient]:
    with closing(server.client()) as client:
        yield client


@pytest.fixture
def bucket(server: Server) -> str:
    """A bucket of the test's own."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    server.store.create_repo(name).create_branch("master")
    return name


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Store]:
    """A store of the test's own, not served."""
    with pfs.init(tmp_path / "home") as store:
        yield store
