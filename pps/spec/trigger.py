"""The field ``trigger`` of a pfs input: a branch of its own that follows another one, and only now and then."""

from __future__ import annotations

from dataclasses import replace

from pfs.errors import InvalidInputError
from pfs.model import Trigger
from pps.spec.fields import Fields
from pps.spec.types import DEFAULT_BRANCH, Input, PfsInput


def read_trigger(leaf: Fields) -> Trigger | None:
    """Return the trigger of an input, None without one; what is wrong with it goes to the findings."""
    from pfs.provenance.trigger import parse_size, trigger_entry

    fields = leaf.child("trigger")
    if fields is None:
        return None
    size = fields.text("size")
    try:
        trigger = Trigger(
            branch=fields.text("branch") or DEFAULT_BRANCH,
            size_bytes=parse_size(size) if size else None,
            commits=fields.count("commits"),
            rate=fields.text("rate_spec"),
            cron=fields.text("cron_spec"),
            all=fields.flag("all"),
        )
        trigger_entry(trigger)
    except InvalidInputError as error:
        leaf.bad("trigger", f"the field 'trigger' of pfs: {error}")
        return None
    if not (trigger.size_bytes or trigger.commits or trigger.rate or trigger.cron):
        leaf.bad("trigger", "the field 'trigger' of pfs has no condition: give size, commits, rate_spec or cron_spec")
    if leaf.text("branch") == trigger.branch:
        leaf.bad("branch", f"the branch {trigger.branch!r} would follow itself: give another one, or none")
    return trigger


def with_branches(node: Input, pipeline: str, counts: dict[str, int] | None = None) -> Input:
    """Return an input in which those with a trigger and no branch have ``<pipeline>-trigger-<n>``.

    ``n`` counts those of each repo from 1, in name order.
    """
    counts = {} if counts is None else counts
    if not isinstance(node, PfsInput):
        return replace(node, children=tuple(with_branches(child, pipeline, counts) for child in node.children))
    if node.branch:
        return node
    counts[node.repo] = counts.get(node.repo, 0) + 1
    return replace(node, branch=f"{pipeline}-trigger-{counts[node.repo]}")
