"""Retention rules of repos: setting them, and doing what they say (docs/design/retention.md)."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.errors import BranchMovedError, BranchNotFoundError, ConflictError, InvalidInputError, PfsError
from pfs.glob import Glob
from pfs.ids import CommitId
from pfs.lifecycle.aging import age
from pfs.lifecycle.plan import Chosen, RepoPlan, plan_retention
from pfs.lifecycle.unread import Readers, nobody
from pfs.refs.back_off import back_off
from pfs.refs.body import RefsBody, is_hidden
from pfs.refs.retention import Keep, Retention

if TYPE_CHECKING:
    from pfs.store import Store

ROUNDS = 20
"""Times that other writers may be first before retention gives up until the next time."""


@dataclass(frozen=True, slots=True)
class RepoEffect:
    """What retention did to a repo, or would do.

    ``removed``: commits of users' branches that are gone, ``removed_of`` their branches; ``kept``: how many of these
    there still are; ``hidden``: what went of what pipelines keep; ``branches`` and ``tags`` went to the trash.
    ``aged``: commits in which files lost their bytes by a rule for paths, ``aged_bytes`` of different contents.
    """

    repo: str
    kept: int
    removed: tuple[CommitId, ...]
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    removed_of: tuple[str, ...] = ()
    hidden: tuple[CommitId, ...] = ()
    aged: int = 0
    aged_bytes: int = 0


def apply_retention(
    store: Store,
    *,
    now_ns: int | None = None,
    dry_run: bool = False,
    readers: Readers = nobody,
    chosen: Chosen | None = None,
) -> list[RepoEffect]:
    """Do what the rules of all repos say at ``now_ns`` (default: now); return the effect on each repo with rules.

    One swap for each repo that changes, downstream first, and one more where files lose their bytes by age. Commits
    that are removed are not found any more; their bytes are freed by collection. Beside writers: who moved a repo
    meanwhile makes all be worked out anew. ``readers`` says what pipelines have yet to read, which stays; without it
    all that they are made from stays. ``chosen``: these commits go in the place of what rules let go, which are not
    asked; what rules protect stays as well.

    Raises:
        CorruptionError, MissingObjectError: a commit cannot be read; nothing was changed.
        ConflictError: other writers were first too often; what was done so far holds.
        StorageError: as `ConflictError`.
    """
    at_ns = store.clock_ns() if now_ns is None else now_ns
    effects = _let_go(store, at_ns, dry_run=dry_run, readers=readers, chosen=chosen)
    if chosen is not None:
        return effects
    return [_aged(store, effect, at_ns, dry_run=dry_run) for effect in effects]


def foreseen(store: Store, plan: RepoPlan, *, now_ns: int) -> RepoEffect:
    """Return what a plan and the rules for paths will do; changes nothing, raises as `apply_retention`."""
    return _aged(store, _effect_of(plan), now_ns, dry_run=True)


def _aged(store: Store, effect: RepoEffect, now_ns: int, *, dry_run: bool) -> RepoEffect:
    aged = age(store, effect.repo, now_ns=now_ns, dry_run=dry_run)
    return dataclasses.replace(effect, aged=aged.commits, aged_bytes=aged.size_bytes)


def _let_go(store: Store, at_ns: int, *, dry_run: bool, readers: Readers, chosen: Chosen | None) -> list[RepoEffect]:
    """Remove commits, branches and tags as the rules say."""
    done: dict[str, RepoEffect] = {}
    for round_no in range(ROUNDS):
        plans = plan_retention(store, now_ns=at_ns, readers=readers, chosen=chosen)
        effects = {plan.repo: _effect_of(plan) for plan in plans}
        if dry_run:
            return list(effects.values())
        try:
            for plan in plans:
                if plan.changes:
                    _do(store, plan)
                    done[plan.repo] = _joined(done.get(plan.repo), effects.pop(plan.repo))
        except BranchMovedError:
            back_off(round_no)
            continue
        return [_joined(done.get(plan.repo), effects.get(plan.repo)) for plan in plans]
    raise ConflictError("repos are being changed too often for their retention rules: try again")


def _do(store: Store, plan: RepoPlan) -> None:
    store.refs.swap(plan.state, plan.body)
    with suppress(PfsError):  # what collection finds unreachable it takes out of the index as well
        store.index.forget_commits(plan.repo, list(plan.removed))


def _effect_of(plan: RepoPlan) -> RepoEffect:
    """Return what a plan does, as a value for people."""
    users = [(id, branch) for id, branch in plan.removed.items() if not is_hidden(branch)]
    return RepoEffect(
        plan.repo,
        plan.kept,
        removed=tuple(id for id, _ in users),
        removed_of=tuple(branch for _, branch in users),
        hidden=tuple(id for id, branch in plan.removed.items() if is_hidden(branch)),
        branches=plan.branches,
        tags=plan.tags,
    )


def _joined(first: RepoEffect | None, then: RepoEffect | None) -> RepoEffect:
    """Return what two rounds did to a repo."""
    if first is None or then is None:
        either = first or then
        assert either is not None, "each repo of a plan has an effect"
        return either
    return dataclasses.replace(
        then,
        removed=first.removed + then.removed,
        removed_of=first.removed_of + then.removed_of,
        hidden=first.hidden + then.hidden,
        branches=first.branches + then.branches,
        tags=first.tags + then.tags,
    )


def get_retention(store: Store, repo: str) -> Retention | None:
    """Return the rules of a repo, None without any; raises RepoNotFoundError."""
    return store.refs.read(repo).body.retention


def set_retention(store: Store, repo: str, rules: Retention | None) -> None:
    """Give a repo other rules, or with None no rules; they do nothing before the next collection.

    Raises:
        RepoNotFoundError, BranchNotFoundError: there is no such repo, or no such branch.
        InvalidInputError: a number is negative, rules keep nothing, or a glob is malformed.
    """
    if rules is not None:
        _check(rules)

    def edit(body: RefsBody) -> RefsBody:
        for branch in () if rules is None else rules.branches:
            if branch not in body.branches:
                raise BranchNotFoundError(repo, branch)
        return body if body.retention == rules else replace(body, retention=rules)

    store.refs.update(repo, edit)


def _check(rules: Retention) -> None:
    for keep in (rules.keep, *rules.branches.values()):
        if keep is not None and (min(_numbers(keep)) < 0 or not any(_numbers(keep))):
            raise InvalidInputError("retention rules keep a positive number of commits, days, weeks or months")
    if rules.stale_seconds < 0 or any(rule.seconds < 0 for rule in rules.paths):
        raise InvalidInputError("a time in retention rules is negative")
    for rule in rules.paths:
        Glob(rule.glob)


def _numbers(keep: Keep) -> tuple[int, ...]:
    return keep.last, keep.seconds, keep.daily, keep.weekly, keep.monthly
