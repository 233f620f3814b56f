"""Triggers: does a branch follow the one it watches? Pure (docs/design/provenance.md).

Semantics are those of Pachyderm's triggers: sizes are compared net, commits counted back to the branch's head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from pfs.errors import ConflictError, InvalidInputError
from pfs.model import Trigger
from pfs.refs.body import BranchEntry, TriggerEntry, check_user_branch
from pfs.shorten import quoted

_SIZE = r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?"


class Step(Struct, frozen=True):
    """A commit that may fire a trigger, against the head of the branch: sizes in bytes, times of finishing in ns.

    ``old_finished_ns`` without a head: when the branch was made. ``commits(n)``: whether n came since the head.
    """

    old_bytes: int
    new_bytes: int
    old_finished_ns: int
    new_finished_ns: int
    commits: Callable[[int], bool]


def fires(trigger: TriggerEntry, step: Step) -> bool:
    """Say whether a commit that was finished fires a trigger: one of its conditions holds, or with ``all`` each.

    With no condition set it never fires, with ``all`` always. One with ``cron`` is fired by time alone.
    """
    from pfs.provenance.cron import parse_schedule  # few triggers have one

    if trigger.cron:
        return False
    held: list[bool] = []
    if trigger.size is not None:
        held.append(step.new_bytes - step.old_bytes >= trigger.size)
    if trigger.commits:
        held.append(step.commits(trigger.commits))
    if trigger.rate:
        tick = parse_schedule(trigger.rate).next_tick(step.old_finished_ns)
        held.append(tick is not None and tick < step.new_finished_ns)
    return all(held) if trigger.all else any(held)


def followers(branches: Mapping[str, BranchEntry], branch: str) -> list[str]:
    """Return the branches whose trigger watches one, by name."""
    found = ((name, entry.trigger) for name, entry in branches.items())
    return sorted(name for name, trigger in found if trigger is not None and trigger.branch == branch)


def trigger_entry(trigger: Trigger) -> TriggerEntry:
    """Return a trigger as refs have it.

    Raises:
        InvalidNameError, InvalidInputError: it names no branch, or has a schedule, size or count that is none.
    """
    from pfs.provenance.cron import parse_schedule  # few triggers have one

    check_user_branch(trigger.branch)
    if trigger.commits < 0 or (trigger.size_bytes or 0) < 0:
        raise InvalidInputError("a trigger's size and number of commits cannot be negative")
    for schedule in filter(None, (trigger.rate, trigger.cron)):
        parse_schedule(schedule)
    if trigger.cron and (trigger.size_bytes is not None or trigger.commits or trigger.rate or trigger.all):
        raise InvalidInputError("a trigger with a cron schedule takes no other condition")
    return TriggerEntry(
        branch=trigger.branch,
        all=trigger.all,
        size=trigger.size_bytes,
        commits=trigger.commits,
        rate=trigger.rate,
        cron=trigger.cron,
    )


def trigger_info(entry: TriggerEntry) -> Trigger:
    """Return the public value of a trigger."""
    return Trigger(
        branch=entry.branch,
        size_bytes=entry.size,
        commits=entry.commits,
        rate=entry.rate,
        cron=entry.cron,
        all=entry.all,
    )


def refuse_loop(branches: Mapping[str, BranchEntry], repo: str, branch: str) -> None:
    """Raise ConflictError if a branch would follow itself, through others too."""
    seen, name = [branch], branch
    while (entry := branches.get(name)) is not None and entry.trigger is not None:
        name = entry.trigger.branch
        if name in seen:
            raise ConflictError(
                f"the triggers of repo {repo!r} would go in a circle: {' follows '.join([*seen, name])}"
            )
        seen.append(name)


def parse_size(text: str) -> int:
    """Return the bytes of a size such as ``100MB``: decimal units (1K is 1,000), ``KiB`` and the like binary.

    Raises:
        InvalidInputError: it is none.
    """
    match = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise InvalidInputError(f"{quoted(text)} is no size: write bytes, or 10K, 100MB, 1.5GB")
    power = " kmgtp".index(match[2].lower() or " ")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)
