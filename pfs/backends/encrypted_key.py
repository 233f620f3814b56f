"""The key of an encrypted store, and what is derived from it: by HKDF-SHA256 (RFC 5869), one purpose a label."""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
_OBJECT: Final = b"pfs object 1\0"
_NAMES: Final = b"pfs names 1"
_ID: Final = b"pfs key id 1"


class StoreKey:
    """32 random bytes, which slots of the store wrap (`pfs.encryption.slots`). Shows nothing of them when printed."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        """Use these bytes; raises ValueError when they are not 32."""
        if len(raw) != KEY_BYTES:
            raise ValueError(f"a store key has {KEY_BYTES} bytes")
        self._raw = raw

    @classmethod
    def fresh(cls) -> StoreKey:
        """Return a new random key."""
        return cls(os.urandom(KEY_BYTES))

    def __repr__(self) -> str:
        return f"StoreKey(id={self.id})"

    @property
    def raw(self) -> bytes:
        """The bytes: to be wrapped, or handed to a process of our own through a pipe."""
        return self._raw

    @property
    def id(self) -> str:
        """16 hex digits by which a key is known again; they tell nothing about it."""
        return derive(self._raw, salt=b"", info=_ID, length=8).hex()

    def of_object(self, name: str, salt: bytes) -> AESGCM:
        """Return the cipher of one writing of one object; costs about 10 µs."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(derive(self._raw, salt=salt, info=_OBJECT + name.encode(), length=32))

    def of_names(self) -> AESSIV:
        """Return the deterministic cipher of names."""
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        return AESSIV(derive(self._raw, salt=b"", info=_NAMES, length=64))


def derive(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes of HKDF-SHA256 (RFC 5869); an empty salt is that of 32 zeros.

    By hmac and not by the library's class: that takes three times as long, and this is done for each read.
    """
    pseudo_random = hmac.digest(salt or bytes(32), secret, "sha256")
    out = block = b""
    number = 0
    while len(out) < length:
        number += 1
        block = hmac.digest(pseudo_random, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]
