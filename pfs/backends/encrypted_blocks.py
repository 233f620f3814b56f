"""How the bytes of one object are encrypted: in blocks, each readable by itself (docs/format/encryption.md).

A block says by itself how long it is, whether it is the last, and under which salt the object was written; a trailer
says how long the object is. So any part is read with one request, the end too, and nobody needs the size first.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pfs.backends.base import Buffer
from pfs.backends.encrypted_key import SALT_BYTES, StoreKey
from pfs.errors import CorruptionError

BLOCK: Final = 64 << 10
"""Plain bytes of a block; the last one may have fewer, and has none only in an empty object."""
_HEAD: Final = struct.Struct(f"<{SALT_BYTES}sI")
_TAG: Final = 16
_LAST: Final = 1 << 31
_NONCE: Final = struct.Struct(">IQ")
_TRAILER: Final = struct.Struct("<Q4s")
_END: Final = b"PFE1"
OVERHEAD: Final = _HEAD.size + _TAG
STRIDE: Final = BLOCK + OVERHEAD
"""Bytes from one stored block to the next."""
TRAILER: Final = _TRAILER.size


def stored_size(size: int) -> int:
    """Return how many bytes are stored of an object of ``size`` bytes."""
    return size + OVERHEAD * max(1, -(-size // BLOCK)) + TRAILER


def plain_size(stored: int) -> int:
    """Return the size of the object of which so many bytes are stored; 0 where no object has that many."""
    blocks = max(1, -(-(stored - TRAILER) // STRIDE))
    return max(0, stored - TRAILER - OVERHEAD * blocks)


class Sealer:
    """Encrypts one writing of one object under a salt of its own; blocks in order, the last one with ``last``."""

    def __init__(self, key: StoreKey, name: str, *, salt: bytes | None = None) -> None:
        """``salt``: random unless given, as golden files do; one must never be used again for other bytes."""
        self._salt = os.urandom(SALT_BYTES) if salt is None else salt
        self._cipher = key.of_object(name, self._salt)
        self._number = self._size = 0

    def block(self, data: Buffer, *, last: bool = False) -> list[bytes]:
        """Return what is stored of the next block; ``last``: with the trailer behind it."""
        head = _HEAD.pack(self._salt, len(data) | (_LAST if last else 0))
        sealed = [head, self._cipher.encrypt(_NONCE.pack(last, self._number), data, None)]
        self._number += 1
        self._size += len(data)
        return [*sealed, _TRAILER.pack(self._size, _END)] if last else sealed


def seal(key: StoreKey, name: str, data: Buffer, *, salt: bytes | None = None) -> bytes:
    """Return what is stored of a whole object."""
    sealer, view, pieces = Sealer(key, name, salt=salt), memoryview(data).cast("B"), list[bytes]()
    for start in range(0, max(len(view), 1), BLOCK):
        pieces += sealer.block(view[start : start + BLOCK], last=start + BLOCK >= len(view))
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Opened:
    """Plain blocks from number ``first`` on; ``size``: of the object, where its last block is among them."""

    first: int
    blocks: Sequence[bytes]
    size: int | None

    def cut(self, offset: int, length: int) -> bytes:
        """Return up to so many bytes of the object from ``offset`` on, as far as they are here."""
        start = offset - self.first * BLOCK
        stop = start + length
        pieces = [memoryview(block)[max(start - at, 0) : max(stop - at, 0)] for at, block in self._around(start, stop)]
        return b"".join(pieces)

    def copy_into(self, buffer: memoryview, offset: int) -> int:
        """Copy the object's bytes from ``offset`` on, as far as they are here and fit; return how many."""
        done = 0
        for number, block in enumerate(self.blocks):
            start = max(offset - (self.first + number) * BLOCK, 0)
            part = memoryview(block)[start : start + len(buffer) - done]
            buffer[done : done + len(part)] = part
            done += len(part)
        return done

    def _around(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        for number in range(start // BLOCK, min(len(self.blocks), -(-stop // BLOCK))):
            yield number * BLOCK, self.blocks[number]


def open_blocks(key: StoreKey, name: str, data: Buffer, *, first: int) -> Opened:
    """Return the blocks in ``data``, stored bytes from the beginning of block ``first`` on.

    They end with the object, or anywhere at the end of a block.

    Raises:
        CorruptionError: a block is changed, of another object, another writing or at another place; or cut off.
    """
    view, salt, blocks = memoryview(data), None, list[bytes]()
    number, at = first, 0
    while at < len(view):
        salt, length, last = _head(view, at, salt, name)
        stop = at + OVERHEAD + length
        if stop > len(view):
            raise _cut_off(name, number)
        if number == first:
            cipher = key.of_object(name, salt)
        blocks.append(_decrypted(cipher, view[at + _HEAD.size : stop], _NONCE.pack(last, number), (name, number)))
        at, number = stop, number + 1
        if last:
            size = (number - 1) * BLOCK + length
            _check_trailer(view[at:], size, name)
            return Opened(first, blocks, size)
    return Opened(first, blocks, None)


def open_leniently(key: StoreKey, name: str, data: Buffer, *, first: int) -> Opened:
    """Return blocks as `open_blocks` does, but zeros for those that cannot be decrypted; raises nothing."""
    view, blocks = memoryview(data), list[bytes]()
    for at in range(0, len(view), STRIDE):
        piece = view[at : at + STRIDE]
        if len(piece) > TRAILER:
            try:
                blocks += open_blocks(key, name, piece, first=first + len(blocks)).blocks
            except CorruptionError:
                blocks.append(bytes(len(piece) - OVERHEAD) if len(piece) == STRIDE else bytes(plain_size(len(piece))))
    return Opened(first, blocks, None)


def size_in(data: Buffer, *, name: str) -> int:
    """Return the size that the trailer at the end of ``data`` says; true only once the last block was opened."""
    if len(data) < TRAILER:
        raise _cut_off(name, 0)
    size, end = _TRAILER.unpack_from(data, len(data) - TRAILER)
    if end != _END:
        raise CorruptionError(name, "it does not end as an encrypted object")
    return int(size)


def _head(view: memoryview, at: int, salt: bytes | None, name: str) -> tuple[bytes, int, bool]:
    """Return salt, length and whether it is the last, of the block that begins at ``at``."""
    if len(view) - at < _HEAD.size:
        raise _cut_off(name, at // STRIDE)
    own, word = _HEAD.unpack_from(view, at)
    length, last = word & ~_LAST, bool(word & _LAST)
    if (length != BLOCK and not last) or length > BLOCK or salt not in (None, own):
        raise CorruptionError(name, "a block of it cannot be decrypted: it was changed")
    return own, length, last


def _decrypted(cipher: object, sealed: memoryview, nonce: bytes, where: tuple[str, int]) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = cipher.decrypt(nonce, sealed, None)  # type: ignore[attr-defined]
    except InvalidTag as error:
        detail = f"block {where[1]} of it cannot be decrypted: it was changed, or written under another name or key"
        raise CorruptionError(where[0], detail) from error
    return plain


def _check_trailer(rest: memoryview, size: int, name: str) -> None:
    """Compare what follows the last block, which may be a part of the trailer."""
    if bytes(rest) != _TRAILER.pack(size, _END)[: len(rest)]:
        raise CorruptionError(name, "it does not end as an encrypted object")


def _cut_off(name: str, number: int) -> CorruptionError:
    return CorruptionError(name, f"it was cut off in block {number}, or is none of this store")
