"""Signed JSON: an object whose last field is the checksum of what comes before it.

The form of everything small that is replaced by compare-and-swap: refs, the state of collection, transactions, the
configuration. What this release does not know is kept in a struct's field ``extra``, if it has one: so an older release
does no harm to a newer store.
"""

from __future__ import annotations

import re
from collections.abc import Collection as Names
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from xxhash import xxh3_128_hexdigest

from pfs.errors import CorruptionError, InvalidInputError
from pfs.structs import ready
from pfs.texts import encoded

S = TypeVar("S", bound=msgspec.Struct)
_SUM = rb',"sum":"([0-9a-f]{32})"}'
_SUM_BYTES = len(',"sum":""}') + 32


def sign_body(plain: bytes) -> bytes:
    """Return the JSON object ``plain`` with its checksum as the last field."""
    return b'%s,"sum":"%s"}' % (plain[:-1], xxh3_128_hexdigest(plain).encode())


def unsign_body(data: bytes, *, where: str) -> bytes:
    """Return a stored object without its checksum, once that was compared; raises CorruptionError."""
    match = re.fullmatch(_SUM, data[-_SUM_BYTES:])
    plain = data[:-_SUM_BYTES] + b"}"
    if match is None or match[1] != xxh3_128_hexdigest(plain).encode():
        raise CorruptionError(where, "its checksum does not match")
    return plain


def encode_signed(value: msgspec.Struct, *, left_out: Names[str] = ()) -> bytes:
    """Return the stored JSON; ``left_out`` names fields that are not stored while they say nothing.

    Raises:
        InvalidInputError: a text in it is not valid UTF-8.
    """
    plain = msgspec.to_builtins(value, str_keys=True)
    extra = plain.pop("extra")
    for name in left_out:
        if not plain[name]:
            del plain[name]
    return sign_body(encoded(msgspec.json.encode, {**plain, **extra}))


def decode_signed(
    data: bytes, form: type[S], *, where: str, what: str, version: int, unsaid: Names[str] = (), required: Names[str]
) -> S:
    """Parse a stored object of the struct ``form``; ``what`` is what it should be, in words.

    ``unsaid`` names fields that live in memory alone.

    Raises:
        CorruptionError: it is none, or its checksum does not match.
        InvalidInputError: it was written by a newer release: its ``v`` is over ``version``.
    """
    plain = unsign_body(data, where=where)
    try:
        raw = msgspec.json.decode(plain, type=dict[str, object])
        missing = [name for name in required if not raw.get(name)]
        if missing:
            raise CorruptionError(where, f"not {what} (it has no {' and no '.join(missing)})")
        found = raw["v"]
        if isinstance(found, int) and found > version:
            raise InvalidInputError(f"{where} has format {found}, this pfs knows {version}: use a newer pfs")
        names = set(form.__struct_fields__) - {"extra", *unsaid}
        known = {name: value for name, value in raw.items() if name in names}
        extra = {name: value for name, value in raw.items() if name not in names}
        return replace(msgspec.convert(known, ready(form), str_keys=True), extra=extra)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise CorruptionError(where, f"not {what} ({error})") from error
