"""Headers that a presigned address carries in its query: they count as if they had been sent.

Version 2 moves Content-Type, Content-MD5 and every ``x-amz-`` header there, and signs them as headers. Version 4 signs
the query as it is; the SDKs of JavaScript and Go leave ``x-amz-`` headers such as metadata in it. A header that was
sent counts more, and then has to be signed itself.
"""

from __future__ import annotations

from dataclasses import replace

from s3api.http.request import Request

_NOT_HEADERS = {
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
}
_OF_NO_BODY = ("x-amz-checksum-", "x-amz-sdk-checksum-")
"""The JavaScript SDK puts the checksum of an empty body here: S3 takes these only when they are signed as headers."""


def with_carried_headers(request: Request) -> Request:
    """Return a presigned request with the headers that its address carries where they belong."""
    if "AWSAccessKeyId" in request.params and "Signature" in request.params:
        carried = {name.lower(): value for name, value in request.query if _is_header(name)}
        rest = tuple(pair for pair in request.query if not _is_header(pair[0]))
        return replace(request, headers={**carried, **request.headers}, query=rest) if carried else request
    if "X-Amz-Signature" not in request.params:
        return request
    signed = request.params.get("X-Amz-SignedHeaders", "").lower().split(";")
    named = ((name.lower(), value) for name, value in request.query)
    carried = {name: value for name, value in named if name in signed or _is_meant(name)}
    return replace(request, headers={**carried, **request.headers}) if carried else request


def _is_header(name: str) -> bool:
    return name.lower() in {"content-type", "content-md5"} or name.lower().startswith("x-amz-")


def _is_meant(name: str) -> bool:
    return name.startswith("x-amz-") and name not in _NOT_HEADERS and not name.startswith(_OF_NO_BODY)
