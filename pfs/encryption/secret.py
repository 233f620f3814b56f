"""What opens a key slot: a passphrase, or the content of a key file. Neither shows itself when printed."""

from __future__ import annotations

import os
import secrets
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pfs.errors import InvalidInputError, NotFoundError, StorageError

SlotKind = Literal["passphrase", "key-file"]
_MIN_FILE, _MAX_FILE = 32, 64 << 10
_MAX_PASSPHRASE: Final = 4096


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase: 1 to 4,096 bytes of UTF-8 in normal form C, so that every keyboard writes the same one.

    Raises:
        InvalidInputError: it is empty or too long, or has control characters.
    """

    text: str = field(repr=False)
    kind: SlotKind = field(default="passphrase", init=False)

    def __post_init__(self) -> None:
        text = unicodedata.normalize("NFC", self.text)
        if not text:
            raise InvalidInputError("the passphrase is empty")
        if len(text.encode(errors="replace")) > _MAX_PASSPHRASE or any(ord(char) < 32 for char in text):
            raise InvalidInputError(f"a passphrase is one line of up to {_MAX_PASSPHRASE} bytes")
        object.__setattr__(self, "text", text)

    @property
    def data(self) -> bytes:
        """What the key of a slot is derived from."""
        return self.text.encode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The content of a key file: 32 bytes or more that cannot be guessed.

    Raises:
        InvalidInputError: there are fewer, or more than 64 KiB.
    """

    data: bytes = field(repr=False)
    kind: SlotKind = field(default="key-file", init=False)

    def __post_init__(self) -> None:
        if not _MIN_FILE <= len(self.data) <= _MAX_FILE:
            raise InvalidInputError(f"a key file has {_MIN_FILE} bytes or more, up to 64 KiB; not {len(self.data)}")


Secret = Passphrase | KeyFile


def read_passphrase_file(file: Path) -> Passphrase:
    """Return the first line of a file; raises as `Passphrase`, NotFoundError, StorageError."""
    line = _content(file, "passphrase file").partition(b"\n")[0].removesuffix(b"\r")
    return Passphrase(line.decode(errors="surrogateescape"))


def read_key_file(file: Path) -> KeyFile:
    """Return a key file; raises as `KeyFile`, NotFoundError, StorageError."""
    return KeyFile(_content(file, "key file"))


def make_key_file(file: Path) -> KeyFile:
    """Write a new key file, readable by its owner alone; one that is there is read and stays.

    Raises:
        StorageError: it cannot be written. InvalidInputError: what is there is no key file.
    """
    text = f"{secrets.token_hex(32)}\n".encode()
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, text)
            os.fsync(fd)
        finally:
            os.close(fd)
    except FileExistsError:
        return read_key_file(file)
    except OSError as error:
        raise StorageError(f"write the key file {file}", error.strerror or str(error)) from error
    return KeyFile(text)


def _content(file: Path, what: str) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_FILE + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {what} {str(file)!r}") from error
    except OSError as error:
        raise StorageError(f"read the {what} {file}", error.strerror or str(error)) from error
