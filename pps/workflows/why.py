"""Why a task of a run will run, as far as it is known beforehand: pure comparisons with what it did last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pfs.shorten import shorten
from pps.spec.types import Spec
from pps.workflows.item_places import item_text

Outlook = Literal["runs", "cached", "depends", "skipped", "kept"]

NOTHING: Final = "there is nothing to run for"
_MOST: Final = 3
"""How many names are shown."""
NO_CONDITION: Final = "its condition does not hold"


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What a run will do with a task. ``depends``: on whether what it reads will have changed.

    ``items``: how many there are, None where that is known only when it runs.
    """

    task: str
    pipeline: str
    outlook: Outlook
    why: str
    items: int | None = 1
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """The spec and the code of a task, as it is or as it was."""

    spec: Spec
    code: Mapping[str, str]


def changed_version(before: Version, now: Version) -> str:
    """Return what of a task's command or code is another than in the version before; empty if nothing is."""
    if before.spec.transform != now.spec.transform:
        return _changed_transform(before.spec, now.spec)
    names = sorted(before.code.keys() | now.code.keys())
    files = [name for name in names if before.code.get(name) != now.code.get(name)]
    return f"code changed: {_some(files)}" if files else ""


def _changed_transform(before: Spec, now: Spec) -> str:
    old, new = before.transform, now.transform
    if old.cmd != new.cmd:
        return "its command changed"
    if old.env != new.env:
        names = sorted(name for name in old.env.keys() | new.env.keys() if old.env.get(name) != new.env.get(name))
        return f"its env changed: {_some(names)}"
    if old.task != new.task:
        return "its inputs or outputs changed"
    return "its settings changed"


def changed_files(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> str:
    """Return what the files of a task say now that they did not say in the last run; empty if nothing changed."""
    if before == now:
        return ""
    fresh = sorted(now.keys() - before.keys())
    if fresh and before:
        shown = [_item(now[name], name) for name in fresh[:_MOST]] + fresh[_MOST:]
        return f"new item{'s' if len(fresh) > 1 else ''}: {_some(shown)}"
    if not before.keys() - now.keys() and not fresh:
        return _changed_document(before, now)
    return f"{len(before.keys() - now.keys())} items fewer" if not fresh else "its condition holds now"


def _changed_document(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> str:
    name = next(name for name in sorted(now) if before[name] != now[name])
    old, new = json.loads(before[name]), json.loads(now[name])
    params = sorted(
        one
        for one in old["params"].keys() | new["params"].keys()
        if one not in old["params"] or one not in new["params"] or old["params"][one] != new["params"][one]
    )
    if params:
        return f"param{'s' if len(params) > 1 else ''} changed: {_some(params)}"
    return "asked for again" if old.get("again") != new.get("again") else "its item changed"


def _item(document: bytes, name: str) -> str:
    """Return the item of a file as it is written in the workflow; ``name``: what is shown where there is none."""
    item = json.loads(document).get("item")
    text = name if item is None else item_text(item)
    return shorten(text if text.isprintable() and text else repr(text))


def _some(names: Sequence[str], most: int = _MOST) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def known_before(plan: TaskPlan) -> str:
    """Return what is known beforehand of the reason for which a task runs; empty: nothing."""
    return "" if plan.outlook in {"cached", "kept", "depends"} else plan.why


def why_ended(outcome: str, known: str, *, kept: bool, skipped: bool) -> str:
    """Return why a task ended as it did, which may not be what was foreseen.

    ``known``: as `known_before`; ``kept``: the run was not asked for it; ``skipped``: that it would be was foreseen.
    """
    match outcome:
        case "cached":
            return "not asked for" if kept else "nothing changed"
        case "skipped":
            return known if skipped else NOTHING
        case "ran" if not known:
            return "its input changed"
        case _:
            return known
