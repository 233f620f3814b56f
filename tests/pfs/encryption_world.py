"""Encrypted objects by the words of docs/format/encryption.md alone: what the code is compared with."""

from __future__ import annotations

import re
import struct
from base64 import b32decode, b32encode

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pfs.backends.encrypted_key import StoreKey

KEY = StoreKey(bytes(range(32)))


def hkdf(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info).derive(secret)


def cover(name: str, key: StoreKey = KEY) -> str:
    """Return the stored name."""
    first, *elements = name.split("/")
    if first == "packs":
        return name
    siv = AESSIV(hkdf(key.raw, salt=b"", info=b"pfs names 1", length=64))
    covered, above = first, first
    for element in elements:
        plain = element.encode()
        plain += b"\0" * (-len(plain) % 32)
        text = b32encode(siv.encrypt(plain, [above.encode()])).decode().rstrip("=").lower()
        covered += "/" + "-/".join(re.findall(".{1,240}", text))
        above += "/" + element
    return covered


def uncover(covered: str, key: StoreKey = KEY) -> str:
    """Return the name of a stored one."""
    siv = AESSIV(hkdf(key.raw, salt=b"", info=b"pfs names 1", length=64))
    name, slash, rest = covered.partition("/")
    if name == "packs" or not slash:
        return covered
    for element in rest.replace("-/", "").split("/"):
        data = b32decode(element.upper() + "=" * (-len(element) % 8))
        name += "/" + siv.decrypt(data, [name.encode()]).rstrip(b"\0").decode()
    return name


def plain(name: str, stored: bytes, key: StoreKey = KEY) -> bytes:
    """Return the bytes of a stored object."""
    size, end = struct.unpack("<Q4s", stored[-12:])
    assert end == b"PFE1"
    found, at, number, last = b"", 0, 0, 0
    salt = stored[:16]
    gcm = AESGCM(hkdf(key.raw, salt=salt, info=b"pfs object 1\0" + name.encode(), length=32))
    while not last:
        assert stored[at : at + 16] == salt
        (word,) = struct.unpack("<I", stored[at + 16 : at + 20])
        length, last = word & 0x7FFFFFFF, word >> 31
        found += gcm.decrypt(struct.pack(">IQ", last, number), stored[at + 20 : at + 36 + length], None)
        at, number = at + 36 + length, number + 1
    assert (at, len(found)) == (len(stored) - 12, size)
    return found
