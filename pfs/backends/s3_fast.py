"""Reads from S3 by obstore, where that is installed (the extra ``fast-s3``): a tenth of boto3's processor time each.

It only ever answers with the bytes, or that there is no such object. Whatever else happens is left to boto3, which is
asked next: so credentials, retries and the words of errors are the same with and without. Whom it speaks to, and as
whom, is what boto3 says: the address is that of boto3's own request, the keys are those of its chain, renewed there.
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from pfs.backends.forks import forget_in_children
from pfs.backends.s3_client import CONNECT_S, S3Clients
from pfs.backends.s3_errors import FAILURES

_MISSING: Final = "<Code>NoSuchKey</Code>"
_KEYS_FOR: Final = timedelta(minutes=6)
"""How long keys are used before boto3 is asked again, which renews them: obstore takes off 5 minutes."""
_WHOLE: Final = timedelta(hours=1)
"""A long answer may take so long; one that stops for `timeout_s` is given up."""
_LARGE: Final = 4 << 20
"""Bytes beyond which boto3 is as good: then most of the time goes into copying, of which obstore does one more."""
_TRIES: Final = 32
"""Failures in a row after which it is tried rarely, so that what it cannot do does not cost a request each time."""
_RARELY: Final = 64
"""Every so many reads, then."""
_SIGNATURES: Final = frozenset({None, "s3v4", "v4"})
_SCOPE: Final = re.compile(r"Credential=[^,]*/\d{8}/([^/]+)/s3/aws4_request")
_EXPRESS: Final = "--x-s3"
"""How buckets end that want a session of their own kind."""

_threads_of: int | None = None
"""The process whose child must not use obstore: its threads are not there in the child."""


class NoSuchKeyError(Exception):
    """S3 says that there is no such object, in a bucket that is there."""


def is_installed() -> bool:
    """Say whether obstore can be imported."""
    return find_spec("obstore") is not None


class FastReads:
    """Reads objects of one bucket; threads may share it. In a child of a process that used it, all is left to boto3."""

    def __init__(self, clients: S3Clients, bucket: str) -> None:
        self._clients, self._bucket = clients, bucket
        self._lock = threading.Lock()
        self._store: Any = None
        self._made_for: Any = None
        self._failed = 0
        forget_in_children(self)

    def forget_parent(self) -> None:
        """Drop what belongs to the parent; see `Forgetful`."""
        self._lock, self._store = threading.Lock(), None

    def get(self, key: str, offset: int, length: int | None) -> tuple[bytes, str] | None:
        """Return bytes and etag of an object or, without the etag, of a range of it; None: ask boto3.

        ``offset`` below 0 counts from the end; ``length`` is None, or at least 1.

        Raises:
            NoSuchKeyError: there is no such object.
        """
        if (length or 0) > _LARGE or _threads_of not in (None, os.getpid()) or self._rests():
            return None
        found = self._answer(key, offset, length)
        self._failed = 0 if found is not None else self._failed + 1
        return found

    def _rests(self) -> bool:
        if self._failed < _TRIES or self._failed % _RARELY == 0:
            return False
        self._failed += 1
        return True

    def _answer(self, key: str, offset: int, length: int | None) -> tuple[bytes, str] | None:
        import obstore

        try:
            store = self._ready()
            if length is not None:
                return bytes(obstore.get_range(store, key, start=offset, length=length)), ""
            span: Any = {"suffix": -offset} if offset < 0 else {"offset": offset}
            answer = obstore.get(store, key, options={"range": span} if offset else None)
            etag = answer.meta["e_tag"]
            return (bytes(answer.bytes()), str(etag or "")) if etag or offset else None
        except FileNotFoundError as error:
            if _MISSING in str(error):
                raise NoSuchKeyError from error
            return None
        except (obstore.exceptions.BaseError, ValueError, *FAILURES):
            return None

    def _ready(self) -> Any:
        global _threads_of
        client = self._clients.get()
        with self._lock:
            if self._store is None or self._made_for is not client:  # another one has other keys
                self._store, self._made_for = _make(self._clients, self._bucket), client
                _threads_of = os.getpid()
            return self._store


def fast_reads(clients: S3Clients, bucket: str) -> FastReads | None:
    """Return what reads by obstore; None where it is not installed, or cannot be told all that boto3 was.

    That is: own certificates, other signatures, buckets of S3 Express.
    """
    meta = clients.get().meta
    own = meta.endpoint_url.startswith("https:") and clients.has_own_certificates  # obstore would trust others too
    if own or not is_installed() or meta.config.signature_version not in _SIGNATURES or bucket.endswith(_EXPRESS):
        return None
    return FastReads(clients, bucket)


class _SentError(Exception):
    """Where boto3 would have sent a request: URL, and the region that it was signed for."""

    def __init__(self, url: str, region: str) -> None:
        super().__init__(url)
        self.url, self.region = url, region


def _where(client: Any, bucket: str) -> tuple[str, bool, str]:
    """Return the endpoint of a bucket, whether its name is in the path behind it, and the region, as boto3 has them.

    Nothing is sent: a request is made, signed, and stopped. Raises as boto3 does, for want of keys for instance.
    """
    key = uuid.uuid4().hex

    def stop(request: Any, **_: object) -> None:
        if key in request.url:  # others use the client meanwhile
            signed = _SCOPE.search(_text(request.headers.get("Authorization") or ""))
            raise _SentError(request.url, signed[1] if signed else "")

    client.meta.events.register_first("before-send.s3.GetObject", stop)
    try:
        client.get_object(Bucket=bucket, Key=key)
    except _SentError as sent:
        url = urlsplit(sent.url)
        if not sent.region or url.path not in (f"/{bucket}/{key}", f"/{key}"):
            raise ValueError("boto3 sends something that obstore cannot") from sent
        return f"{url.scheme}://{url.netloc}", url.path != f"/{key}", sent.region
    finally:
        client.meta.events.unregister("before-send.s3.GetObject", stop)
    raise AssertionError("the request was not stopped")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _make(clients: S3Clients, bucket: str) -> Any:
    from obstore.store import S3Store

    credentials, options = clients.credentials(), clients.options
    endpoint, in_path, region = _where(clients.get(), bucket)

    def keys() -> Any:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _KEYS_FOR,
        }

    return S3Store(
        bucket,
        config={  # all that the environment might say otherwise
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "virtual_hosted_style_request": not in_path,
            "region": region,
            "skip_signature": False,
            "request_payer": options.requester_pays,
            "s3_express": False,
        },
        client_options={
            "allow_http": endpoint.startswith("http:"),
            "connect_timeout": timedelta(seconds=min(CONNECT_S, options.silence_s)),
            "read_timeout": timedelta(seconds=options.silence_s),
            "timeout": _WHOLE,
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(0)},
        credential_provider=keys,
    )
