"""AWS Signature Version 2: header and presigned query, which boto3 and the aws CLI make by default for own endpoints.

The string to sign is botocore's own (`HmacV1Auth.canonical_string`).
"""

from __future__ import annotations

import base64
import hmac
from http.client import HTTPMessage
from urllib.parse import urlsplit

from s3api.auth import Caller, KeyFinder, check_skew, compare, find_key
from s3api.errors import S3Error
from s3api.request import Request
from s3api.times import parse_amz_date, parse_http_date


def check_header(request: Request, header: str, find: KeyFinder, *, now_s: float) -> Caller:
    """Check ``Authorization: AWS KEY:SIGNATURE``; see `s3api.auth.authenticate`."""
    access_key, colon, signature = header.removeprefix("AWS ").strip().rpartition(":")
    if not colon:
        raise S3Error("InvalidArgument", "the authorization header must be AWS KEY:SIGNATURE")
    key, secret = find_key(find, access_key)
    amz_date = request.header("x-amz-date")
    date = amz_date or request.header("date") or ""
    check_skew(parse_http_date(date) or parse_amz_date(date), now_s)
    expected = signature_of(request, secret, date="" if amz_date else date)
    compare(expected, signature, access_key)
    return Caller(key, request.header("x-amz-content-sha256") or "UNSIGNED-PAYLOAD")


def check_query(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check ``?AWSAccessKeyId=..&Expires=..&Signature=..``; see `s3api.auth.authenticate`."""
    params = request.params
    access_key, expires, signature = (params.get(name, "") for name in ("AWSAccessKeyId", "Expires", "Signature"))
    if not access_key or not signature or not expires.isdecimal():
        raise S3Error("AccessDenied", "a presigned address needs AWSAccessKeyId, Signature and Expires")
    key, secret = find_key(find, access_key)
    if now_s > int(expires[:19]):
        raise S3Error("AccessDenied", "the presigned address has expired")
    compare(signature_of(request, secret, date=expires), signature, access_key)
    return Caller(key, request.header("x-amz-content-sha256") or "UNSIGNED-PAYLOAD")


def signature_of(request: Request, secret: str, *, date: str) -> str:
    """Return the base64 signature; ``date`` is the Date line: the header, the expiry, or empty beside x-amz-date."""
    canonical = canonical_string(request, date)
    return base64.b64encode(hmac.digest(secret.encode(), canonical.encode(), "sha1")).decode()


def canonical_string(request: Request, date: str) -> str:
    """Return the string to sign, computed by botocore from the request as it came."""
    from botocore.auth import HmacV1Auth

    class _Signer(HmacV1Auth):  # type: ignore[misc]  # botocore has no types
        def _get_date(self) -> str:
            return date

    headers = HTTPMessage()
    for name, value in request.headers.items():
        headers[name] = value
    path = f"/{request.bucket}{request.raw_path}" if request.virtual_host else request.raw_path
    address = urlsplit(f"//host/?{request.raw_query}")
    text: str = _Signer(None).canonical_string(request.method, address, headers, auth_path=path)
    return text
