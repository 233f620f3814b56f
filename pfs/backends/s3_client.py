"""Clients of boto3 for a place: one a process, as connections must not be shared over a fork."""

from __future__ import annotations

import threading
import time
from functools import cache
from io import BytesIO
from typing import Any, Final

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.loaders import Loader

from pfs.backends.forks import forget_in_children
from pfs.backends.s3_errors import FAILURES
from pfs.backends.s3_place import S3Options
from pfs.backends.s3_words import as_setup_error

CONNECTIONS: Final = 64
CONNECT_S: Final = 10
_SENT_BYTES: Final = 256 << 10
"""Of a body that are sent by one call, which must take less than the time-out for connecting."""
_RENEWED_EACH_S: Final = 5.0
"""Stale credentials are looked for again no more often: that may start a program."""


class S3Clients:
    """Gives the client of this process; thread-safe."""

    def __init__(self, options: S3Options) -> None:
        """Make the client of this process.

        Raises:
            InvalidInputError: the settings make no sense. AccessRefusedError: there is no such profile.
        """
        self.options = options
        self._lock = threading.Lock()
        self._client: Any = None
        self._session: Any = None
        self._looked_s = -_RENEWED_EACH_S
        self.get()
        forget_in_children(self)

    def get(self) -> Any:
        """Return the client."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._session, self._client = _make(self.options)
        return self._client

    def credentials(self) -> Any:
        """Return what gives the keys of the chain, renewed in time; raises NoCredentialsError."""
        self.get()
        found = self._session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return found

    def renew(self, client: Any) -> bool:
        """Look again for credentials, as those of ``client`` have ended; say whether `get` returns another client.

        The file or program that they come from may have newer ones, which boto3 reads once.
        """
        with self._lock:
            if self._client is not client:
                return True
            now_s = time.monotonic()
            if now_s - self._looked_s < _RENEWED_EACH_S:
                return False
            self._looked_s = now_s
            session, newer = _make(self.options)
            if _keys(session) in (None, _keys(self._session)):
                newer.close()
                return False
            self._session, self._client = session, newer  # the old one is in use by other threads
            return True

    @property
    def has_own_certificates(self) -> bool:
        """Whether the user told boto3 which certificate authorities to trust."""
        self.get()
        return self.options.ca_bundle is not None or self._session.get_config_variable("ca_bundle") is not None

    def forget_parent(self) -> None:
        """Make another client when it is needed; see `Forgetful`."""
        self._lock, self._client, self._session = threading.Lock(), None, None

    def close(self) -> None:
        """Close the connections; idempotent."""
        with self._lock:
            client = self._client
        if client is not None:
            client.close()


def _make(options: S3Options) -> tuple[Any, Any]:
    """Return a session, and a client that tries once: we know better than botocore what may be done again (see s3.py).

    Bodies are signed over http, as conditional writes must be, and left to TLS over https: that saves a third of the
    processor time of a large PUT.
    """
    try:
        core = botocore.session.get_session()
        core.register_component("data_loader", _loader())
        session = boto3.session.Session(botocore_session=core, profile_name=options.profile, region_name=options.region)
        where = {"endpoint_url": options.endpoint, "verify": options.ca_bundle}
        client = session.client("s3", **where, config=_config(options))
        if client.meta.endpoint_url.startswith("https:"):  # known only now: it may be in a profile or the environment
            client.close()
            client = session.client("s3", **where, config=_config(options, signed=False))
    except (*FAILURES, ValueError) as error:
        raise as_setup_error(error) from error
    client.meta.events.register("before-parameter-build.s3.PutObject", _send_in_pieces)
    return core, client


class _Body(BytesIO):
    """What is sent, the bytes that it is made of and no copy; urllib3 asks for 16 KiB, and takes what it gets."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, more than are asked for: for each piece a thread waits for the interpreter."""
        return super().read(size if size is None or size < 0 else max(size, _SENT_BYTES))


def _send_in_pieces(params: dict[str, Any], **_: object) -> None:
    # Of each call anew, since it begins where it was read to. boto3 would do so itself, but for the size of the pieces.
    if isinstance(params.get("Body"), bytes):
        params["Body"] = _Body(params["Body"])


def _keys(session: Any) -> tuple[str, str] | None:
    found = session.get_credentials()
    frozen = None if found is None else found.get_frozen_credentials()
    return None if frozen is None else (frozen.access_key, frozen.token or "")


@cache
def _loader() -> Any:
    """Return what reads the descriptions of services, which takes 0.2 s the first time."""
    return Loader()


def _config(options: S3Options, *, signed: bool = True) -> Config:
    return Config(
        max_pool_connections=CONNECTIONS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_S, options.silence_s),
        read_timeout=options.silence_s,
        signature_version=UNSIGNED if options.anonymous else None,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": options.addressing} | ({} if signed else {"payload_signing_enabled": False}),
    )
