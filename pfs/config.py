"""What a store is frozen to at birth, and where it lies.

``.pfs/config.json`` says where the objects are; ``config.json`` among the objects says how they are made. The
latter never changes: cuts, ids and tree shapes of everything stored depend on it.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import msgspec
from xxhash import xxh3_128_hexdigest

from pfs.backends.base import Backend
from pfs.backends.registry import open_backend
from pfs.backends.s3_place import SCHEME, S3Options, parse_s3_url
from pfs.chunker import ChunkerParams
from pfs.errors import (
    ConfigDamagedError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    StoreNotFoundError,
)
from pfs.refs.signed import sign_body, unsign_body
from pfs.structs import ready

FORMAT = 1
FOLDER = ".pfs"
LOCAL_CONFIG = "config.json"
OBJECT_CONFIG = "config.json"
LOCAL_OBJECTS = "objects"
CACHE_BYTES = 10 << 30


class ChunkerConfig(msgspec.Struct, frozen=True):
    """The chunker's parameters: average chunk in bytes, seed, algorithm."""

    avg: int = 262144
    seed: int = 1
    id: str = "plg1"


class TreeConfig(msgspec.Struct, frozen=True):
    """log2 of rows a leaf, log2 of rows an index page, rows of a directory that is inlined."""

    leaf: int = 8
    fan: int = 7
    inline: int = 32


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen parameters of a store."""

    format: int = FORMAT
    store_uuid: str
    hash: str = "blake3"
    chunker: ChunkerConfig = ChunkerConfig()
    tree: TreeConfig = TreeConfig()

    def params(self) -> ChunkerParams:
        """Return the chunker's parameters."""
        return ChunkerParams(avg_bytes=self.chunker.avg, seed=self.chunker.seed)


class LocalConfig(msgspec.Struct, frozen=True):
    """Where the objects of this ``.pfs`` are: a folder name in it, or a URL; ``s3``: how to reach a bucket.

    ``cache_bytes``: of packs of a bucket that are kept on this machine.
    """

    format: int = FORMAT
    backend: str = LOCAL_OBJECTS
    s3: S3Options | None = None
    cache_bytes: int = CACHE_BYTES

    @property
    def is_remote(self) -> bool:
        """Whether the objects are not on a disk of this machine."""
        return self.backend.startswith(SCHEME)


def encode_local_config(config: LocalConfig) -> bytes:
    """Return a local config as it is stored: JSON, for people to read and change."""
    stored: dict[str, object] = {"format": config.format, "backend": config.backend}
    if config.s3 is not None:
        stored["s3"] = {name: value for name, value in msgspec.to_builtins(config.s3).items() if value}
    if config.is_remote:
        stored["cache_bytes"] = config.cache_bytes
    return msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n"


def open_objects(folder: Path) -> Backend:
    """Open the object store of a ``.pfs`` folder; raises as `read_local_config` and `open_backend`."""
    config = read_local_config(folder)
    return open_backend(config.backend, config.s3) if config.is_remote else open_backend(folder / config.backend)


def encode_store_config(config: StoreConfig) -> bytes:
    """Return the frozen parameters as they are stored: JSON, signed as a refs body is."""
    return sign_body(msgspec.json.encode(config))


def decode_store_config(data: bytes, *, where: str) -> StoreConfig:
    """Parse the frozen parameters.

    Raises:
        InvalidInputError: the store was made by a newer pfs, or with what this one does not have.
        ConfigDamagedError: it is no config, or its checksum does not match.
    """
    try:
        plain = unsign_body(data, where=where)
    except CorruptionError as error:
        raise ConfigDamagedError(where, error.detail) from error
    check_format(plain, where=where)
    try:
        config = msgspec.json.decode(plain, type=ready(StoreConfig))
    except msgspec.DecodeError as error:
        raise ConfigDamagedError(where, f"not a store config ({error})") from error
    if config.hash != "blake3" or config.chunker.id != "plg1" or config.tree != TreeConfig():
        raise InvalidInputError(f"{where}: the store uses a hash, chunker or tree shape that this pfs does not have")
    return config


def read_local_config(folder: Path) -> LocalConfig:
    """Return the config of a ``.pfs`` folder; errors as `decode_store_config`."""
    file = folder / LOCAL_CONFIG
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise StoreNotFoundError(str(folder)) from error
    except OSError as error:
        raise StorageError(f"read {file}", error.strerror or str(error)) from error
    check_format(data, where=str(file))
    try:
        return msgspec.json.decode(data, type=ready(LocalConfig))
    except msgspec.DecodeError as error:
        raise ConfigDamagedError(str(file), f"not a store config ({error})") from error


def check_format(data: bytes, *, where: str) -> None:
    """Refuse a config of a newer format before anything else in it is looked at."""
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigDamagedError(where, f"not a store config ({error})") from error
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigDamagedError(where, f"not a store config (its format is {version!r})")
    if version > FORMAT:
        raise InvalidInputError(f"{where}: store format {version!r} needs a newer pfs (this one knows format {FORMAT})")


def locate(location: str | Path | None = None) -> Path:
    """Return the ``.pfs`` folder of a store.

    It is the one meant by ``location``, else by ``PFS_STORE``, else the nearest at or above the working folder.
    A path may name the ``.pfs`` folder or the one that holds it. Of ``s3://bucket/prefix`` it is the folder that
    `pfs.open` made for it.

    Raises:
        StoreNotFoundError: there is none; the message says how to make one.
    """
    named = location if location is not None else os.environ.get("PFS_STORE") or None
    if named is None:
        return _nearest(Path.cwd())
    place = folder_of_bucket(str(named)) if str(named).startswith(SCHEME) else Path(named).absolute()
    for folder in (place / FOLDER, place):
        if (folder / LOCAL_CONFIG).is_file():
            return folder
    raise StoreNotFoundError(str(named))


def folder_of_bucket(url: str) -> Path:
    """Return the folder of this user that holds the ``.pfs`` of a bucket that was opened by its URL."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "pfs" / xxh3_128_hexdigest(parse_s3_url(url).url.encode())


def _nearest(start: Path) -> Path:
    for place in (start, *start.parents):
        if (place / FOLDER / LOCAL_CONFIG).is_file():
            return place / FOLDER
    raise StoreNotFoundError(f"{start} or above")


def read_config(backend: Backend) -> StoreConfig:
    """Return the frozen parameters of the store whose objects ``backend`` holds; raises as `decode_store_config`."""
    where = f"{backend.location}/{OBJECT_CONFIG}"
    try:
        data = backend.get(OBJECT_CONFIG)
    except NotFoundError as error:
        raise ConfigDamagedError(where, "the file is missing") from error
    return decode_store_config(data, where=where)


def write_durably(file: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all, after a power loss too."""
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
