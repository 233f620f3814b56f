"""AWS Signature Version 4, the checking side: header and presigned query.

The canonical form is short and has to take exactly the headers that the client says it signed; botocore's signer leaves
out some that other clients do sign (User-Agent), so it is the tests that hold this file to botocore. HMAC and SHA-256
are the standard library's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from s3api.auth.caller import MAX_SKEW_S, UNSIGNED, Caller, ChunkSigning, KeyFinder, check_skew, compare, find_key
from s3api.errors import S3Error
from s3api.http.request import Request
from s3api.http.times import parse_amz_date, parse_http_date

ALGORITHM = "AWS4-HMAC-SHA256"
STREAMING = "STREAMING-"
MAX_EXPIRES_S = 7 * 24 * 3600
_SAFE = "-_.~"
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_EXPIRES = re.compile("[0-9]{1,6}")
_BLANKS = re.compile(" +")


@dataclass(frozen=True, slots=True)
class Credential:
    """The scope that a signature was made for: ``access_key/date/region/service/aws4_request``."""

    access_key: str
    date: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        """The part that is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def parse_credential(text: str) -> Credential:
    """Parse a credential; access keys may hold slashes.

    Raises:
        S3Error: AuthorizationHeaderMalformed.
    """
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or parts[3] not in {"s3", "s3express"}:
        raise S3Error("AuthorizationHeaderMalformed", "the credential must be KEY/DATE/REGION/s3/aws4_request")
    return Credential(*parts[:4])


def check_header(request: Request, header: str, find: KeyFinder, *, now_s: float) -> Caller:
    """Check an Authorization header of version 4; see `s3api.auth.caller.authenticate`."""
    fields = dict(_FIELD.findall(header))
    if len(fields) != 3:
        raise S3Error("AuthorizationHeaderMalformed", "Credential, SignedHeaders and Signature are required")
    credential = parse_credential(fields["Credential"])
    key, secret = find_key(find, credential.access_key)
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        raise S3Error("MissingSecurityHeader", "x-amz-content-sha256 is missing")
    date, time_s = _time_of(request)
    check_skew(time_s, now_s)
    _check_date(credential, date)
    signed = _signed_headers(request, fields["SignedHeaders"])
    canonical = canonical_request(request, signed=signed, query=request.query, payload=payload)
    secret_key = signing_key(secret, credential.date, credential.region, credential.service)
    expected = sign(secret_key, date=date, scope=credential.scope, canonical=canonical)
    compare(expected, fields["Signature"], credential.access_key)
    chunks = ChunkSigning(secret_key, credential.scope, date, expected) if payload.startswith(STREAMING) else None
    return Caller(key, payload, chunks)


def check_query(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check a presigned address of version 4; see `s3api.auth.caller.authenticate`."""
    params = request.params
    needed = (
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    )
    missing = [name for name in needed if name not in params]
    if missing or params["X-Amz-Algorithm"] != ALGORITHM:
        raise S3Error("AccessDenied", f"a presigned address needs {', '.join(needed)}")
    credential = parse_credential(params["X-Amz-Credential"])
    key, secret = find_key(find, credential.access_key)
    date = params["X-Amz-Date"]
    _check_window(date, params["X-Amz-Expires"], now_s)
    _check_date(credential, date)
    signed = _signed_headers(request, params["X-Amz-SignedHeaders"])
    query = tuple(pair for pair in request.query if pair[0] != "X-Amz-Signature")
    payload = params.get("X-Amz-Content-Sha256") or request.header("x-amz-content-sha256") or UNSIGNED
    canonical = canonical_request(request, signed=signed, query=query, payload=payload)
    secret_key = signing_key(secret, credential.date, credential.region, credential.service)
    expected = sign(secret_key, date=date, scope=credential.scope, canonical=canonical)
    compare(expected, params["X-Amz-Signature"], credential.access_key)
    chunks = ChunkSigning(secret_key, credential.scope, date, expected) if payload.startswith(STREAMING) else None
    return Caller(key, payload, chunks)


def _check_window(date: str, expires: str, now_s: float) -> None:
    start = parse_amz_date(date)
    if start is None or not _EXPIRES.fullmatch(expires) or not 0 < int(expires) <= MAX_EXPIRES_S:
        raise S3Error("AccessDenied", "X-Amz-Date must be a time, X-Amz-Expires 1 to 604800 seconds")
    if now_s > start + int(expires):
        raise S3Error("AccessDenied", "the presigned address has expired")
    if start > now_s + MAX_SKEW_S:
        raise S3Error("RequestTimeTooSkewed")


def _check_date(credential: Credential, date: str) -> None:
    if not date.startswith(credential.date) or len(credential.date) != 8:
        raise S3Error("AuthorizationHeaderMalformed", "the credential's date is not that of the request")


def _time_of(request: Request) -> tuple[str, float | None]:
    """Return the request's time as it is signed, and in seconds."""
    date = request.header("x-amz-date")
    if date is not None:
        return date, parse_amz_date(date)
    time_s = parse_http_date(request.header("date") or "")
    if time_s is None:
        return "", None
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_s, UTC).strftime("%Y%m%dT%H%M%SZ"), time_s


def _signed_headers(request: Request, names: str) -> Sequence[str]:
    """Return the signed headers' names; Host and every x-amz- header that came must be among them."""
    signed = names.lower().split(";")
    needed = ["host", *(name for name in request.headers if name.startswith("x-amz-"))]
    missing = [name for name in needed if name not in signed]
    if missing:
        raise S3Error(
            "AccessDenied", "headers were sent that are not signed", fields={"HeadersNotSigned": ", ".join(missing)}
        )
    return signed


def canonical_request(
    request: Request, *, signed: Sequence[str], query: Sequence[tuple[str, str]], payload: str
) -> str:
    """Return the canonical text of a request; the path is decoded and encoded again, as S3 does it, once."""
    path = quote(unquote_to_bytes(request.raw_path), safe="/" + _SAFE)
    pairs = sorted((quote(name, safe=_SAFE), quote(value, safe=_SAFE)) for name, value in query)
    lines = [f"{name}:{_BLANKS.sub(' ', request.headers.get(name, '').strip())}" for name in signed]
    return "\n".join(
        [request.method, path, "&".join(f"{n}={v}" for n, v in pairs), *lines, "", ";".join(signed), payload]
    )


def sign(secret_key: bytes, *, date: str, scope: str, canonical: str) -> str:
    """Return the hex signature of a canonical request."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return sign_text(secret_key, f"{ALGORITHM}\n{date}\n{scope}\n{digest}")


def sign_text(secret_key: bytes, text: str) -> str:
    """Return the hex HMAC-SHA256 of a string to sign."""
    return hmac.digest(secret_key, text.encode(), "sha256").hex()


@lru_cache(maxsize=256)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Return the derived key of a day, region and service; four HMACs, so kept."""
    derived = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    return derived
