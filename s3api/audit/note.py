"""What becomes known of one request while it is handled, and the line of the audit log that is made of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from s3api.audit.redact import redact
from s3api.errors import S3Error
from s3api.http.times import iso_date
from s3api.objects.copysource import parse_source
from s3api.objects.names import parse_bucket

if TYPE_CHECKING:
    from s3api.auth.caller import Caller
    from s3api.http.request import Request

Message = MutableMapping[str, object]
Send = Callable[[Message], Awaitable[None]]
MAX_AGENT = 512


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the log; what does not apply or is not known is left out. docs/s3.md says what each field means.

    No field holds a secret, a signature or a token: texts that the client chose go through `redact`, an access key
    is one that exists, and a copy source is what it was understood as.
    """

    time: str
    request_id: str
    method: str
    remote: str | None = None
    key_name: str | None = None
    access_key: str | None = None
    auth: str | None = None
    operation: str | None = None
    bucket: str | None = None
    repo: str | None = None
    branch: str | None = None
    key: str | None = None
    source: str | None = None
    version: str | None = None
    commit: str | None = None
    status: int | None = None
    error: str | None = None
    cut: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    duration_ms: float = 0.0
    user_agent: str | None = None


def encode(record: msgspec.Struct) -> bytes:
    """Return a line of ASCII but for its end: a key may hold line ends, and what would move a terminal's cursor."""
    line = msgspec.json.encode(record)
    if not line.isascii() or b"\x7f" in line:
        line = json.dumps(json.loads(line), separators=(",", ":")).encode().replace(b"\x7f", b"\\u007f")
    return line + b"\n"


@dataclass(slots=True)
class Note:
    """One request, noted by whoever handles it; in one event loop."""

    request: Request | None = None
    caller: Caller | None = None
    operation: str | None = None
    key: bytes | None = None
    """Of a form; else the request has it."""
    commit: str | None = None
    """The commit that the request made, maybe together with others."""
    error: S3Error | None = None
    status: int | None = None
    version: str | None = None
    bytes_in: int = 0
    """Of the body, as far as it was asked for."""
    bytes_out: int = 0
    ended: bool = False
    """Whether all of the answer was handed to the network."""

    def sent(self, size: int) -> None:
        """Count bytes of the answer that did not come through `sending`."""
        self.bytes_out += size

    def sending(self, send: Send) -> Send:
        """Return ``send``, counted and noted."""

        async def counted(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                self.status = cast("int", message["status"])
                headers = dict(cast("list[tuple[bytes, bytes]]", message["headers"]))
                self.version = headers.get(b"x-amz-version-id", b"").decode() or None
            elif message["type"] == "http.response.body":
                self.bytes_out += len(cast("bytes", message.get("body", b"")))
                self.ended = not message.get("more_body", False)

        return counted

    def record(self, scope: Message, request_id: str, *, start_ns: int, took_ns: int) -> Record:
        """Return the line; times in nanoseconds, the start since the epoch."""
        request, caller = self.request, self.caller
        bucket = request.bucket if request is not None else ""
        repo, branch = _place(bucket)
        key = self.key or (request.key if request is not None else b"")
        agent = request.header("user-agent") if request is not None else None
        source = request.header("x-amz-copy-source") if request is not None else None
        source = _source(source) if source else None
        return Record(
            time=iso_date(start_ns),
            request_id=request_id,
            method=str(scope["method"]),
            remote=_address(scope.get("client")),
            key_name=caller.key.name if caller is not None and caller.key is not None else None,
            access_key=self._access_key(),
            auth=caller.kind if caller is not None else None,
            operation=self.operation,
            bucket=redact(bucket) or None,
            repo=repo,
            branch=branch,
            key=redact(key.decode()) if key else None,
            source=source,
            version=self.version if self.commit is None else None,
            commit=self.commit,
            status=self.status,
            error=self.error.code if self.error is not None else None,
            cut=not self.ended,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            duration_ms=round(took_ns / 1e6, 1),
            user_agent=redact(agent)[:MAX_AGENT] if agent else None,
        )

    def _access_key(self) -> str | None:
        """Return the access key of the caller, or that which a wrong signature named.

        One that does not exist is not said: people put the secret in its place.
        """
        if self.caller is not None and self.caller.key is not None:
            return self.caller.key.access_key
        if self.error is None or self.error.code != "SignatureDoesNotMatch":
            return None
        return self.error.fields.get("AWSAccessKeyId")


def _source(header: str) -> str | None:
    """Return bucket, key and version of a copy source, decoded; None when it is none."""
    try:
        source = parse_source(header)
    except S3Error:
        return None
    version = f"?versionId={source.version}" if source.version is not None else ""
    return redact(f"{source.bucket}/{source.key.decode()}{version}")


def _place(bucket: str) -> tuple[str | None, str | None]:
    try:
        name = parse_bucket(bucket) if bucket else None
    except S3Error:
        name = None
    return (name.repo, name.branch or None) if name is not None else (None, None)


def _address(client: object) -> str | None:
    if not isinstance(client, tuple | list) or len(client) != 2:
        return None
    host, port = client
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
