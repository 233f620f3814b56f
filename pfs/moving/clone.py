"""A whole store, copied to a folder or a bucket where there is none: packs as they are, refs last.

Nothing is there before ``config.json`` is, which is written after all else. What was cut off goes on where it was: a
pack that is there is whole, as backends publish them so.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pfs.attach import fitting
from pfs.backends.registry import open_backend
from pfs.backends.reserve import keep_reserve
from pfs.backends.s3_place import SCHEME, S3Options, parse_s3_url
from pfs.config import (
    FOLDER,
    LOCAL_CONFIG,
    LOCAL_OBJECTS,
    OBJECT_CONFIG,
    OBJECT_SLOTS,
    LocalConfig,
    StoreConfig,
    encode_local_config,
    encode_store_config,
    encrypted_config,
    folder_of_bucket,
    locate,
    open_objects,
    opened,
    plain_config,
    read_config,
    write_durably,
)
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    ConflictError,
    StorageError,
    StorageFullError,
    StoreNotFoundError,
)
from pfs.moving.objects import PACKS, Copier
from pfs.moving.still import copied_whole
from pfs.refs.body import RefsBody, encode_body
from pfs.refs.read import PREFIX as REFS
from pfs.refs.read import refs_name
from pfs.refs.swap import Refs
from pfs.rootkey import make_root_key
from pfs.upkeep.recover import recover

if TYPE_CHECKING:
    from pfs.backends.base import Backend
    from pfs.encryption.secret import Secret
    from pfs.encryption.unlock import Unlock
    from pfs.files.progress import Progress

DEFAULTS: Final = "pps/defaults.json"
SECRETS, KEYS = "secrets/", "keys/"
_LOCK: Final = "run/clone"
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class CloneReport:
    """What was done; ``location``: what opens the clone. ``packs`` of the clone, of which ``sent_packs`` were sent now.

    ``sent_bytes``: of all objects that were sent. ``damaged``: packs that are damaged in the source, and were copied as
    they are. ``secrets``, and the number of S3 ``keys``, of the source: sealed under its root key, and left there.
    """

    location: str
    repos: int
    packs: int
    sent_packs: int
    sent_bytes: int
    damaged: tuple[str, ...]
    secrets: tuple[str, ...]
    keys: int


def clone(
    source: Path | str,
    target: Path | str,
    *,
    options: S3Options | None = None,
    unlock: Unlock | None = None,
    encrypt: Secret | None = None,
    progress: Progress | None = None,
) -> CloneReport:
    """Copy the store at ``source`` to ``target``: a folder, in which ``.pfs`` is made, or ``s3://bucket/prefix``.

    ``source`` may be written to, and collected, meanwhile; nothing is written there. The clone is of one moment of it.
    ``options``: how to reach the bucket ``target``. ``unlock``: opens ``source`` if it is encrypted; ``encrypt``:
    encrypt the clone, under a key of its own that this secret opens, whatever the source is. Time: a read of each pack;
    memory: a pack, in buckets four. Run again after it was cut off, it sends what is not there yet. Its index is built
    at the end, in a folder.

    Raises:
        StoreNotFoundError: there is no store at ``source``.
        AlreadyExistsError: there is one at ``target``.
        ConflictError: another clone to there is at work, or collections of ``source`` follow too closely.
        KeyNeededError, WrongKeyError: ``source`` is encrypted; or what was begun at ``target``, with another secret.
        CorruptionError: refs of ``source`` are damaged. ConditionsIgnoredError: as `connect`.
        StorageError: one of the two cannot be used.
    """
    with closing(_open_source(source, unlock)) as backend:
        if str(target).startswith(SCHEME):
            return _to_bucket(backend, str(target), options or S3Options(), encrypt=encrypt, progress=progress)
        return _to_folder(backend, Path(target).absolute(), encrypt=encrypt, progress=progress)


def copy_store(source: Backend, target: Backend, *, location: str, progress: Progress | None = None) -> CloneReport:
    """Copy the objects of a store to where there are none, but for those of a copy that was cut off."""
    config, copier = read_config(source), Copier(source, target, progress=progress)
    bodies = copied_whole(source, Refs(source), copier.copy)
    _replace(target, DEFAULTS, _stored(source, DEFAULTS))
    _put_refs(target, bodies)
    _put_config(target, config)
    return CloneReport(
        location=location,
        repos=sum(not body.gone for body in bodies.values()),
        packs=sum(1 for _ in target.entries(PACKS)),
        sent_packs=copier.sent_packs,
        sent_bytes=copier.sent_bytes,
        damaged=tuple(sorted(copier.damaged)),
        secrets=tuple(_secret(entry.name) for entry in source.entries(SECRETS)),
        keys=sum(1 for _ in source.entries(KEYS)),
    )


def _open_source(source: Path | str, unlock: Unlock | None) -> Backend:
    if not str(source).startswith(SCHEME):
        return open_objects(locate(source), unlock=unlock)
    folder = folder_of_bucket(str(source)) / FOLDER
    if (folder / LOCAL_CONFIG).is_file():
        return open_objects(folder, unlock=unlock)
    backend = open_backend(parse_s3_url(str(source)).url)
    if backend.read(OBJECT_CONFIG) is None:
        backend.close()
        raise StoreNotFoundError(str(source))
    return backend if read_config(backend).encryption is None else opened(backend, unlock)


def _to_bucket(
    source: Backend, url: str, options: S3Options, *, encrypt: Secret | None, progress: Progress | None
) -> CloneReport:
    place = parse_s3_url(url).url
    with closing(open_backend(place, fitting(place, options))) as target:
        if target.read(OBJECT_CONFIG) is not None:
            raise AlreadyExistsError("store", place)
        return copy_store(source, _begun(target, encrypt), location=place, progress=progress)


def _to_folder(source: Backend, top: Path, *, encrypt: Secret | None, progress: Progress | None) -> CloneReport:
    folder = top if top.name == FOLDER else top / FOLDER
    with ExitStack() as stack:
        try:
            (folder / LOCAL_OBJECTS).mkdir(parents=True, exist_ok=True)
            stack.enter_context(_alone(folder))
            if (folder / LOCAL_CONFIG).exists():
                raise AlreadyExistsError("store", str(folder))
            target = stack.enter_context(closing(open_backend(folder / LOCAL_OBJECTS)))
            report = copy_store(source, _begun(target, encrypt), location=str(folder), progress=progress)
            make_root_key(folder)
            keep_reserve(folder)
            local = LocalConfig(encrypted=encrypt is not None)
            write_durably(folder / LOCAL_CONFIG, encode_local_config(local))
        except OSError as error:
            raise StorageError(f"make a store in {folder}", error.strerror or str(error)) from error
        recover(folder, unlock=encrypt)
    return report


def _begun(target: Backend, encrypt: Secret | None) -> Backend:
    """Return the place to copy to, with key slots if it shall be encrypted; a copy goes on the way it was begun."""
    if encrypt is not None:
        from pfs.encryption.unlock import begun

        return begun(target, encrypt)
    if target.read(OBJECT_SLOTS) is not None:
        raise ConflictError(f"an encrypted copy was begun at {target.location}: go on with --encrypt, or delete it")
    return target


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of clones to a folder; a process that dies lets go of it."""
    (folder / _LOCK).parent.mkdir(exist_ok=True)
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConflictError(f"another `pfs clone` to {folder} is at work: wait until it is done") from error
    finally:
        os.close(fd)


def _put_refs(target: Backend, bodies: dict[str, RefsBody]) -> None:
    """Put the bodies there and no others: a copy that was cut off may have been of another moment, or store."""
    wanted = {refs_name(repo) for repo in bodies}
    target.delete_many([entry.name for entry in target.entries(REFS) if entry.name not in wanted])
    for repo, body in bodies.items():
        _replace(target, refs_name(repo), encode_body(replace(body, gc_gen=0)))


def _put_config(target: Backend, config: StoreConfig) -> None:
    """Make it a store, one of its own: an index of the source is none of the clone."""
    config = (plain_config if target.read(OBJECT_SLOTS) is None else encrypted_config)(config)
    if not target.put_new(OBJECT_CONFIG, encode_store_config(replace(config, store_uuid=str(uuid.uuid4())))):
        there = read_config(target)
        if replace(there, store_uuid=config.store_uuid) != config:
            raise AlreadyExistsError("store", target.location)


def _stored(backend: Backend, name: str) -> bytes | None:
    found = backend.read(name)
    return None if found is None else found[0]


def _replace(target: Backend, name: str, data: bytes | None) -> None:
    """Make it so that ``name`` holds ``data``, or is not there; a reply that was lost is looked up."""
    for left in reversed(range(_TRIES)):
        found = target.read(name)
        if (None if found is None else found[0]) == data:
            return
        if data is None:
            target.delete_many([name])
            return
        try:
            target.swap(name, None if found is None else found[1], data)
            return
        except BranchMovedError as error:
            raise ConflictError(
                f"another `pfs clone` to {target.location} is at work: wait until it is done"
            ) from error
        except StorageFullError:
            raise
        except StorageError:
            if not left:
                raise


def _secret(name: str) -> str:
    return name.removeprefix(SECRETS).removesuffix(".json")
