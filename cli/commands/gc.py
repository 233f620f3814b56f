"""Collection: `pfs gc`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.durations import seconds
from cli.exits import STORAGE, ExitCode
from cli.output import Json, Record, human_size, human_time, print_json, timestamp
from cli.progress import Bar

if TYPE_CHECKING:
    from pfs.gc.report import Report
    from pfs.lifecycle.retention import RepoEffect


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Say what would be freed, and change nothing.")
@click.option(
    "--min-age", metavar="D", help="Leave younger packs alone: 90s, 30m, 24h, 7d. Default: 0, of stores in buckets 24h."
)
@click.option(
    "--grace",
    metavar="D",
    help="Give readers this long before packs go: 90s, 5m. Default: 0, of stores in buckets 24h. Over 10m it is not "
    "waited for: `pfs gc` after it, or `pfs serve`, deletes what this one condemned.",
)
@options.json_option
def gc(dry_run: bool, min_age: str | None, grace: str | None, as_json: bool) -> None:
    """Free the space of what nothing leads to any more: collect garbage.

    Applies the retention rules of repos, lets go of what was deleted more than 30 days ago and of uploads older than
    7 days, then deletes packs without live data and writes those again that are partly dead, or small and many. Runs
    beside writers and readers. What damaged data leads to cannot be known: then nothing is deleted, and the exit code
    is 5.
    """
    from pfs.gc.collect import collect, foresee
    from pfs.gc.options import in_seconds
    from pps.scheduling.unread import unread

    with wiring.open_store() as store, Bar("collecting") as bar:
        options = in_seconds(
            store.backend,
            min_age_s=None if min_age is None else seconds(min_age),
            grace_s=None if grace is None else seconds(grace),
        )
        report = (foresee if dry_run else collect)(store, options, progress=bar, readers=lambda: unread(store))
    if as_json:
        print_json(gc_record(report))
    else:
        for line in gc_lines(report):
            click.echo(line)
    for name in report.damaged:
        print(f"damaged, left alone: {name}; `pfs fsck --deep` says what is affected", file=sys.stderr)
    if report.full:
        print("no space was left to write packs again, so only dead ones went: run `pfs gc` again", file=sys.stderr)
    if report.damaged or report.full:
        raise ExitCode(STORAGE)


def gc_record(report: Report) -> Record:
    """Return a report as JSON."""
    expired = report.expired
    retention: list[Json] = [
        {
            "repo": one.repo,
            "kept": one.kept,
            "removed": [{"id": id, "branch": branch} for id, branch in zip(one.removed, one.removed_of, strict=True)],
            "hidden_removed": list(one.hidden),
            "branches": one.branches,
            "tags": one.tags,
            "aged": one.aged,
            "aged_bytes": one.aged_bytes,
        }
        for one in report.retention
    ]
    return {
        "name": "gc",
        "dry_run": report.dry_run,
        "packs": report.packs,
        "deleted": report.deleted,
        "repacked": report.repacked,
        "written": report.written,
        "kept": report.kept,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "live_bytes": report.live_bytes,
        "commits_forgotten": report.forgotten,
        "trash": list(expired.trash),
        "repos": list(expired.repos),
        "uploads": len({name.rpartition("/")[0] for name in expired.uploads}),
        "retention": retention,
        "generation": report.generation,
        "waiting": report.waiting,
        "waits_until": None if report.waits_until_ns is None else timestamp(report.waits_until_ns),
        "resumed": report.resumed,
        "ended": report.ended,
        "cold": report.cold,
        "thawing": report.thawing,
        "damaged": list(report.damaged),
        "full": report.full,
    }


def gc_lines(report: Report) -> Iterator[str]:
    """Yield a report for people."""
    would = "would " if report.dry_run else ""
    for effect in report.retention:
        yield from _retention_lines(effect, would=would)
    if report.expired.trash:
        yield f"{would}let go of {_some(report.expired.trash)}: deleted or replaced more than 30 days ago"
    if report.expired.repos:
        yield f"{would}let go of the deleted repos {_some(report.expired.repos)}"
    uploads = {name.rpartition("/")[0] for name in report.expired.uploads}
    if uploads:
        yield f"{would}drop {_count(len(uploads), 'upload')} that nobody completed in 7 days"
    if report.ended:
        yield f"deleted {_count(report.ended, 'pack')} that were condemned before"
    elif report.resumed:
        yield "ended a collection that had been stopped"
    if report.cold:
        yield f"left {_count(report.cold, 'pack')} in cold storage as they are: partly dead, and billed for all of it"
    if report.thawing:
        yield f"having {_count(report.thawing, 'pack')} restored from an archive to purge what is in them: run it again"
    if report.waits_until_ns is not None:
        yield from _waiting_lines(report, report.waits_until_ns)
        return
    stored, live = human_size(report.bytes_after), human_size(report.live_bytes or 0)
    if not report.deleted and not report.repacked:
        yield f"no packs to free: {stored} stored, {live} of it live"
        return
    freed = human_size(report.bytes_before - report.bytes_after)
    delete, write = ("delete", "write") if report.dry_run else ("deleted", "wrote")
    what = f"{would}{delete} {_count(report.deleted, 'pack')} and {write} {report.repacked} again"
    yield f"{what}: {freed} freed, {stored} stored, {live} of it live"


def _waiting_lines(report: Report, until_ns: int) -> Iterator[str]:
    if report.written:
        yield f"wrote what is live of condemned packs to {_count(report.written, 'new pack')}"
    verb = "goes" if report.waiting == 1 else "go"
    when = human_time(timestamp(until_ns))
    yield f"condemned: {_count(report.waiting, 'pack')}, which {verb} with the next collection after {when} (--grace)"


def _retention_lines(effect: RepoEffect, *, would: str) -> Iterator[str]:
    if effect.removed:
        yield f"{would}remove {_count(len(effect.removed), 'commit')} of {effect.repo} by its rules, {effect.kept} stay"
    if effect.aged:
        size = human_size(effect.aged_bytes)
        yield f"{would}take {size} out of {_count(effect.aged, 'commit')} of {effect.repo} by its rules for paths"
    names = [f"{effect.repo}@{name}" for name in (*effect.branches, *effect.tags)]
    if names:
        yield f"{would}move {_some(names)} to the trash by its rules"


def _some(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
