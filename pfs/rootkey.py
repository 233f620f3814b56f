"""The root key of a store: a file that only its owner reads, beside the objects and never among them.

It holds the root user's access and secret key, and the key that the other users' secrets are encrypted with.
"""

from __future__ import annotations

import os
import string
from functools import lru_cache
from pathlib import Path

import msgspec

from pfs.errors import CorruptionError, NotFoundError, StorageError
from pfs.structs import ready

FILE = "root-key"
ACCESS_CHARS = string.ascii_uppercase + string.digits
_MAX_BYTES = 1 << 16
SECRET_CHARS = string.ascii_letters + string.digits


class RootKey(msgspec.Struct, frozen=True):
    """Access key (20 characters), secret key (40), and 32 bytes of wrapping key in hex."""

    access_key: str
    secret_key: str
    wrap: str


def new_access_key() -> str:
    """Return 20 random upper-case letters and digits."""
    import secrets

    return "".join(secrets.choice(ACCESS_CHARS) for _ in range(20))


def new_secret_key() -> str:
    """Return 40 random letters and digits (238 bits)."""
    import secrets

    return "".join(secrets.choice(SECRET_CHARS) for _ in range(40))


def make_root_key(folder: Path) -> None:
    """Make the root key of a store unless it has one: whole or not at all, mode 0600; raises OSError."""
    key = RootKey(new_access_key(), new_secret_key(), os.urandom(32).hex())
    draft = folder / f"{FILE}.{os.urandom(8).hex()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(key) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(draft, folder / FILE)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def read_root_key(folder: Path) -> RootKey:
    """Return the root key of a store.

    Raises:
        NotFoundError: the file is gone.
        StorageError: it cannot be read (it is another user's).
        CorruptionError: it holds something else.
    """
    file = folder / FILE
    try:
        return _parse(_content(str(file)))
    except FileNotFoundError as error:
        raise NotFoundError(f"no root key at {file}: `pfs recover` makes a new one") from error
    except OSError as error:
        raise StorageError(f"read {file}", error.strerror or str(error)) from error
    except msgspec.DecodeError as error:
        raise CorruptionError(str(file), f"not a root key ({error})") from error


def _content(file: str) -> bytes:
    """Return the file in as few system calls as it takes: each one is a chance for other threads to keep us waiting."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _MAX_BYTES)
    finally:
        os.close(fd)


@lru_cache(maxsize=16)
def _parse(data: bytes) -> RootKey:
    """Parse the file, which is read for every request: its content decides, so a new one counts at once."""
    return msgspec.json.decode(data, type=ready(RootKey))
