"""A bucket as an object store: any S3 that has strong reads and listings and enforces conditional PUTs.

New objects are PUT with ``If-None-Match: *``, swaps with ``If-Match``. Reads and new objects are tried again with
jittered pauses; a swap only where it surely did nothing, since its caller alone can tell a lost reply from a conflict
(`pfs.refs.swap`). A new object bears a write id, by which a PUT whose reply was lost is known again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from threading import Lock
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from pfs.backends.base import Buffer, Entry, check_object_name
from pfs.backends.classes import STANDARD
from pfs.backends.collected import Collected
from pfs.backends.forks import forget_in_children
from pfs.backends.s3_client import S3Clients
from pfs.backends.s3_clock import ServerClock
from pfs.backends.s3_errors import (
    FAILURES,
    code_of,
    is_beyond,
    is_condition,
    is_missing,
    is_stale,
    is_undone,
    wants_checksums,
)
from pfs.backends.s3_fast import NoSuchKeyError, fast_reads
from pfs.backends.s3_place import S3Options, S3Place, parse_s3_url
from pfs.backends.s3_ranges import Range, header_of, merged, pieces, split
from pfs.backends.s3_retry import Retry
from pfs.backends.s3_tiers import move, restore
from pfs.backends.s3_words import as_pfs_error
from pfs.errors import AccessRefusedError, BranchMovedError, NotFoundError, StorageError
from pfs.ids import Etag

T = TypeVar("T")

PARALLEL: Final = 16
"""Requests at once: more bring little to one client, whose own work is some ms a request."""
_WRITE_ID: Final = "pfs-write"
_DELETED_AT_ONCE: Final = 1000
_DATA: Final = "packs/d/"
_NO_BATCHES: Final = frozenset({"NotImplemented", "MethodNotAllowed", "MissingContentMD5", "InvalidRequest", "501"})


class S3Backend:
    """Objects below a prefix of a bucket; see base.Backend for the promises. Threads may share it.

    Raises beside what the protocol says, as kinds of StorageError: AccessRefusedError, UnreachableError,
    BucketNotFoundError.
    """

    parallel = PARALLEL

    def __init__(self, url: str, options: S3Options | None = None, *, retry: Retry | None = None) -> None:
        """Use ``s3://bucket/prefix``; nothing is sent.

        Raises:
            InvalidInputError: the URL or the options make no sense. AccessRefusedError: there is no such profile.
        """
        self._place: S3Place = parse_s3_url(url)
        self._options = options or S3Options()
        self._clients = S3Clients(self._options)
        self._fast = None if self._options.boto3_only else fast_reads(self._clients, self._place.bucket)
        self._retry = retry or Retry(longest_s=2 * self._options.silence_s)
        self._checksums = False
        self._clock = ServerClock()
        self._pool: ThreadPoolExecutor | None = None
        self._pool_lock = Lock()
        self.published: Callable[[str, Buffer], None] = lambda *_: None
        """Told of each new object that was put in pieces, once it is there, with its bytes."""
        forget_in_children(self)

    def forget_parent(self) -> None:
        """Begin other threads when they are needed; see `Forgetful`."""
        self._pool, self._pool_lock = None, Lock()

    @property
    def location(self) -> str:
        """The URL."""
        return self._place.url

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return the object or a part of it; see base.Backend. Long parts come in several ranges at once."""
        if length is None or offset < 0:
            found = self._range(name, offset)
            return found if length is None else found[:length]
        return self._spans(name, [(offset, length)])[0]

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the ranges; near ones are one request, far ones are asked for at once."""
        spans = merged(ranges)
        return pieces(ranges, spans, self._spans(name, spans))

    def _spans(self, name: str, spans: Sequence[Range]) -> list[bytes]:
        parts = [split(*span) for span in spans]
        found = iter(self._map(lambda part: self._part(name, *part), list(chain.from_iterable(parts))))
        return [b"".join(islice(found, len(some))) for some in parts]

    def read_into(self, name: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer; see base.Backend."""
        found = self.get(name, offset=offset, length=len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def create(self, name: str) -> S3Object:
        """Begin a new object, which is held in memory until it is published in one PUT."""
        return S3Object(self, check_object_name(name))

    def put_new(self, name: str, data: Buffer) -> bool:
        """Create the object atomically; False when the name exists already, but for what this very call put there."""
        action = f"write {self._url(name)}"
        self._check_may_write(action)
        write_id, sent = uuid.uuid4().hex, 0
        body = bytes(data)  # of bytes no copy; of all else boto3 would make one for each try, and send it in one call

        def put() -> bool:
            nonlocal sent
            sent += 1
            try:
                self._put(name, body, IfNoneMatch="*", Metadata={_WRITE_ID: write_id})
            except ClientError as error:
                if not is_condition(error):
                    raise
                return sent > 1 and self._write_id(name) == write_id
            return True

        return self._do(put, action)

    def read(self, name: str) -> tuple[bytes, Etag] | None:
        """Return body and etag, or None."""
        try:
            # The first answer is boto3's, which tells the server's time: else that would be asked for.
            body, etag = self._get(name, by_boto3=not self._clock.is_known)
        except NotFoundError:
            return None
        return body, Etag(etag)

    def swap(self, name: str, old: Etag | None, new: bytes) -> Etag:
        """Replace a mutable object if its etag is still ``old``; see base.Backend."""
        etag = old.strip('"') if old is not None and self._options.bare_etags else old
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        action = f"write {self._url(name)}"
        self._check_may_write(action)
        try:
            answer = self._retry.call(lambda: self._put(name, bytes(new), **condition), again=is_undone)
        except FAILURES as error:
            if is_condition(error) or is_missing(error):
                raise BranchMovedError(name) from error
            raise self._error(error, action) from error
        return Etag(str(answer["ETag"]))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects whose names start with ``prefix``, in byte order; one request a thousand."""
        action = f"list {self._place.url}/{prefix}"
        request = {"Bucket": self._place.bucket, "Prefix": self._place.prefix + prefix}
        cut = len(self._place.prefix)
        while True:
            page: Mapping[str, Any] = self._do(partial(self._client_call, "list_objects_v2", **request), action)
            for item in page.get("Contents", ()):
                modified_ns = int(item["LastModified"].timestamp()) * 1_000_000_000
                held = str(item.get("StorageClass", ""))
                yield Entry(
                    str(item["Key"])[cut:],
                    int(item["Size"]),
                    modified_ns,
                    str(item.get("ETag", "")),
                    "" if held == STANDARD else held,
                )
            if not page.get("IsTruncated"):
                return
            request = {**request, "ContinuationToken": page["NextContinuationToken"]}

    def delete_many(self, names: Sequence[str]) -> None:
        """Delete objects, a thousand a request, or one by one where the server takes no lists."""
        self._check_may_write(f"delete objects in {self._place.url}")
        left = iter([self._key(name) for name in names])
        while batch := list(islice(left, _DELETED_AT_ONCE)):
            self._do(partial(self._delete, batch), f"delete objects in {self._place.url}")

    def _delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            self._client_call("delete_object", Bucket=self._place.bucket, Key=keys[0])
            return
        listed = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = self._client_call("delete_objects", Bucket=self._place.bucket, Delete=listed)
        except ClientError as error:
            if code_of(error) not in _NO_BATCHES:
                raise
            self._map(lambda key: self._delete([key]), keys)
            return
        for failed in answer.get("Errors", ()):
            raise ClientError({"Error": failed}, "DeleteObjects")

    def set_tier(self, names: Sequence[str], storage_class: str) -> list[str]:
        """Move objects to a storage class by copies in the bucket, several at once; see base.Backend."""
        done = self._map(lambda name: self._move(name, storage_class), names)
        return [name for name, moved in zip(names, done, strict=True) if moved]

    def _move(self, name: str, storage_class: str) -> bool:
        self._check_may_write(f"move {self._url(name)}")
        bare = self._options.bare_etags
        work = partial(move, self._client_call, self._at(name), storage_class, more=self._encryption(), bare=bare)
        return self._do(work, f"move {self._url(name)} to {storage_class}")

    def thaw(self, name: str, *, days: int, speed: str) -> bool:
        """Ask for an archived object; see base.Backend."""
        work = partial(restore, self._client_call, self._at(name), days=days, speed=speed)
        return self._do(work, f"restore {self._url(name)}", missing=f"no object {name} in {self._place.url}")

    def now_ns(self) -> int:
        """Return the time by the server's clock, as its last answers tell it."""
        if not self._clock.is_known:
            with suppress(*FAILURES):  # no such object is an answer too, but not one that is kept
                self._client_call("head_bucket", Bucket=self._place.bucket)
        return self._clock.now_ns()

    def close(self) -> None:
        """Let go of threads and connections; idempotent."""
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self._clients.close()

    def _map(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """Do several requests at once; threads that do so themselves do one after the other."""
        if len(items) < 2:
            return [work(item) for item in items]
        with self._pool_lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="pfs-s3")
            pool = self._pool
        return list(pool.map(work, items))

    def _part(self, name: str, offset: int, length: int) -> bytes:
        # Nothing is no range: the object is asked for a byte all the same, since it may not be there.
        found = self._range(name, offset, max(length, 1))
        return found[:length]

    def _range(self, name: str, offset: int, length: int | None = None) -> bytes:
        try:
            return self._get(name, offset, length)[0]
        except _BeyondError:
            return b""

    def _get(
        self, name: str, offset: int = 0, length: int | None = None, *, by_boto3: bool = False
    ) -> tuple[bytes, str]:
        """Return the bytes, and of a whole object its etag."""
        fast, missing = None if by_boto3 else self._fast, f"no object {name} in {self._place.url}"
        try:
            found = None if fast is None else fast.get(self._key(name), offset, length)
        except NoSuchKeyError as error:
            raise NotFoundError(missing) from error
        return self._get_slowly(name, header_of(offset, length), missing=missing) if found is None else found

    def _get_slowly(self, name: str, wanted: str | None, *, missing: str) -> tuple[bytes, str]:
        request = {"Bucket": self._place.bucket, "Key": self._key(name)} | ({} if wanted is None else {"Range": wanted})

        def get() -> tuple[bytes, Mapping[str, Any]]:
            answer = self._client_call("get_object", **request)
            body = answer["Body"].read()
            if len(body) != int(answer.get("ContentLength", len(body))):
                raise OSError("the answer was cut off")
            if "ETag" not in answer:
                raise StorageError(f"read {self._url(name)}", f"{self._endpoint()} does not answer as S3 does")
            return body, answer

        found, answer = self._do(get, f"read {self._url(name)}", missing=missing)
        if wanted is not None and answer.get("ResponseMetadata", {}).get("HTTPStatusCode") == 200:
            found = _cut(found, wanted)  # a server that knows no ranges sends the whole object
        return found, str(answer.get("ETag", ""))

    def _put(self, name: str, body: bytes, **more: object) -> Mapping[str, Any]:
        held = self._options.storage_class if name.startswith(_DATA) else None
        extra = self._encryption() | ({} if held is None else {"StorageClass": held}) | more
        request = {**self._at(name), "Body": body, **extra}
        if self._checksums:
            return self._client_call("put_object", **request, ChecksumAlgorithm="CRC32")  # type: ignore[no-any-return]
        try:
            return self._client_call("put_object", **request)  # type: ignore[no-any-return]
        except ClientError as error:
            if not wants_checksums(error):
                raise
        self._checksums = True  # for good: a bucket with object lock takes nothing without
        return self._put(name, body, **more)

    def _encryption(self) -> dict[str, object]:
        given = {"ServerSideEncryption": self._options.sse, "SSEKMSKeyId": self._options.sse_key}
        return {key: value for key, value in given.items() if value is not None}

    def _write_id(self, name: str) -> str | None:
        answer = self._client_call("head_object", Bucket=self._place.bucket, Key=self._key(name))
        return dict(answer.get("Metadata", {})).get(_WRITE_ID)

    def _client_call(self, method: str, **request: object) -> Any:
        if self._options.requester_pays and method != "head_bucket":
            request["RequestPayer"] = "requester"
        client = self._clients.get()
        try:
            answer = getattr(client, method)(**request)
        except ClientError as error:
            if not is_stale(error) or not self._clients.renew(client):
                raise
            answer = getattr(self._clients.get(), method)(**request)
        self._clock.hear(answer)
        return answer

    def _check_may_write(self, action: str) -> None:
        if self._options.read_only:
            why = "this folder was connected with credentials that may only read"
            raise AccessRefusedError(action, why, "connect another by `pfs init --backend` with some that may write")

    def _do(self, work: Callable[[], T], action: str, *, missing: str | None = None) -> T:
        try:
            return self._retry.call(work)
        except FAILURES as error:
            if is_beyond(error):
                raise _BeyondError from error
            if missing is not None and is_missing(error):
                raise NotFoundError(missing) from error
            raise self._error(error, action) from error

    def _error(self, error: Exception, action: str) -> Exception:
        return as_pfs_error(error, action, place=self._endpoint(), bucket=self._place.bucket)

    def _endpoint(self) -> str:
        return str(self._clients.get().meta.endpoint_url)

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._key(name)}

    def _key(self, name: str) -> str:
        return self._place.prefix + check_object_name(name)

    def _url(self, name: str) -> str:
        return f"{self._place.url}/{name}"


class S3Object:
    """An object being collected in memory; see base.NewObject. Packs have 64 MiB, so one PUT takes them whole."""

    def __init__(self, backend: S3Backend, name: str) -> None:
        self._backend, self._name = backend, name
        self._written = Collected()

    def write(self, *buffers: Buffer) -> None:
        """Append the buffers in order."""
        self._written.add(buffers)

    def publish(self) -> bool:
        """PUT it; False when the name was taken first."""
        try:
            body = self._written.take()
            done = self._backend.put_new(self._name, body)
            if done:
                self._backend.published(self._name, body)
            return done
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Drop what was written."""
        self._written = Collected()


class _BeyondError(Exception):
    """A range begins after the end of the object."""


def _cut(whole: bytes, wanted: str) -> bytes:
    start, _, stop = wanted.removeprefix("bytes=").partition("-")
    if not start:
        return whole[-int(stop) :]
    return whole[int(start) : int(stop) + 1 if stop else None]
