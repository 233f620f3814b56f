"""Secrets for user code: named sets of key and value, encrypted in the store.

A secret is the object ``secrets/<name>.json``, replaced by compare-and-swap. Its values are encrypted with AES-256-GCM
under the wrapping key in the root-key file, bound to the rest of the record: neither a copy of the objects nor an edit
of one gives access. Values are shown to nobody but the commands that a spec gives them to.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    OtherRootKeyError,
    StorageError,
)
from pfs.paths import check_name
from pfs.rootkey import read_root_key
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.ids import Etag
    from pfs.store import Store

PREFIX: Final = "secrets/"
VERSION: Final = 1
MOST_BYTES: Final = 1 << 20
_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """A secret without its values; ``keys`` in order of their names; time in ns since the epoch."""

    name: str
    keys: tuple[str, ...]
    created_ns: int


class _Stored(msgspec.Struct, frozen=True):
    """A secret as stored; ``sealed`` is nonce and ciphertext in hex, of a JSON object from key to base64."""

    v: int
    name: str
    keys: tuple[str, ...]
    created_ns: int
    sealed: str

    @property
    def bound(self) -> bytes:
        """What the ciphertext is bound to."""
        return msgspec.json.encode(["pps secret", self.v, self.name, self.keys, self.created_ns])


class Secrets:
    """The secrets of a store; thread-safe; reads the store each time, so that a change counts at once."""

    def __init__(self, store: Store) -> None:
        self._backend, self._folder, self._clock_ns = store.backend, store.path, store.clock_ns

    def create(self, name: str, values: Mapping[str, bytes], *, replace: bool = False) -> SecretInfo:
        """Make a secret; ``replace``: or give one that exists these values instead of its own.

        Raises:
            AlreadyExistsError: there is one of that name, and ``replace`` is not set.
            InvalidInputError: a bad name or key, no values, or more than 1 MiB of them.
        """
        check_name("secret", name)
        for key in values:
            if not _KEY.fullmatch(key) or key in {".", ".."}:
                raise InvalidInputError(f"invalid key {quoted(key)} of secret {name!r}: use letters, digits, - _ and .")
        if not values:
            raise InvalidInputError(f"secret {name!r} has no values: give at least one key")
        if sum(map(len, values.values())) > MOST_BYTES:
            raise InvalidInputError(f"secret {name!r} is larger than {MOST_BYTES >> 20} MiB")
        stored = self._sealed(_Stored(VERSION, name, tuple(sorted(values)), self._clock_ns(), ""), values)
        while True:
            found = self._backend.read(_object(name))
            if found is not None and not replace:
                raise AlreadyExistsError("secret", name)
            if self._swap(name, None if found is None else found[1], stored):
                return _info(stored)

    def _swap(self, name: str, old: Etag | None, stored: _Stored) -> bool:
        body = msgspec.json.encode(stored)
        try:
            self._backend.swap(_object(name), old, body)
        except BranchMovedError:
            return False
        except StorageError:
            found = self._backend.read(_object(name))
            if found is None or found[0] != body:  # a sealed value never comes twice, so it is ours: the reply was lost
                raise
        return True

    def list(self) -> list[SecretInfo]:
        """Return all secrets, by name."""
        names = (entry.name.removeprefix(PREFIX).removesuffix(".json") for entry in self._backend.entries(PREFIX))
        found = map(self._find, sorted(names))
        return [_info(stored) for stored in found if stored is not None]

    def inspect(self, name: str) -> SecretInfo:
        """Return one secret, without its values.

        Raises:
            NotFoundError: there is none of that name.
        """
        return _info(self._get(name))

    def delete(self, name: str) -> None:
        """Take a secret away; raises as `inspect`."""
        self._backend.delete_many([_object(self._get(name).name)])

    def values(self, name: str) -> dict[str, bytes]:
        """Return the values of a secret by their keys.

        Raises:
            NotFoundError: there is none of that name.
            OtherRootKeyError: its record was changed, or belongs to another root key.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        stored = self._get(name)
        try:
            sealed = bytes.fromhex(stored.sealed)
            plain = AESGCM(self._wrap()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], stored.bound)
        except (InvalidTag, ValueError) as error:
            again = f"`pps create-secret {stored.name} --replace`"
            raise OtherRootKeyError(f"secret {stored.name!r}", again) from error
        return {key: b64decode(text) for key, text in msgspec.json.decode(plain, type=dict[str, str]).items()}

    def unreadable(self) -> tuple[str, ...]:
        """Return the names of the secrets that were sealed under another root key; two reads for each secret."""

        def opens(name: str) -> bool:
            try:
                self.values(name)
            except OtherRootKeyError:
                return False
            return True

        return tuple(info.name for info in self.list() if not opens(info.name))

    def _sealed(self, stored: _Stored, values: Mapping[str, bytes]) -> _Stored:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        plain = msgspec.json.encode({key: b64encode(value).decode() for key, value in values.items()})
        sealed = nonce + AESGCM(self._wrap()).encrypt(nonce, plain, stored.bound)
        return msgspec.structs.replace(stored, sealed=sealed.hex())

    def _wrap(self) -> bytes:
        return bytes.fromhex(read_root_key(self._folder).wrap)

    def _get(self, name: str) -> _Stored:
        check_name("secret", name)
        stored = self._find(name)
        if stored is None:
            raise NotFoundError(f"secret {name!r} not found: `pps create-secret {name}` makes it")
        return stored

    def _find(self, name: str) -> _Stored | None:
        found = self._backend.read(_object(name))
        if found is None:
            return None
        try:
            return msgspec.json.decode(found[0], type=_Stored)
        except msgspec.DecodeError as error:
            raise CorruptionError(_object(name), f"not a secret ({error})") from error


def _object(name: str) -> str:
    return f"{PREFIX}{name}.json"


def _info(stored: _Stored) -> SecretInfo:
    return SecretInfo(stored.name, stored.keys, stored.created_ns)
