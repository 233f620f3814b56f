"""Retention rules of a repo: `pfs set-retention`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import wiring
from cli.durations import seconds
from cli.exits import usage_error
from cli.output import Json, Record, print_json

if TYPE_CHECKING:
    from pfs.refs.retention import Keep, Retention

_COUNT = click.IntRange(0)


@click.command("set-retention")
@wiring.address_argument("repo", metavar="REPO")
@click.option("--keep-last", type=_COUNT, metavar="N", help="Keep the last N commits.")
@click.option("--keep-days", metavar="D", help="Keep what was finished in the last D days; also 12h, 2w.")
@click.option("--keep-daily", type=_COUNT, metavar="N", help="Keep the newest commit of each of N days that have any.")
@click.option("--keep-weekly", type=_COUNT, metavar="N", help="The same for weeks.")
@click.option("--keep-monthly", type=_COUNT, metavar="N", help="The same for months.")
@click.option("--keep-tags/--no-keep-tags", default=None, help="Whether tagged commits stay; they do by default.")
@click.option("--stale-branch", metavar="D", help="Delete branches whose head is older than D days; also 12h, 2w.")
@click.option("--branch", metavar="B", help="Rules for this branch alone, instead of the repo's.")
@click.option("--clear", is_flag=True, help="Take all rules away; with --branch those of the branch.")
@wiring.json_option
def set_retention(
    repo: str,
    keep_last: int | None,
    keep_days: str | None,
    keep_daily: int | None,
    keep_weekly: int | None,
    keep_monthly: int | None,
    keep_tags: bool | None,
    stale_branch: str | None,
    branch: str | None,
    clear: bool,
    as_json: bool,
) -> None:
    """Say which commits of a repo stay; `pfs gc`, which `pfs serve` does by itself, removes the others.

    A commit stays when any rule keeps it. Heads, open commits, what live commits of any repo were made from, and
    tagged commits always stay. Rules that are not named stay as they are; 0 takes one away. Without options: shows
    the rules.
    """
    from pfs.lifecycle import retention

    given = {
        "last": keep_last,
        "seconds": None if keep_days is None else _days(keep_days),
        "daily": keep_daily,
        "weekly": keep_weekly,
        "monthly": keep_monthly,
    }
    keeps = {name: value for name, value in given.items() if value is not None}
    stale = None if stale_branch is None else _days(stale_branch)
    if clear and (keeps or stale is not None or keep_tags is not None):
        raise usage_error("--clear takes no other rules: set them in a second command")
    if branch is not None and (stale is not None or keep_tags is not None):
        raise usage_error("--stale-branch and --keep-tags are of the whole repo: name them without --branch")
    with wiring.open_store() as store:
        name = wiring.repo_name(repo)
        rules = retention.get_retention(store, name)
        if clear or keeps or stale is not None or keep_tags is not None:
            rules = _cleared(rules, branch) if clear else _changed(rules, branch, keeps, tags=keep_tags, stale=stale)
            retention.set_retention(store, name, rules)
    if as_json:
        print_json(retention_record(name, rules))
        return
    for line in _lines(rules):
        click.echo(line)


def _days(text: str) -> int:
    """Return a duration in seconds; a number alone is days."""
    return int(text) * 86_400 if text.isdigit() else seconds(text)


def _cleared(rules: Retention | None, branch: str | None) -> Retention | None:
    from msgspec.structs import replace

    if rules is None or branch is None:
        return None
    return _or_none(replace(rules, branches={name: keep for name, keep in rules.branches.items() if name != branch}))


def _changed(
    rules: Retention | None, branch: str | None, keeps: dict[str, int], *, tags: bool | None, stale: int | None
) -> Retention | None:
    from msgspec.structs import replace

    from pfs.refs.retention import Keep, Retention

    now = rules or Retention()
    old = (now.keep if branch is None else now.branches.get(branch)) or Keep()
    keep: Keep | None = replace(old, **keeps)
    if branch is not None and keeps:
        if keep == Keep():
            raise usage_error(f"no rule is left for {branch}: --clear --branch {branch} gives it those of the repo")
        now = replace(now, branches=now.branches | {branch: keep})
    elif keeps:
        now = replace(now, keep=None if keep == Keep() else keep)
    now = replace(now, tags=now.tags if tags is None else tags)
    return _or_none(replace(now, stale_seconds=now.stale_seconds if stale is None else stale))


def _or_none(rules: Retention) -> Retention | None:
    from pfs.refs.retention import Retention

    return None if rules == Retention() else rules


def retention_record(repo: str, rules: Retention | None) -> Record:
    """Return the rules as JSON; times are in seconds, null: all commits stay."""
    from pfs.refs.retention import Retention

    now = rules or Retention()
    branches: dict[str, Json] = {name: _keep_record(keep) for name, keep in sorted(now.branches.items())}
    return {
        "name": repo,
        "keep": None if now.keep is None else _keep_record(now.keep),
        "branches": branches,
        "keep_tags": now.tags,
        "stale_branch_seconds": now.stale_seconds or None,
    }


def _keep_record(keep: Keep) -> Json:
    return {name: int(getattr(keep, name)) for name in keep.__struct_fields__}


def _lines(rules: Retention | None) -> list[str]:
    if rules is None:
        return ["no rules: all commits stay"]
    lines = [f"all branches: {'all commits stay' if rules.keep is None else _keep_text(rules.keep)}"]
    lines += [f"branch {name}: {_keep_text(keep)}" for name, keep in sorted(rules.branches.items())]
    lines.append("tagged commits stay" if rules.tags else "tags of what the rules let go move to the trash")
    if rules.stale_seconds:
        lines.append(f"branches with no commit for {_duration_text(rules.stale_seconds)} move to the trash")
    return lines


def _keep_text(keep: Keep) -> str:
    parts = [f"the last {keep.last}"] if keep.last else []
    parts += [f"those of the last {_duration_text(keep.seconds)}"] if keep.seconds else []
    counts = ((keep.daily, "day"), (keep.weekly, "week"), (keep.monthly, "month"))
    parts += [f"one a {period} for {count} {period}s" for count, period in counts if count]
    return ", ".join(parts) + " stay"


def _duration_text(length_s: int) -> str:
    sizes = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    name, size = next((name, size) for name, size in sizes if length_s % size == 0)
    return f"{length_s // size} {name}{'' if length_s == size else 's'}"
