"""Objects of S3 and what speaks like it, as sources: through boto3, with the user's own configuration of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from pfs.errors import InvalidInputError, NotFoundError, PfsError, StorageError
from pfs.shorten import quoted
from pfs.sources.names import media_type, name_of, short
from pfs.sources.remote import Body, Fetched, RemoteFile, Resuming

if TYPE_CHECKING:
    from botocore.client import BaseClient

_MISSING: Final = {"NoSuchKey", "NoSuchBucket", "NotFound", "404"}
_REFUSED: Final = {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


class S3:
    """``s3://bucket/key``; see `Origin`.

    Credentials, region and endpoint are those that boto3 finds (AWS_ENDPOINT_URL is one of its variables); without any
    credentials requests are not signed, as public buckets take them.
    """

    def __init__(self, *, endpoint_url: str | None, user_agent: str, pause: Callable[[int], None]) -> None:
        self._pause = pause
        try:
            session = boto3.session.Session()
            unsigned = {} if session.get_credentials() else {"signature_version": botocore.UNSIGNED}
            config = Config(
                user_agent_extra=user_agent,
                retries={"mode": "standard", "max_attempts": 5},
                max_pool_connections=64,
                connect_timeout=15,
                read_timeout=30,
                **unsigned,
            )
            self._client: BaseClient = session.client("s3", endpoint_url=endpoint_url, config=config)
        except (BotoCoreError, ValueError) as error:
            raise InvalidInputError(f"S3 cannot be used as it is set up: {_words(error)}") from error
        self._signed = not unsigned

    def file(self, url: str) -> RemoteFile:
        """Return the object that a URL names."""
        bucket, key = _parts(url)
        return self._file(url, bucket, key, name=name_of(url))

    def below(self, url: str) -> Iterator[RemoteFile]:
        """Yield the objects below a URL in the order of their keys, but for empty ones that mark directories."""
        bucket, key = _parts(url)
        prefix = key if not key or key.endswith("/") else key + "/"
        found = False
        for page in self._pages(bucket, prefix):
            for item in page:
                name = str(item["Key"])[len(prefix) :]
                if (name and not name.endswith("/")) or item["Size"]:
                    found = True
                    yield self._file(f"s3://{bucket}/{item['Key']}", bucket, str(item["Key"]), name=_checked(name, url))
        if not found:
            raise NotFoundError(
                f"no objects below {short(f's3://{bucket}/{prefix}')}; a single object is put without -r"
            )

    def _pages(self, bucket: str, prefix: str) -> Iterator[list[Mapping[str, object]]]:
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield page.get("Contents", [])
        except (ClientError, BotoCoreError) as error:
            raise self._error(error, f"s3://{bucket}/{prefix}", "list") from error

    def _file(self, url: str, bucket: str, key: str, *, name: str) -> RemoteFile:
        @contextmanager
        def opened(stop: threading.Event) -> Iterator[Fetched]:
            transfer = _Transfer(self, url, {"Bucket": bucket, "Key": key})
            with Resuming(
                transfer, short(url), broken=(OSError, BotoCoreError, HTTPError), stop=stop, pause=self._pause
            ) as stream:
                stream.begin()
                mime, metadata = transfer.said.get("ContentType"), transfer.said.get("Metadata")
                yield Fetched(
                    cast("BinaryIO", stream),  # it reads as one
                    media_type(mime if isinstance(mime, str) else None),
                    metadata if isinstance(metadata, Mapping) else {},
                )

        return RemoteFile(name, url, opened)

    def get(self, url: str, request: Mapping[str, str]) -> dict[str, object]:
        """Send one GetObject."""
        try:
            answer: dict[str, object] = self._client.get_object(**request)
        except (ClientError, BotoCoreError) as error:  # boto3 has tried again already
            raise self._error(error, url, "read") from error
        return answer

    def _error(self, error: Exception, url: str, action: str) -> PfsError:
        url = short(url)
        code = str(error.response.get("Error", {}).get("Code")) if isinstance(error, ClientError) else ""
        if code in _MISSING:
            return NotFoundError(f"nothing at {url}: S3 answered {code}")
        if code in {"PreconditionFailed", "412"}:
            return StorageError(f"{action} {url}", "the transfer broke, and the object changed meanwhile")
        hint = "" if self._signed or code not in _REFUSED else "; no credentials were found, so it was not signed"
        return StorageError(f"{action} {url}", _words(error) + hint)


class _Transfer:
    """One object: what the first answer said of it; later ones must be of the same version."""

    def __init__(self, origin: S3, url: str, request: Mapping[str, str]) -> None:
        self._origin, self._url, self._base = origin, url, request
        self.said: dict[str, object] = {}

    def request(self, offset: int) -> Body:
        """Return the bytes from ``offset`` on."""
        part = {"Range": f"bytes={offset}-", "IfMatch": str(self.said["ETag"])} if offset else {}
        answer = self._origin.get(self._url, {**self._base, **part})
        body = cast("Body", answer["Body"])
        if "ContentLength" not in answer or "ETag" not in answer:
            body.close()
            raise OSError("the headers of the answer were cut off")
        self.said = self.said or answer
        return body

    @property
    def size(self) -> int | None:
        """What the first answer announced."""
        length = self.said.get("ContentLength")
        return length if isinstance(length, int) else None


def _parts(url: str) -> tuple[str, str]:
    bucket, _, key = url.partition("://")[2].partition("/")
    if not bucket:
        raise InvalidInputError(f"{quoted(url)} names no bucket: write s3://bucket/key")
    return bucket, key


def _checked(name: str, url: str) -> str:
    if "" in name.split("/"):
        raise InvalidInputError(
            f"below {short(url)} is an object with an empty name in its key: {quoted(name)} is no path"
        )
    return name


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
