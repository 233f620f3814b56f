"""Retention rules of a repo: `pfs set-retention`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import click

from cli import options, wiring
from cli.durations import seconds
from cli.exits import usage_error
from cli.output import Json, Record, print_json

if TYPE_CHECKING:
    from pfs.refs.retention import Keep, Retention

_COUNT = click.IntRange(0)
_Edit: TypeAlias = "Callable[[Retention], Retention]"


@click.command("set-retention")
@options.address_argument("repo", metavar="REPO")
@click.option("--keep-last", type=_COUNT, metavar="N", help="Keep the last N commits.")
@click.option("--keep-days", metavar="D", help="Keep what was finished in the last D days; also 12h, 2w.")
@click.option("--keep-daily", type=_COUNT, metavar="N", help="Keep the newest commit of each of N days that have any.")
@click.option("--keep-weekly", type=_COUNT, metavar="N", help="The same for weeks.")
@click.option("--keep-monthly", type=_COUNT, metavar="N", help="The same for months.")
@click.option("--keep-tags/--no-keep-tags", default=None, help="Whether tagged commits stay; they do by default.")
@click.option("--stale-branch", metavar="D", help="Delete branches whose head is older than D days; also 12h, 2w.")
@click.option("--path", "glob", metavar="GLOB", help="Files that lose their bytes in commits older than --path-days.")
@click.option("--path-days", metavar="D", help="See --path; also 12h, 2w.")
@click.option("--branch", metavar="B", help="Rules for this branch alone, instead of the repo's.")
@click.option("--clear", is_flag=True, help="Take all rules away; with --branch those of the branch.")
@options.json_option
def set_retention(
    repo: str,
    keep_last: int | None,
    keep_days: str | None,
    keep_daily: int | None,
    keep_weekly: int | None,
    keep_monthly: int | None,
    keep_tags: bool | None,
    stale_branch: str | None,
    glob: str | None,
    path_days: str | None,
    branch: str | None,
    clear: bool,
    as_json: bool,
) -> None:
    """Say which commits of a repo stay; `pfs gc`, which `pfs serve` does by itself, removes the others.

    A commit stays when any rule keeps it. Heads, open commits, what live commits of any repo were made from, and
    tagged commits always stay. With --path commits stay, but files in them are kept as removed: name, size and hash,
    no bytes; heads and tagged commits keep them. Rules that are not named stay as they are; 0 takes one away. Without
    options: shows the rules.
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
    whole = _of_repo(keep_tags, stale_branch, glob, path_days)
    if clear and (keeps or whole):
        raise usage_error("--clear takes no other rules: set them in a second command")
    if branch is not None and whole:
        raise usage_error("--stale-branch, --keep-tags and --path are of the whole repo: name them without --branch")
    changes = clear or keeps or whole
    with wiring.open_store(alone="set-retention" if changes else None) as store:
        name = wiring.repo_name(repo)
        rules = retention.get_retention(store, name)
        if changes:
            rules = _cleared(rules, branch) if clear else _changed(rules, branch, keeps, whole)
            retention.set_retention(store, name, rules)
    if as_json:
        print_json(retention_record(name, rules))
        return
    for line in _lines(rules):
        click.echo(line)


def _of_repo(tags: bool | None, stale: str | None, glob: str | None, days: str | None) -> list[_Edit]:
    """Return what was given of the rules that are not of a branch, as changes of the rules."""
    from msgspec.structs import replace

    from pfs.refs.retention import PathRule

    edits: list[_Edit] = []
    if tags is not None:
        edits.append(lambda rules: replace(rules, tags=tags))
    if stale is not None:
        stale_s = _days(stale)
        edits.append(lambda rules: replace(rules, stale_seconds=stale_s))
    if (glob is None) != (days is None):
        raise usage_error("--path and --path-days go together")
    if glob is not None and days is not None:
        new = PathRule(glob=glob, seconds=_days(days))

        def with_path(rules: Retention) -> Retention:
            others = tuple(rule for rule in rules.paths if rule.glob != new.glob)
            return replace(rules, paths=(*others, new) if new.seconds else others)

        edits.append(with_path)
    return edits


def _days(text: str) -> int:
    """Return a duration in seconds; a number alone is days."""
    return seconds(text, bare="d")


def _cleared(rules: Retention | None, branch: str | None) -> Retention | None:
    from msgspec.structs import replace

    if rules is None or branch is None:
        return None
    return _or_none(replace(rules, branches={name: keep for name, keep in rules.branches.items() if name != branch}))


def _changed(
    rules: Retention | None, branch: str | None, keeps: dict[str, int], whole: list[_Edit]
) -> Retention | None:
    from msgspec.structs import replace

    from pfs.refs.retention import Keep, Retention

    now = rules or Retention()
    old = (now.keep if branch is None else now.branches.get(branch)) or Keep()
    keep = replace(old, **keeps)
    if branch is not None and keeps:
        if keep == Keep():
            raise usage_error(f"no rule is left for {branch}: --clear --branch {branch} gives it those of the repo")
        now = replace(now, branches=now.branches | {branch: keep})
    elif keeps:
        now = replace(now, keep=None if keep == Keep() else keep)
    for change in whole:
        now = change(now)
    return _or_none(now)


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
        "paths": [{"glob": rule.glob, "seconds": rule.seconds} for rule in now.paths],
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
    lines += [
        f"files {rule.glob} lose their bytes in commits older than {_duration_text(rule.seconds)}"
        for rule in rules.paths
    ]
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
