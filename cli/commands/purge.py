"""Deleting for good: `pfs purge`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Record, human_size, print_json
from cli.progress import Bar
from pfs.paths import parse_address
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.lifecycle.purge import PurgeReport


@click.command("purge")
@click.argument("address", metavar="REPO:/PATH")
@click.option("-r", "--recursive", is_flag=True, help="A directory, with all files below it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be purged, and change nothing.")
@options.json_option
def purge(address: str, recursive: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Delete a path for good, out of all commits of a repo: branches, tags, trash, failed and open commits.

    Ids of commits stay. The file is listed as removed, with the size and hash it had; `delete-file` takes that out of
    a branch. The bytes are freed by the next `pfs gc`. Other paths and repos with the same content are named, and not
    touched. There is no way back.
    """
    from pfs.lifecycle.purge import purge as purge_path
    from pfs.lifecycle.rewrite import Mirror
    from pps.model.records import META_BRANCH, OUT_DIR

    repo, path = _place(address)
    if not (yes or dry_run):
        _ask(repo, path)
    mirrors = (Mirror(META_BRANCH, OUT_DIR),)
    with wiring.open_store(alone=None if dry_run else "purge") as store, Bar("purging") as bar:
        report = purge_path(store, repo, path, recursive=recursive, dry_run=dry_run, mirrors=mirrors, progress=bar)
    if as_json:
        print_json(purge_record(report, dry_run=dry_run))
    else:
        _say(report, dry_run=dry_run)


def _place(text: str) -> tuple[str, str]:
    repo, colon, path = text.partition(":")
    if not colon or not path:
        raise usage_error(f"the path is missing in {quoted(text)}: write repo:/path")
    if "@" in repo:
        raise usage_error(f"a purge is of all commits: write {repo.partition('@')[0]}:{path}, without a branch")
    return parse_address(repo).repo, path


def _ask(repo: str, path: str) -> None:
    if not sys.stdin.isatty():
        raise usage_error(f"purging {repo}:{path} cannot be undone: say --yes, or see it first with --dry-run")
    click.confirm(f"delete {path} from all commits of {repo}, for good?", abort=True, err=True)


def purge_record(report: PurgeReport, *, dry_run: bool) -> Record:
    """Return a report as JSON."""
    return {
        "name": f"{report.repo}:{report.path}",
        "dry_run": dry_run,
        "commits": report.commits,
        "open_commits": report.open_commits,
        "contents": report.contents,
        "size_bytes": report.size_bytes,
        "copies": list(report.copies),
        "more_copies": report.more_copies,
    }


def _say(report: PurgeReport, *, dry_run: bool) -> None:
    count, would = report.commits + report.open_commits, "would be " if dry_run else ""
    what = f"{report.contents} content{'' if report.contents == 1 else 's'}"
    if not count:
        click.echo(f"{report.repo}:{report.path} was purged before")
        return
    hint = "" if dry_run else "; `pfs gc` frees the bytes"
    commits = f"{count} commit{'' if count == 1 else 's'}"
    click.echo(f"{what} ({human_size(report.size_bytes)}) {would}purged from {commits}{hint}")
    for place in report.copies:
        click.echo(f"the same content is also at {place}")
    if report.more_copies:
        click.echo("and at more places")
