"""The gateway of a spout: the whole store to read, and the output of its pipeline to write, each write a commit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Final

from pfs.errors import RepoNotFoundError
from pfs.keys import Key
from pfs.rootkey import new_access_key, new_secret_key
from pfs.spout import Spout
from pfs.store import Store
from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Gateway
from s3api.job.attempt import Traffic
from s3api.job.loopback import Loopback
from s3api.objects.buckets import Bucket
from s3api.objects.bucketset import StoreBuckets
from s3api.objects.names import BucketName

OUT: Final = "out"
_WRITERS: Final = 2


class OwnBucket(Bucket):
    """The output of the spout, as it is to that spout."""

    def require_writable(self) -> None:
        """Refuse nothing here: whether this is still the spout is found out when the write is committed."""


class SpoutBuckets(StoreBuckets):
    """The buckets of a store, of which one may be written: the output branch, which is called ``out`` too."""

    def __init__(self, store: Store, own: BucketName, pool: ThreadPoolExecutor) -> None:
        """``store`` writes as the spout (`Store.as_spout`)."""
        super().__init__(store, anonymous_read=frozenset(), pool=pool)
        self._own, self._has_out = own, _is_repo(store, OUT)

    def _meant(self, name: BucketName) -> BucketName:
        return self._own if name == BucketName(OUT) and not self._has_out else name

    def authorize(self, key: Key | None, permission: Permission, name: BucketName) -> None:
        """Let the spout read all, and write to its own."""
        if key is None:
            raise S3Error("AccessDenied", "this needs a request signed with the credentials of the spout")
        own = self._meant(name) == self._own and permission is Permission.WRITE
        if permission is not Permission.READ and not own:
            raise S3Error("AccessDenied", f"a spout writes to the bucket {self._own} alone")

    def open(self, key: Key | None, name: BucketName) -> Bucket:
        """Return a bucket."""
        bucket = super().open(key, self._meant(name))
        if bucket.name != self._own:
            return bucket
        return OwnBucket(**{field.name: getattr(bucket, field.name) for field in fields(Bucket)})


def _is_repo(store: Store, name: str) -> bool:
    try:
        store.repo(name)
    except RepoNotFoundError:
        return False
    return True


class _OneKey:
    """The credentials of a spout; it may read what it likes."""

    def __init__(self) -> None:
        self.key, self.secret = Key("spout", new_access_key(), "writer", ()), new_secret_key()

    def find(self, access_key: str) -> tuple[Key, str] | None:
        """Return key and secret, if it is the spout's."""
        return (self.key, self.secret) if access_key == self.key.access_key else None


class SpoutAdmission:
    """The way in for one run of a spout's command: the same for all."""

    def __init__(self, keys: _OneKey) -> None:
        self._keys = keys

    @property
    def access_key(self) -> str:
        """The access key."""
        return self._keys.key.access_key

    @property
    def secret_key(self) -> str:
        """The secret key."""
        return self._keys.secret

    def end(self) -> Traffic:
        """Return that nothing is left to be taken: what was written is committed."""
        return Traffic((), None, {})


class SpoutGateway:
    """Serves a store to one spout on 127.0.0.1, until it is closed; thread-safe.

    Raises:
        NotFoundError: there is no such pipeline.
        StorageError: there is no port to be had. FailedError: it does not start.
    """

    def __init__(self, store: Store, spout: Spout, *, branch: str) -> None:
        """``branch``: the output branch."""
        store.repo(spout.repo)
        self._keys = _OneKey()
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="s3-spout")
        mine = store.as_spout(spout)
        own = BucketName(spout.repo, branch)
        self._server = Loopback(Gateway(mine, self._keys, buckets=SpoutBuckets(mine, own, self._pool)))

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    def admit(self) -> SpoutAdmission:
        """Return the credentials."""
        return SpoutAdmission(self._keys)

    def close(self) -> None:
        """Stop listening, and wait for what is under way. Idempotent."""
        self._server.close()
        self._pool.shutdown()
