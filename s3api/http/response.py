"""What an operation answers: a value; app.py sends it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from pfs.backends.base import Buffer
from s3api.errors import S3Error
from s3api.http.outlet import Outlet
from s3api.http.xml import leaf, node

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """A body of ``size`` bytes that comes in pieces; some of it straight to the outlet, if ``pieces`` gets one."""

    size: int
    pieces: Callable[[Outlet | None], AsyncGenerator[Buffer, None]]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; ``length`` is the Content-Length of a HEAD answer, whose body is not sent."""

    status: int = 200
    headers: Headers = ()
    body: bytes | Stream = b""
    length: int | None = None


def xml_response(body: bytes, headers: Headers = ()) -> Response:
    """Return a 200 with an XML document."""
    return Response(200, (("content-type", "application/xml"), *headers), body)


def error_response(error: S3Error, *, resource: str, request_id: str, host_id: str) -> Response:
    """Return the XML of an error, which has no namespace."""
    fields = [leaf(name, value) for name, value in error.fields.items()]
    body = node(
        "Error",
        leaf("Code", error.code),
        leaf("Message", error.message),
        *fields,
        leaf("Resource", resource),
        leaf("RequestId", request_id),
        leaf("HostId", host_id),
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Response(error.status, (("content-type", "application/xml"), *error.headers), (head + body).encode())
