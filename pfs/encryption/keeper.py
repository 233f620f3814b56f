"""The key slots of a store, in ``encryption.json``: read, and changed by compare-and-swap, one change a swap.

So at every moment, whatever fails, the slots are those before a change or those after it, and one of them at least.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.backends.encrypted_key import StoreKey
from pfs.backends.encrypted_names import SLOTS
from pfs.encryption.secret import Secret
from pfs.encryption.slots import Cost, Slot, make_slot, name_of, open_slot
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    ConfigDamagedError,
    ConflictError,
    CorruptionError,
    NotFoundError,
    StorageError,
    StorageFullError,
    WrongKeyError,
)
from pfs.ids import Etag
from pfs.paths import check_name
from pfs.refs.signed import decode_signed, encode_signed

_VERSION: Final = 1
_TRIES: Final = 8


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """``encryption.json``: ``key`` is the id of the store's key, ``wid`` another at each writing."""

    v: int = _VERSION
    wid: str
    key: str
    slots: tuple[Slot, ...]
    extra: dict[str, msgspec.Raw | object] = {}


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A slot without what it holds; ``created_ns`` since the epoch."""

    name: str
    kind: str
    created_ns: int


def read_slots(backend: Backend) -> tuple[Slots, Etag] | None:
    """Return the slots, or None where there are none; raises ConfigDamagedError, InvalidInputError, StorageError."""
    found = backend.read(SLOTS)
    if found is None:
        return None
    where, required = f"{backend.location}/{SLOTS}", ("wid", "key", "slots")
    try:
        slots = decode_signed(found[0], Slots, where=where, what="key slots", version=_VERSION, required=required)
    except CorruptionError as error:
        raise ConfigDamagedError(where, error.detail) from error
    return slots, found[1]


def make_slots(backend: Backend, secret: Secret, *, name: str, cost: Cost | None = None) -> StoreKey:
    """Give a store that is being made a fresh key, in a first slot of this name; return the key.

    Where slots are there already, of what was interrupted, their key is returned.

    Raises:
        WrongKeyError: the slots that are there are of another secret.
        StorageError: it cannot be written.
    """
    key = StoreKey.fresh()
    slot = make_slot(key, secret, name=check_name("key slot", name), now_ns=time.time_ns(), cost=cost)
    fresh = Slots(wid=uuid.uuid4().hex, key=key.id, slots=(slot,))
    try:
        if read_slots(backend) is None and _swapped(backend, None, fresh):
            return key
    except BranchMovedError:
        pass
    return open_slots(slots_there(backend), secret, location=backend.location)


def open_slots(slots: Slots, secret: Secret, *, location: str) -> StoreKey:
    """Return the key of the store at ``location``; about half a second for each slot of a passphrase that is tried.

    Raises:
        WrongKeyError: none is of this secret. CorruptionError: one is damaged.
    """
    for slot in slots.slots:
        key = open_slot(slot, secret, where=f"{location}/{SLOTS}")
        if key is not None and key.id == slots.key:
            return key
    raise WrongKeyError(secret.kind.replace("-", " "), location)


def list_slots(backend: Backend, key: StoreKey) -> list[SlotInfo]:
    """Return all slots by name."""
    slots = slots_there(backend)
    found = [SlotInfo(name_of(slot, key), slot.kind, slot.created_ns) for slot in slots.slots]
    return sorted(found, key=lambda info: info.name)


def add_slot(backend: Backend, key: StoreKey, secret: Secret, *, name: str, cost: Cost | None = None) -> None:
    """Let another secret open the store, too; raises AlreadyExistsError, and as `_change`."""
    slot = make_slot(key, secret, name=check_name("key slot", name), now_ns=time.time_ns(), cost=cost)

    def added(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        if name in (name_of(one, key) for one in slots):
            raise AlreadyExistsError("key slot", name)
        return *slots, slot

    _change(backend, added)


def replace_slot(backend: Backend, key: StoreKey, secret: Secret, *, name: str, cost: Cost | None = None) -> None:
    """Let this secret open the store in place of the one before: what rotation is; raises NotFoundError."""
    slot = make_slot(key, secret, name=name, now_ns=time.time_ns(), cost=cost)

    def replaced(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        _check_there(slots, key, name)
        return tuple(slot if name_of(one, key) == name else one for one in slots)

    _change(backend, replaced)


def check_slot(backend: Backend, key: StoreKey, *, name: str) -> None:
    """Find that there is a slot of this name; raises NotFoundError."""
    _check_there(slots_there(backend).slots, key, name)


def remove_slot(backend: Backend, key: StoreKey, *, name: str) -> None:
    """Let a secret open the store no more; raises NotFoundError, ConflictError for the last one."""

    def without(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        _check_there(slots, key, name)
        left = tuple(one for one in slots if name_of(one, key) != name)
        if not left:
            raise ConflictError(
                f"key slot {name!r} is the last one, and without it nobody could open the store: make another first"
            )
        return left

    _change(backend, without)


def _check_there(slots: tuple[Slot, ...], key: StoreKey, name: str) -> None:
    if name not in (name_of(one, key) for one in slots):
        raise NotFoundError(f"key slot {name!r} not found: `pfs list-keyslot` shows what exists")


def _change(backend: Backend, change: Callable[[tuple[Slot, ...]], tuple[Slot, ...]]) -> None:
    """Change the slots as they are, again when somebody else did meanwhile.

    Raises:
        ConflictError: others keep changing them. StorageError: nothing was changed.
    """
    for _ in range(_TRIES):
        slots, etag = _read(backend)
        fresh = replace(slots, wid=uuid.uuid4().hex, slots=change(slots.slots))
        try:
            if _swapped(backend, etag, fresh):
                return
        except BranchMovedError:
            continue
    raise ConflictError("the key slots are being changed by others: look again and retry")


def _swapped(backend: Backend, old: Etag | None, fresh: Slots) -> bool:
    """Write the slots; a reply that was lost is looked up: False if it is not what is there."""
    try:
        backend.swap(SLOTS, old, encode_signed(fresh))
    except StorageFullError:
        raise
    except (StorageError, BranchMovedError):
        found = read_slots(backend)
        if found is not None and found[0].wid == fresh.wid:
            return True
        raise
    return True


def slots_there(backend: Backend) -> Slots:
    """Return the slots of an encrypted store, which must have some; raises ConfigDamagedError."""
    return _read(backend)[0]


def _read(backend: Backend) -> tuple[Slots, Etag]:
    found = read_slots(backend)
    if found is None:
        raise ConfigDamagedError(f"{backend.location}/{SLOTS}", "without the file nothing can be decrypted")
    return found
