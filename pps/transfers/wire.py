"""Requests to S3: signed, sent, tried again, and their errors told as refusals or trouble.

By urllib3 and our own signature, as a request of boto3 costs some milliseconds of processor, which is what limits many
small files. What is set up (profiles, roles, tokens that are renewed) is botocore's affair all the same (`access`).
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

import urllib3
from urllib3.exceptions import HTTPError

from pfs.errors import NotFoundError, PfsError, StorageError
from pps.transfers.access import Access
from pps.transfers.errors import PlaceRefusedError, Stopped
from pps.transfers.sigv4 import UNSIGNED, escaped, query_text, signature

POOL: Final = 64
_TRIES: Final = 5
FIRST_S: Final = 0.25
_MOST_S: Final = 20.0
_AGAIN: Final = {408, 429, 500, 502, 503, 504}
_PASSING: Final = frozenset(
    {
        "RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "OperationAborted", "BadDigest",
        "ConditionalRequestConflict", "IncompleteBody", "XAmzContentSHA256Mismatch", "RequestTimeTooSkewed",
        "Throttling",
    }
)  # fmt: skip
"""Codes that say nothing against the request itself."""
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_EMPTY: Final = hashlib.sha256(b"").hexdigest()
_TIMEOUT: Final = urllib3.Timeout(connect=15, read=60)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``key`` empty for the bucket; ``shown``: what it does, for messages."""

    method: str
    bucket: str
    key: str
    shown: str
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    missing: tuple[str, ...] = ()
    """Codes that mean that nothing is there: `NotFoundError`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer; headers by lower-case name."""

    headers: Mapping[str, str]
    body: bytes
    signed_body: bool = False
    """Whether the server was told the SHA-256 of what it was sent, which it has to compare."""

    @property
    def etag(self) -> str:
        """The ETag without quotes; empty without one."""
        return self.headers.get("etag", "").strip('"')


class Wire:
    """Sends requests to one S3; thread-safe. Waits end with Stopped once ``stop`` is set."""

    def __init__(self, access: Access, *, stop: threading.Event | None = None) -> None:
        self._access, self._stop = access, stop or threading.Event()
        more: dict[str, object] = {} if access.authority is None else {"ca_certs": access.authority}
        self._pool = (
            urllib3.PoolManager(maxsize=POOL, **more)  # type: ignore[arg-type]
            if access.proxy is None
            else urllib3.ProxyManager(access.proxy, maxsize=POOL, **more)  # type: ignore[arg-type]
        )
        self._regions: dict[str, str] = {}
        self._signs_bodies = access.endpoint.startswith("http:") and access.keys() is not None

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def send(self, request: Request, *, always: bool = False) -> Answer:
        """Send a request, up to five times, with pauses of half a second to 20 s that differ by chance.

        ``always``: also when it was stopped, for what clears away.

        Raises:
            NotFoundError: the answer is one of ``request.missing``. PlaceRefusedError: it is refused.
            StorageError: nobody answers, or not as it should be. Stopped.
        """
        answer = self._tried(request, always=always)
        return Answer(_lower(answer.headers), answer.data, self._signs_bodies)

    def stream(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Send a GetObject and return the answer unread, which the caller closes; tried again as in `send`."""
        return self._tried(request, preload=False)

    def _tried(self, request: Request, *, always: bool = False, preload: bool = True) -> urllib3.BaseHTTPResponse:
        for tried in range(1, _TRIES + 1):
            if self._stop.is_set() and not always:
                raise Stopped
            moved = False
            try:
                answer = self._once(request, preload=preload)
                if answer.status < 300:
                    return answer
                _ = answer.data  # read, so that the connection is free again
                moved = self._moved(request.bucket, answer)
                error: PfsError = _error(request, answer)
                passing = moved or isinstance(error, StorageError)
            except HTTPError as trouble:
                error = _trouble(request.shown, trouble)
                passing = isinstance(error, StorageError)
            if not passing or tried == _TRIES:
                raise error
            if not moved:
                self.pause(tried)
        raise AssertionError("the last try returns or raises")

    def pause(self, tried: int) -> None:
        """Wait before the next try; by chance, so that those who failed together do not come back together."""
        most = min(_MOST_S, FIRST_S * 2**tried)
        self._stop.wait(random.uniform(most / 2, most))

    def _once(self, request: Request, *, preload: bool = True) -> urllib3.BaseHTTPResponse:
        region = self._regions.get(request.bucket, self._access.region)
        site, prefix = self._access.base_of(request.bucket, region)
        path = prefix + "/" + escaped(request.key, safe="/") if request.key else prefix or "/"
        query = query_text(request.query or {})
        headers = {name.lower(): value for name, value in (request.headers or {}).items()}
        self._sign(request, (path, query), headers, site=site, region=region)
        return self._pool.request(
            request.method,
            f"{site}{path}{'?' if query else ''}{query}",
            body=request.body or None,
            headers=headers,
            retries=False,
            redirect=False,
            timeout=_TIMEOUT,
            preload_content=preload,
            decode_content=False,
        )

    def _sign(
        self, request: Request, target: tuple[str, str], headers: dict[str, str], *, site: str, region: str
    ) -> None:
        scheme, _, host = site.partition("://")
        headers["host"] = _without_usual_port(scheme, host)
        keys = self._access.keys()
        if keys is not None:
            payload = _EMPTY if not request.body else UNSIGNED
            if request.body and self._signs_bodies:
                payload = hashlib.sha256(request.body).hexdigest()
            headers["x-amz-content-sha256"] = payload
            headers["x-amz-date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            if keys.token:
                headers["x-amz-security-token"] = keys.token
            headers["authorization"] = signature(
                (request.method, *target), headers, keys=(keys.id, keys.secret), region=region, payload=payload
            )
        headers["user-agent"] = "pfs"
        if request.method in {"PUT", "POST"} and not request.body:
            headers["content-length"] = "0"

    def _moved(self, bucket: str, answer: urllib3.BaseHTTPResponse) -> bool:
        """Learn where a bucket is when the answer says that it is elsewhere: by a header, or the document of the error.

        What else than AWS says so knows its buckets by the one address, and wants another region in the signature.
        """
        region = answer.headers.get("x-amz-bucket-region") or _named(answer.data, "Region")
        known = self._regions.get(bucket, self._access.region)
        if answer.status not in {301, 307, 400} or not _REGION.fullmatch(region) or region == known:
            return False
        self._regions[bucket] = region
        return True


def _without_usual_port(scheme: str, host: str) -> str:
    """Return a host as HTTP clients name it."""
    name, _, port = host.rpartition(":")
    return name if name and port == {"http": "80", "https": "443"}.get(scheme) else host


def _lower(headers: urllib3.HTTPHeaderDict) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def code_and_words(body: bytes) -> tuple[str, str]:
    """Return code and message of an error's document; empty where there is none."""
    return _named(body, "Code"), _named(body, "Message")


def _named(body: bytes, name: str) -> str:
    """Return what an error's document says under a name; empty where it says nothing, or is none."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return ""
    return next((one.text or "" for one in root if one.tag.rpartition("}")[2] == name), "")


def _error(request: Request, answer: urllib3.BaseHTTPResponse) -> PfsError:
    code, message = code_and_words(answer.data)
    said = f"S3 answered {answer.status} {code or answer.reason or ''}".rstrip()
    said += f" ({' '.join(message.split()).rstrip('.')})" if message else ""
    if code in request.missing or str(answer.status) in request.missing:
        return NotFoundError(f"cannot {request.shown}: {said}")
    if answer.status in _AGAIN or answer.status >= 500 or code in _PASSING:
        return StorageError(request.shown, said)
    return PlaceRefusedError(request.shown, said)


def _trouble(shown: str, error: HTTPError) -> StorageError | PlaceRefusedError:
    """Return what a connection that failed is: a host name that nobody knows is a refusal, all else may pass."""
    reason = getattr(error, "reason", None) or error
    cause = reason.__cause__
    if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
        return PlaceRefusedError(shown, _words(error))
    return StorageError(shown, _words(error))


def _words(error: Exception) -> str:
    text = " ".join(str(getattr(error, "reason", None) or error).split())
    return text.partition(": ")[2] or text if text.startswith(("<", "HTTP")) else text
