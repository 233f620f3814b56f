"""Opening the objects of an encrypted store: where the secret comes from, and what this process knows already.

Deriving a key from a passphrase takes half a second on purpose, so a process does it once a store: keys that were found
are kept in its memory, also over a fork, and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pfs.backends.base import Backend
from pfs.backends.encrypted import EncryptedBackend, encrypted
from pfs.backends.encrypted_key import StoreKey
from pfs.backends.s3_place import SCHEME, parse_s3_url
from pfs.encryption.keeper import make_slots, open_slots, read_slots, slots_there
from pfs.encryption.secret import KeyFile, Passphrase, Secret, SlotKind, read_key_file, read_passphrase_file
from pfs.encryption.slots import Cost
from pfs.errors import ConflictError, InvalidInputError, KeyNeededError, WrongKeyError

PASSPHRASE, PASSPHRASE_FILE, KEY_FILE = "PFS_PASSPHRASE", "PFS_PASSPHRASE_FILE", "PFS_KEY_FILE"
VARIABLES: Final = (PASSPHRASE, PASSPHRASE_FILE, KEY_FILE)
FIRST: Final = "first"
"""Name of the slot that a store is made with."""

_MAX_PREFIX: Final = 256
"""Of a bucket: the longest names of ours take the rest of S3's 1,024 characters."""

_known: dict[tuple[str, bytes], StoreKey] = {}


@dataclass(frozen=True, slots=True)
class Locked:
    """A store to be opened: where its objects are, and the kinds of its slots."""

    location: str
    kinds: frozenset[SlotKind]


Unlock = Secret | StoreKey | Callable[[Locked], Secret]
"""A secret, or who gives it once it is known to be needed; or the key itself, from a process of ours."""


def unlocked(backend: Backend, unlock: Unlock | None = None) -> EncryptedBackend:
    """Return the decrypted objects in ``backend``; ``unlock``: else the environment says, see `from_environment`.

    Raises:
        KeyNeededError: there is no secret. WrongKeyError: it is of no slot.
        ConfigDamagedError: the slots are gone or damaged. CorruptionError: one of them makes no sense.
    """
    slots = slots_there(backend)
    if isinstance(unlock, StoreKey):
        if unlock.id != slots.key:
            raise WrongKeyError("key", backend.location)
        return encrypted(backend, unlock)
    if not isinstance(unlock, Passphrase | KeyFile):
        give = from_environment if unlock is None else unlock
        unlock = give(Locked(backend.location, frozenset(slot.kind for slot in slots.slots)))
    # The slots as they are now: a secret that was taken away opens nothing, also where it did before.
    known = slots.wid, hashlib.sha256(unlock.kind.encode() + unlock.data).digest()
    if known not in _known:
        _known[known] = open_slots(slots, unlock, location=backend.location)
    return encrypted(backend, _known[known])


def begun(backend: Backend, secret: Secret, *, cost: Cost | None = None) -> EncryptedBackend:
    """Make the slots of a store that is being made; those of what was interrupted are opened.

    Raises:
        InvalidInputError: the prefix in a bucket is too long for names that are encrypted.
        ConflictError: there are objects that are not encrypted, of a copy that was cut off.
        WrongKeyError: what was interrupted had another secret. StorageError: it cannot be written.
    """
    if backend.location.startswith(SCHEME) and len(parse_s3_url(backend.location).prefix) > _MAX_PREFIX:
        advice = f"{_MAX_PREFIX} characters are the most where names are encrypted"
        raise InvalidInputError(f"the prefix of {backend.location} is too long: {advice}")
    if read_slots(backend) is None:
        for prefix in ("packs/", "refs/"):
            if next(backend.entries(prefix), None) is not None:
                what = "what was begun there is not encrypted: delete its objects, or go on without encryption"
                raise ConflictError(f"cannot make an encrypted store at {backend.location}: {what}")
    return encrypted(backend, make_slots(backend, secret, name=FIRST, cost=cost))


def from_environment(locked: Locked, *, env: Mapping[str, str] = os.environ) -> Secret:
    """Return the secret that PFS_PASSPHRASE, PFS_PASSPHRASE_FILE or PFS_KEY_FILE gives: the first of a kind there is.

    Raises:
        KeyNeededError: none is set. InvalidInputError, NotFoundError, StorageError: as the files are read.
    """
    if env.get(KEY_FILE) and ("key-file" in locked.kinds or not (env.get(PASSPHRASE) or env.get(PASSPHRASE_FILE))):
        return read_key_file(Path(env[KEY_FILE]))
    if env.get(PASSPHRASE):
        return Passphrase(env[PASSPHRASE])
    if env.get(PASSPHRASE_FILE):
        return read_passphrase_file(Path(env[PASSPHRASE_FILE]))
    raise KeyNeededError(locked.location)
