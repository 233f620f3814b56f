"""The rule of a store in a bucket: which data packs go to which storage class, and how archived ones are restored.

One object, replaced by compare-and-swap (docs/format/layout.md). No object means that nothing is moved by itself.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import BranchMovedError, CorruptionError, InvalidInputError, StorageError
from pfs.ids import Etag
from pfs.refs.signed import decode_signed, encode_signed

NAME: Final = "gc/tiering.json"
_VERSION: Final = 1
_DAY_NS: Final = 24 * 3600 * 1_000_000_000

Speed = Literal["Expedited", "Standard", "Bulk"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """``older_ns``: of commits; ``heads``: whether heads of branches go to archives too; ``on``: whether upkeep moves.

    ``restore_days``: how long what was restored can be read; ``restore_speed``: as AWS names it.
    """

    v: int = _VERSION
    on: bool = False
    older_ns: int = 90 * _DAY_NS
    storage_class: str = "STANDARD_IA"
    heads: bool = False
    restore_days: int = 7
    restore_speed: Speed = "Standard"
    extra: dict[str, object] = {}


def read_rule(backend: Backend) -> Rule:
    """Return the rule; one that moves nothing where there is none, or it is damaged."""
    return _load(backend)[0]


def write_rule(backend: Backend, rule: Rule) -> None:
    """Replace the rule; fields that are not known stay.

    Raises:
        BranchMovedError: somebody else changed it at this moment.
        StorageError: it cannot be written.
    """
    old, etag = _load(backend)
    data = encode_signed(replace(rule, extra=old.extra))
    try:
        backend.swap(NAME, etag, data)
    except (BranchMovedError, StorageError):
        found = backend.read(NAME)
        if found is None or found[0] != data:  # else our own write landed, and its reply was lost
            raise


def ask_for(backend: Backend, name: str) -> bool:
    """Have an archived object restored as the rule says; say whether it can be read now. Raises as `Backend.thaw`."""
    rule = read_rule(backend)
    return backend.thaw(name, days=rule.restore_days, speed=rule.restore_speed)


def _load(backend: Backend) -> tuple[Rule, Etag | None]:
    found = backend.read(NAME)
    if found is None:
        return Rule(), None
    try:
        rule = decode_signed(found[0], Rule, where=NAME, what="a rule of tiering", version=_VERSION, required=("v",))
    except CorruptionError:
        return Rule(), found[1]
    return rule, found[1]


def check_class(storage_class: str) -> str:
    """Return a storage class as S3 names them; raises InvalidInputError for what can be none."""
    name = storage_class.upper()
    if not name or not name.replace("_", "").isalnum() or not name.isascii():
        raise InvalidInputError(f"{storage_class!r} is no storage class: write one such as STANDARD_IA or DEEP_ARCHIVE")
    return name
