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
from datetime import UTC, datetime
from functools import lru_cache

from s3api.auth.caller import (
    MAX_SKEW_S,
    UNSIGNED,
    Caller,
    ChunkSigning,
    KeyFinder,
    check_skew,
    expired,
    find_key,
    mismatch,
)
from s3api.auth.canonical import canonical_forms
from s3api.errors import S3Error, not_implemented
from s3api.http.request import Request
from s3api.http.times import parse_amz_date, parse_http_date

ALGORITHM = "AWS4-HMAC-SHA256"
STREAMING = "STREAMING-"
MAX_EXPIRES_S = 7 * 24 * 3600
_FIELDS = ("Credential", "SignedHeaders", "Signature")
_QUERY = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
_EXPIRES = re.compile("[0-9]{1,19}")
_DAY = re.compile("[0-9]{8}")
_BAD_HEADER = "AuthorizationHeaderMalformed"
_BAD_QUERY = "AuthorizationQueryParametersError"


@dataclass(frozen=True, slots=True)
class Credential:
    """The scope that a signature was made for: ``access_key/date/region/service/aws4_request``; any region will do."""

    access_key: str
    date: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        """The part that is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a client says that it signed, when, and with what result."""

    credential: Credential
    date: str
    signed: Sequence[str]
    payload: str
    signature: str


def parse_credential(text: str, code: str) -> Credential:
    """Parse a credential; access keys may hold slashes.

    Raises:
        S3Error: ``code``.
    """
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not parts[0] or not _DAY.fullmatch(parts[1]):
        raise S3Error(code, "the credential must be KEY/YYYYMMDD/REGION/s3/aws4_request")
    if parts[3] not in {"s3", "s3express"} or parts[4] != "aws4_request":
        raise S3Error(code, f"the credential is for {parts[3]}/{parts[4]}: this is s3/aws4_request")
    return Credential(*parts[:4])


def check_algorithm(name: str, code: str) -> None:
    """Refuse any algorithm but ours.

    Raises:
        S3Error: NotImplemented for version 4A, which signs with a key pair; ``code`` for anything else.
    """
    if name.startswith("AWS4-ECDSA-"):
        raise not_implemented(f"signature algorithm {name} (version 4A)")
    if name != ALGORITHM:
        raise S3Error(code, f"the only signature algorithm of version 4 is {ALGORITHM}")


def check_header(request: Request, header: str, find: KeyFinder, *, now_s: float) -> Caller:
    """Check an Authorization header of version 4; see `s3api.auth.caller.authenticate`."""
    algorithm, _, rest = header.partition(" ")
    check_algorithm(algorithm, _BAD_HEADER)
    pairs = [part.strip().partition("=") for part in rest.split(",")]
    fields = {name: value for name, _, value in pairs}
    if len(pairs) != len(_FIELDS) or not all(fields.get(name) for name in _FIELDS):
        raise S3Error(_BAD_HEADER, f"{', '.join(_FIELDS)} are required, each once")
    credential = parse_credential(fields["Credential"], _BAD_HEADER)
    key, secret = find_key(find, credential.access_key)
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    date, time_s = _time_of(request)
    check_skew(time_s, now_s)
    _check_day(credential, date, _BAD_HEADER)
    signed = _signed_headers(request, fields["SignedHeaders"])
    claim = _Claim(credential, date, signed, payload, fields["Signature"])
    return Caller(key, payload, _check(request, claim, secret), kind="v4-header")


def check_query(request: Request, find: KeyFinder, *, now_s: float) -> Caller:
    """Check a presigned address of version 4; see `s3api.auth.caller.authenticate`."""
    params = {name: request.params.get(f"X-Amz-{name}", "") for name in _QUERY}
    sent = [name for name, _ in request.query]
    if not all(params.values()) or any(sent.count(f"X-Amz-{name}") > 1 for name in _QUERY):
        raise S3Error(
            _BAD_QUERY, f"a presigned address needs {', '.join(f'X-Amz-{name}' for name in _QUERY)}, each once"
        )
    check_algorithm(params["Algorithm"], _BAD_QUERY)
    credential = parse_credential(params["Credential"], _BAD_QUERY)
    key, secret = find_key(find, credential.access_key)
    _check_window(params["Date"], params["Expires"], now_s)
    _check_day(credential, params["Date"], _BAD_QUERY)
    signed = _signed_headers(request, params["SignedHeaders"], presigned=True)
    claim = _Claim(credential, params["Date"], signed, _payload_of(request, signed), params["Signature"])
    chunks = _check(request, claim, secret)
    return Caller(key, _body_of(request, claim), chunks, kind="v4-query")


def _payload_of(request: Request, signed: Sequence[str]) -> str:
    """Return what was signed of the body; a header that is not signed is no part of it."""
    carried = request.params.get("X-Amz-Content-Sha256")
    sent = request.header("x-amz-content-sha256") if "x-amz-content-sha256" in signed else None
    return carried or sent or UNSIGNED


def _body_of(request: Request, claim: _Claim) -> str:
    """Return what the body must be: where that was left open, what the client says of it now.

    It may send any body, so it may say which: a digest is compared, and a framing taken off, not stored.
    """
    return (request.header("x-amz-content-sha256") or UNSIGNED) if claim.payload == UNSIGNED else claim.payload


def _check(request: Request, claim: _Claim, secret: str) -> ChunkSigning | None:
    """Compare the signature with those of all right texts; return what a streamed body goes on with.

    Raises:
        S3Error: SignatureDoesNotMatch, with what should have been signed.
    """
    credential = claim.credential
    secret_key = signing_key(secret, credential.date, credential.region, credential.service)
    shown: tuple[str, str] | None = None
    for canonical in canonical_forms(request, signed=claim.signed, payload=claim.payload):
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{ALGORITHM}\n{claim.date}\n{credential.scope}\n{digest}"
        shown = shown or (text, canonical)
        if hmac.compare_digest(sign_text(secret_key, text).encode(), claim.signature.encode()):
            streamed = claim.payload.startswith(STREAMING)
            return ChunkSigning(secret_key, credential.scope, claim.date, claim.signature) if streamed else None
    text, canonical = shown or ("", "")
    raise mismatch(credential.access_key, claim.signature, text, canonical=canonical)


def _check_window(date: str, expires: str, now_s: float) -> None:
    start = parse_amz_date(date)
    if start is None:
        raise S3Error(_BAD_QUERY, "X-Amz-Date must be a time such as 20261122T080000Z")
    if not _EXPIRES.fullmatch(expires):
        raise S3Error(_BAD_QUERY, f"X-Amz-Expires must be a number of seconds, 1 to {MAX_EXPIRES_S}")
    if not 0 < int(expires) <= MAX_EXPIRES_S:
        raise S3Error(_BAD_QUERY, f"X-Amz-Expires must be 1 to {MAX_EXPIRES_S} seconds, which is a week")
    if start > now_s + MAX_SKEW_S:
        raise S3Error("AccessDenied", "Request is not valid yet", fields={"X-Amz-Date": date})
    if now_s > start + int(expires):
        raise expired(start + int(expires), now_s, {"X-Amz-Expires": expires})


def _check_day(credential: Credential, date: str, code: str) -> None:
    if not date.startswith(credential.date):
        raise S3Error(code, f"the credential's date {credential.date} is not that of the request, {date}")


def _time_of(request: Request) -> tuple[str, float | None]:
    """Return the request's time as it is signed, and in seconds; a date as HTTP writes it will do as well."""
    date = request.header("x-amz-date") or request.header("date") or ""
    time_s = parse_amz_date(date)
    if time_s is not None:
        return date, time_s
    time_s = parse_http_date(date)
    if time_s is None:
        return "", None
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y%m%dT%H%M%SZ"), time_s


def _signed_headers(request: Request, names: str, *, presigned: bool = False) -> Sequence[str]:
    """Return the signed headers' names; Host and every x-amz- header that came must be among them.

    A presigned address also vouches for those that it carries, with that very value, in its query, which is signed;
    and S3 leaves the digest of the body to the client there.

    Raises:
        S3Error: AccessDenied.
    """
    signed = names.lower().split(";")
    vouched = {("x-amz-content-sha256", request.header("x-amz-content-sha256"))} if presigned else set()
    vouched |= {(name.lower(), value) for name, value in request.query} if presigned else set()
    sent = [
        name for name, value in request.headers.items() if name.startswith("x-amz-") and (name, value) not in vouched
    ]
    missing = [name for name in ("host", *sent) if name not in signed]
    if missing:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            fields={"HeadersNotSigned": ", ".join(missing)},
        )
    return signed


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
