"""Names of objects as a bucket shows them: what users chose is encrypted, element by element, and can be read back.

AES-SIV gives the same name the same cover each time, so an object is found without a table, and a listing needs no
reads. The cover of an element depends on what is above it: the name of a repo looks another in ``log/`` than in
``refs/``.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from functools import lru_cache
from typing import Final

from pfs.backends.base import check_object_name
from pfs.backends.encrypted_key import StoreKey
from pfs.errors import CorruptionError

CONFIG, SLOTS = "config.json", "encryption.json"
PLAIN: Final = frozenset({CONFIG, SLOTS})
"""Objects that are not encrypted, as they are read before there is a key."""
PACKS: Final = "packs"
_STEP: Final = 32
"""Names are filled up to multiples of this, so that their lengths tell little."""
_PIECE: Final = 240
"""Characters of a cover in one path element: file systems take 255."""
_MORE: Final = "-"
"""Ends an element whose cover goes on in the next one."""
_COVER: Final = re.compile(r"[a-z2-7]+")
_KEPT: Final = 1 << 16


class Covers:
    """Covers and uncovers the names of a store; thread-safe."""

    def __init__(self, key: StoreKey) -> None:
        self._cipher = key.of_names()
        self._cover = lru_cache(maxsize=_KEPT)(self._cover_element)
        self._uncover = lru_cache(maxsize=_KEPT)(self._uncover_element)

    def cover(self, name: str) -> str:
        """Return the name under which an object is stored; raises InvalidInputError as `check_object_name`.

        The first element stays as it is: it is one of a dozen words of ours. So do names of packs, which are random.
        """
        first, *elements = check_object_name(name).split("/")
        if first == PACKS:
            return name
        covered, above = first, first
        for element in elements:
            covered += "/" + self._cover(above, element)
            above += "/" + element
        return covered

    def cover_above(self, prefix: str) -> str:
        """Return the part of a prefix up to its last slash, as it is stored."""
        above, slash, _ = prefix.rpartition("/")
        return self.cover(above) + slash if slash else prefix

    def uncover(self, covered: str) -> str | None:
        """Return the name of an object by the one that it is stored under; None for what we do not write.

        Raises:
            CorruptionError: it looks like a name of ours, and is none of this store, or at another place.
        """
        first, *elements = covered.split("/")
        if first == PACKS:
            return covered
        name, cover = first, ""
        for element in elements:
            cover += element.removesuffix(_MORE)
            if element.endswith(_MORE):
                continue
            if not _COVER.fullmatch(cover):
                return None
            plain = self._uncover(name, cover)
            if plain is None:
                raise CorruptionError(covered, "its name is none of this store, or was moved")
            name, cover = f"{name}/{plain}", ""
        return None if cover else name

    def _cover_element(self, above: str, element: str) -> str:
        plain = element.encode()
        sealed = self._cipher.encrypt(plain + bytes(-len(plain) % _STEP), [above.encode()])
        text = _text(sealed)
        pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
        return f"{_MORE}/".join(pieces)

    def _uncover_element(self, above: str, cover: str) -> str | None:
        from cryptography.exceptions import InvalidTag

        try:
            sealed = b32decode(cover.upper() + "=" * (-len(cover) % 8))
            plain = self._cipher.decrypt(sealed, [above.encode()]).rstrip(b"\0").decode()
        except (InvalidTag, ValueError):
            return None
        return plain if _text(sealed) == cover else None  # base32 spells some bytes in several ways


def _text(sealed: bytes) -> str:
    """Return base32 in lower case: what file systems that ignore case keep apart."""
    return b32encode(sealed).decode().rstrip("=").lower()
