"""An HTTP request, read once into a value: who is addressed, and all parameters decoded.

Bytes of names and values are UTF-8 (Latin-1 where they are not); repeated headers are joined by commas as HTTP says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from urllib.parse import unquote_to_bytes

from s3api.errors import S3Error
from s3api.objects.names import parse_key

Level = Literal["service", "bucket", "object"]
MAX_HEADERS_BYTES = 32 << 10


@dataclass(frozen=True)
class Request:
    """A request without its body. ``raw_path`` and ``raw_query`` are as sent, for signatures."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    query: tuple[tuple[str, str], ...]
    bucket: str
    key: bytes
    virtual_host: bool
    """The bucket came from the Host header, not from the path."""
    scheme: str = "http"
    """How the client came in: http or https."""

    @property
    def level(self) -> Level:
        """What is addressed."""
        return "object" if self.key else "bucket" if self.bucket else "service"

    @cached_property
    def params(self) -> Mapping[str, str]:
        """The query parameters by name; the first of a name counts."""
        return dict(reversed(self.query))

    def header(self, name: str) -> str | None:
        """Return a header's value without blanks around it; None without the header."""
        value = self.headers.get(name)
        return None if value is None else value.strip()


def parse_request(
    method: str,
    raw_path: bytes,
    raw_query: bytes,
    *,
    headers: Iterable[tuple[bytes, bytes]],
    domains: Collection[str] = (),
    scheme: str = "http",
) -> Request:
    """Build the request value; ``domains`` are the suffixes of virtual-host style names.

    Raises:
        S3Error: InvalidURI, KeyTooLongError; MaxMessageLengthExceeded when headers or address exceed 32 KiB.
    """
    found = _headers(headers, len(raw_path) + len(raw_query))
    bucket = _bucket_of_host(found.get("host", ""), domains)
    if found.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        raise S3Error(
            "NotImplemented", "Transfer-Encoding: only chunked is known", fields={"Header": "Transfer-Encoding"}
        )
    path = unquote_to_bytes(raw_path)
    name, rest = (bucket, path[1:]) if bucket is not None else _split(path[1:])
    if not path.startswith(b"/") or (rest and not name):
        raise S3Error("InvalidURI", "the path names no bucket")
    return Request(
        method=method,
        raw_path=raw_path.decode("latin-1"),
        raw_query=raw_query.decode("latin-1"),
        headers=found,
        query=parse_query(raw_query),
        bucket=name,
        key=parse_key(rest) if rest else b"",
        virtual_host=bucket is not None,
        scheme=scheme,
    )


def _headers(pairs: Iterable[tuple[bytes, bytes]], size: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        size += len(raw_name) + len(raw_value)
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value.strip(b" \t"))
        found[name] = f"{found[name]},{value}" if name in found else value
    if size > MAX_HEADERS_BYTES:
        raise S3Error("MaxMessageLengthExceeded", "headers and address together may have 32 KiB")
    return found


def _split(path: bytes) -> tuple[str, bytes]:
    bucket, _, key = path.partition(b"/")
    return _text(bucket), key


def _bucket_of_host(host: str, domains: Collection[str]) -> str | None:
    """Return what stands before the longest of the domains; None: path style. The name keeps its case, as repos do."""
    name, colon, port = host.strip().rpartition(":")
    name = (name if colon and ((port.isascii() and port.isdecimal()) or not port) else host.strip()).removesuffix(".")
    lower = name.lower()
    if lower in domains:
        return None
    for domain in sorted(domains, key=len, reverse=True):
        if lower.endswith("." + domain):
            return name[: -len(domain) - 1]
    return None


def parse_query(raw: bytes) -> tuple[tuple[str, str], ...]:
    """Return the decoded pairs in the order sent; a name without ``=`` has the value ``""``; ``+`` is a blank."""
    pairs = (part.partition(b"=") for part in raw.replace(b"+", b" ").split(b"&") if part)
    return tuple((_text(unquote_to_bytes(name)), _text(unquote_to_bytes(value))) for name, _, value in pairs)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
