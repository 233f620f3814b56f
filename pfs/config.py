"""What a store is frozen to at birth, and where it lies.

``.pfs/config.json`` says where the objects are; ``config.json`` among the objects says how they are made. The
latter never changes: cuts, ids and tree shapes of everything stored depend on it.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from xxhash import xxh3_128_hexdigest

from pfs.backends.base import Backend
from pfs.backends.registry import open_backend
from pfs.backends.s3_place import SCHEME, S3Options, parse_s3_url
from pfs.chunker import ChunkerParams
from pfs.errors import (
    ConfigDamagedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    StoreNotFoundError,
)
from pfs.refs.signed import sign_body, unsign_body
from pfs.structs import ready

if TYPE_CHECKING:
    from pfs.backends.encrypted import EncryptedBackend
    from pfs.encryption.secret import Secret
    from pfs.encryption.unlock import Unlock

FORMAT = 1
ENCRYPTED_FORMAT = 2
"""Of a store whose objects are encrypted: what does not know that must not write there."""
ENCRYPTION = "pfe1"
"""How they are: docs/format/encryption.md."""
FOLDER = ".pfs"
LOCAL_CONFIG = "config.json"
OBJECT_CONFIG = "config.json"
OBJECT_SLOTS = "encryption.json"
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
    """The frozen parameters of a store; ``encryption``: how its objects are encrypted, None if they are not."""

    format: int = FORMAT
    store_uuid: str
    hash: str = "blake3"
    chunker: ChunkerConfig = ChunkerConfig()
    tree: TreeConfig = TreeConfig()
    encryption: str | None = None

    def params(self) -> ChunkerParams:
        """Return the chunker's parameters."""
        return ChunkerParams(avg_bytes=self.chunker.avg, seed=self.chunker.seed)


class LocalConfig(msgspec.Struct, frozen=True):
    """Where the objects of this ``.pfs`` are: a folder name in it, or a URL; ``s3``: how to reach a bucket.

    ``cache_bytes``: of packs of a bucket that are kept on this machine. ``encrypted``: so that a config of the bucket
    that says otherwise is not believed: what is written shall not be readable because somebody changed that.
    ``index_rows``: rows of the index from which on they are kept in files of their own (`pfs.packs.freeze`).
    """

    format: int = FORMAT
    backend: str = LOCAL_OBJECTS
    s3: S3Options | None = None
    cache_bytes: int = CACHE_BYTES
    encrypted: bool = False
    index_rows: int | None = None

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
    if config.encrypted:
        stored["encrypted"] = True
    if config.index_rows is not None:
        stored["index_rows"] = config.index_rows
    return msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n"


def open_objects(folder: Path, *, unlock: Unlock | None = None) -> Backend:
    """Open the object store of a ``.pfs`` folder, decrypted if it is encrypted; ``unlock``: see `unlocked`.

    Raises as `read_local_config`, `open_backend` and `unlocked`.
    """
    config = read_local_config(folder)
    place = config.backend if config.is_remote else folder / config.backend
    backend = open_backend(place, config.s3)
    return opened(backend, unlock) if config.encrypted else backend


def opened(backend: Backend, unlock: Unlock | None) -> EncryptedBackend:
    """Return the decrypted objects in a backend, which is closed if they cannot be; raises as `unlocked`."""
    from pfs.encryption.unlock import unlocked  # who has plain stores needs none of it

    try:
        return unlocked(backend, unlock)
    except BaseException:
        backend.close()
        raise


def check_encryption(folder: Path, config: StoreConfig) -> None:
    """Refuse a store of which this machine knows that it is encrypted and its config says otherwise, or the reverse.

    Raises:
        ConfigDamagedError: somebody changed one of the two.
    """
    known = read_local_config(folder).encrypted
    if known != (config.encryption is not None):
        said = f"it says that the store is {'not ' if known else ''}encrypted, {folder / LOCAL_CONFIG} says otherwise"
        raise ConfigDamagedError(OBJECT_CONFIG, said)


def encrypted_config(config: StoreConfig) -> StoreConfig:
    """Return the parameters of an encrypted store."""
    return msgspec.structs.replace(config, format=ENCRYPTED_FORMAT, encryption=ENCRYPTION)


def plain_config(config: StoreConfig) -> StoreConfig:
    """Return the parameters of a store that is not encrypted."""
    return msgspec.structs.replace(config, format=FORMAT, encryption=None)


def encode_store_config(config: StoreConfig) -> bytes:
    """Return the frozen parameters as they are stored: JSON, signed as a refs body is."""
    stored = msgspec.to_builtins(config)
    if config.encryption is None:
        del stored["encryption"]
    return sign_body(msgspec.json.encode(stored))


def put_config(backend: Backend, config: StoreConfig, *, encrypt: Secret | None) -> bool:
    """Make a place a store of these parameters, unless it is one; say whether it was made.

    ``encrypt``: with key slots for this secret, which are there first. Raises as `pfs.encryption.unlock.begun`.

    Raises:
        ConflictError: it was begun the other way: encrypted or not.
    """
    if encrypt is None and backend.read(OBJECT_SLOTS) is None:
        return backend.put_new(OBJECT_CONFIG, encode_store_config(config))
    if encrypt is None or (backend.read(OBJECT_CONFIG) is not None and read_config(backend).encryption is None):
        is_it = "encrypted" if encrypt is None else "not encrypted"
        raise ConflictError(f"what was begun at {backend.location} is {is_it}: go on like that, or delete it")
    from pfs.encryption.unlock import begun

    begun(backend, encrypt)
    return backend.put_new(OBJECT_CONFIG, encode_store_config(encrypted_config(config)))


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
    check_format(plain, where=where, newest=ENCRYPTED_FORMAT)
    try:
        config = msgspec.json.decode(plain, type=ready(StoreConfig))
    except msgspec.DecodeError as error:
        raise ConfigDamagedError(where, f"not a store config ({error})") from error
    if config.hash != "blake3" or config.chunker.id != "plg1" or config.tree != TreeConfig():
        raise InvalidInputError(f"{where}: the store uses a hash, chunker or tree shape that this pfs does not have")
    if config.encryption not in (None, ENCRYPTION) or (config.encryption is None) != (config.format == FORMAT):
        raise InvalidInputError(
            f"{where}: the store is encrypted in a way that this pfs does not have: use a newer pfs"
        )
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


def check_format(data: bytes, *, where: str, newest: int = FORMAT) -> None:
    """Refuse a config of a newer format before anything else in it is looked at."""
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigDamagedError(where, f"not a store config ({error})") from error
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigDamagedError(where, f"not a store config (its format is {version!r})")
    if version > newest:
        raise InvalidInputError(f"{where}: store format {version!r} needs a newer pfs (this one knows format {newest})")


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
