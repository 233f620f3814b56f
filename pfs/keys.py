"""S3 keys: who may speak to the gateway, in which role, to which repos.

A key is a write-once object ``keys/<access key>.json``; its secret is encrypted with AES-256-GCM under the wrapping key
in the root-key file, bound to the rest of the record, so that neither a copy of the objects nor an edit of one gives
access. ``keynames/<name>`` makes names unique.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from pfs.errors import AlreadyExistsError, CorruptionError, InvalidInputError, NotFoundError, OtherRootKeyError
from pfs.paths import check_name
from pfs.rootkey import ACCESS_CHARS, new_access_key, new_secret_key, read_root_key
from pfs.structs import ready

if TYPE_CHECKING:
    from pfs.store import Store

Role = Literal["reader", "writer", "owner"]
ROOT = "root"
PREFIX = "keys/"
_NAMES = "keynames/"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret; ``repos``: the repos it is for, empty for all.

    ``made_ns`` says when each of ``repos`` was made, which tells it from others that have its name at another time;
    empty: any of the name will do.
    """

    name: str
    access_key: str
    role: Role
    repos: tuple[str, ...]
    made_ns: tuple[int, ...] = ()

    def is_outlived(self, repo: str, created_ns: int | None) -> bool:
        """Say whether the key is for a repo of this name, but not for the one that has it now (None: nobody has it)."""
        made_ns = dict(zip(self.repos, self.made_ns, strict=False)).get(repo)
        return made_ns is not None and made_ns != created_ns


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as stored; ``secret`` is nonce and ciphertext in hex."""

    v: int
    name: str
    access_key: str
    role: Role
    repos: tuple[str, ...]
    secret: str
    made_ns: tuple[int, ...] = ()


class Keys:
    """The keys of a store; thread-safe; reads the store each time, so that a deleted key is refused at once."""

    def __init__(self, store: Store) -> None:
        self._backend, self._refs, self._folder = store.backend, store.refs, store.path

    def create(self, name: str, *, role: str = "writer", repos: Sequence[str] = ()) -> tuple[Key, str]:
        """Make a key and return it with its secret, which is not shown again.

        One for some repos is for them alone: not for others that are made under their names once they were deleted.

        Raises:
            AlreadyExistsError: the name is taken (``root`` always is).
            InvalidInputError: an unknown role, or a bad name.
            RepoNotFoundError: there is no such repo.
        """
        if role not in get_args(Role):
            raise InvalidInputError(f"unknown role {role!r}: use {', '.join(get_args(Role))}")
        names = tuple(check_name("repo", repo) for repo in dict.fromkeys(repos))
        made_ns = tuple(self._refs.read(repo).body.created for repo in names)
        key = Key(check_name("key", name), new_access_key(), role, names, made_ns)  # type: ignore[arg-type]  # see above
        self._take_name(key)
        secret = new_secret_key()
        sealed = self._seal(key, secret)
        stored = _Stored(1, key.name, key.access_key, key.role, key.repos, sealed, key.made_ns)
        self._backend.put_new(f"{PREFIX}{key.access_key}.json", msgspec.json.encode(stored))
        return key, secret

    def list(self) -> list[Key]:
        """Return all keys but the root key, by name."""
        return sorted((_public(stored) for stored in self._all()), key=lambda key: key.name)

    def unreadable(self) -> tuple[str, ...]:
        """Return the names of the keys that were sealed under another root key, so that nobody can use them."""
        wrap = read_root_key(self._folder).wrap

        def opens(stored: _Stored) -> bool:
            try:
                _unseal(stored, wrap)
            except OtherRootKeyError:
                return False
            return True

        return tuple(sorted(stored.name for stored in self._all() if not opens(stored)))

    def delete(self, name: str) -> None:
        """Take a key away.

        Raises:
            NotFoundError: there is none of that name.
            InvalidInputError: it is the root key, which is a file beside the store.
        """
        if name == ROOT:
            raise InvalidInputError("the root key cannot be deleted: remove the file and run `pfs recover` to renew it")
        found = next((stored for stored in self._all() if stored.name == name), None)
        if found is None:
            raise NotFoundError(f"key {name!r} not found: `pfs list-key` shows what exists")
        self._backend.delete_many([f"{PREFIX}{found.access_key}.json", _NAMES + name])

    def find(self, access_key: str) -> tuple[Key, str] | None:
        """Return a key and its secret by access key, the root key included; None when there is none.

        Raises:
            OtherRootKeyError: its record was changed, or belongs to another root key.
        """
        root, secret = self.root()
        if access_key == root.access_key:
            return root, secret
        stored = self._load(access_key)
        return None if stored is None else (_public(stored), _unseal(stored, read_root_key(self._folder).wrap))

    def root(self) -> tuple[Key, str]:
        """Return the root key, owner of everything, and its secret; raises as `read_root_key`."""
        key = read_root_key(self._folder)
        return Key(ROOT, key.access_key, "owner", ()), key.secret_key

    def _take_name(self, key: Key) -> None:
        """Reserve the name; one that an interrupted `create` left without a key is free."""
        name = _NAMES + key.name
        if key.name == ROOT:
            raise AlreadyExistsError("key", key.name)
        while not self._backend.put_new(name, key.access_key.encode()):
            try:
                holder = self._backend.get(name).decode(errors="replace")
            except NotFoundError:
                continue
            if self._load(holder) is not None:
                raise AlreadyExistsError("key", key.name)
            self._backend.delete_many([name])

    def _all(self) -> Iterator[_Stored]:
        for entry in self._backend.entries(PREFIX):
            stored = self._load(entry.name.removeprefix(PREFIX).removesuffix(".json"))
            if stored is not None:
                yield stored

    def _load(self, access_key: str) -> _Stored | None:
        if len(access_key) != 20 or any(char not in ACCESS_CHARS for char in access_key):
            return None
        name = f"{PREFIX}{access_key}.json"
        try:
            return _parse(self._backend.get(name))
        except NotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise CorruptionError(name, f"not a key ({error})") from error

    def _seal(self, key: Key, secret: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        wrap = bytes.fromhex(read_root_key(self._folder).wrap)
        return (nonce + AESGCM(wrap).encrypt(nonce, secret.encode(), _bound(key))).hex()


@lru_cache(maxsize=1024)
def _parse(data: bytes) -> _Stored:
    """Parse a record; it is read each time, so what is kept here gives nobody access whose key is gone."""
    return msgspec.json.decode(data, type=ready(_Stored))


@lru_cache(maxsize=1024)
def _unseal(stored: _Stored, wrap: str) -> str:
    """Return the secret of a key; raises OtherRootKeyError when it was sealed by another root key, or changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        sealed = bytes.fromhex(stored.secret)
        plain = AESGCM(bytes.fromhex(wrap)).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(_public(stored))
        )
    except (InvalidTag, ValueError) as error:
        again = f"`pfs delete-key {stored.name}` and `create-key`"
        raise OtherRootKeyError(f"S3 key {stored.name!r}", again) from error
    return plain.decode()


def _public(stored: _Stored) -> Key:
    return Key(stored.name, stored.access_key, stored.role, stored.repos, stored.made_ns)


def _bound(key: Key) -> bytes:
    """Return what the ciphertext is bound to: the public part of the record."""
    public: list[object] = [key.name, key.access_key, key.role, key.repos]
    return msgspec.json.encode([*public, key.made_ns] if key.made_ns else public)
