"""Names in workflow files: of workflows, tasks, inputs and outputs, and of the items that a task runs for."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Final

from blake3 import blake3

from pfs.errors import InvalidInputError
from pfs.shorten import quoted
from pps.spec.node import Plain

_TASK: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_MOST: Final = 100
_PLAIN_ITEM: Final = re.compile(r"[A-Za-z0-9=,@+_-][A-Za-z0-9.=,@+_-]{0,63}")
_RESERVED: Final = frozenset({"workflow", "out", "schedule"})


def check_identifier(what: str, name: str) -> str:
    """Return a name if tasks, params, inputs and outputs can be called so.

    Raises:
        InvalidInputError: it has other characters than letters of ASCII, digits, ``-`` and ``_``, or no letter first.
    """
    if not _TASK.fullmatch(name) or len(name) > _MOST:
        rule = f"use letters, digits, '-' and '_', a letter first, {_MOST} at most"
        raise InvalidInputError(f"{quoted(name)} cannot name {what}: {rule}")
    return name


def check_input_name(name: str) -> str:
    """Return a name if an input can be called so; raises as `check_identifier`."""
    if is_reserved(name):
        raise InvalidInputError(f"{quoted(name)} cannot name an input: it is the name of one that tasks have by itself")
    return check_identifier("an input", name)


def is_reserved(name: str) -> bool:
    """Say whether a name is that of an input that tasks have by themselves."""
    return name in _RESERVED or name.startswith("after_")


def name_of_file(source: str) -> str:
    """Return the name of a workflow whose file does not say one: the file's, without its suffix.

    Other characters than names have are ``-``; what comes first is a letter or a digit. ``""``: nothing is left.
    """
    stem = PurePath(source).name.removesuffix(".json").removesuffix(".yaml").removesuffix(".yml")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).lstrip("-_").rstrip("-")[:_MOST]


def item_name(item: Plain) -> str:
    """Return what the file of an item is called: its text where that is a plain name, else with a digest of it."""
    text = item if isinstance(item, str) else json.dumps(item, sort_keys=True, ensure_ascii=False)
    if isinstance(item, str | int | float) and _PLAIN_ITEM.fullmatch(text):
        return text
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:32]
    return f"{kept}-{blake3(json.dumps(item, sort_keys=True).encode()).hexdigest()[:16]}".lstrip("-")
