"""A prefix of a bucket as the place that files are sent to: S3, and whatever speaks like it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Final

from pfs.errors import InvalidInputError, StorageError
from pfs.paths import from_key
from pps.egress.target import Sending

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from botocore.client import BaseClient

PARALLEL: Final = 8
_PART: Final = 8 << 20
_LARGE: Final = 4 * _PART
_TOGETHER: Final = 4
_AT_ONCE: Final = 2
"""So many large files at a time have several parts under way."""
_NAMES: Final = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_REGION": "region_name",
    "AWS_DEFAULT_REGION": "region_name",
    "AWS_PROFILE": "profile_name",
}
_ENDPOINT: Final = "AWS_ENDPOINT_URL"
SETTINGS: Final = frozenset({*_NAMES, _ENDPOINT})
"""What a secret may say about where and as whom; the names are those of boto3's variables."""


class S3Target:
    """Objects below ``s3://bucket/prefix``; see `Target`.

    ``settings``: `SETTINGS` with their values; what is not among them is what boto3 finds by itself. Files larger than
    8 MiB go in parts of that size: those from 32 MiB on, two of them at a time, four parts together, others one after
    the other. An upload that fails is aborted. Memory: a part a thread, and four more for each of those two.
    """

    def __init__(self, bucket: str, prefix: str, settings: Mapping[str, str]) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        self._bucket, self._prefix = bucket, f"{prefix}/".encode() if prefix else b""
        self._wide = threading.BoundedSemaphore(_AT_ONCE)
        given = {_NAMES[name]: value for name, value in settings.items() if name in _NAMES}
        config = Config(
            max_pool_connections=PARALLEL + _AT_ONCE * _TOGETHER,
            connect_timeout=15,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 3},
        )
        try:
            session = boto3.session.Session(**given)
            self._client: BaseClient = session.client("s3", endpoint_url=settings.get(_ENDPOINT), config=config)
        except (BotoCoreError, ValueError) as error:
            raise InvalidInputError(f"S3 cannot be used as it is set up: {error}") from error

    def sizes(self, names: Iterable[bytes]) -> Iterator[int | None]:
        """Go through names and a listing side by side: both are in byte order."""
        listed = self._listed()
        at = next(listed, None)
        for name in names:
            key = self._prefix + name
            while at is not None and at[0] < key:
                at = next(listed, None)
            yield at[1] if at is not None and at[0] == key else None

    def _listed(self) -> Iterator[tuple[bytes, int]]:
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix.decode()):
                for item in page.get("Contents", []):
                    yield str(item["Key"]).encode(), int(item["Size"])
        except (ClientError, BotoCoreError) as error:
            raise StorageError(f"list s3://{self._bucket}/{self._prefix.decode()}", _words(error)) from error

    def put(self, file: Sending, body: BinaryIO) -> None:
        """Send one object."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        key = (self._prefix + file.name).decode()
        about: dict[str, object] = {}
        if file.mime:
            about["ContentType"] = file.mime
        if file.metadata:
            about["Metadata"] = dict(file.metadata)
        is_wide = file.size >= _LARGE and self._wide.acquire(blocking=False)
        config = _transfer(_TOGETHER if is_wide else 1)
        try:
            self._client.upload_fileobj(body, self._bucket, key, ExtraArgs=about, Config=config)
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise StorageError(f"write s3://{self._bucket}{from_key(key.encode())}", _words(error)) from error
        finally:
            if is_wide:
                self._wide.release()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _transfer(together: int) -> TransferConfig:
    """Return how a file is sent: so many parts at a time, and no more of it in memory than that."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(
        multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=together, use_threads=together > 1
    )
    config.max_in_memory_upload_chunks = together
    return config


def _words(error: Exception) -> str:
    return " ".join(str(error).split())
