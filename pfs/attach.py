"""A store whose objects are in a bucket: made there, or connected to where there is one already.

Index, caches, root key and where the bucket is are in a ``.pfs`` folder of this machine, and can be made again.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.backends.durable import storage_errors
from pfs.backends.probe import probe
from pfs.backends.registry import open_backend
from pfs.backends.s3_place import S3Options, parse_s3_url
from pfs.config import (
    CACHE_BYTES,
    FOLDER,
    LOCAL_CONFIG,
    LOCAL_OBJECTS,
    OBJECT_CONFIG,
    OBJECT_SLOTS,
    ChunkerConfig,
    LocalConfig,
    StoreConfig,
    encode_local_config,
    put_config,
    read_config,
    read_local_config,
    write_durably,
)
from pfs.errors import (
    AccessRefusedError,
    AlreadyExistsError,
    ConditionsIgnoredError,
    InvalidParamsError,
    StoreNotFoundError,
)
from pfs.rootkey import make_root_key
from pfs.store import INDEX, Store, open
from pfs.upkeep.recover import recover

if TYPE_CHECKING:
    from pfs.encryption.secret import Secret
    from pfs.encryption.unlock import Unlock
    from pfs.files.progress import Progress


@dataclass(frozen=True, slots=True)
class Settings:
    """What a machine keeps in its ``.pfs/config.json``: how to reach the bucket, bytes of packs to keep (0: none)."""

    s3: S3Options | None = None
    cache_bytes: int = CACHE_BYTES


@dataclass(frozen=True, slots=True)
class Connected:
    """An open store; ``made``: there was none at that place before. ``read_only``: all that the credentials allow."""

    store: Store
    made: bool
    read_only: bool = False


def connect(
    directory: Path | str,
    url: str,
    *,
    settings: Settings | None = None,
    chunk_avg: int | None = None,
    make: bool = True,
    encrypt: Secret | None = None,
    unlock: Unlock | None = None,
    progress: Progress | None = None,
) -> Connected:
    """Make ``directory/.pfs`` for the store at ``s3://bucket/prefix``, making that too if there is none.

    ``make``: else the store must be there. ``chunk_avg``: of a new store, 256 KiB by default. ``encrypt``: encrypt the
    objects of a new store so that this secret opens it; ``unlock``: opens one that is there and encrypted, if that does
    not. Of one that is there the index is built: a short read for each pack, 16 at once. What was interrupted is
    completed by the next call with the same URL and settings, or by opening the folder once it has its config.

    Raises:
        AlreadyExistsError: there is a store in the folder, or one that was begun with other settings.
        StoreNotFoundError: none in the bucket, without ``make``.
        InvalidParamsError: ``chunk_avg`` is out of range, or not that of the store that is there; that is not encrypted
            and shall be.
        KeyNeededError, WrongKeyError: it is encrypted, and there is no passphrase or key file, or another one.
        ConditionsIgnoredError: several writers would not be safe there; nothing was made.
        StorageError: the bucket or the folder cannot be used. AccessRefusedError: nor may what is there be read.
    """
    place, settings = parse_s3_url(url), settings or Settings()
    top = Path(directory).absolute()
    folder = top if top.name == FOLDER else top / FOLDER
    begun = _begun(folder)
    if begun is not None and begun.backend != place.url:
        raise AlreadyExistsError("store", str(folder))
    options = _allowed(place.url, settings.s3 or S3Options())
    from pfs.encryption.unlock import unlocked

    with closing(open_backend(place.url, options)) as backend:
        if not make and backend.read(OBJECT_CONFIG) is None:
            raise StoreNotFoundError(place.url)
        made = _make(backend, chunk_avg, encrypt)
        is_encrypted = encrypt is not None or read_config(backend).encryption is not None
        if is_encrypted:  # before anything is made here
            unlock = encrypt or unlock
            unlocked(backend, unlock)
    config = LocalConfig(backend=place.url, s3=options, cache_bytes=settings.cache_bytes, encrypted=is_encrypted)
    if begun is not None and encode_local_config(begun) != encode_local_config(config):
        raise AlreadyExistsError("store", str(folder))
    with storage_errors(f"make a store in {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        make_root_key(folder)
        if begun is None:
            write_durably(folder / LOCAL_CONFIG, encode_local_config(config))
    if not made:
        recover(folder, unlock=unlock, progress=progress)
    return Connected(open(folder, unlock=unlock), made, options.read_only)


def is_begun(directory: Path | str, url: str | None = None, *, options: S3Options | None = None) -> bool:
    """Say whether there is a store at a URL (None: in the folder), or one whose making was cut off.

    Raises:
        AlreadyExistsError: there is a store in the folder.
        StorageError: the bucket cannot be read.
    """
    top = Path(directory).absolute()
    folder = top if top.name == FOLDER else top / FOLDER
    place = None if url is None else parse_s3_url(url).url
    begun = _begun(folder)
    if begun is not None and begun.backend != place:
        raise AlreadyExistsError("store", str(folder))
    if place is None:
        return any((folder / LOCAL_OBJECTS / name).exists() for name in (OBJECT_CONFIG, OBJECT_SLOTS))
    with closing(open_backend(place, options)) as backend:
        return any(backend.read(name) is not None for name in (OBJECT_CONFIG, OBJECT_SLOTS))


def _begun(folder: Path) -> LocalConfig | None:
    """Return the config that a call wrote which was cut off before there was an index, None where there is none.

    Raises:
        AlreadyExistsError: there is an index too.
    """
    if not (folder / LOCAL_CONFIG).exists():
        return None
    if (folder / INDEX / "data.mdb").exists():
        raise AlreadyExistsError("store", str(folder))
    return read_local_config(folder)


def _allowed(url: str, options: S3Options) -> S3Options:
    """Return the options that fit; where only reading is allowed, and there is a store, those of a reader."""
    try:
        return fitting(url, options)
    except AccessRefusedError:
        with closing(open_backend(url, options)) as backend:
            if backend.read(OBJECT_CONFIG) is None:
                raise
        return replace(options, read_only=True)


def fitting(url: str, options: S3Options) -> S3Options:
    """Return the options by which the bucket keeps the conditions of writes, as trying shows; raises as `probe`."""
    for bare in (options.bare_etags, True):
        tried = replace(options, bare_etags=bare)
        with closing(open_backend(url, tried)) as backend:
            try:
                probe(backend)
            except ConditionsIgnoredError:
                if bare:
                    raise
            else:
                return tried
    raise AssertionError("the second round returns or raises")


def _make(backend: Backend, chunk_avg: int | None, encrypt: Secret | None) -> bool:
    """Make the store's config unless there is one; what is there counts, also if somebody else makes it just now."""
    if backend.read(OBJECT_CONFIG) is None:
        fresh = StoreConfig(store_uuid=str(uuid.uuid4()), chunker=ChunkerConfig(avg=chunk_avg or ChunkerConfig().avg))
        fresh.params()
        if put_config(backend, fresh, encrypt=encrypt):
            return True
    there = read_config(backend)
    if chunk_avg not in (None, there.chunker.avg):
        raise InvalidParamsError(
            f"the store at {backend.location} has chunks of {there.chunker.avg} bytes on average, for ever"
        )
    if encrypt is not None and there.encryption is None:
        advice = "for ever; `pfs clone --encrypt` copies it to one that is"
        raise InvalidParamsError(f"the store at {backend.location} is not encrypted, {advice}")
    return False
