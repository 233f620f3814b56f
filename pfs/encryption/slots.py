"""Key slots: the key of a store, wrapped by a passphrase or a key file, any number of times.

A slot is made and opened here; `keeper` keeps them in ``encryption.json``. Changing one touches nothing else that is
stored: objects are encrypted under keys that are derived from the store's.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Final

import msgspec

from pfs.backends.encrypted_key import StoreKey, derive
from pfs.encryption.secret import Passphrase, Secret, SlotKind
from pfs.errors import CorruptionError

_SALT: Final = 16
_NONCE: Final = 12
_FILE: Final = b"pfs key file 1"
_NAME: Final = b"pfs slot name 1"
_MAX_MEMORY: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Cost:
    """Of scrypt (RFC 7914): memory is 128 * n * r bytes; the default takes 128 MiB and about half a second."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1


class Slot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A slot as stored; bytes are in hex. ``name`` is encrypted under the store's key, ``wrapped`` is the latter."""

    id: str
    kind: SlotKind
    created_ns: int
    salt: str
    wrapped: str
    name: str
    n: int = 0
    r: int = 0
    p: int = 0


def make_slot(key: StoreKey, secret: Secret, *, name: str, now_ns: int, cost: Cost | None = None) -> Slot:
    """Wrap the key of a store by a secret; ``cost``: of a passphrase, instead of the default."""
    salt, cost = os.urandom(_SALT), cost or Cost()
    bare = Slot(
        id=os.urandom(4).hex(),
        kind=secret.kind,
        created_ns=now_ns,
        salt=salt.hex(),
        wrapped="",
        name=_seal(derive(key.raw, salt=salt, info=_NAME, length=32), _filled(name.encode()), b""),
        **({"n": cost.n, "r": cost.r, "p": cost.p} if isinstance(secret, Passphrase) else {}),
    )
    return msgspec.structs.replace(bare, wrapped=_seal(_wrapping(bare, secret), key.raw, _bound(bare)))


def open_slot(slot: Slot, secret: Secret, *, where: str) -> StoreKey | None:
    """Return the key of the store, or None when the secret is not that of the slot.

    Raises:
        CorruptionError: the slot cannot be one, or would take more memory than any of ours.
    """
    from cryptography.exceptions import InvalidTag

    if slot.kind != secret.kind:
        return None
    try:
        return StoreKey(_unseal(_wrapping(slot, secret), slot.wrapped, _bound(slot)))
    except InvalidTag:
        return None
    except (ValueError, OverflowError, MemoryError) as error:
        raise CorruptionError(where, f"key slot {slot.id} makes no sense ({error})") from error


def name_of(slot: Slot, key: StoreKey) -> str:
    """Return the name of a slot; its id where it cannot be decrypted, as it was changed."""
    from cryptography.exceptions import InvalidTag

    try:
        plain = _unseal(derive(key.raw, salt=bytes.fromhex(slot.salt), info=_NAME, length=32), slot.name, b"")
        return plain.rstrip(b"\0").decode()
    except (InvalidTag, ValueError):
        return slot.id


def _filled(name: bytes) -> bytes:
    """Return a name with zeros behind it, so that its length tells little."""
    return name + bytes(-len(name) % 32)


def _wrapping(slot: Slot, secret: Secret) -> bytes:
    """Return the key that wraps the store's; of a passphrase this takes as long and as much memory as it was told."""
    salt = bytes.fromhex(slot.salt)
    if not isinstance(secret, Passphrase):
        return derive(secret.data, salt=salt, info=_FILE, length=32)
    if 128 * slot.n * slot.r * slot.p > _MAX_MEMORY:
        raise ValueError("its scrypt parameters are out of range")
    return hashlib.scrypt(
        secret.data, salt=salt, n=slot.n, r=slot.r, p=slot.p, maxmem=_MAX_MEMORY + (1 << 20), dklen=32
    )


def _bound(slot: Slot) -> bytes:
    """Return what the wrapped key is bound to: how it was wrapped."""
    return f"pfs key slot 1 {slot.kind} {slot.salt} {slot.n} {slot.r} {slot.p}".encode()


def _seal(key: bytes, plain: bytes, bound: bytes) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return (nonce + AESGCM(key).encrypt(nonce, plain, bound)).hex()


def _unseal(key: bytes, sealed: str, bound: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = bytes.fromhex(sealed)
    return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], bound)
