"""An S3 server over real HTTP, moto's, in this process: one writer at a time, what was asked is told, faults on demand.

moto looks and then writes: that two writers may not come in between, as in S3, is seen to here. Tests that are marked
`s3` also run against another server, where PFS_TEST_S3 has its URL (`make test-s3`): nothing is told or broken then.
"""

from __future__ import annotations

import importlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from io import BytesIO
from typing import Any

import pytest

BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester-secret", "AWS_DEFAULT_REGION": "us-east-1"}

Answer = tuple[str, dict[str, str], bytes]
"""Status line, headers and body."""


@dataclass
class Asked:
    """One request: method, key (or prefix of a listing), and the headers that make it conditional."""

    method: str
    key: str
    condition: str = ""
    query: str = ""
    size: int = 0
    """Bytes of the body."""
    authorization: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    """By names in lower case."""

    @property
    def access_key(self) -> str:
        """Whose request it is; empty where it is not signed."""
        return self.authorization.partition("Credential=")[2].partition("/")[0]

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD")


@dataclass
class World:
    """The server; ``asked``: every request but those of `client`, in the order of arrival."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    refuse: Callable[[Asked], Answer | None] = lambda _: None
    """Answers in the place of S3, which then does nothing."""
    lose: Callable[[Asked], bool] = lambda _: False
    """Says whether the reply is lost, after the work was done: the connection breaks."""
    ignores_conditions: bool = False
    page: int | None = None
    """Names in a page of a listing, fewer than S3's thousand."""
    bare_etags: bool = False
    """Compares etags without quotes, as Ceph 16 does."""
    later_s: float = 0.0
    """How far the server's clock is ahead of this machine's; what is written is dated by it, and so are answers."""
    keys: dict[str, str] = field(default_factory=lambda: dict(KEYS))

    @property
    def is_other(self) -> bool:
        """Whether it is not moto's."""
        return "PFS_TEST_S3" in os.environ

    @cached_property
    def client(self) -> Any:
        """A client whose requests do not count."""
        import boto3
        from botocore.config import Config

        session = boto3.session.Session(self.keys["AWS_ACCESS_KEY_ID"], self.keys["AWS_SECRET_ACCESS_KEY"])
        config = Config(user_agent_extra="uncounted", region_name="us-east-1")
        return session.client("s3", endpoint_url=self.url, config=config)

    @contextmanager
    def slow_restore(self) -> Iterator[None]:
        """Let what is asked for from an archive be there at the end of the context only, instead of at once."""
        from moto.s3.models import FakeKey

        status = FakeKey.status
        FakeKey.status = property(lambda _: "IN_PROGRESS")  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            FakeKey.status = status  # type: ignore[method-assign]

    def counted(self) -> tuple[int, int]:
        """Return how many writes and how many reads were asked for since the last call."""
        writes = sum(asked.is_write for asked in self.asked)
        reads = len(self.asked) - writes
        self.asked.clear()
        return writes, reads


@contextmanager
def use_bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let boto3 find the server and keys for it, and nothing of this machine's; end all faults afterwards."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    for name, value in {**world.keys, **settings, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    with suppress(world.client.exceptions.BucketAlreadyOwnedByYou):
        world.client.create_bucket(Bucket=BUCKET)  # servers in one process share what they hold, and its end
    world.asked.clear()
    yield
    world.refuse, world.lose = lambda _: None, lambda _: False
    world.ignores_conditions, world.page, world.bare_etags, world.later_s = False, None, False, 0.0


@contextmanager
def bucket_server() -> Iterator[World]:
    """Serve an empty `BUCKET`."""
    url = os.environ.get("PFS_TEST_S3")
    if url:
        keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        yield from _ready(World(url, keys={**KEYS, **keys}))
        return
    world = World("")
    objects = importlib.import_module("moto.s3.models")
    utcnow = objects.utcnow
    with _serving(world) as port:
        world.url = f"http://127.0.0.1:{port}"
        objects.utcnow = lambda: utcnow() + timedelta(seconds=world.later_s)  # type: ignore[attr-defined]
        try:
            yield from _ready(world)
        finally:
            objects.utcnow = utcnow  # type: ignore[attr-defined]


@contextmanager
def over_tls(world: World, context: ssl.SSLContext) -> Iterator[str]:
    """Serve the same bucket by HTTPS too; yield the URL."""
    with _serving(world, context) as port:
        yield f"https://127.0.0.1:{port}"


@contextmanager
def _serving(world: World, context: ssl.SSLContext | None = None) -> Iterator[int]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: object) -> None:
            """Say nothing."""

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + world.later_s if timestamp is None else timestamp)

    front = _Front(world, DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=Handler, ssl_context=context)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _ready(world: World) -> Iterator[World]:
    with suppress(world.client.exceptions.BucketAlreadyOwnedByYou):
        world.client.create_bucket(Bucket=BUCKET)
    clear(world.client)  # servers in one process share what they hold
    try:
        yield world
    finally:
        with suppress(world.client.exceptions.NoSuchBucket):
            empty(world.client)
        world.client.close()


def empty(client: Any, bucket: str = BUCKET) -> None:
    clear(client, bucket)
    client.delete_bucket(Bucket=bucket)


def clear(client: Any, bucket: str = BUCKET) -> None:
    for one in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
        if keys:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys})


class _Front:
    """What stands before moto."""

    def __init__(self, world: World, app: Any) -> None:
        self._world, self._app = world, app
        self._writing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        if "uncounted" in environ.get("HTTP_USER_AGENT", ""):
            return self._locked(environ, start)
        asked = _asked(environ)
        self._world.asked.append(asked)
        refused = self._world.refuse(asked)
        if refused is not None:
            status, headers, answer = refused
            start(status, [*headers.items(), ("Content-Length", str(len(answer)))])
            return [] if asked.method == "HEAD" else [answer]
        if self._world.ignores_conditions:
            for name in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"):
                environ.pop(name, None)
        if self._world.page is not None and "list-type" in environ.get("QUERY_STRING", ""):
            environ["QUERY_STRING"] += f"&max-keys={self._world.page}"
        if self._world.bare_etags and environ.get("HTTP_IF_MATCH", "").startswith('"'):
            environ["HTTP_IF_MATCH"] = '"another"'
        answered = self._locked(environ, start)
        if self._world.lose(asked):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        return answered

    def _locked(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        with self._writing:
            return list(self._app(environ, start))


def _asked(environ: dict[str, Any]) -> Asked:
    condition = environ.get("HTTP_IF_NONE_MATCH") or environ.get("HTTP_IF_MATCH") or ""
    query = environ.get("QUERY_STRING", "")
    key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}").lstrip("/")
    size = int(environ.get("CONTENT_LENGTH") or 0)
    asked = query if "list-type" in query else key
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    return Asked(environ["REQUEST_METHOD"], asked, condition, query, size, headers.get("authorization", ""), headers)
