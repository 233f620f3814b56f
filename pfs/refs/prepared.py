"""What a transaction will change in one repo: an entry beside the present values, folded in once it is committed.

The entry holds, per field of the body, keys with their new values and keys that go; fields that are no maps are
replaced whole. It is made by comparing two bodies, whatever fields they have. Pure functions of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import fields, replace

from pfs.refs.body import DROPPED, RECENT, Prepared, RefsBody, TrashEntry
from pfs.structs import ready

_OF_THE_OBJECT = frozenset({"v", "seq", "gc_gen", "wid", "recent", "prepared", "shelf"})
"""What belongs to the object, not to the repo: never part of a change."""
_HISTORY = ("gone", "edges", "squashed", "older")
_OTHERS = (
    {field.name for field in fields(RefsBody)}
    - _OF_THE_OBJECT
    - {
        "branches",
        "tags",
        "open",
        "edges",
        "records",
        "squashed",
        "older",
        "trash",
        "gone",
        "created",
        "born",
        "last",
        "earlier",
    }
)
ALL = "*"
"""Among names: the whole repo, or what its history leaves; goes with nothing else."""


def difference(old: RefsBody, new: RefsBody, *, attempt: str) -> Prepared:
    """Return the entry that makes ``new`` of ``old``; ``attempt`` names the transaction and its attempt."""
    before, after = _plain(old), _plain(new)
    changed: dict[str, object] = {}
    gone: dict[str, tuple[str, ...]] = {}
    for name, value in after.items():
        was = before[name]
        if not (isinstance(value, dict) and isinstance(was, dict)):
            if value != was:
                changed[name] = value
            continue
        put = {key: item for key, item in value.items() if key not in was or was[key] != item}
        if put:
            changed[name] = put
        if was.keys() - value.keys():
            gone[name] = tuple(sorted(was.keys() - value.keys()))
    return Prepared(txn=attempt, set=changed, drop=gone)


def is_empty(entry: Prepared) -> bool:
    """Say whether an entry changes nothing."""
    return not entry.set and not entry.drop


def applied(body: RefsBody, entry: Prepared) -> RefsBody:
    """Return the body as it is once the entry's transaction is committed."""
    plain = _plain(body)
    for name, value in entry.set.items():
        was = plain.get(name)
        plain[name] = {**was, **value} if isinstance(was, dict) and isinstance(value, dict) else value
    for name, keys in entry.drop.items():
        kept = plain.get(name)
        plain[name] = {key: item for key, item in kept.items() if key not in keys} if isinstance(kept, dict) else kept
    changed = msgspec.convert(plain, ready(RefsBody))
    return replace(changed, **{name: getattr(body, name) for name in _OF_THE_OBJECT})


def without_entry(body: RefsBody, attempt: str) -> RefsBody:
    """Return the body without the entry of an attempt: it was aborted."""
    return replace(body, prepared=tuple(entry for entry in body.prepared if entry.txn != attempt))


def folded(body: RefsBody, entry: Prepared) -> RefsBody:
    """Return the body with a committed entry folded in; ``recent`` remembers the attempt."""
    body = without_entry(applied(body, entry), entry.txn)
    return replace(body, recent=(*body.recent, entry.txn)[-RECENT:])


def possible(body: RefsBody) -> Iterator[RefsBody]:
    """Yield the body, then what each prepared entry would make of it: all that must be kept from collection."""
    yield body
    for entry in body.prepared:
        yield applied(body, entry)


def touched(old: RefsBody, new: RefsBody) -> frozenset[str]:
    """Return the names that differ: branches and tags, those of open commits' branches, or ALL."""
    if any(getattr(old, name) != getattr(new, name) for name in _HISTORY) or _dropped(old.trash) != _dropped(new.trash):
        return frozenset({ALL})
    names = {*_changed(old.branches, new.branches), *_changed(old.tags, new.tags)}
    for commit in old.open.keys() | new.open.keys():
        if old.open.get(commit) != new.open.get(commit):
            names |= {body.open[commit].branch for body in (old, new) if commit in body.open}
    if any(getattr(old, name) != getattr(new, name) for name in _OTHERS):
        names.add(".")  # no branch has that name
    return frozenset(names)


def named(body: RefsBody, entry: Prepared) -> frozenset[str]:
    """Return the names that an entry changes in the body."""
    return touched(body, applied(body, entry))


def clash(one: frozenset[str], other: frozenset[str]) -> bool:
    """Say whether two changes must not stand beside each other."""
    return bool(one & other) or (bool(one and other) and ALL in one | other)


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    return (key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _dropped(trash: Mapping[str, TrashEntry]) -> set[str]:
    return {key for key, entry in trash.items() if entry.kind == DROPPED}


def _plain(body: RefsBody) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(replace(body, shelf=None))
    return {name: value for name, value in plain.items() if name not in _OF_THE_OBJECT}
